"""Blocks that are read to their end, and rows that stay together, on pages drawn line by line."""

import random

import pytest

from dev.ordered.kinds import draw_page
from dev.ordered.press import FAMILIES, Press
from dev.reading_order import order_error
from nanochat.lines.layout import arrange
from nanochat.metrics import normalise_text
from nanochat.synth.writer import Writer

SIZE = 20


def blank() -> Press:
    rng = random.Random(1)
    return Press(rng, Writer(rng), FAMILIES[0], SIZE, 900, 900)


def column(press: Press, x: float, y: float, lines: list[str], scale: float = 1.0) -> None:
    for i, line in enumerate(lines):
        press.text(x, y + 26 * i * scale, line, scale)


def read(press: Press) -> list[str]:
    """The lines of a perfect detector, in the order found."""
    lines = arrange(press.picture, [line.segment() for line in press.written])
    return press.ordered([list(line.segments) for line in lines]).splitlines()


def test_two_addresses_are_read_one_after_the_other() -> None:
    press = blank()
    left = ["Wick Harbour Board", "12 Quay Street", "Northbank 4410", "office@wick.example"]
    right = ["Mr. A. Thorne", "North Farm House", "Cotter Ford Lane 7", "Little Sutton", "0808 555 0142"]
    column(press, 60, 60, left)
    column(press, 480, 60, right)
    assert read(press) == left + right


@pytest.mark.parametrize(
    "right",
    [["shelf 822.3", "shelf 623.88", "shelf 551.57"], ["RM 27.00", "RM 10.50", "RM 37.50"]],
    ids=["places", "amounts"],
)
def test_titles_and_their_values_share_a_line(right: list[str]) -> None:
    press = blank()
    left = ["The Salt Road", "Knots and Splices", "A Year Without Rain"]
    column(press, 60, 60, left)
    column(press, 480, 60, right)
    assert read(press) == [f"{a} {b}" for a, b in zip(left, right, strict=True)]


FIELDS = (
    ["Name: Ella", "Date: 24 May", "Room: 118", "Phone: 555 014"],
    ["Fax: 555 019", "Floor: 2", "Seat: 17", "Bay: 4"],
)


def test_fields_share_a_line_unless_their_columns_have_headings() -> None:
    plain, headed = blank(), blank()
    for x, fields, heading in zip((60, 480), FIELDS, ("Guest", "Stay"), strict=True):
        column(plain, x, 60, fields)
        column(headed, x, 60, [heading, *fields])
    assert read(plain) == [f"{a} {b}" for a, b in zip(*FIELDS, strict=True)]
    assert read(headed) == ["Guest", *FIELDS[0], "Stay", *FIELDS[1]]


def prose(press: Press, x: float, y: float, n: int) -> list[str]:
    lines = press.wrap(press.writer.sentences(60 * n), 380)[:n]
    column(press, x, y, lines)
    return lines


@pytest.mark.parametrize("box_at", [560, 40], ids=["right", "left"])
def test_a_box_of_labels_and_values_is_no_part_of_the_text_that_flows_around_it(box_at: int) -> None:
    press = blank()
    text_at, text = 480 if box_at == 40 else 40, press.writer.sentences(1600)
    beside = press.wrap(text, 380)[:14]
    below = press.wrap(" ".join(text.split()[len(" ".join(beside).split()) :]), 820)[:6]
    column(press, text_at, 60, beside)
    labels, values = ["Reign", "Born", "House", "Father", "Burial"], ["12 years", "943", "Wessex", "Edmund I", "Wick"]
    for x, words in ((box_at, labels), (box_at + 120, values)):
        for i, word in enumerate(words):
            press.text(x, 100 + 45 * i, word, 0.9)
    column(press, 40, 60 + 26 * len(beside), below)
    box = [f"{label} {value}" for label, value in zip(labels, values, strict=True)]
    assert read(press) == [*(box + beside if box_at == 40 else beside + box), *below]


def test_a_table_with_text_in_its_first_column_above_a_full_line_stays_in_rows() -> None:
    press = blank()
    left = press.wrap(press.writer.sentences(900), 380)[:8]
    column(press, 40, 60, left)
    column(press, 560, 60, (right := [f"{i}2.50" for i in range(1, 9)]))
    full = press.wrap(press.writer.sentences(200), 820)[0]
    press.text(40, 60 + 26 * 8, full)
    assert read(press) == [*(f"{a} {b}" for a, b in zip(left, right, strict=True)), full]


def test_footnotes_in_smaller_type_are_read_with_their_column() -> None:
    press = blank()
    left, right = prose(press, 40, 40, 12), prose(press, 470, 40, 12)
    notes = ["1 Shelves 12 to 19, read in spring.", "2 Wind from the light ship, in knots."]
    for x, note in zip((40, 470), notes, strict=True):
        press.text(x, 400, note, 0.8)
    assert read(press) == [*left, notes[0], *right, notes[1]]


def test_dateline_of_a_newspaper_is_read_before_its_columns() -> None:
    press = blank()
    for x, text, align in ((40, "No. 4,118", "l"), (450, "Thursday, June 12", "c"), (850, "Price 2.50", "r")):
        press.text(x, 20, text, align=align)
    left, right = prose(press, 40, 56, 14), prose(press, 470, 56, 14)
    first = "No. 4,118 Thursday, June 12 Price 2.50"
    assert normalise_text("\n".join(read(press))) == normalise_text("\n".join([first, *left, *right]))


@pytest.mark.parametrize("kind", ["cv", "form", "footnotes", "row above"])
def test_order_errors_of_a_perfect_reader_are_below_two_percent(kind: str) -> None:
    errors = [order_error(draw_page(kind, seed)) for seed in range(5)]
    assert sum(errors) < 0.02 * len(errors), errors


def test_a_ruled_table_above_two_columns_stays_in_rows() -> None:
    press = blank()
    header, *cells = [["Day", "High", "Low", "Range"], ["Monday", "4.1", "0.8", "3.3"], ["Sunday", "4.4", "0.5", "3.9"]]
    for i, row in enumerate([header, *cells]):
        for x, cell in zip((40, 300, 480, 700), row, strict=True):
            press.text(x, 60 + 36 * i, cell)
        press.rule(30, 92 + 36 * i, 870, 92 + 36 * i, "black")
    left, right = prose(press, 40, 190, 14), prose(press, 470, 190, 14)
    assert read(press) == [*map(" ".join, [header, *cells]), *left, *right]


def test_the_title_of_a_box_beside_text_is_read_with_the_box() -> None:
    press = blank()
    text = prose(press, 40, 60, 12)
    press.text(675, 60, "North Pier", align="c")
    rows = [("Type", "wooden"), ("Opened", "4 May 1889"), ("Owner", "Wick"), ("Status", "open"), ("Length", "412 m")]
    for i, row in enumerate(rows):
        for x, cell in zip((490, 620), row, strict=True):
            press.text(x, 96 + 33 * i, cell, 0.9)
    assert read(press) == [*text, "North Pier", *(f"{a} {b}" for a, b in rows)]
