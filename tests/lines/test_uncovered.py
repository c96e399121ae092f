"""Letters that the line detector misses are added: ends of lines, and whole lines in type of any size."""

import numpy as np
import pytest
from helpers.drawn_page import FONT
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box
from nanochat.lines.segment import Segment
from nanochat.lines.uncovered import rows_of_letters, uncovered_shapes, with_ends, with_mark_before


def draw_line(text: str, size: int) -> tuple[np.ndarray, Box]:
    """A page with one line of type of `size` px: grey, uint8 (H, W), and the box of its ink."""
    page = Image.new("L", (1200, 400), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(FONT), size)
    draw.text((100, 100), text, fill=0, font=font)
    rows, columns = np.nonzero(np.asarray(page) < 128)
    return np.asarray(page), (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)


def line_on(box: Box, left: int, right: int) -> Segment:
    """What the detector gives for capitals with this box, from x `left` to `right`."""
    height = (box[3] - box[1]) / 0.73
    middle = box[3] - height / 4
    return Segment(np.array([[left, middle], [(left + right) / 2, middle], [right, middle]], float), height)


@pytest.mark.parametrize("size", [16, 30, 60, 120])
def test_the_missed_ends_of_a_line_are_added_at_every_size(size: int) -> None:
    grey, box = draw_line("HARBOUR SWIM", size)
    width = box[2] - box[0]
    part = line_on(box, box[0] + width // 3, box[2] - width // 4)
    (whole,), left_over = with_ends([part], uncovered_shapes(grey, [part]))
    assert whole.box[0] <= box[0] + size / 8
    assert whole.box[2] >= box[2] - size / 8
    assert not left_over


@pytest.mark.parametrize("size", [20, 40, 90, 160])
def test_a_row_of_letters_becomes_a_line_at_every_size(size: int) -> None:
    grey, box = draw_line("NIGHT 24", size)
    (found,) = rows_of_letters(uncovered_shapes(grey, []))
    assert np.abs(np.array(found.box)[[0, 2]] - np.array(box)[[0, 2]]).max() <= size / 8
    assert found.box[1] <= box[1] and found.box[3] >= box[3]


def test_covered_letters_rules_and_other_cells_are_left_alone() -> None:
    grey, box = draw_line("TOTAL", 40)
    line = line_on(box, box[0], box[2])
    assert uncovered_shapes(grey, [line]) == []
    ruled = grey.copy()
    ruled[box[1] - 30 : box[3] + 30, box[2] + 10 : box[2] + 12] = 0  # the rule of a table
    ruled[box[1] : box[3], box[2] + 100 : box[2] + 115] = 0  # another cell
    (same,), _ = with_ends([line], uncovered_shapes(ruled, [line]))
    assert same is line
    grain = (np.random.default_rng(1).random((600, 600)) < 0.02).astype(np.uint8) * 255
    assert rows_of_letters(uncovered_shapes(255 - grain, [])) == []


@pytest.mark.parametrize(
    ("before", "is_mark"),
    [("- ", True), ("\u2022 ", True), ("\u2013 ", True), (". ", False), (": ", False), ("i- ", False)],
)
def test_a_bullet_or_minus_before_a_line_belongs_to_it(before: str, is_mark: bool) -> None:
    page = Image.new("L", (600, 120), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.truetype(str(FONT), 30)
    draw.text((100, 40), before + "HEALTH", fill=0, font=font)
    start = 100 + font.getlength(before)
    ink = np.asarray(page)[:, round(start) :] < 128
    rows = np.flatnonzero(ink.any(1))
    line = line_on((0, int(rows[0]), 0, int(rows[-1]) + 1), round(start), 400)
    found = with_mark_before(np.asarray(page), line)
    assert (found is not line) == is_mark
    assert not is_mark or 98 <= found.points[0, 0] < start - 5
