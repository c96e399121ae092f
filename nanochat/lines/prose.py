"""Running text: rows whose lines fill their column, or were broken because the next word had no room.

A table's cells are not full, so its rows are no running text.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from nanochat.lines.gutters import ALIGNED
from nanochat.lines.placed import Row

LINES = 3  # of a column at least
MOSTLY = 0.75  # of a column's lines that fill it, of those that begin where it does or are indented
ENOUGH = 0.6  # of a column's lines, those that end a paragraph counted with the others, that fill it
FLUSH = 0.55  # of a column's lines that begin where it does
INDENT = 3.0  # type heights at most
WHOLE = 0.8  # of a column's lines that are not broken
ALLEY = 0.4  # type heights: free this wide in line after line, a place is no space between words
WORD_SPACE = 0.3  # type heights between two words
PARAGRAPH = 1.3  # times the distance between lines: more begins a paragraph
FARTHEST, OF_MANY, MANY = 1.6, 2.0, 8  # type heights from one line to the next; and where so many lines are alike:
# one and a half lines in a word processor are 1.9, but a few lines as far apart are the fields of a form


def _alley(rows: list[Row], left: float, right: float) -> float:
    """Width of the widest part between left and right in which no row has text."""
    free, widest = left, 0.0
    for s in sorted((s for row in rows for s in row if s.right > left), key=lambda s: s.left):
        if s.left >= right:
            break
        widest, free = max(widest, s.left - free), max(free, s.right)
    return max(widest, right - free)


def _unbroken(rows: list[Row]) -> Row:
    """Each row as one stretch, without those that are broken where the rows around them are too."""
    found: Row = []
    for i, row in enumerate(rows):
        around = rows[max(0, i - 2) : i] + rows[i + 1 : i + 3]
        if all(_alley(around, a.right, b.left) <= ALLEY * b.height for a, b in pairwise(row)):
            longest = max(row, key=lambda s: s.width)
            words = tuple(width for s in row for width in s.word_widths)
            found.append(replace(longest, left=row[0].left, right=row[-1].right, word_widths=words))
    return found


def is_running_text(rows: list[Row], filled: float, least: float) -> bool:
    """Whether rows are a column of running text: few are broken, and most reach about as far as the longest."""
    lines = _unbroken(rows)
    if len(lines) < max(LINES, WHOLE * len(rows)):
        return False
    height = float(np.median([s.height for s in lines]))
    lefts = np.array([s.left for s in lines])
    edge = float(lefts.min())
    width = max(s.right for s in lines) - edge
    pitch = float(np.median([b.y - a.y for a, b in pairwise(lines)]))
    if width < least * height or pitch > (OF_MANY if len(lines) >= MANY else FARTHEST) * height:
        return False
    inside = (lefts - np.percentile(lefts, 25)) / height
    flush, indented = np.abs(inside) < ALIGNED, (inside > 0) & (inside < INDENT)
    if flush.mean() < FLUSH or (flush | indented).mean() < MOSTLY:
        return False
    words = np.mean([len(s.word_widths) > 1 for s in lines]) >= ENOUGH  # a table's cells are often single ones
    full = [  # a paragraph's last line may be short, and where ends are ragged the next line's first word is long
        a.right - edge >= filled * width
        or (words and a.right + WORD_SPACE * height + sum(b.word_widths[:1]) > edge + width)
        for a, b in pairwise(lines)
        if b.left < edge + ALIGNED * height and b.y - a.y < PARAGRAPH * pitch
    ]
    return bool(sum(full) >= max(MOSTLY * len(full), ENOUGH * (len(lines) - 1)))
