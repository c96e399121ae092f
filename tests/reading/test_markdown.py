"""Pages read line by line become Markdown that a reader of CommonMark shows as the page was: checked by markdown-it."""

import re
import textwrap
from itertools import pairwise
from typing import Any

import pytest
from helpers.structured_page import draw_structure, read_perfectly, structure_of
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from nanochat.reading.markdown import page_markdown

LETTER, HEIGHT, PITCH = 8, 16, 20
PROSE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families that he is considered their rightful property."
)


def line(text: str, x: float, y: float, height: float = HEIGHT, *more: tuple[str, float]) -> dict[str, Any]:
    """A line as a page read line by line has it, its letters LETTER wide; `more`: stretches further right on it."""
    parts = [
        {"text": t, "box": (x, y, x + LETTER * len(t) * height / HEIGHT, y + height)} for t, x in ((text, x), *more)
    ]
    boxes = [part["box"] for part in parts]
    box = boxes[0][0], y, boxes[-1][2], y + height
    return {"text": " ".join(part["text"] for part in parts), "box": box, "parts": parts}


def wrapped(text: str, x: float, y: float, width: int, indent: int = 0) -> list[dict[str, Any]]:
    rows = textwrap.wrap(" " * indent + text, width)
    return [line(row.strip(), x + LETTER * indent * (i == 0), y + PITCH * i) for i, row in enumerate(rows)]


def page(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"mode": "lines", "text": "\n".join(one["text"] for one in lines), "lines": list(lines)}


