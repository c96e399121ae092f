"""Pages read line by line become Markdown with the same appearance, according to markdown-it."""

import re
from typing import Any

import pytest
from helpers.markdown_page import HEIGHT, PITCH, PROSE, SHIPS, cells_of, line, page, ships, shown, wrapped
from helpers.structured_page import draw_structure, structure_of
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dev.structure.reader import read_perfectly
from nanochat.reading.markdown import page_markdown


def test_paragraphs_begin_with_a_gap_or_an_indent() -> None:
    first, second = wrapped(PROSE, 50, 100, 60), wrapped(PROSE, 50, 0, 60, indent=4)
    for one in second:  # right below
        one["box"] = tuple(v + (100 + PITCH * len(first)) * (i % 2) for i, v in enumerate(one["box"]))
    assert shown(page(*first, *second)) == [("p", PROSE), ("p", PROSE)]
    below = wrapped(PROSE, 50, 100 + PITCH * (len(first) + 1), 60)
    assert shown(page(*first, *below)) == [("p", PROSE), ("p", PROSE)]


def test_hyphenated_word_is_joined_and_sentence_continues_in_the_next_column() -> None:
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


def test_addresses_are_lines_prices_a_table_and_larger_type_a_heading() -> None:
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


def test_page_read_in_one_view_is_not_changed() -> None:
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
def test_markdown_characters_in_text_are_escaped(text: str) -> None:
    text = " ".join(text.split())
    if not text or re.match(r"(?:[-*+]|\d{1,9}[.)])(?:\s|$)", text):  # the item of a list
        return
    assert shown(page(line(text, 10, 20))) == [("p", text)]
    if re.match(r"\d+(\.\d+)*\.? [A-Z]|(\W*\d){5}", text):  # has its number's level, or is no heading
        return
    with_title = [line("Some text of the page that is larger", 10, 100 + PITCH * i) for i in range(9)]
    (tag, title), *_ = shown(page(line(text, 10, 20, 40), *with_title))
    assert (tag, title) == ("h1", text)


def test_list_items_that_fill_their_lines_stay_separate() -> None:
    items = ["- Goods sold are not taken back without a bill", "- Please keep this paper for a time of two years",
             "- Exchange is possible within the next ten days"]  # fmt: skip
    found = page_markdown(page(*[line(item, 10, 20 + PITCH * i) for i, item in enumerate(items)]))
    assert [row.strip() for row in found.split("\n")] == items


@given(st.lists(st.tuples(st.text("ab-Z9#>*.é ", min_size=1, max_size=60).filter(str.strip),
                          st.integers(0, 400), st.integers(0, 60), st.sampled_from([12, 16, 30]))))  # fmt: skip
def test_no_letter_is_lost_or_moved(rows: list[tuple[str, int, int, int]]) -> None:
    lines, y = [], 0
    for text, x, gap, height in rows:
        lines.append(line(text, x, y, height))
        y += height + gap
    text = page_markdown(page(*lines))
    letters = [re.sub(r"[\\\s#|:*-]", "", all_of_it) for all_of_it in (text, "".join(row[0] for row in rows))]
    assert letters[0] == letters[1]


def test_line_below_the_columns_is_not_part_of_the_last_one() -> None:
    left, right = wrapped(PROSE, 50, 100, 40), wrapped(PROSE, 500, 100, 40)
    below = line(
        "Reprinted from the harbour news with the kind permission of all who wrote for it",
        50,
        left[-1]["box"][1] + PITCH,
    )
    assert shown(page(*left, *right, below))[-1] == ("p", below["text"])


def test_bullets_become_list_items_and_nested_lists() -> None:
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


def test_list_above_a_table_stays_a_list() -> None:
    items = [
        line("*", 60, 100 + PITCH * i, HEIGHT, (text, 100))
        for i, text in enumerate(["Tea in tins", "Lamp oil", "Two chairs"])
    ]
    table = ships(180)
    found = page(*items, *table)
    assert page_markdown(found).startswith("- Tea in tins\n- Lamp oil\n- Two chairs\n\n| Year |")
    assert cells_of(found) == [SHIPS]


def test_list_directly_below_a_paragraph() -> None:
    text = wrapped(PROSE, 50, 100, 60)
    y = text[-1]["box"][1] + PITCH
    items = [line(item, 80, y + PITCH * i) for i, item in enumerate(["- Tea in tins", "- Lamp oil"])]
    more = wrapped(PROSE, 50, y + 2 * PITCH, 60)
    assert page_markdown(page(*text, *items, *more)) == f"{PROSE}\n\n- Tea in tins\n- Lamp oil\n\n{PROSE}"


def test_centred_looking_first_line_belongs_to_its_paragraph() -> None:
    full = "man in possession of a good fortune, must be in want of a"
    rows = ["It is a truth universally acknowledged, that a bold", full, full, full, "wife."]
    lines = [line(row, 50 + 24 * (i == 0), 100 + PITCH * i) for i, row in enumerate(rows)]
    assert lines[1]["box"][2] - lines[0]["box"][2] == 24
    assert shown(page(*lines)) == [("p", " ".join(rows))]


