"""The scores of structure: TEDS and F1 worked by hand, and synthetic pages with the stated structure."""

import pytest

from dev.structure.pages import Structure, draw_structured_page
from dev.structure.reader import read_perfectly
from dev.structure.scores import Scores, structure_of, teds

TABLE = [["Goods", "Price"], ["Tea", "7.50"], ["Oil", "9.10"]]  # a tree of 1 + 3 + 6 nodes


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (TABLE, 1.0),
        ([["Goods", "Price"], ["Tea", "7.51"], ["Oil", "9.10"]], 1 - 0.25 / 10),  # one of four characters of a cell
        ([["Goods", "Price"], ["Tea", "7.50"]], 1 - 3 / 10),  # a row and its two cells are missing
        ([["Goods"], ["Tea"], ["Oil"]], 1 - 3 / 10),  # a column is
        ([["Goods", "Price", ""], ["Tea", "7.50", ""], ["Oil", "9.10", ""]], 1 - 3 / 13),  # one too many
        ([["", ""], ["", ""], ["", ""]], 1 - 6 / 10),  # the right shape, and no text
    ],
)
def test_teds_is_one_minus_the_share_of_changed_nodes(found: list[list[str]], expected: float) -> None:
    assert teds(TABLE, found) == pytest.approx(expected) == teds(found, TABLE)


def test_teds_without_text_compares_rows_and_columns_only() -> None:
    other = [["a", "b"], ["c", "d"], ["e", "f"]]
    assert teds(TABLE, other, with_text=False) == 1.0 > teds(TABLE, other)
    assert teds(TABLE, other[:2], with_text=False) == pytest.approx(0.7)


def test_f1_counts_missing_and_additional_parts() -> None:
    truth = Structure([(1, "Report"), (2, "Tea"), (2, "Oil")], [TABLE, TABLE[:2]], ["one", "two"], ["A paragraph."])
    found = Structure([(1, "Report"), (3, "Tea")], [TABLE[:2]], ["one", "two", "three and more"], ["Another text."])
    scores = Scores()
    scores.add(truth, found)
    assert scores.headings.f1 == pytest.approx(2 * 2 / (3 + 2)) and scores.levels.f1 == pytest.approx(2 * 1 / (3 + 2))
    assert scores.items.f1 == pytest.approx(2 * 2 / (2 + 3)) and scores.paragraphs.f1 == 0
    assert scores.teds == [0.0, 1.0] == scores.teds_structure and scores.spurious == 0


def test_structure_of_markdown() -> None:
    table, items = "| | |\n| --- | ---: |\n| x \\| y | 2 |", "1. first\n2. second\n    - inner"
    found = structure_of(f"# A *b*\n\nOne\ntwo\\\nthree\n\n{table}\n\n{items}\n\n### C")
    assert found.headings == [(1, "A b"), (3, "C")] and found.tables == [[["x | y", "2"]]]
    assert found.items == ["first", "second", "inner"] and found.paragraphs == ["One two\nthree"]


def test_perfect_reader_reads_the_words_of_the_structure() -> None:
    page = draw_structured_page(7)
    again = draw_structured_page(7)
    assert again.structure == page.structure and again.picture.tobytes() == page.picture.tobytes()
    structure = page.structure
    texts = [text for _, text in structure.headings] + structure.items + structure.paragraphs
    texts += [cell for table in structure.tables for row in table for cell in row]
    drawn = sorted(word for word, _ in page.words if any(map(str.isalpha, word)))
    assert sorted(word for text in texts for word in text.split() if any(map(str.isalpha, word))) == drawn
    read = set(read_perfectly(page.picture, page.words)["text"].split())
    assert len(read & set(drawn)) >= 0.95 * len(set(drawn))
