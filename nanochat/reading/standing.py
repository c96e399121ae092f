"""Vertical text on an upright page: notes in a margin, axis labels, a sideways table.

The line detector does not find vertical lines. If ink outside the detected lines forms narrow vertical strips, lines
are detected on the page rotated by 90 degrees, and those at the strips are read in both directions.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from nanochat.lines.boxes import Box, turn_box
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import Line
from nanochat.lines.quantiles import weighted_median
from nanochat.lines.segment import Segment
from nanochat.reading.orientation import turn, turn_back
from nanochat.reading.page import Page, TextLine

LONGEST = 1000  # px: longer side of the page at which its ink is examined
CONTRAST = 48  # grey levels between ink and paper
# Lengths in heights of the page's type.
JOINED = 0.7  # largest gap between letters one above the other that belong together
NARROW, WIDE, LONG = 0.3, 3.0, 3.0  # smallest and largest width of a strip, and its smallest length
SLENDER = 3.0  # a strip is at least so many times as long as wide
COVERED = 0.2  # largest share of a strip that known lines may cover
SURE = 0.92  # mean probability from which a vertical line is kept
LEAST = 4  # least number of letters and digits, which must also be most of its characters


def standing_ink(picture: Image.Image, lines: list[Line]) -> list[Box]:
    """Boxes in px of narrow vertical strips of ink on an RGB page outside these lines; none on a page without lines."""
    segments = [segment for line in lines for segment in line.segments]
    if not segments:
        return []
    factor = max(1, -(-max(picture.size) // LONGEST))
    grey = np.asarray(picture.convert("L").reduce(factor))
    ink = (cv2.absdiff(grey, cv2.medianBlur(grey, 41)) > CONTRAST).astype(np.uint8)
    for left, top, right, bottom in (segment.box for segment in segments):
        ink[top // factor : bottom // factor + 1, left // factor : right // factor + 1] = 0
    height = weighted_median([s.height for s in segments], [s.length for s in segments]) / factor
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink)
    sides = stats[:, 2:4]
    letters = (sides.max(1) <= WIDE * height) & (stats[:, 4] >= 3)
    letters[0] = False
    ink = letters[labels].astype(np.uint8)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((max(2, round(JOINED * height)), 1), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined)
    return [
        (left * factor, top * factor, (left + width) * factor, (top + tall) * factor)
        for left, top, width, tall, _ in stats[1:].tolist()
        if NARROW * height <= width <= WIDE * height and tall >= max(LONG * height, SLENDER * width)
    ]


def _share(box: Box, others: list[Box]) -> float:
    """The largest share of a box that is covered by one of the others."""

    def common(a: int, b: int, c: int, d: int) -> int:
        return max(0, min(b, d) - max(a, c))

    areas = (common(box[0], box[2], o[0], o[2]) * common(box[1], box[3], o[1], o[3]) for o in others)
    return max(areas, default=0) / max(1, (box[2] - box[0]) * (box[3] - box[1]))


def standing_lines(picture: Image.Image, lines: list[Line]) -> list[Line]:
    """Vertical lines on an RGB page with these lines, from left to right.

    Their positions are those on the page turned clockwise by 90 degrees.
    """
    ink = standing_ink(picture, lines)
    if not ink:
        return []
    known = [turn_box(segment.box, 90, picture.size) for line in lines for segment in line.segments]
    wanted = [turn_box(box, 90, picture.size) for box in ink]

    def stands(segment: Segment) -> bool:
        slender = segment.length >= LONG * segment.height
        return (
            slender and _share(segment.box, known) < COVERED and any(_share(box, [segment.box]) > 0 for box in wanted)
        )

    found = [segment for segment in find_segments(turn(picture, 90)) if stands(segment)]
    return [Line((segment,)) for segment in sorted(found, key=lambda s: (s.box[1], s.box[0]))]


def is_text(line: TextLine) -> bool:
    """Whether the reading of a possibly vertical line is text, rather than a bar code or the edge of a drawing."""
    written = [c for c in line.text if not c.isspace()]
    alphanumeric = sum(c.isalnum() for c in written)
    return line.mean_probability >= SURE and alphanumeric >= max(LEAST, 0.7 * len(written))


def read_standing(
    picture: Image.Image, lines: list[Line], read: Callable[[list[Image.Image], list[list[Line]]], list[Page]]
) -> tuple[list[TextLine], list[Page]]:
    """(the vertical text on an RGB page with these lines, with its boxes there; all pages that were read to find it).

    `read`: reads lines of images. Each line is read both ways, and the reading with the higher probability is kept.
    """
    found = standing_lines(picture, lines)
    if not found:
        return [], []
    turned = turn(picture, 90)
    there = [(turned, [line], 90) for line in found]
    flipped = turn(picture, 270)
    for line in found:
        (segment,) = line.segments
        points = (np.array(flipped.size) - 1 - segment.points)[::-1]
        there.append((flipped, [Line((Segment(points, segment.height),))], 270))
    pages = read([one[0] for one in there], [one[1] for one in there])
    kept: list[TextLine] = []
    for one, other in zip(pages[: len(found)], pages[len(found) :], strict=True):
        ways = [(one, 90), (other, 270)]
        page, degrees = max(ways, key=lambda way: way[0].mean_probability if way[0].lines else 0.0)
        kept += [line for line in turn_back(page, degrees).lines if is_text(line)]
    return kept, pages


def add_lines(page: Page, more: list[TextLine], note: str) -> Page:
    """A page with further lines of text after its own, and a note about them."""
    if not more:
        return page
    text = "\n".join(part for part in (page.text, *(line.text for line in more)) if part)
    return replace(page, text=text, lines=[*page.lines, *more], notes=[*page.notes, note])


def lines_given_up(before: Page, after: Page) -> list[TextLine]:
    """Lines that were read well before a page was turned, and that are not among those read afterwards."""
    boxes = [line.box for line in after.lines if line.box]
    return [line for line in before.lines if line.box and is_text(line) and _share(line.box, boxes) < COVERED]
