"""Text in columns is read column by column, and tables row by row, on synthetic pages."""

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page, sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines import columns
from nanochat.lines.gutters import Ink, word_widths
from nanochat.lines.layout import Line, find_lines
from nanochat.lines.placed import Placed
from nanochat.lines.segment import Segment

SIZE, PITCH = 20, 26


@dataclass
class Sheet:
    """A white page that records the position of each line in the order of writing."""

    width: int
    height: int
    written: list[tuple[float, float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page = Image.new("RGB", (self.width, self.height), "white")
        self.draw = ImageDraw.Draw(self.page)

    def write(self, x: float, y: float, text: str, size: int = SIZE) -> None:
        font = ImageFont.truetype(str(FONT), size)
        self.draw.text((x, y), text, font=font, fill="black")
        self.written.append(self.draw.textbbox((x, y), text, font=font))

    def write_justified(self, x: float, y: float, text: str, width: float) -> None:
        font, words = ImageFont.truetype(str(FONT), SIZE), text.split()
        space = (width - sum(self.draw.textlength(word, font) for word in words)) / max(1, len(words) - 1)
        at = x
        for word in words:
            self.draw.text((at, y), word, font=font, fill="black")
            at += self.draw.textlength(word, font) + space
        self.written.append((x, y, x + width, y + SIZE))

    def column(self, x: float, y: float, width: float, n: int, seed: int, justified: bool = False) -> None:
        """Write n lines of text wrapped at the width; after every fifth, an indented paragraph begins."""
        font, words = ImageFont.truetype(str(FONT), SIZE), sentence(seed, 40 * n).split()
        for i in range(n):
            indent = 24 * (i > 0 and i % 5 == 0)
            text = words.pop(0)
            while self.draw.textlength(f"{text} {words[0]}", font) < width - indent:
                text = f"{text} {words.pop(0)}"
            if i % 5 == 4:
                self.write(x, y + i * PITCH, " ".join(text.split()[:2]))
            elif justified:
                self.write_justified(x + indent, y + i * PITCH, text, width - indent)
            else:
                self.write(x + indent, y + i * PITCH, text)

    def order(self) -> list[int]:
        """The numbers of the written lines in the order in which lines are detected, each run of a number once."""
        found = []
        for line in find_lines(self.page):
            for left, top, right, bottom in (segment.box for segment in line.segments):
                x, y = (left + right) / 2, (top + bottom) / 2
                apart = [max(a - x, x - c, 0) + abs((b + d) / 2 - y) for a, b, c, d in self.written]
                found.append(int(np.argmin(apart)))
        return found[:1] + [b for a, b in pairwise(found) if a != b]


@settings(max_examples=15)
@given(st.integers(2, 4), st.floats(1.3, 3.5), st.booleans(), st.integers(0, 99), st.data())
def test_columns_are_read_one_after_the_other(
    n: int, gutter: float, justified: bool, seed: int, data: st.DataObject
) -> None:
    width, lines = 300, [data.draw(st.integers(9, 20)) for _ in range(n)]
    sheet = Sheet(round(80 + n * width + (n - 1) * gutter * SIZE), 120 + 21 * PITCH)
    sheet.write(40, 30, "A headline over all of the columns", 32)
    for i, count in enumerate(lines):
        sheet.column(40 + i * (width + gutter * SIZE), 110, width, count, seed + i, justified)
    assert sheet.order() == list(range(1 + sum(lines)))


@pytest.mark.parametrize(("gutter", "seed"), [(1.625, 0), (2.5, 1), (3.5, 1)])
def test_justified_first_line_with_wide_spaces_is_in_its_column(gutter: float, seed: int) -> None:
    sheet = Sheet(round(680 + gutter * SIZE), 120 + 21 * PITCH)
    sheet.write(40, 30, "A headline over all of the columns", 32)
    for i, count in enumerate((15, 20)):
        sheet.column(40 + i * (300 + gutter * SIZE), 110, 300, count, seed + i, justified=True)
    assert sheet.order() == list(range(36))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_images_and_headlines_do_not_mix_columns(place: int) -> None:
    sheet = Sheet(1060, 1000)
    for top, seed in ((100, 3), (580, 40)):
        sheet.write(40, top - 70, "A headline here", 34)
        for i in range(3):
            y, n = top, 14
            if i == place and top == 100:
                sheet.draw.rectangle((40 + i * 340, top, 340 + i * 340, top + 150), fill="#7090b0")
                y, n = top + 170, 7
            sheet.column(40 + i * 340, y, 300, n, seed + i)
    assert sheet.order() == list(range(len(sheet.written)))


@pytest.mark.parametrize("seed", range(5))
def test_narrow_ragged_columns_are_running_text(seed: int) -> None:
    sheet = Sheet(420, 350)
    for i in range(2):
        sheet.column(40 + 176 * i, 60, 150, 9, seed + i)
    assert sheet.order() == list(range(18))


@pytest.mark.parametrize("rows", [9, 8])
def test_list_below_two_columns_is_read_after_both(rows: int) -> None:
    sheet = Sheet(700, 500)
    for i in range(2):
        sheet.column(40 + 330 * i, 40, 300, (rows, 9)[i], 3 + i)
    for i, text in enumerate(("Engines", "Six wheels", "Paint of all colours")):
        sheet.write(60, 300 + i * PITCH, text)
    assert sheet.order() == list(range(rows + 9 + 3))


def test_two_pages_of_two_columns_side_by_side() -> None:
    sheet = Sheet(1500, 700)
    for i, x in enumerate((40, 370, 840, 1170)):
        sheet.column(x, 60, 300, 8 if i == 0 else 20, i)
    assert sheet.order() == list(range(len(sheet.written)))


@settings(max_examples=10)
@given(st.integers(2, 14), st.integers(3, 40), st.integers(0, 9))
def test_table_is_read_row_by_row(columns: int, rows: int, seed: int) -> None:
    sheet = Sheet(60 + 120 * columns, 60 + PITCH * rows)
    for row in range(rows):
        for column in range(columns):
            number = f"{(seed + 7) * (row + 3) * (column + 11) ** 3 % 900 + 100}{'.50' * ((row + column) % 2)}"
            sheet.write(30 + 120 * column, 30 + PITCH * row, number if column else sentence(row, 1))
    assert sheet.order() == list(range(rows * columns))


@pytest.mark.parametrize("fan, curl", [(0.04, 0), (-0.04, -20), (0.0, 20), (0.08, 0), (0.08, 20)])
def test_table_on_a_curled_or_tilted_page_keeps_its_rows(fan: float, curl: float) -> None:
    """`fan`: additional slope of the upper edge relative to the middle. `curl`: px by which the middle is lower."""
    sheet = Sheet(900, 720)
    sheet.write(60, 40, "A table of what was sold in the year that is past, all of it")
    for row in range(14):
        sheet.write(60, 110 + 40 * row, sentence(3 * row, 1))
        for column, x in enumerate((400, 760), 1):
            sheet.write(x, 110 + 40 * row, f"{(row + 7) * (column + 11) ** 3 % 900 + 100}")

    def down(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        return fan * (x - sheet.width / 2) * (2 * y / sheet.height - 1) + curl * np.sin(np.pi * x / sheet.width)

    x, y = np.meshgrid(np.arange(sheet.width, dtype=np.float32), np.arange(sheet.height, dtype=np.float32))
    from_y = (y - down(x, y)).astype(np.float32)
    bent = cv2.remap(np.asarray(sheet.page), x, from_y, cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    sheet.page = Image.fromarray(bent)
    for i, (a, b, c, d) in enumerate(sheet.written):
        lower = float(down((a + c) / 2, (b + d) / 2))
        sheet.written[i] = a, b + lower, c, d + lower
    assert sheet.order() == list(range(1 + 3 * 14))


def test_narrow_gutter_in_a_shadow_is_found_and_spaced_type_not_cut() -> None:
    sheet = Sheet(40 + 2 * 560 + 18, 420)
    for i in range(2):  # many of the lines next to this gutter are detected as one
        sheet.column(20 + i * 578, 40, 560, 12, 5 * i, justified=True)
    shade = np.interp(np.arange(sheet.width), [650, 770], [1.0, 0.55])[None, :, None]
    sheet.page = Image.fromarray((np.asarray(sheet.page) * shade).astype(np.uint8))
    assert sheet.order() == list(range(24))

    mono = FONT.with_name("DejaVuSansMono.ttf")
    page = Image.new("RGB", (640, 420), "white")
    for i in range(12):
        text = f"{sentence(i, 3)[:14]:14} {sentence(i + 3, 4)[:18]}"
        ImageDraw.Draw(page).text((20, 40 + i * PITCH), text, font=ImageFont.truetype(str(mono), SIZE), fill="black")
    lines = find_lines(page)
    assert len(lines) == 12 and all(a.box[3] < b.box[3] for a, b in pairwise(lines))


def test_speck_narrower_than_a_pixel_is_one_word() -> None:
    ink = Ink(np.full((40, 40, 3), 255, np.uint8))
    assert word_widths(ink, [Segment(np.array([[10.2, 20.0], [10.9, 20.0]]), 3.0)]) == [(pytest.approx(0.7),)]


def two_columns(left: list[str], right: list[str], gap: int) -> tuple[Image.Image, int, int]:
    """(a page with two columns of text, right end and lower end of the left one)."""
    page, boxes = draw_page(left, 20, width=1000, left=20)
    gutter = max(box[2] for box in boxes)
    page.paste(draw_page(right, 20, width=460, left=0)[0], (gutter + gap, 0))
    return page, gutter, boxes[-1][3]


def are_read_in_turn(lines: list[Line], gutter: int, n: int) -> bool:
    """Whether n lines left of a gutter come before n lines right of it."""
    left, right = lines[:n], lines[n:]
    return all(line.box[2] <= gutter + 20 for line in left) and all(line.box[0] >= gutter for line in right)


@pytest.mark.parametrize("rule", [False, True])
def test_columns_with_a_gutter_of_one_letter(rule: bool) -> None:
    """Some lines of the left column reach the gutter, and nearly touch those of the right one."""
    left = [sentence(i, 9)[: 31 + 2 * (i % 3)].strip() for i in range(9)]
    page, gutter, end = two_columns(left, [sentence(i + 40, 9)[:30].strip() for i in range(9)], gap=22)
    if rule:
        ImageDraw.Draw(page).line((gutter + 11, 20, gutter + 11, end + 10), fill="#222222", width=2)
    lines = find_lines(page)
    assert len(lines) == 18
    assert are_read_in_turn(lines, gutter, 9)


def test_short_full_columns_with_a_wide_gutter() -> None:
    left, right = ([sentence(first + i, 9)[:32].strip() for i in range(4)] for first in (0, 40))
    page, gutter, _ = two_columns(left, right, gap=70)
    lines = find_lines(page)
    assert len(lines) == 8
    assert are_read_in_turn(lines, gutter, 4)


def lines_of_form(labels: tuple[str, ...], values: tuple[str, ...], x: int, top: int, step: int) -> list[Line]:
    """The detected lines of a form with a label and its value, at `x`, in each row."""
    font, form = ImageFont.truetype(str(FONT), 16), Image.new("RGB", (320, 48 + 48 * len(labels)), "#f4f1e8")
    for i, (label, value) in enumerate(zip(labels, values)):
        ImageDraw.Draw(form).text((20, top + step * i), label, font=font, fill="#222222")
        ImageDraw.Draw(form).text((x, top + step * i), value, font=font, fill="#222222")
    return find_lines(form)


def test_values_of_a_form_that_fill_their_column_stay_with_their_labels() -> None:
    labels = "Case number", "Check all that", "Marital status", "Account name"
    values = "+27-25-7001 17", "www.exalt.de", "CHAPMAN PARKER", "0441-2231 B"
    lines = lines_of_form(labels, values, x=160, top=30, step=32)
    assert len(lines) == 4 and all(line.box[0] < 40 and line.box[2] > 240 for line in lines)


def test_labels_cut_before_their_colon_stay_with_their_values() -> None:
    labels = "Tax of:", "State now:", "Amount pa", "Quantit ye", "Attachm A"
    values = "7,455.33", "Lettuces, two", "0.69", "Jul 1, 2029", "One by one"
    lines = lines_of_form(labels, values, x=170, top=20, step=24)
    assert len(lines) == 5 and all(line.box[0] < 40 and line.box[2] > 190 for line in lines)


def test_search_for_columns_on_a_rotated_page_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt on its side has hundreds of possible beginnings of columns, but no columns."""
    rng, rows = np.random.default_rng(0), []
    for y in range(0, 14 * 28, 14):
        row: list[Placed] = []
        for x in range(0, 40 * 30, 40):
            left, width = x + rng.uniform(0, 4), rng.choice([10, 14, 18, 55], p=[0.4, 0.3, 0.2, 0.1])
            if rng.random() < 0.75 and (not row or left > row[-1].right):
                segment = Segment(np.array([[left, y], [left + width, y]], float), 12.0)
                row.append(Placed(segment, left, left + width, y))
        rows.append(row)
    looked, look = [], columns.is_running_text
    monkeypatch.setattr(columns, "is_running_text", lambda *part: looked.append(1) or look(*part))
    found = columns.in_order(rows)
    assert len(looked) < 2 * columns.MOST_PARTS, "without a bound three times as many, on larger pages hundreds"
    assert sorted(s.left for row in found for s in row) == sorted(s.left for row in rows for s in row)


def test_word_widths_far_down_a_very_long_page() -> None:
    """OpenCV's remap refuses pages over 32,766 px."""
    sheet = Sheet(400, 40)
    sheet.write(20, 8, "three such words")
    left, _, right, _ = sheet.written[0]
    strip, points = np.asarray(sheet.page), np.array([[left, 20.0], [right, 20.0]])
    (expected,) = word_widths(Ink(strip), [Segment(points, 24.0)])
    assert len(expected) == 3
    page = np.full((34_000, 400, 3), 255, np.uint8)
    page[33_000:33_040] = sheet.page
    (found,) = word_widths(Ink(page), [Segment(points + [0, 33_000], 24.0)])
    assert found == expected
