"""Rows of small blocks: addresses, fields under headings, and labels above their values.

Each block of a row is read to its end, from left to right, and then the next row of blocks.
"""

from itertools import pairwise

import numpy as np

from nanochat.lines.placed import Placed, Row, mean_y, with_one_edge
from nanochat.lines.rules import Rule
from nanochat.lines.stacks import LABELS, LEVEL, LINES, RAGGED, Stack, ruled_at

# Lengths are multiples of the type height, unless stated otherwise.
TIER = 1.25  # larger row distances, relative to the usual one, begin another row of blocks
PAIRED = 0.85  # least share of lines that are a label or its value
SMALLER = 0.94  # largest type size of a label relative to the value below it
FIELDS = 0.6  # least share of rows under a heading that begin with a label
SAME_LINE = 0.45  # largest vertical distance of the first lines of blocks
CLOSE = 2.2  # largest line distance in an address
BETWEEN = 1.5  # larger row distances, relative to those within addresses, begin another row of addresses
LONGEST, LONGEST_EQUAL = 8, 5  # most lines of an address; the second if all blocks have as many
NARROW, NARROW_EQUAL = 2.7, 3.7  # most lines of an address are wider; the second if all blocks are equally long
APART_TWO, APART_EQUAL = 8.0, 3.0  # least gap if all are equally long, of two blocks and of more: values are closer
VALUE = 2.5  # largest gap between labels and their values beside other blocks
CLOSER, CLOSER_EQUAL = 1.7, 1.58  # largest median line distance; the second if all blocks are equally long
STRAIGHT, OF_EQUAL = 0.1, 0.4  # least spread of the ends of its lines; the second if all blocks are equally long
LABELLED = 0.34  # least share of labels in a block if another block (their values) has none
SEVERAL, FEW_SEVERAL = 0.4, 0.25  # least share of lines of several words after the first: of all blocks, and of each


def tiers(rows: list[Row]) -> list[tuple[int, int]]:
    """Split rows at larger distances than usual, as (first, one past the last). A heading alone is not a tier."""
    y = np.array([mean_y(row) for row in rows])
    steps = np.diff(y)
    usual = float(np.percentile(steps, 75))
    cuts = [0, *(np.flatnonzero(steps > TIER * usual) + 1).tolist(), len(rows)]
    found: list[tuple[int, int]] = []
    start = 0
    for end in cuts[1:]:
        if end - start > 1 or end == len(rows):
            found.append((start, end))
            start = end
    return found


def _are_labelled_above(a: Stack, b: Stack) -> bool:
    """Whether most lines on both sides are pairs of a label in smaller type and a value below it."""
    for side in (a, b):
        lines, paired, i = side.lines, 0, 0
        while i + 1 < len(lines):
            is_pair = lines[i].height < SMALLER * lines[i + 1].height
            paired += 2 * is_pair
            i += 1 + is_pair
        if paired < max(2 * LINES, PAIRED * len(lines)):
            return False
    return True


def _pieces(rows: list[Row], left: list[Row], right: list[Row]) -> list[tuple[list[Row], list[Row]]]:
    """The rows on the left and on the right of each row of blocks."""
    found = []
    for start, end in tiers(rows):
        inside = {s for row in rows[start:end] for s in row}
        found.append(([row for row in left if row[0] in inside], [row for row in right if row[0] in inside]))
    return found


def _is_headed(rows: list[Row]) -> bool:
    """Whether the first row has no label, and most of the others begin with a label that ends in a colon."""
    if len(rows) <= LINES or rows[0][0].has_label:
        return False
    return float(np.mean([row[0].has_label for row in rows[1:]])) >= FIELDS


def _are_headed_fields(pieces: list[tuple[list[Row], list[Row]]]) -> bool:
    """Whether both sides of each row of blocks are fields under a heading of their own."""
    return all(
        left and right
        and abs(left[0][0].y - right[0][0].y) < LEVEL * left[0][0].height
        and _is_headed(left) and _is_headed(right)
        for left, right in pieces
    )  # fmt: skip


def _rows_of_blocks(rows: list[Row]) -> list[list[list[Placed]]]:
    """The lines of each block in each row of blocks; rows of blocks are further apart than the lines of a block."""
    columns = [sorted(column, key=lambda s: s.y) for column in with_one_edge(rows)]
    steps = [b.y - a.y for column in columns for a, b in pairwise(column)]
    far = BETWEEN * float(np.median(steps)) if steps else np.inf
    starts = [i for i, (last, this) in enumerate(pairwise(rows), 1) if mean_y(this) - mean_y(last) > far]
    tiers_of = [rows[a:b] for a, b in pairwise([0, *starts, len(rows)])]
    return [[sorted(column, key=lambda s: s.y) for column in with_one_edge(tier)] for tier in tiers_of]


