"""Comb fields: boxes on a form with one letter each. The boxes are removed and the letters moved together to words.

The rules between the letters would be read as 1 or |, and a line with widely spaced letters does not look like print.
Only the image that the model sees is changed; the letters stay within their field and at their height.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image

from nanochat.lines.boxes import Box, shares_covered

LEAST_CELLS = 5  # least number of cells of a comb
LEAST_FILLED = 2  # cells with a letter
SMALLEST, LARGEST = 12, 160  # px: height of a cell
NARROW, WIDE = 0.4, 1.6  # width of a cell over its height
PAPER_SHARE = 0.4  # of a cell's area, at least: the rest is its letter
FRAMED = 0.9  # share of each side of a cell that a rule must cover
THICKEST = 4  # px: farthest distance of a rule from its cell
ALIKE = 0.2  # largest relative difference of height, width and position within one comb
APART = 0.6  # of a cell's width: largest gap between two cells
INSET = 0.08  # of a cell's height: margin along its rules that is ignored
LETTER = 0.25  # of a cell's height: lower marks are commas or dirt
BROKEN = 0.12  # of a cell's height: widest gap within a letter
BROAD = 1.4  # width of a letter over its height; wider ink is two letters
ONE_LETTER = 0.9  # share of filled cells that must have one letter
GROUP = 0.1  # of a cell's width: a gap that is so much wider than usual separates two groups
BETWEEN, SPACE = 0.15, 0.75  # of the letters' height: space between two letters, and space for an empty cell
NEAR = 0.3  # of a cell's height: two rows of cells closer than this are a table


@dataclass(frozen=True)
class Comb:
    """A row of cells of one size, from left to right."""

    cells: tuple[Box, ...]
    """their boxes, without the rules"""

    @property
    def height(self) -> int:
        return self.cells[0][3] - self.cells[0][1]


def close_combs(picture: Image.Image) -> Image.Image:
    """An RGB image with its comb fields closed: without rules, letters together. Without combs, the image itself."""
    pixels = np.asarray(picture)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    ink = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, 51, 15)
    closed_on_top = find_combs(ink)
    known = [cell for comb in closed_on_top for cell in comb.cells]
    combs = [comb for comb in [*closed_on_top, *find_open_combs(ink, known)] if _has_letters(comb, ink)]
    if not combs:
        return picture
    closed = pixels.copy()
    for comb in combs:
        _close(closed, pixels, ink, comb)
    found = Image.fromarray(closed)
    found.info = dict(picture.info)
    return found


def find_combs(ink: np.ndarray) -> list[Comb]:
    """Rows of at least LEAST_CELLS framed cells on a page; ink: uint8 (H, W), 1 where there is ink."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(1 - ink, connectivity=4)
    cells = [
        (int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, area in stats[1:]
        if SMALLEST <= h <= LARGEST and NARROW * h <= w <= WIDE * h and area >= PAPER_SHARE * w * h
    ]
    rows: list[list[Box]] = []
    for cell in sorted((cell for cell in cells if _is_framed(cell, ink)), key=lambda c: c[0]):
        row = next((row for row in rows if _goes_on(row[-1], cell)), None)
        if row is None:
            rows.append([cell])
        else:
            row.append(cell)
    long = [Comb(tuple(row)) for row in rows if len(row) >= LEAST_CELLS]
    return [comb for comb in long if not any(_is_table(comb, other) for other in long if other is not comb)]


def find_open_combs(ink: np.ndarray, known: Sequence[Box] = ()) -> list[Comb]:
    """Rows of at least LEAST_CELLS cells that are open on top: equal upright rules at equal distances on a base line.

    ink: uint8 (H, W), 1 where there is ink. known: cells that are closed on top, which are left out.
    """
    upright = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((SMALLEST, 1), np.uint8))
    level = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, SMALLEST), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(upright)
    rules = [
        (int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, _ in stats[1:]
        if w <= THICKEST and SMALLEST <= h <= LARGEST and _stands_on(level, int(x), int(y + h), int(w))
    ]
    rows: list[list[Box]] = []
    for rule in sorted(rules):
        row = next((row for row in rows if _is_beside(row[-1], rule)), None)
        if row is None:
            rows.append([rule])
        else:
            row.append(rule)
    long = [Comb(tuple(cells)) for row in rows for cells in _open_cells(row, ink, level) if len(cells) >= LEAST_CELLS]
    return [comb for comb in long if not any(shares_covered(cell, known).any() for cell in comb.cells)]


def _open_cells(rules: Sequence[Box], ink: np.ndarray, level: np.ndarray) -> list[list[Box]]:
    """Runs of cells of one size, open on top, between upright rules from left to right."""
    found: list[list[Box]] = [[]]
    for (_, _, left, _), (right, top, _, bottom) in pairwise(rules):
        cell = left, top, right, bottom - THICKEST // 2
        if right - left < NARROW * (bottom - top):  # the space between two boxes
            continue
        if not _is_open(cell, ink, level):
            found.append([])
        elif found[-1] and not _goes_on(found[-1][-1], cell):
            found.append([cell])
        else:
            found[-1].append(cell)
    return found


def _stands_on(level: np.ndarray, x: int, bottom: int, width: int) -> bool:
    """Whether an upright rule that ends at `bottom` meets a horizontal one there. level: horizontal rules, (H, W)."""
    return bool(level[max(0, bottom - THICKEST) : bottom + THICKEST, max(0, x - THICKEST) : x + width + THICKEST].any())


def _is_beside(last: Box, rule: Box) -> bool:
    """Whether an upright rule is the next one of a row: as tall, and no farther than a cell is wide."""
    height = last[3] - last[1]
    same = max(abs(last[1] - rule[1]), abs(last[3] - rule[3])) <= ALIKE * height
    return same and 0 <= rule[0] - last[2] <= WIDE * height


def _is_open(cell: Box, ink: np.ndarray, level: np.ndarray) -> bool:
    """Whether a cell has a base line along its whole width, and no other horizontal rule in it or on top of it."""
    left, top, right, bottom = cell
    base = level[bottom - THICKEST : bottom + THICKEST, left:right].max(0)
    above = ink[max(0, top - THICKEST) : bottom - THICKEST, left:right]
    return bool(base.mean() >= FRAMED and above.mean(1).max(initial=0.0) < FRAMED)


def _is_framed(cell: Box, ink: np.ndarray) -> bool:
    """Whether a cell has rules along all four sides."""
    left, top, right, bottom = cell
    if min(left, top) < THICKEST or right + THICKEST > ink.shape[1] or bottom + THICKEST > ink.shape[0]:
        return False
    sides = (
        ink[top - THICKEST : top, left:right].max(0), ink[bottom : bottom + THICKEST, left:right].max(0),
        ink[top:bottom, left - THICKEST : left].max(1), ink[top:bottom, right : right + THICKEST].max(1),
    )  # fmt: skip
    return all(side.mean() >= FRAMED for side in sides)


def _goes_on(last: Box, cell: Box) -> bool:
    """Whether a cell continues a comb."""
    height, width = last[3] - last[1], last[2] - last[0]
    same = max(abs(last[1] - cell[1]), abs(last[3] - cell[3])) <= ALIKE * height
    return same and abs(cell[2] - cell[0] - width) <= ALIKE * width + 1 and 0 <= cell[0] - last[2] <= APART * width


def _is_table(comb: Comb, other: Comb) -> bool:
    """Whether one row of cells is directly above the other."""
    gap = max(other.cells[0][1] - comb.cells[0][3], comb.cells[0][1] - other.cells[0][3])
    shared = min(comb.cells[-1][2], other.cells[-1][2]) - max(comb.cells[0][0], other.cells[0][0])
    return gap < NEAR * comb.height and shared > 0


def _letter(cell: Box, ink: np.ndarray) -> tuple[int, int, int, bool] | None:
    """(left, right and height in px of the ink in a cell, whether it is one letter); None for an empty cell."""
    left, top, right, bottom = cell
    inset = max(1, round(INSET * (bottom - top)))
    inside = ink[top + inset : bottom - inset, left + inset : right - inset]
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    if inside.sum() < 4 or not columns.size:
        return None
    width, height = int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
    whole = int(np.diff(columns).max(initial=1)) <= 1 + BROKEN * (bottom - top)
    narrow = width <= BROAD * height or height < LETTER * (bottom - top)  # a dash is broad
    start = left + inset + int(columns[0])
    return start, start + width, height, whole and narrow


def _has_letters(comb: Comb, ink: np.ndarray) -> bool:
    """Whether the filled cells of a comb have one letter each."""
    found = [letter for cell in comb.cells if (letter := _letter(cell, ink))]
    tall = [letter for letter in found if letter[2] >= LETTER * comb.height]
    return len(tall) >= max(LEAST_FILLED, len(found) / 2) and sum(one for *_, one in found) >= ONE_LETTER * len(found)


def _after_wide_gaps(comb: Comb) -> list[bool]:
    """Whether each cell is farther from the one before it than usual: it begins a group, such as the year of a date."""
    gaps = [b[0] - a[2] for a, b in pairwise(comb.cells)]
    width = comb.cells[0][2] - comb.cells[0][0]
    usual = float(np.median(gaps))
    return [False, *(gap > usual + max(2.0, GROUP * width) for gap in gaps)]


def _close(closed: np.ndarray, pixels: np.ndarray, ink: np.ndarray, comb: Comb) -> None:
    """Remove the rules of a comb from `closed` and move its letters side by side."""
    outside = THICKEST + 2
    top, bottom = comb.cells[0][1], comb.cells[0][3]
    left, right = comb.cells[0][0], comb.cells[-1][2]
    letters = [_letter(cell, ink) for cell in comb.cells]
    height = max(letter[2] for letter in letters if letter)
    inset = max(1, round(INSET * comb.height))
    first = pixels[top:bottom, left : comb.cells[0][2]]
    paper = np.median(first[ink[top:bottom, left : comb.cells[0][2]] == 0], axis=0)
    closed[max(0, top - outside) : bottom + outside, max(0, left - outside) : right + outside] = paper
    x, gap, began = left + inset, 0.0, False
    for cell, letter, wide in zip(comb.cells, letters, _after_wide_gaps(comb)):
        if wide or letter is None:
            gap = SPACE * height
        if letter is None:
            continue
        a, b = max(cell[0] + 1, letter[0] - 1), min(cell[2] - 1, letter[1] + 1)
        x += round(gap) if began else 0
        width = min(b - a, right - x)
        closed[cell[1] + inset : cell[3] - inset, x : x + width] = pixels[
            cell[1] + inset : cell[3] - inset, a : a + width
        ]
        x, gap, began = x + width, BETWEEN * height, True
