"""Columns of widely set lines or with rivers of wide spaces are columns; figures below a date are not."""

from helpers.drawn_page import stretch
from PIL import Image

from nanochat.lines.layout import arrange
from nanochat.lines.segment import Segment

PAGE = Image.new("RGB", (900, 900), "white")


def starts(segments: list[Segment]) -> list[float]:
    return [line.segments[0].points[0, 0] for line in arrange(PAGE, segments)]


def test_columns_of_many_lines_set_one_and_a_half_apart_are_read_one_after_the_other() -> None:
    lines = [stretch(left, left + 380 - 60 * (i == 9), 60 + 34 * i) for i in range(10) for left in (40, 450)]
    assert starts(lines) == [40] * 10 + [450] * 10


def test_a_river_in_justified_text_parts_no_lines() -> None:
    left = [stretch(40, 420, 60 + 24 * i) for i in range(5)]
    left += [
        s for i in range(5, 8) for s in (stretch(40, 215 - 9 * i, 60 + 24 * i), stretch(230 - 9 * i, 420, 60 + 24 * i))
    ]
    right = [stretch(450, 830, 72 + 24 * i) for i in range(8)]
    assert starts([*left, *right]) == [40] * 8 + [450] * 8


def test_figures_below_a_date_are_no_column_of_text() -> None:
    rows = {
        503: [(249, 489)],
        533: [(21, 153), (221, 347), (375, 553)],
        569: [(21, 141), (209, 261), (269, 309), (337, 357), (369, 389), (433, 449), (493, 553)],
        593: [(17, 129), (209, 261), (285, 309), (337, 357), (369, 389), (433, 449), (501, 553)],
        617: [(21, 129), (209, 261), (285, 309), (337, 389), (501, 557)],
    }
    segments = [stretch(left, right, y, 24 if y == 503 else 22) for y, row in rows.items() for left, right in row]
    assert starts(segments) == [249, 21, 21, 17, 21]
