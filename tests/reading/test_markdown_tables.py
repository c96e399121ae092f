"""Tables of pages read line by line: their columns, rows, headers and cells in Markdown."""

from typing import Any

import pytest
from helpers.markdown_page import HEIGHT, LETTER, PITCH, PROSE, SHIPS, cells_of, line, page, ships, shown, wrapped
from helpers.structured_page import structure_of

from nanochat.reading.markdown import page_markdown


def test_table_keeps_empty_cells_and_joins_wrapped_ones() -> None:
    rows = [
        line("Goods", 50, 100, HEIGHT, ("Count", 300), ("Price", 400)),
        line("Two chairs for the", 50, 140, HEIGHT, ("2", 320), ("97.50", 400)),
        line("new house", 50, 160),
        line("Green tea", 50, 200, HEIGHT, ("3.20", 408)),
        line("a | b", 50, 240, HEIGHT, ("7", 320), ("11.25", 400)),
    ]
    expected = "Goods,Count,Price,Two chairs for the new house,2,97.50,Green tea,,3.20,a | b,7,11.25".split(",")
    assert [text for _, text in shown(page(*rows))] == expected
    assert page_markdown(page(*rows)).splitlines()[1] == "| --- | ---: | ---: |"


def test_unrelated_text_side_by_side_is_not_a_table() -> None:
    numbered = [line(f"{i + 1}.", 50, 100 + PITCH * i, HEIGHT, ("Boil the water and wait", 90)) for i in range(4)]
    assert [tag for tag, _ in shown(page(*numbered))] == ["p"] * 4  # items of a list
    assert page_markdown(page(*numbered)).startswith("1. Boil the water and wait\n2. Boil")
    prose, facts = wrapped(PROSE, 50, 100, 50), ["Born 943", "England", "Died 975", "Aged 32", "House", "Wessex"]
    beside = [line(row["text"], 50, row["box"][1], HEIGHT, (fact, 600)) for row, fact in zip(prose, facts * 2)]
    assert not any(tag in ("td", "th") for tag, _ in shown(page(*beside)))


def test_left_aligned_column_close_to_a_right_aligned_one() -> None:
    def row(y: int, name: str, count: str, unit: str) -> dict[str, Any]:  # counts end at 400, units begin 12 px later
        return line(name, 50, y, HEIGHT, (count, 400 - LETTER * len(count)), (unit, 412))

    rows = [("Goods", "Count", "Of"), ("Tea", "12", "tins"), ("Lamp oil", "3400", "barrels"), ("Wire", "7", "rolls")]
    found = page(*[row(100 + 24 * i, *cells) for i, cells in enumerate(rows)], *wrapped(PROSE, 50, 300, 60))
    assert cells_of(found) == [list(map(list, rows))]


def test_longer_amount_does_not_split_its_column() -> None:
    rows = [["Name", "Paid", "On"], ["Tea", "7.50", "3 May 1951"], ["Oil", "EUR 1,250.00", "01-Apr-1983"],
            ["Two chairs", "9.10", "May 13, 1958"], ["Wire", "8.00", "2/6/1960"], ["Glass", "4.25", "13 Dec 1974"],
            ["Nails", "3.20", "9 July 1965"]]  # fmt: skip
    lines = [
        line(name, 50, 100 + 24 * i, HEIGHT, *[(word, x) for word, x in words(paid, 400)], (on, 407))
        for i, (name, paid, on) in enumerate(rows)
    ]
    assert cells_of(page(*lines)) == [rows]


def words(text: str, right: float) -> list[tuple[str, float]]:
    """The words of a text that ends at `right`, with their positions."""
    found = []
    for word in reversed(text.split()):
        found.append((word, right - LETTER * len(word)))
        right -= LETTER * (len(word) + 1)
    return found[::-1]


def test_wrapped_date_stays_in_its_row() -> None:
    rows = [
        line("Who", 50, 100, HEIGHT, ("When", 300), ("What", 450)),
        line("Nora", 50, 150, HEIGHT, ("1970.07.02", 300), ("Lamp oil and", 450)),
        line("12:54", 300, 170, HEIGHT, ("two chairs", 450)),
        line("Elwyn", 50, 220, HEIGHT, ("1971.01.09", 300), ("Tea", 450)),
        line("08:15", 300, 240),
        line("Hazel", 50, 290, HEIGHT, ("1972.03.30", 300), ("Wire", 450)),
    ]
    expected = [["Who", "When", "What"], ["Nora", "1970.07.02 12:54", "Lamp oil and two chairs"],
                ["Elwyn", "1971.01.09 08:15", "Tea"], ["Hazel", "1972.03.30", "Wire"]]  # fmt: skip
    assert cells_of(page(*rows)) == [expected]