def _addresses(rows: list[Row]) -> list[list[Row]] | None:
    """The blocks of these rows in reading order; None if they are not addresses.

    Addresses are a few close lines, most of several words, that begin at the same x and end at different ones. The
    blocks of a row begin at the same height, and their first lines may be headings. All blocks with the same left edge
    are judged together. Blocks with the same number of lines at the same heights could also be columns of a table, so
    stricter limits apply: cells of a table are more similar in length, and values are close to their labels.
    """
    found = _rows_of_blocks(rows)
    for number, blocks in enumerate(found):
        top = min(block[0].y for block in blocks)
        if len(blocks) < (2 if number == 0 else 1) or not all(_is_block(block, top) for block in blocks):
            return None
    equal = all(
        _are_in_step(block, blocks[0]) and len(block) == len(found[0][0]) for blocks in found for block in blocks
    )
    firsts = {id(block[0]) for blocks in found for block in blocks}
    columns = with_one_edge(rows)
    lines = [s for column in columns for s in column]
    height = float(np.median([s.height for s in lines]))
    several = [float(np.mean([len(s.word_widths) > 1 for s in c if id(s) not in firsts])) for c in columns]
    wide = min(float(np.median([s.width / s.height for s in column])) for column in columns)
    ragged = [float(np.std([s.right for s in column])) / height for column in columns]
    step = float(np.median([(b.y - a.y) / a.height for blocks in found for c in blocks for a, b in pairwise(c)]))
    if np.mean(several) < SEVERAL or np.mean(ragged) < RAGGED or min(ragged) < (OF_EQUAL if equal else STRAIGHT):
        return None
    gap = min(min(s.left for s in b) - max(s.right for s in a) for a, b in pairwise(columns)) / height
    if equal and (len(found[0][0]) > LONGEST_EQUAL or gap < (APART_TWO if len(columns) == 2 else APART_EQUAL)):
        return None
    if (
        min(several) < FEW_SEVERAL
        or wide <= (NARROW_EQUAL if equal else NARROW)
        or step > (CLOSER_EQUAL if equal else CLOSER)
    ):
        return None
    labels = [float(np.mean([s.has_label for s in column])) for column in columns]
    if np.mean([s.has_label for s in lines]) >= LABELS or (max(labels) > LABELLED and min(labels) == 0):
        return None
    if len(found) == 1:
        return _with_values(found[0])
    return [[[s] for s in block] for blocks in found for block in blocks]


def _with_values(blocks: list[list[Placed]]) -> list[list[Row]]:
    """The blocks of a row from left to right; labels and their values, close and at the same heights, are one block."""
    found: list[list[Row]] = []
    for block in blocks:
        last = [row[-1] for row in found[-1]] if found else []
        gap = (min(s.left for s in block) - max(s.right for s in last)) / block[0].height if last else np.inf
        if gap < VALUE and _are_in_step(block, last):
            found[-1] = [[*row, s] for row, s in zip(found[-1], block)]
        else:
            found.append([[s] for s in block])
    return found


def _are_in_step(lines: list[Placed], others: list[Placed]) -> bool:
    """Whether two blocks have the same number of lines, all of them at the same heights."""
    return len(lines) == len(others) and all(abs(a.y - b.y) < LEVEL * a.height for a, b in zip(lines, others))


def _is_block(lines: list[Placed], top: float) -> bool:
    """Whether there are only a few lines, close to each other, the first of them at the height `top`."""
    height = float(np.median([s.height for s in lines]))
    close = all(b.y - a.y < CLOSE * height for a, b in pairwise(lines))
    return LINES <= len(lines) <= LONGEST and close and lines[0].y - top < SAME_LINE * height


def labelled_blocks(rows: list[Row], left: list[Row], right: list[Row]) -> list[list[Row]] | None:
    """The blocks left and right of a gutter in reading order, if their labels or headings are above them; else None."""
    if min(len(left), len(right)) < LINES:
        return None
    pieces = _pieces(rows, left, right)
    if _are_labelled_above(Stack(left, True), Stack(right, False)) or _are_headed_fields(pieces):
        return [side for piece in pieces for side in piece]
    return None


def addresses(rows: list[Row], left: list[Row], right: list[Row], rules: list[Rule]) -> list[list[Row]] | None:
    """The addresses left and right of a gutter in reading order; None if they are none.

    Rules through both sides indicate a table.
    """
    if min(len(left), len(right)) < LINES or ruled_at(Stack(left, True), Stack(right, False), rules):
        return None
    return _addresses(rows)
