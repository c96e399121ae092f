"""Vertical text on an upright page: notes in a margin, axis labels, a sideways table.

The line detector does not find vertical lines. If ink outside the detected lines forms narrow vertical strips, lines
are detected on the page rotated by 90 degrees, and those at the strips are read in both directions.
"""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from nanochat.lines.boxes import Box, shares_covered, turn_box
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import Line, arrange
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
LEAST, LETTERS = 4, 0.7  # least number of letters and digits, and their least share of its characters
NEXT_ROW = 2.0  # type heights: widest space between two rows of a table


def standing_ink(picture: Image.Image, known: list[Box], type_height: float) -> list[Box]:
    """Boxes in px of narrow vertical strips of ink on an RGB page outside the boxes `known`.

    `type_height`: that of the page's text, in px.
    """
    factor = max(1, -(-max(picture.size) // LONGEST))
    grey = np.asarray(picture.convert("L").reduce(factor))
    ink = (cv2.absdiff(grey, cv2.medianBlur(grey, 41)) > CONTRAST).astype(np.uint8)
    for left, top, right, bottom in known:
        ink[top // factor : bottom // factor + 1, left // factor : right // factor + 1] = 0
    height = type_height / factor
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
    return float(shares_covered(box, others).max(initial=0))


def standing_lines(picture: Image.Image, lines: list[Line], sure: list[Box]) -> list[Line]:
    """Vertical lines on an RGB page with these lines, from left to right, outside the boxes `sure` of known text.

    Their positions are those on the page turned clockwise by 90 degrees. The cells of a table row are one line.
    """
    upright = [segment for line in lines for segment in line.segments]
    if not upright:
        return []
    ink = standing_ink(picture, sure, weighted_median([s.height for s in upright], [s.length for s in upright]))
    if not ink:
        return []
    known = [turn_box(box, 90, picture.size) for box in sure]
    wanted = [turn_box(box, 90, picture.size) for box in ink]
    turned = turn(picture, 90)
    segments = [segment for segment in find_segments(turned) if _share(segment.box, known) < COVERED]
    rows = sorted(arrange(turned, segments), key=lambda line: (line.box[1], line.box[0]))
    stand = {
        i
        for i, row in enumerate(rows)
        for segment in row.segments
        if segment.length >= LONG * segment.height and any(_share(box, [segment.box]) > 0 for box in wanted)
    }
    for order in (range(len(rows)), reversed(range(len(rows)))):  # the other rows of their tables
        for i in order:
            if any(_is_next_row(rows[i], rows[k]) for k in stand):
                stand.add(i)
    return [rows[i] for i in sorted(stand)]


def _is_next_row(row: Line, other: Line) -> bool:
    """Whether a row with enough text is directly above or below another."""
    height = max(segment.height for segment in (*row.segments, *other.segments))
    gap = max(row.box[1] - other.box[3], other.box[1] - row.box[3])
    beside = min(row.box[2], other.box[2]) - max(row.box[0], other.box[0]) > 0
    return beside and gap < NEXT_ROW * height and sum(s.length for s in row.segments) >= LONG * row.segments[0].height


def is_text(line: TextLine) -> bool:
    """Whether the reading of a possibly vertical line is text, rather than a bar code or the edge of a drawing."""
    return _is_sure(line) and sum(c.isalnum() for c in line.text) >= LEAST


def read_standing(
    picture: Image.Image,
    lines: list[Line],
    upright: list[TextLine],
    read: Callable[[list[Image.Image], list[list[Line]]], list[Page]],
) -> tuple[list[TextLine], list[Page]]:
    """(the vertical text on an RGB page with these lines, with its boxes there; all pages that were read to find it).

    `upright`: what was read on the lines. Text that was not read well may be vertical. `read`: reads lines of images.
    Each line is read both ways, and the reading with the higher probability is kept: first the lines that read upwards,
    from left to right, then those that read downwards, from right to left.
    """
    found = standing_lines(picture, lines, [part.box for line in upright if _is_sure(line) for part in line.parts])
    if not found:
        return [], []
    turned, flipped = turn(picture, 90), turn(picture, 270)
    there = [_turned_over(line, flipped.size) for line in found]
    pages = read([turned] * len(found) + [flipped] * len(found), [[line] for line in (*found, *there)])
    ways: dict[int, list[TextLine]] = {90: [], 270: []}
    for one, other in zip(pages[: len(found)], pages[len(found) :], strict=True):
        page, degrees = max([(one, 90), (other, 270)], key=lambda way: way[0].mean_probability if way[0].lines else 0.0)
        ways[degrees] += [line for line in turn_back(page, degrees).lines if is_text(line)]
    return ways[90] + ways[270][::-1], pages


def _turned_over(line: Line, size: tuple[int, int]) -> Line:
    """A line of a page of `size`, where it is after the page was turned by 180 degrees."""
    corner = np.array(size) - 1
    return Line(tuple(Segment((corner - s.points)[::-1], s.height) for s in reversed(line.segments)))


def _is_sure(line: TextLine) -> bool:
    """Whether an upright line was read well; vertical text that was taken for upright is read as a few odd marks."""
    written = [c for c in line.text if not c.isspace()]
    return line.mean_probability >= SURE and sum(c.isalnum() for c in written) >= LETTERS * len(written)


def without_standing(page: Page, more: list[TextLine]) -> Page:
    """A page without the lines read as upright text where these vertical lines are."""
    boxes = [line.box for line in more if line.box]

    def is_vertical(line: TextLine) -> bool:
        return line.box is not None and shares_covered(line.box, boxes).sum() >= COVERED

    kept = [line for line in page.lines if _is_sure(line) or not is_vertical(line)]
    return page if len(kept) == len(page.lines) else replace(page, lines=kept, text="\n".join(k.text for k in kept))


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
