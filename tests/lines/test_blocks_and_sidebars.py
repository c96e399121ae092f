"""Blocks that are read to their end, and rows that stay together, on pages drawn line by line."""

import random

import pytest

from dev.ordered.kinds import draw_page
from dev.ordered.press import FAMILIES, Press
from dev.reading_order import order_error
from nanochat.evaluation.metrics import normalise_text
from nanochat.lines.layout import arrange
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