def test_heading_or_additional_columns_begin_another_table() -> None:
    rows = ("Tea", "7"), ("Oil", "9"), ("Wire", "4")
    first = [line(name, 50, 100 + 24 * i, HEIGHT, (n, 400)) for i, (name, n) in enumerate(rows)]
    second = ships(250)
    two = [list(map(list, rows)), SHIPS]
    text = wrapped(PROSE, 50, 400, 60)
    between = line("Of the harbour", 50, 200, 20)
    found = page(*first, between, *second, *text)
    assert [[row for row in table if any(row)] for table in cells_of(found)] == two
    assert [heading for tag, heading in shown(found) if tag[0] == "h"] == ["Of the harbour"]
    without = page(*first, *second, *text)
    assert [[row for row in table if any(row)] for table in cells_of(without)] == two


def test_number_below_a_number_begins_a_new_row() -> None:
    """The totals of a receipt: rows with two of the three cells are closer than complete ones."""
    rows = [
        ("Included", "6% GST", "1.51", 0),
        ("Added", "6% VAT", "0.00", 30),
        ("Takeout", "(cups)", "26.65", 60),
        ("Rounded", "", "26.60", 77),
        ("Cash", "", "100.00", 94),
        ("Change", "", "73.40", 111),
    ]
    lines = []
    for name, middle, amount, y in rows:
        more = [(middle, 125)] if middle else []
        lines.append(line(name, 0, y, HEIGHT, *more, (amount, 250)))
    assert cells_of(page(*lines)) == [[["", "", ""], *([name, middle, amount] for name, middle, amount, _ in rows)]]


def test_dates_above_a_table_of_amounts_are_its_header_and_an_s_before_an_amount_is_a_dollar() -> None:
    rows = [
        line("Jan 26, 2025", 330, 100, HEIGHT, ("Jan 28, 2024", 480)),
        line("(in millions)", 400, 120),
        line("Cost of revenue", 50, 140, HEIGHT, ("S 178", 400), ("S", 480), ("141", 556)),
        line("Research and development", 50, 160, HEIGHT, ("3,423", 400), ("2,532", 540)),
        line("Sales, general and other", 50, 180, HEIGHT, ("1,136", 400), ("876", 556)),
        line("Total", 50, 200, HEIGHT, ("S 4,737", 384), ("$", 480), ("3,549", 540)),
    ]
    (table,) = cells_of(page(*rows))
    assert table[0] == ["", "Jan 26, 2025", "Jan 28, 2024"]
    assert table[2:] == [
        ["Cost of revenue", "$ 178", "$ 141"],
        ["Research and development", "3,423", "2,532"],
        ["Sales, general and other", "1,136", "876"],
        ["Total", "$ 4,737", "$ 3,549"],
    ]


def test_sizes_and_codes_that_begin_with_s_stay_letters() -> None:
    rows = [("Shirt", "S", "12.00"), ("Coat", "S", "34.00"), ("Hat", "M", "9.00")]
    lines = [line(a, 50, 100 + PITCH * i, HEIGHT, (b, 200), (c, 300)) for i, (a, b, c) in enumerate(rows)]
    (table,) = cells_of(page(*lines))
    assert [row for row in table if any(row)] == [list(row) for row in rows]


def test_years_over_columns_of_numbers_are_a_header() -> None:
    rows = [("", "2023", "2024"), ("Rent", "812", "840"), ("Heat", "130", "95"), ("Sum", "942", "935")]
    lines = [line(a or b, 50 if a else 200, 100 + PITCH * i, HEIGHT, *([(b, 200)] if a else []), (c, 300))
             for i, (a, b, c) in enumerate(rows)]  # fmt: skip
    assert cells_of(page(*lines)) == [[list(row) for row in rows]]
    facts = [("Opened", "1889"), ("Length", "412"), ("Width", "12"), ("Visitors", "900")]
    lines = [line(a, 50, 100 + PITCH * i, HEIGHT, (b, 200)) for i, (a, b) in enumerate(facts)]
    assert cells_of(page(*lines)) == [[["", ""], *map(list, facts)]]


@pytest.mark.parametrize("at", [2, 3, 4], ids=["middle", "later", "last"])
def test_a_cell_over_several_columns_keeps_its_words_together_and_the_table_whole(at: int) -> None:
    columns = 50, 200, 330, 460
    rows = [("Island", "Leaves", "Arrives", "Days"), ("Brenn", "07:15", "08:05", "daily"),
            ("Skarv", "08:30", "09:10", "Sat, Sun"), ("Torsay", "10:50", "11:45", "daily")]  # fmt: skip
    placed = [[*zip(row, columns)] for row in rows]
    placed.insert(at, [("Holm", 50), ("no service until the spring", 250)])
    lines = [line(*row[0], 100 + 24 * i, HEIGHT, *row[1:]) for i, row in enumerate(placed)]
    _, ((head, *body),) = structure_of(page_markdown(page(*lines, *wrapped(PROSE, 50, 260, 60))))
    assert head == list(rows[0]) and [row for row in body if row[0] != "Holm"] == [list(row) for row in rows[1:]]
    holm = body[at - 1]
    assert holm[0] == "Holm" and [cell for cell in holm[1:] if cell] == ["no service until the spring"]
