"""Drop caps: a large letter at the beginning of a paragraph, as tall as the first lines of text beside it.

The letter is put in front of the first of these lines. For the reading order, all of them begin at its left edge.
"""

from dataclasses import replace

import numpy as np

from nanochat.lines.placed import Placed
from nanochat.lines.segment import Segment

LARGER = 1.6  # least height, relative to the type beside it: a drop cap of two lines
WIDEST = 2.0  # largest width, relative to its height: a W with a part of the next letter
# Lengths are multiples of the type height beside it.
NEAR = 1.5  # largest distance from the letter to the text
ALIGNED = 0.8  # largest distance between the left edges of the letter and of the line below it
TOP = 1.0  # largest distance between the tops of the letter and of the first line
PITCH = 2.0  # largest line distance
SPACE = 0.25  # if the first line is indented more than this, the drop cap is a word of its own


def attach_initials(placed: list[Placed]) -> tuple[list[Placed], dict[Segment, Segment]]:
    """(the segments without drop caps; the drop caps, by the segment of the line that each begins).

    Segments beside a drop cap are extended to its left edge.
    """
    rest, initials = list(placed), dict[Segment, Segment]()
    for cap in placed:
        lines, below = _lines_beside(cap, placed)
        if below is None:
            continue
        first, edge = lines[0].segment, min(s.left for s in lines)
        rest = [replace(s, left=below.left) if s in lines else s for s in rest if s is not cap]
        x = cap.segment.points[:, 0]
        points = cap.segment.points[x < max(edge - 1, x[0] + 2)]
        goes_on = lines[0].left - min(s.left for s in lines[1:]) < SPACE * lines[0].height
        initials[first] = Segment(points if len(points) > 1 else cap.segment.points, cap.height, bool(goes_on))
    return rest, initials


def _lines_beside(cap: Placed, placed: list[Placed]) -> tuple[list[Placed], Placed | None]:
    """(the lines beside a drop cap, from the top; the line below it at its left edge, None if it is no drop cap)."""
    if cap.width > WIDEST * cap.height:
        return [], None
    top, bottom = cap.y - cap.height / 2, cap.y + cap.height / 2
    smaller = [s for s in placed if LARGER * s.height < cap.height and s.width > s.height]
    lines = [
        s
        for s in smaller
        if top < s.y < bottom - s.height / 4 and cap.left + cap.height / 4 < s.left < cap.right + NEAR * s.height
    ]
    lines.sort(key=lambda s: s.y)
    if len(lines) < 2 or lines[0].y - lines[0].height / 2 > top + TOP * lines[0].height:
        return [], None
    height = float(np.median([s.height for s in lines]))
    if any(abs(s.left - lines[-1].left) > NEAR * height for s in lines):
        return [], None
    below = [s for s in smaller if 0 < s.y - lines[-1].y < PITCH * height and s not in lines]
    return lines, next((s for s in below if abs(s.left - cap.left) < ALIGNED * height), None)