def shown(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(tag, text with line ends where a browser breaks the line) of each block."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page_markdown(result))
    found = []
    for opening, inline in pairwise(tokens):
        if inline.type == "inline":
            ends = {"hardbreak": "\n", "softbreak": " "}
            found.append((opening.tag, "".join(ends.get(c.type, c.content) for c in inline.children or [])))
    return found


def test_paragraphs_flow_whether_a_gap_or_an_indent_begins_them() -> None:
    first, second = wrapped(PROSE, 50, 100, 60), wrapped(PROSE, 50, 0, 60, indent=4)
    for one in second:  # right below
        one["box"] = tuple(v + (100 + PITCH * len(first)) * (i % 2) for i, v in enumerate(one["box"]))
    assert shown(page(*first, *second)) == [("p", PROSE), ("p", PROSE)]
    below = wrapped(PROSE, 50, 100 + PITCH * (len(first) + 1), 60)
    assert shown(page(*first, *below)) == [("p", PROSE), ("p", PROSE)]


def test_a_parted_word_is_whole_again_and_a_sentence_goes_on_in_the_next_column() -> None:
    rows = ["The compressor turns four thousand and ninety-six of its to-", "kens into two hundred and fifty-six, be-"]
    left = [line(row, 50, 100 + PITCH * i) for i, row in enumerate(rows)]
    right = wrapped(
        "fore anything global looks at them, and that is why the whole of a page fits into memory.", 700, 100, 60
    )
    expected = (
        "The compressor turns four thousand and ninety-six of its tokens into two hundred and fifty-six, before "
        "anything global looks at them, and that is why the whole of a page fits into memory."
    )
    assert shown(page(*left, *right)) == [("p", expected)]


def test_addresses_stay_lines_prices_are_a_table_and_larger_type_is_a_heading() -> None:
    receipt = [
        line("JUNIPER & RYE", 120, 20, 26), line("14 Lantern Lane", 130, 80), line("Port Elwyn", 150, 100),
        line("2 Flat white", 40, 120, HEIGHT, ("7.60", 300)), line("1 Rye loaf", 40, 140, HEIGHT, ("6.40", 300)),
        line("TOTAL", 40, 160, HEIGHT, ("14.00", 292)), line("-----", 40, 180), line("# 17", 40, 240),
    ]  # fmt: skip
    assert shown(page(*receipt)) == [
        ("h1", "JUNIPER & RYE"),
        ("p", "14 Lantern Lane\nPort Elwyn"),
        *[("th", ""), ("th", ""), ("td", "2 Flat white"), ("td", "7.60"), ("td", "1 Rye loaf"), ("td", "6.40")],
        *[("td", "TOTAL"), ("td", "14.00")],
        ("p", "-----"),
        ("p", "# 17"),
    ]
    assert not re.search(r" $", page_markdown(page(*receipt)), re.MULTILINE)


def test_a_page_that_was_shown_whole_stays_as_the_model_wrote_it() -> None:
    whole = {"mode": "base", "text": "# Title\n\n| a | b |", "lines": [line("# Title", 0, 0), line("| a | b |", 0, 30)]}
    assert page_markdown(whole) == whole["text"]
    layer = page(line("Some text", 0, 0), line("below a gap", 0, 90))
    assert page_markdown({**layer, "mode": "text-layer"}) == page_markdown(layer) == "Some text\n\nbelow a gap"
    assert page_markdown({"mode": "lines", "text": "no lines", "lines": []}) == "no lines"
    assert page_markdown({}) == ""


@given(st.text("ab1 *_<>`[](&;:#\\\\~-+=!/.", min_size=1, max_size=24))
@example("2*1.50 3.00 Bread 1*2.20")
@example("Contact <office> today &copy; _id_ of a_b `x` [a](b) ___ * C:\\\\*")
@example("Order # 17 #")
def test_marks_of_markdown_are_shown_as_they_were_read(text: str) -> None:
    text = " ".join(text.split())
    if not text or re.match(r"(?:[-*+]|\d{1,9}[.)])(?:\s|$)", text):  # the item of a list
        return
    assert shown(page(line(text, 10, 20))) == [("p", text)]
    if re.match(r"\d+(\.\d+)*\.? [A-Z]", text):  # a heading with a number has that one's level
        return
    with_title = [line("Some text of the page that is larger", 10, 100 + PITCH * i) for i in range(9)]
    (tag, title), *_ = shown(page(line(text, 10, 20, 40), *with_title))
    assert (tag, title) == ("h1", text)


def test_items_of_a_list_are_lines_also_where_they_fill_them() -> None:
    items = ["- Goods sold are not taken back without a bill", "- Please keep this paper for a time of two years",
             "- Exchange is possible within the next ten days"]  # fmt: skip
    found = page_markdown(page(*[line(item, 10, 20 + PITCH * i) for i, item in enumerate(items)]))
    assert [row.strip() for row in found.split("\n")] == items


@given(st.lists(st.tuples(st.text("ab-Z9#>*.é ", min_size=1, max_size=60).filter(str.strip),
                          st.integers(0, 400), st.integers(0, 60), st.sampled_from([12, 16, 30]))))  # fmt: skip
def test_no_letter_is_lost_or_changes_its_place(rows: list[tuple[str, int, int, int]]) -> None:
    lines, y = [], 0
    for text, x, gap, height in rows:
        lines.append(line(text, x, y, height))
        y += height + gap
    text = page_markdown(page(*lines))
    letters = [re.sub(r"[\\\s#|:*-]", "", all_of_it) for all_of_it in (text, "".join(row[0] for row in rows))]
    assert letters[0] == letters[1]


def test_a_table_keeps_its_empty_cells_and_puts_wrapped_ones_in_one_row() -> None:
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


def test_what_stands_side_by_side_by_chance_is_no_table() -> None:
    numbered = [line(f"{i + 1}.", 50, 100 + PITCH * i, HEIGHT, ("Boil the water and wait", 90)) for i in range(4)]
    assert [tag for tag, _ in shown(page(*numbered))] == ["p"] * 4  # items of a list
    assert page_markdown(page(*numbered)).startswith("1. Boil the water and wait\n2. Boil")
    prose, facts = wrapped(PROSE, 50, 100, 50), ["Born 943", "England", "Died 975", "Aged 32", "House", "Wessex"]
    beside = [line(row["text"], 50, row["box"][1], HEIGHT, (fact, 600)) for row, fact in zip(prose, facts * 2)]
    assert not any(tag in ("td", "th") for tag, _ in shown(page(*beside)))


def test_a_line_below_the_columns_is_not_in_the_last_one() -> None:
    left, right = wrapped(PROSE, 50, 100, 40), wrapped(PROSE, 500, 100, 40)
    below = line(
        "Reprinted from the harbour news with the kind permission of all who wrote for it",
        50,
        left[-1]["box"][1] + PITCH,
    )
    assert shown(page(*left, *right, below))[-1] == ("p", below["text"])


def test_bullets_become_items_and_inner_lists_are_indented() -> None:
    rows = [line("• Bread", 50, 100), line("• Tea, green or black, of", 50, 120), line("last year", 66, 140),
            line("- in bags", 90, 160), line("• Soap", 50, 180)]  # fmt: skip
    assert page_markdown(page(*rows)) == "- Bread\n- Tea, green or black, of last year\n    - in bags\n- Soap"


def test_headings_have_levels_by_size_weight_and_number() -> None:
    def bold(one: dict[str, Any], stroke_width: float) -> dict[str, Any]:
        return {**one, "parts": [{**part, "stroke_width": stroke_width} for part in one["parts"]]}

    def text(y: int) -> list[dict[str, Any]]:
        return [bold(row, 0.1) for row in wrapped(PROSE, 50, y, 60)]

    lines = [
        bold(line("The harbour", 50, 0, 34), 0.1), *text(50),
        bold(line("What was bought", 50, 210, 22), 0.1), *text(240),
        bold(line("By card", 50, 400), 0.14), *text(430), bold(line("2.1 In cash", 50, 590), 0.1), *text(620),
    ]  # fmt: skip
    found = [(tag, heading) for tag, heading in shown(page(*lines)) if tag != "p"]
    assert found == [("h1", "The harbour"), ("h2", "What was bought"), ("h3", "By card"), ("h3", "2.1 In cash")]


@pytest.mark.parametrize("seed", [100, 101, 102, 103])
def test_the_structure_of_drawn_pages_is_found(seed: int) -> None:
    """All headings and no others, in three levels; every cell of the table, ruled or not."""
    drawn = draw_structure(seed)
    headings, tables = structure_of(page_markdown(read_perfectly(drawn.picture, drawn.words)))
    assert [text for _, text in headings] == drawn.headings
    assert headings[0][0] == 1 and headings[1][0] == 2 and headings[-1][0] in (2, 3)
    assert tables == drawn.tables
