"""Drop caps: a large letter at the beginning of a paragraph, as tall as the first lines of text beside it.

The letter is put in front of the first of these lines. For the reading order, all of them begin at its left edge. The
line detector often misses a single letter: it is also looked for where lines are indented as if for a drop cap.
"""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np

from nanochat.lines.boxes import Box
from nanochat.lines.placed import Placed
from nanochat.lines.segment import ABOVE, FEET, Segment

LARGER = 1.6  # least height, relative to the type beside it: a drop cap of two lines
WIDEST = 2.0  # largest width, relative to its height: a W with a part of the next letter
# Lengths are multiples of the type height beside it.
NEAR = 1.5  # largest distance from the letter to the text
ALIGNED = 0.8  # largest distance between the left edges of the letter and of the line below it
TOP = 1.0  # largest distance between the tops of the letter and of the first line
PITCH = 2.6  # largest line distance; the line below may be the second one below, or begin a paragraph
LEAST_INDENT, MOST_INDENT = 0.8, 8.0  # of the lines beside a drop cap
SAME_TYPE = 1.25  # largest ratio of the type heights of these lines
UNEVEN = 0.2  # largest difference between their distances
CONTRAST = 60  # grey levels between a letter and its paper
TALL = 0.75  # least height of the letter, relative to that of two lines
THIN = 0.08  # least width of the letter, relative to its height; the edge of a scan is thinner
CAPITAL = 0.72  # height of a capital, relative to its type height
FEWEST_BESIDE, MOST_BESIDE = 2, 4  # number of lines of a paragraph that ends beside its drop cap
ON_BASE, CLOSE, LONG = 0.4, 0.8, 8.0  # how far its feet are from a base line; its distance; least length of the line
WIDEST_ALONE = 1.2  # largest width of such a drop cap relative to its height
SPACE = 0.25  # if the first line is indented more than this, the drop cap is a word of its own


def attach_initials(placed: list[Placed]) -> tuple[list[Placed], dict[Segment, Segment]]:
    """(the segments without drop caps; the drop caps, by the segment of the line that each begins).

    Segments beside a drop cap are extended to its left edge.
    """
    rest, initials = list(placed), dict[Segment, Segment]()
    for cap in placed:
        lines, below = _lines_beside(cap, placed)
        if below is None and not _is_beside_all(cap, lines):
            continue
        first, edge = lines[0].segment, min(s.left for s in lines)
        left = cap.left if below is None else below.left
        rest = [replace(s, left=left) if s in lines else s for s in rest if s is not cap]
        points = _until(cap.segment.points, edge - 1)
        goes_on = lines[0].left - min(s.left for s in lines[1:]) < SPACE * lines[0].height
        initials[first] = Segment(points if len(points) > 1 else cap.segment.points, cap.height, bool(goes_on))
    return rest, initials


def _lines_beside(cap: Placed, placed: list[Placed]) -> tuple[list[Placed], Placed | None]:
    """(the lines beside a drop cap, from the top; the line below it at its left edge, None if it is no drop cap)."""
    if cap.width > WIDEST * cap.height:
        return [], None
    top, bottom = cap.y - cap.height / 2, cap.y + cap.height / 2
    smaller = [s for s in placed if LARGER * s.height < cap.height and s.width > s.height]
    left, right = cap.left + cap.height / 4, cap.right
    lines = [s for s in smaller if top - s.height / 2 < s.y < bottom - s.height / 4]
    lines = [s for s in lines if left < s.left < right + NEAR * s.height]
    lines.sort(key=lambda s: s.y)
    if len(lines) < 2 or lines[0].y - lines[0].height / 2 > top + TOP * lines[0].height:
        return [], None
    height = float(np.median([s.height for s in lines]))
    if any(abs(s.left - lines[-1].left) > NEAR * height for s in lines):
        return [], None
    below = [s for s in smaller if 0 < s.y - lines[-1].y < PITCH * height and s not in lines]
    return lines, next((s for s in below if abs(s.left - cap.left) < ALIGNED * height), None)


def _until(points: np.ndarray, end: float) -> np.ndarray:
    """A curve, (N, 2) x and y, as far as `end`."""
    x, y = points.T
    kept = points[x < end]
    return np.concatenate([kept, [[end, np.interp(end, x, y)]]]) if 0 < len(kept) < len(points) else kept


