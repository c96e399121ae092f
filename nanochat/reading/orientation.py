"""Which way up a page lies: a scan that came out on its side or upside down is read as if it had been turned.

The line finder leaves lines that stand on end, so a page on its side seems nearly empty, and of letters upside down a
model is not sure. Only of a page in such doubt the other three ways are looked at, and a few of their lines are read.
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
"""Degrees by which a page may be turned, and what Pillow, which counts the other way, calls it."""

DOUBT = 0.95  # mean probability under which a page may lie another way
BARE, SIDE = 0.03, 96  # share of a page that little text covers; px of its shorter side, from which a picture is one
LEAST, FEW = 20, 60  # characters that are found on a page the right way up; and fewer are few
SURE, SURER = 0.8, 0.08  # mean probability of some of its lines then; more by this or by half of what was missing
MORE, SURE_ENOUGH = 3.0, 0.75  # times the characters, which, if not few, need no more than this probability
NO_LESS = 0.5  # times the characters: fewer are no reason
SOME = 6  # lines that are read of each way
STRETCH = 2.0  # type heights: a shorter stretch, of a letter or two, looks much alike whichever way it is turned


class Sight(NamedTuple):
    """What a page shows, turned one way."""

    characters: float
    """that its lines have room for"""
    sureness: float
    """mean probability of what the model reads there"""


class _Way(NamedTuple):
    """A page, turned, on which text enough is found to be the right way up."""

    page: int
    degrees: int
    picture: Image.Image
    lines: list[Line]
    """the stretches of text with most characters, each as a line"""
    characters: float
    """that all stretches have room for"""


def in_doubt(page: Page) -> bool:
    """Whether it is worth looking at the page the other ways."""
    if page.mean_probability < DOUBT:
        return True
    return covers_little([line.box for line in page.lines if line.box], (page.width, page.height))


def covers_little(boxes: list[Box], size: tuple[int, int]) -> bool:
    """Whether lines with these boxes leave a page of `size` (width, height) nearly empty; False for a small picture."""
    covered = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    return covered < BARE * size[0] * size[1] and min(size) >= SIDE


def best_turn(lying: Sight, turned: dict[int, Sight]) -> int:
    """Degrees clockwise after which a page is upright: 0 if it seems so as it lies, or no way is clearly better."""

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
    """`best_turn` of pages that were read as their pictures lie; what it takes to find out is added to the pages.

    `read` reads lines of pictures.
    """
    lying = [Sight(page.expected_characters, page.mean_probability) for page in pages]
    ways: list[_Way] = []
    for i, picture in enumerate(pictures):
        for degrees in CLOCKWISE:
            turned = turn(picture, degrees)
            stretches = [s for s in find_segments(turned) if s.length >= STRETCH * s.height]
            longest = sorted(stretches, key=lambda s: s.length / s.height, reverse=True)
            lines = [Line((segment,)) for segment in longest]
            characters = sum(room(lines))
            if characters >= max(LEAST, NO_LESS * lying[i].characters):
                ways.append(_Way(i, degrees, turned, lines[:SOME], characters))
    sights: list[dict[int, Sight]] = [{} for _ in pages]
    for way, page in zip(ways, read([way.picture for way in ways], [way.lines for way in ways])):
        sights[way.page][way.degrees] = Sight(way.characters, page.mean_probability)
        pages[way.page].add_costs(page)
        pages[way.page].most_vision_tokens += page.most_vision_tokens
    return [best_turn(*seen) for seen in zip(lying, sights)]


def turn(picture: Image.Image, degrees: int) -> Image.Image:
    """A picture turned clockwise by 90, 180 or 270 degrees."""
    return picture.transpose(CLOCKWISE[degrees])


def turn_back(page: Page, degrees: int) -> Page:
    """A page that was read turned clockwise by `degrees`, with its places in the picture as that lies."""

    def back(box: Box | None) -> Any:
        return box and turn_box(box, 360 - degrees, (page.width, page.height))

    def part_back(part: Part) -> Part:
        return replace(part, box=back(part.box), word_boxes=[back(box) for box in part.word_boxes])

    lines = [replace(line, box=back(line.box), parts=list(map(part_back, line.parts))) for line in page.lines]
    width, height = turn_size((page.width, page.height), degrees)
    return replace(page, turned=degrees, lines=lines, width=width, height=height)
