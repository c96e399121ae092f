"""Which blocks beside each other are read to their end, and which are labels beside their values."""

from tests.lines.test_blocks_and_sidebars import blank, column, read

NAMES = ["Marta Lindqvist", "Peter O'Hara", "Zofia Nowak", "Luis Prado", "Ines Costa", "Tom Field"]
STREETS = ["12 Harbour Road", "Mill Lane 4", "88 Long Acre", "5 The Green", "204 West End", "Old Bakery, Hill Rd"]
TOWNS = ["Bristol BS1 4RW", "Leeds LS2 9JT", "Cork T12 X9", "80331 Munich", "Porto 4050-253", "Kiel"]


def test_a_sheet_of_labels_with_three_lines_each_is_read_label_by_label() -> None:
    press = blank()
    labels = [[NAMES[i], STREETS[i], TOWNS[i - i // 3]] for i in range(6)]
    for i, label in enumerate(labels):
        column(press, 40 + 290 * (i % 3), 40 + 190 * (i // 3), label)
    assert read(press) == [line for label in labels for line in label]


def test_labels_without_colons_share_a_line_with_their_values() -> None:
    press = blank()
    labels = ["Guest name", "Arrival", "Departure", "Room type", "Total price"]
    values = ["Marta Lindqvist", "14 March 2024", "17 March 2024", "Double with bath", "312.50 EUR"]
    column(press, 60, 60, labels)
    column(press, 300, 60, values)
    assert read(press) == [f"{a} {b}" for a, b in zip(labels, values, strict=True)]


def test_the_dates_of_a_bill_share_a_line_with_their_labels_beside_the_addresses() -> None:
    press = blank()
    bill, ship = ["Bill to", NAMES[0], STREETS[0], TOWNS[0]], ["Ship to", NAMES[1], STREETS[1], TOWNS[1], "Gate 3"]
    labels, values = ["Invoice no.", "Date", "Due date"], ["2024-0117", "14 March 2024", "13 April 2024"]
    for x, lines in zip((40, 300, 560, 710), (bill, ship, labels, values), strict=True):
        column(press, x, 60, lines)
    assert read(press) == [*bill, *ship, *(f"{a} {b}" for a, b in zip(labels, values, strict=True))]


def test_blocks_whose_lines_are_not_level_are_read_one_after_the_other() -> None:
    """A larger space below one heading does not mean that the page is at a slant: the lines below are level."""
    press = blank()
    left = ["Buyer", NAMES[0], STREETS[0], TOWNS[0]]
    right = ["Seller", NAMES[1], STREETS[1], TOWNS[1]]
    column(press, 40, 60, left)
    press.text(480, 60, right[0])
    column(press, 480, 94, right[1:])
    text = press.wrap(press.writer.sentences(400), 800)[:4]
    column(press, 40, 240, text)
    assert read(press) == [*left, *right, *text]
