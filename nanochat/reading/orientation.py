"""Page orientation: a scan that lies on its side or upside down is turned before it is read.

The line detector ignores vertical lines, so a page on its side seems nearly empty, and the model is unsure of
upside-down letters. Only then are other orientations tried, and a few lines of each are read.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from PIL import Image

from nanochat.lines.boxes import Box, turn_box, turn_size
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import Line
from nanochat.reading.ink_audit import room
from nanochat.reading.page import Page, Part

CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Degrees clockwise by which a page may be turned -> Pillow's name for it, which counts counter-clockwise."""

DOUBT = 0.95  # mean probability below which a page may be oriented differently
BARE, SIDE = 0.03, 96  # a page with a smaller share of text has little; px: shortest side of a page
LEAST, FEW = 20, 60  # fewest characters on an upright page; below FEW, more certainty is required
SURE, SURER = 0.8, 0.08  # least mean probability of its lines; least gain (or half of the gap to 1)
MORE, SURE_ENOUGH = 3.0, 0.75  # with so many times the characters, and not few, this probability is enough
NO_LESS = 0.5  # with fewer than this share of the characters, the page is never turned
SOME = 6  # number of lines that are read in each orientation
STRETCH = 2.0  # type heights: shorter text, of a letter or two, looks similar in every orientation


class Sight(NamedTuple):
    """What is found on a page in one orientation."""

    characters: float
    """number of characters that the detected lines have room for"""
    sureness: float
    """mean probability of the lines that were read"""


class _Way(NamedTuple):
    """A page in another orientation that shows enough text to be the right one."""

    page: int
    degrees: int
    picture: Image.Image
    lines: list[Line]
    """the pieces of text with the most characters, each as a line"""
    characters: float
    """number of characters that all pieces of text have room for"""


def in_doubt(page: Page) -> bool:
    """Whether the other orientations of the page should be tried."""
    if page.mean_probability < DOUBT:
        return True
    return covers_little([line.box for line in page.lines if line.box], (page.width, page.height))


def covers_little(boxes: list[Box], size: tuple[int, int]) -> bool:
    """Whether these boxes cover hardly any of a page of `size` (width, height); False for a small image."""
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    return covered < BARE * size[0] * size[1] and min(size) >= SIDE


def best_turn(lying: Sight, turned: dict[int, Sight]) -> int:
    """Degrees clockwise by which to turn a page; 0 if it seems upright, or if no orientation is clearly better."""

    def is_clear(found: Sight) -> bool:
        if found.characters < MORE * lying.characters:
            surer = found.sureness - lying.sureness
            return found.sureness >= SURE and surer >= min(SURER, (1 - lying.sureness) / 2)
        return found.sureness >= (SURE if found.characters < FEW else SURE_ENOUGH)

    clear = {degrees: found.sureness for degrees, found in turned.items() if is_clear(found)}
    return max(clear, key=lambda degrees: clear[degrees], default=0)


def find_turns(
    pictures: list[Image.Image],
    pages: list[Page],
    read: Callable[[list[Image.Image], list[list[Line]]], list[Page]],
) -> list[int]:
    """`best_turn` of pages that were read as given; the cost of finding it is added to the pages.

    `read`: reads lines of images.
    """
    lying = [Sight(page.expected_characters, page.mean_probability) for page in pages]
    ways: list[_Way] = []
    for i, picture in enumerate(pictures):
        enough = max(LEAST, NO_LESS * lying[i].characters)
        if way := _look(i, picture, 90, enough):  # else there is no text on its side
            ways += filter(None, (way, _look(i, picture, 270, enough)))
        if pages[i].mean_probability < DOUBT:  # letters upside down are not read with more certainty
            ways += filter(None, [_look(i, picture, 180, enough)])
    sights: list[dict[int, Sight]] = [{} for _ in pages]
    for way, page in zip(ways, read([way.picture for way in ways], [way.lines for way in ways])):
        sights[way.page][way.degrees] = Sight(way.characters, page.mean_probability)
        pages[way.page].add_reading(page)
    return [best_turn(*seen) for seen in zip(lying, sights)]


def _look(page: int, picture: Image.Image, degrees: int, enough: float) -> _Way | None:
    """The page turned by `degrees`, or None if its text then has room for fewer than `enough` characters."""
    turned = turn(picture, degrees)
    stretches = [s for s in find_segments(turned) if s.length >= STRETCH * s.height]
    longest = sorted(stretches, key=lambda s: s.length / s.height, reverse=True)
    lines = [Line((segment,)) for segment in longest]
    characters = sum(room(lines))
    return _Way(page, degrees, turned, lines[:SOME], characters) if characters >= enough else None


def turn(picture: Image.Image, degrees: int) -> Image.Image:
    """An image turned clockwise by 90, 180 or 270 degrees."""
    return picture.transpose(CLOCKWISE[degrees])


def turn_back(page: Page, degrees: int) -> Page:
    """A page that was read turned clockwise by `degrees`, with its boxes converted to the image as given."""

    def back(box: Box | None) -> Any:
        return box and turn_box(box, 360 - degrees, (page.width, page.height))

    def part_back(part: Part) -> Part:
        return replace(part, box=back(part.box), word_boxes=[back(box) for box in part.word_boxes])

    lines = [replace(line, box=back(line.box), parts=list(map(part_back, line.parts))) for line in page.lines]
    width, height = turn_size((page.width, page.height), degrees)
    return replace(page, turned=degrees, lines=lines, width=width, height=height)
