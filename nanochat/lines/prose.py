"""Running text: lines that fill their column, or were broken because the next word did not fit.

The cells of a table do not fill their columns, so its rows are not running text.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from nanochat.lines.gutters import ALIGNED
from nanochat.lines.placed import Row
from nanochat.lines.quantiles import middle, percentiles

LINES = 3  # least number of lines of a column
MOSTLY = 0.75  # least share of full lines among those that begin at the column's edge or are indented
ENOUGH = 0.6  # least share of full lines among all lines, including the last lines of paragraphs
FLUSH = 0.55  # least share of lines that begin at the column's edge
INDENT = 3.0  # largest indent in type heights
WHOLE = 0.8  # least share of lines that are not broken into parts
PARTS = 3  # most parts of a line that is not a row of figures
ALLEY = 0.4  # type heights: a gap this wide through consecutive lines is not a space between words
WORD_SPACE = 0.3  # least space between two words in type heights
PARAGRAPH = 1.3  # larger line distances, relative to the usual one, begin a paragraph
FARTHEST, OF_MANY, MANY = 1.6, 2.0, 8  # largest line distance in type heights; and for so many lines or more:
# one and a half lines in a word processor are 1.9, but a few lines as far apart are the fields of a form


def _alley(rows: list[Row], left: float, right: float) -> float:
    """Width of the widest vertical strip between left and right that is free of text in all rows."""
    free, widest = left, 0.0
    for s in sorted((s for row in rows for s in row if s.right > left), key=lambda s: s.left):
        if s.left >= right:
            break
        widest, free = max(widest, s.left - free), max(free, s.right)
    return max(widest, right - free)


def _unbroken(rows: list[Row]) -> Row:
    """Each row as one segment, without rows that have a gap at the same x as the rows around them."""
    found: Row = []
    for i, row in enumerate(rows):
        around = rows[max(0, i - 2) : i] + rows[i + 1 : i + 3]
        if all(_alley(around, a.right, b.left) <= ALLEY * b.height for a, b in pairwise(row)):
            longest = max(row, key=lambda s: s.width)
            words = tuple(width for s in row for width in s.word_widths)
            found.append(replace(longest, left=row[0].left, right=row[-1].right, word_widths=words))
    return found


def is_running_text(rows: list[Row], filled: float, least: float) -> bool:
    """Whether rows are a column of running text: few have wide gaps, and most are about as long as the longest."""
    lines = _unbroken(rows)
    figures = sum(len(row) > PARTS for row in rows)
    if len(lines) < max(LINES, WHOLE * len(rows)) or figures > (1 - WHOLE) * len(rows):
        return False
    height = middle(s.height for s in lines)
    lefts = np.array([s.left for s in lines])
    edge = float(lefts.min())
    width = max(s.right for s in lines) - edge
    pitch = middle(b.y - a.y for a, b in pairwise(lines))
    if width < least * height or pitch > (OF_MANY if len(lines) >= MANY else FARTHEST) * height:
        return False
    inside = (lefts - percentiles(lefts, (25,))) / height
    flush, indented = np.abs(inside) < ALIGNED, (inside > 0) & (inside < INDENT)
    if flush.mean() < FLUSH or (flush | indented).mean() < MOSTLY:
        return False
    words = np.mean([len(s.word_widths) > 1 for s in lines]) >= ENOUGH  # the cells of a table are often single words
    full = [  # the last line of a paragraph may be short; a ragged line ends where the next word does not fit
        a.right - edge >= filled * width
        or (words and a.right + WORD_SPACE * height + sum(b.word_widths[:1]) > edge + width)
        for a, b in pairwise(lines)
        if b.left < edge + ALIGNED * height and b.y - a.y < PARAGRAPH * pitch
    ]
    return bool(sum(full) >= max(MOSTLY * len(full), ENOUGH * (len(lines) - 1)))
