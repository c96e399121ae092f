"""Pages read line by line become Markdown that a reader of CommonMark shows as the page was: checked by markdown-it."""

import re
import textwrap
from itertools import pairwise
from typing import Any

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
    tokens = MarkdownIt("commonmark").parse(page_markdown(result))
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


def test_receipts_and_addresses_stay_lines_and_larger_type_is_a_heading() -> None:
    receipt = [
        line("JUNIPER & RYE", 120, 20, 26), line("14 Lantern Lane", 130, 80), line("Port Elwyn", 150, 100),
        line("2 Flat white", 40, 120, HEIGHT, ("7.60", 300)), line("1 Rye loaf", 40, 140, HEIGHT, ("6.40", 300)),
        line("TOTAL", 40, 160, HEIGHT, ("14.00", 292)), line("-----", 40, 180), line("# 17", 40, 240),
    ]  # fmt: skip
    assert shown(page(*receipt)) == [
        ("h2", "JUNIPER & RYE"),
        ("p", "14 Lantern Lane\nPort Elwyn\n2 Flat white 7.60\n1 Rye loaf 6.40\nTOTAL 14.00\n-----"),
        ("p", "# 17"),
    ]


def test_a_page_that_was_shown_whole_stays_as_the_model_wrote_it() -> None:
    whole = {"mode": "base", "text": "# Title\n\n| a | b |", "lines": [line("# Title", 0, 0), line("| a | b |", 0, 30)]}
    assert page_markdown(whole) == whole["text"]
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
    letters = [re.sub(r"[\\\s#-]", "", all_of_it) for all_of_it in (text, "".join(row[0] for row in rows))]
    assert letters[0] == letters[1]
