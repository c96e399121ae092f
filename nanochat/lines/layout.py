"""Group segments into lines, by their positions on the page after it was levelled and flattened."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from nanochat.lines.boxes import Box, union
from nanochat.lines.columns import in_order
from nanochat.lines.finder import Finder, find_segments
from nanochat.lines.flatten import SAME_TYPE, place
from nanochat.lines.gutters import Ink, divide, word_widths
from nanochat.lines.initials import attach_initials, with_missed_initials
from nanochat.lines.leaders import led_to, without_leader
from nanochat.lines.placed import Placed, Row, mean_y
from nanochat.lines.rules import find_rules
from nanochat.lines.segment import Segment

SAME_LINE = 0.45  # largest vertical distance of neighbours on a line, relative to the smaller type height
JOINED = 1.4  # neighbours on a line with a smaller gap, in type heights, are merged into one segment


@dataclass(frozen=True, eq=False)
class Line:
    """One line of text: its segments, from left to right."""

    segments: tuple[Segment, ...]

    @property
    def box(self) -> Box:
        """Its bounding box in px of the page."""
        return union([segment.box for segment in self.segments])


def _same_line(a: Placed, b: Placed) -> bool:
    """Whether two segments are next to each other at the same height."""
    low, high = sorted((a.height, b.height))
    shared = min(a.right, b.right) - max(a.left, b.left)
    if high > SAME_TYPE * low or shared > 0.5 * min(a.width, b.width):
        return False
    return abs(a.y - b.y) < SAME_LINE * low


def _rows(segments: list[Placed]) -> list[Row]:
    """Group segments into rows, from top to bottom; each is compared with its nearest neighbour in a row."""
    rows: list[Row] = []
    for segment in sorted(segments, key=lambda s: s.y):
        near = [
            (min(row, key=lambda s: abs(s.left + s.right - segment.left - segment.right)), row) for row in rows[-8:]
        ]
        fitting = [(abs(other.y - segment.y), row) for other, row in near if _same_line(other, segment)]
        if fitting:
            min(fitting, key=lambda pair: pair[0])[1].append(segment)
        else:
            rows.append([segment])
    rows.sort(key=mean_y)
    return [sorted(row, key=lambda s: s.left) for row in rows]


def _whole(segments: list[Segment]) -> list[Segment]:
    """Merge neighbours on a line that are separated by at most a wide space or an undetected letter."""
    found = segments[:1]
    for segment in segments[1:]:
        last = found[-1]
        low, high = sorted((last.height, segment.height))
        if segment.points[0, 0] - last.points[-1, 0] < JOINED * high and high < 1.5 * low:
            longer = max(last, segment, key=lambda s: s.length)
            found[-1] = Segment(np.concatenate([last.points, segment.points]), longer.height)
        else:
            found.append(segment)
    return found


def find_lines(page: Image.Image, finder: Finder | None = None) -> list[Line]:
    """The lines of an RGB page in reading order. `finder`: the line detector; default: the shipped one."""
    return arrange(page, find_segments(page, finder))


def arrange(page: Image.Image, segments: list[Segment]) -> list[Line]:
    """Group the segments of an RGB page into lines, in reading order."""
    if not segments:
        return []
    ink = Ink(np.asarray(page))
    segments = with_missed_initials(ink.grey, segments)
    placed = place(segments)
    rows = _rows(placed)
    led = _follow_leaders(ink.grey, rows)
    if led is not None:
        segments, placed = led, place(led)
        rows = _rows(placed)
    divided = divide(ink, segments, [tuple(s.segment.ends[0]) for row in rows for s in row[1:]])
    if divided != segments:
        placed = place(divided)
    words = word_widths(ink, divided)
    known, initials = attach_initials([replace(s, word_widths=its, ink=ink) for s, its in zip(placed, words)])
    rules = find_rules(ink.grey, float(np.median([s.height for s in segments])))
    ordered = [[s.segment for s in row] for row in in_order(_rows(known), rules)]
    return [Line(tuple(_whole([part for s in row for part in _with_initial(s, initials)]))) for row in ordered]


def _follow_leaders(grey: np.ndarray, rows: list[Row]) -> list[Segment] | None:
    """The segments of a page without the dots of leaders at their beginning, and with undetected words after leaders.

    None if the page has no leaders.
    """
    found: list[Segment] = []
    for row in rows:
        for i, this in enumerate(row):
            found.append(without_leader(grey, this.segment) if i else this.segment)
            free = row[i + 1].segment.points[0, 0] if i + 1 < len(row) else grey.shape[1]
            more = led_to(grey, this.segment, float(free))
            found += [more] if more else []
    return None if found == [s.segment for row in rows for s in row] else found


def _with_initial(segment: Segment, initials: dict[Segment, Segment]) -> list[Segment]:
    """A segment after its drop cap, if it has one."""
    return [initials[segment], segment] if segment in initials else [segment]