def test_bold_or_larger_line_above_a_table_is_a_heading() -> None:
    def stroke(one: dict[str, Any], width: float) -> dict[str, Any]:
        return {**one, "parts": [{**part, "stroke_width": width} for part in one["parts"]]}

    table = ships(270)
    for heading in (stroke(line("By ship", 50, 230), 0.14), stroke(line("By ship", 50, 230, 20), 0.1)):
        rows = [stroke(one, 0.1) for one in wrapped(PROSE, 50, 60, 60)]
        found = shown(page(*rows, heading, *[stroke(one, 0.1) for one in table]))
        assert [text for tag, text in found if tag in ("h1", "h2", "h3")] == ["By ship"]


@pytest.mark.parametrize("seed", [100, 101, 102, 103])
def test_structure_of_drawn_pages_is_found(seed: int) -> None:
    """All headings and no others, in three levels; every cell of the table, ruled or not."""
    drawn = draw_structure(seed)
    headings, tables = structure_of(page_markdown(read_perfectly(drawn.picture, drawn.words)))
    assert [text for _, text in headings] == drawn.headings
    assert headings[0][0] == 1 and headings[1][0] == 2 and headings[-1][0] in (2, 3)
    assert tables == drawn.tables


def test_large_number_alone_is_not_a_heading() -> None:
    """Such as a page number, or a number stamped on a filed document."""
    text = wrapped(PROSE, 50, 100, 60)
    below = 100 + PITCH * (len(text) + 3)
    assert [tag for tag, _ in shown(page(*text, line("597005708", 400, below, 2 * HEIGHT)))] == ["p", "p"]
    assert [tag for tag, _ in shown(page(*text, line("Part 2", 400, below, 2 * HEIGHT)))] == ["p", "h1"]


def test_a_line_that_goes_on_in_lower_case_is_no_new_paragraph_though_its_strokes_are_thicker() -> None:
    rows = ["2010 to 2019, County Museum, conservator. Repaired ledgers and maps", "from the flood of 2007 in bold."]
    lines = [{**line(row, 50, 100 + PITCH * i), "parts": []} for i, row in enumerate(rows)]
    for one, stroke_width in zip(lines, (0.11, 0.14), strict=True):
        one["parts"] = [{"text": one["text"], "box": one["box"], "stroke_width": stroke_width}]
    assert shown(page(*lines)) == [("p", " ".join(rows))]


def test_a_bold_line_right_below_the_end_of_a_sentence_is_a_heading() -> None:
    lines = wrapped(PROSE, 50, 100, 60)
    y = 100 + PITCH * len(lines)
    lines += [line("2 Method", 50, y + 4), *wrapped(PROSE, 50, y + PITCH + 8, 60)]
    for one in lines:
        one["parts"][0]["stroke_width"] = 0.15 if one["text"] == "2 Method" else 0.1
    assert shown(page(*lines)) == [("p", PROSE), ("h2", "2 Method"), ("p", PROSE)]


def test_bold_titles_of_price_lists_are_headings_on_pages_without_prose_and_names_over_columns_are_none() -> None:
    rows = [
        line("Harbour Cafe", 200, 20, 32), line("Drinks", 50, 68, 18),
        line("Flat white", 50, 110, HEIGHT, ("3.80", 300)),
        line("Lemonade", 50, 130, HEIGHT, ("2.50", 300)), line("Pot of tea", 50, 150, HEIGHT, ("2.90", 300)),
        line("In pounds", 280, 190, 18), line("Cheese scone", 50, 210, HEIGHT, ("2.75", 300)),
        line("Rye loaf", 50, 230, HEIGHT, ("6.40", 300)), line("Apple cake", 50, 250, HEIGHT, ("4.95", 300)),
    ]  # fmt: skip
    for one in rows:
        bold = one["text"] in ("Harbour Cafe", "Drinks", "In pounds")
        for part in one["parts"]:
            part["stroke_width"] = 0.19 if bold else 0.1
    found = [block for block in shown(page(*rows)) if block[0].startswith("h")]
    assert found == [("h1", "Harbour Cafe"), ("h2", "Drinks")]


def test_small_print_at_the_bottom_of_a_column_is_no_heading_of_the_next_column() -> None:
    left = wrapped(PROSE, 50, 100, 40)
    small = line("Printed on Brenn, 14 May 2024", 50, 460, 12)
    right = wrapped(PROSE, 450, 100, 40)
    for one in (*left, *right):
        for part in one["parts"]:
            part["stroke_width"] = 0.1
    small["parts"][0]["stroke_width"] = 0.13  # small type has thicker strokes for its height
    headings, _ = structure_of(page_markdown(page(*left, small, *right)))
    assert headings == []


def test_dashes_mark_list_items() -> None:
    lines = [line(f"– {text}", 50, 100 + PITCH * i) for i, text in enumerate(("glass", "fireworks", "radios"))]
    tokens = MarkdownIt("commonmark").parse(page_markdown(page(*lines)))
    assert [token.type for token in tokens].count("list_item_open") == 3