def _is_beside_all(cap: Placed, lines: list[Placed]) -> bool:
    """Whether a letter is a drop cap of a paragraph that ends beside it: as tall as its first two or three lines.

    lines: those beside it, from the top. The letter is close to them, and its feet are on one of their base lines.
    """
    if not FEWEST_BESIDE <= len(lines) <= MOST_BESIDE:
        return False
    height, pitch = lines[0].height, lines[1].y - lines[0].y
    even = all(abs(b.y - a.y - pitch) < UNEVEN * height for a, b in pairwise(lines))
    feet = cap.y + FEET * cap.height
    stands = any(abs(feet - s.y - FEET * s.height) < ON_BASE * height for s in lines[1:])
    close = min(s.left for s in lines) - cap.right < CLOSE * height and cap.width < WIDEST_ALONE * cap.height
    longer = lines[0].width > LONG * height
    return even and stands and close and longer


def with_missed_initials(grey: np.ndarray, segments: list[Segment]) -> list[Segment]:
    """The segments of a page, uint8 (H, W), and the drop caps that were missed, in place of pieces of them."""
    found, upwards = list(segments), sorted(segments, key=lambda s: -s.ends[0][1])
    for i, below in enumerate(upwards):
        beside = _indented_above(below, upwards[i + 1 :])
        if len(beside) < 2:
            continue
        letter = _capital(grey, below, beside)
        if letter is None:
            continue
        left, top, right, bottom = letter
        type_height = (bottom - top) / CAPITAL
        middle = top + ABOVE * type_height
        middles = [(s, (s.box[0] + s.box[2]) / 2, (s.box[1] + s.box[3]) / 2) for s in found]
        found = [s for s, x, y in middles if s in beside or not (left <= x <= right and top <= y <= bottom)]
        found = [_after(s, right) if s in beside else s for s in found]
        found.append(Segment(np.array([[left, middle], [right, middle]], float), type_height))
    return found


def _after(segment: Segment, x: int) -> Segment:
    """A segment without its beginning before `x`, if that is less than a letter, such as the arm of a T."""
    kept = segment.points[segment.points[:, 0] >= x]
    return Segment(kept, segment.height) if len(kept) > 1 and 0 < x - segment.box[0] < segment.height else segment


def _indented_above(below: Segment, above: list[Segment]) -> list[Segment]:
    """Those of the segments above a line that are indented as if for a drop cap; from the lowest to the highest."""
    height, (left, y) = below.height, below.ends[0]
    found: list[Segment] = []
    distance = 0.0  # of the lines beside the drop cap
    for segment in above:
        (x, its_y), last = segment.ends[0], y if not found else found[-1].ends[0][1]
        if its_y >= last or max(height, segment.height) > SAME_TYPE * min(height, segment.height):
            continue
        if last - its_y > PITCH * height:
            break
        if not LEAST_INDENT * height <= x - left <= MOST_INDENT * height:
            if abs(x - left) < LEAST_INDENT * height:  # the lines begin at the edge again
                break
            continue
        if found:
            distance = distance or last - its_y
            uneven = abs(last - its_y - distance) > UNEVEN * height
            if uneven or abs(x - found[0].ends[0][0]) > NEAR * height:
                break
        found.append(segment)
    return found


def _capital(grey: np.ndarray, below: Segment, beside: list[Segment]) -> Box | None:
    """The box of the drop cap beside lines, from the lowest to the highest, above a line; None if there is none."""
    height = below.height
    right = min(s.ends[0][0] for s in beside)
    top, base = beside[-1].ends[0][1] - height / 2, beside[-2].ends[0][1] + height / 4
    box: Box = (
        max(0, round(below.ends[0][0] - height)), max(0, round(top - height / 2)),
        round(right + height / 2), round(below.ends[0][1] - height / 2),
    )  # fmt: skip
    part = grey[box[1] : box[3], box[0] : box[2]]
    if min(part.shape, default=0) < 4:
        return None
    paper = float(np.median(part))
    _, _, stats, _ = cv2.connectedComponentsWithStats((np.abs(part - paper) > CONTRAST).astype(np.uint8))
    tall = [
        (box[0] + x, box[1] + y, box[0] + x + w, box[1] + y + h)
        for x, y, w, h, _ in stats[1:].tolist()
        if TALL * (base - top) <= h
        and THIN * h <= w <= WIDEST * h
        and box[0] + x > 0
        and y > 0
        and x + w < part.shape[1]  # the rules of a table go on beyond it
    ]
    near = [letter for letter in tall if abs(letter[0] - below.ends[0][0]) < ALIGNED * height]
    return near[0] if len(tall) == 1 and near and abs(near[0][1] - top) < TOP * height else None
