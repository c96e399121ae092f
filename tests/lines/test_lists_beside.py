"""Stacks of short lines that are read to their end: indexes and sidebars; and tables that only look like them."""

from dev.ordered.press import Press
from tests.lines.test_blocks_and_sidebars import blank, column, prose, read


def entries(press: Press, n: int) -> list[str]:
    return [f"{press.writer.title(1 + i % 3)}, {17 * i + 3}" for i in range(n)]


def test_an_index_is_recognised_by_letters_although_the_first_ones_are_level() -> None:
    press = blank()
    lines = entries(press, 22)
    left, right = ["A", *lines[:6], "B", *lines[6:11]], ["C", *lines[11:14], "D", *lines[14:22]]
    for x, side in ((40, left), (480, right)):
        y = 60
        for line in side:
            y += 26 * (len(line) == 1 and y > 60)
            press.text(x, y, line)
            y += 26
    assert read(press) == [*left, *right]


def test_an_index_is_recognised_by_sub_entries_in_only_one_of_its_columns() -> None:
    press = blank()
    left, right = entries(press, 16), entries(press, 12)
    for i, line in enumerate(left):
        press.text(40 + 24 * (i in (3, 9, 10, 14)), 60 + 26 * i, line)
    column(press, 480, 60, right)
    assert read(press) == [*left, *right]


def test_a_sidebar_that_is_longer_than_the_text_goes_on_after_wider_gaps() -> None:
    press = blank()
    groups = [("SKILLS", 3), ("TOOLS", 4), ("LANGUAGES", 3), ("AWARDS", 4)]
    side, y = [], 60
    for heading, n in groups:
        lines = [heading, *(press.writer.title(1 + i % 2) for i in range(n))]
        column(press, 40, y, lines)
        side += lines
        y += 26 * len(lines) + 35 * (heading == "TOOLS") + 20
    text = press.wrap(press.writer.sentences(900), 560)[:8]
    column(press, 300, 70, text)
    assert read(press) == [*side, *text]


def test_two_lines_below_columns_are_no_part_of_the_left_one() -> None:
    press = blank()
    left, right = prose(press, 40, 40, 12), prose(press, 470, 40, 12)
    press.text(40, 430, "Further reading", 1.0, True)
    below = press.wrap(press.writer.sentences(400), 820)[:3]
    column(press, 40, 470, below)
    assert read(press) == [*left, *right, "Further reading", *below]


def test_a_table_whose_cells_have_different_numbers_of_lines_stays_in_rows() -> None:
    press = blank()
    depths = [(4, 2), (1, 4), (5, 3), (2, 5), (4, 1)]
    y, expected = 60, []
    for depth in depths:
        cells = [press.wrap(press.writer.sentences(400), 330)[:n] for n in depth]
        for x, cell in zip((40, 480), cells, strict=True):
            column(press, x, y, cell)
        expected += [" ".join(cell[i] for cell in cells if i < len(cell)) for i in range(max(depth))]
        y += 26 * max(depth) + 20
    assert read(press) == expected
