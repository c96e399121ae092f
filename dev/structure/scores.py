"""Scores of the structure of Markdown: TEDS of tables, F1 of headings, list items and paragraphs.

TEDS (Zhong et al., 2020, https://arxiv.org/abs/1911.10683) is 1 - d / n of two tables as trees of rows and cells: d is
the tree edit distance, in which changing the text of a cell costs its normalised edit distance; n is the number of
nodes of the larger tree.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from apted import APTED, Config
from markdown_it import MarkdownIt
from rapidfuzz.distance import Levenshtein

from dev.structure.pages import Structure

T = TypeVar("T")
ALIKE = 0.8  # normalised similarity from which two texts are the same heading, item or paragraph
Cells = Sequence[Sequence[str]]


@dataclass
class _Node:
    """A table, a row or a cell."""

    kind: str
    text: str = ""
    children: "list[_Node]" = field(default_factory=list)


class _Costs(Config):
    def __init__(self, with_text: bool) -> None:
        self.with_text = with_text

    def rename(self, node1: _Node, node2: _Node) -> float:
        if node1.kind != node2.kind:
            return 1.0
        return Levenshtein.normalized_distance(node1.text, node2.text) if self.with_text else 0.0

    def children(self, node: _Node) -> list[_Node]:
        return node.children


def _tree(cells: Cells) -> _Node:
    return _Node("table", "", [_Node("row", "", [_Node("cell", text) for text in row]) for row in cells])


def teds(truth: Cells, found: Cells, with_text: bool = True) -> float:
    """The similarity of two tables, 0 to 1. With `with_text` False, the text of cells is ignored."""
    nodes = [1 + len(cells) + sum(map(len, cells)) for cells in (truth, found)]
    distance = APTED(_tree(truth), _tree(found), _Costs(with_text)).compute_edit_distance()
    return max(0.0, 1.0 - distance / max(nodes))


def pairs(truth: Sequence[T], found: Sequence[T], alike: Callable[[T, T], float]) -> list[tuple[int, int, float]]:
    """(index in truth, index in found, similarity > 0) of the best pairs, the most similar first; no index twice."""
    ranked = sorted(
        ((alike(a, b), i, j) for i, a in enumerate(truth) for j, b in enumerate(found)), key=lambda t: (-t[0], t[1:])
    )
    taken_truth: set[int] = set()
    taken_found: set[int] = set()
    kept = []
    for similarity, i, j in ranked:
        if similarity > 0 and i not in taken_truth and j not in taken_found:
            taken_truth.add(i)
            taken_found.add(j)
            kept.append((i, j, similarity))
    return kept


@dataclass
class Counts:
    """Counts for one kind of part. `f1` is 1 if there are none and none were found."""

    truth: int = 0
    found: int = 0
    right: int = 0

    def add(self, truth: int, found: int, right: int) -> None:
        self.truth, self.found, self.right = self.truth + truth, self.found + found, self.right + right

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.truth + self.found) if self.truth + self.found else 1.0


@dataclass
class Scores:
    """Scores over all pages so far."""

    headings: Counts = field(default_factory=Counts)
    levels: Counts = field(default_factory=Counts)
    """number of headings that also have the right level"""
    items: Counts = field(default_factory=Counts)
    paragraphs: Counts = field(default_factory=Counts)
    teds: list[float] = field(default_factory=list)
    """TEDS of each table of the truth; 0 if it was not found"""
    teds_structure: list[float] = field(default_factory=list)
    """the same, ignoring the text of cells"""
    spurious: int = 0
    """number of tables found that are not in the truth"""

    def add(self, truth: Structure, found: Structure) -> None:
        """Count a page."""
        same = pairs([text for _, text in truth.headings], [text for _, text in found.headings], similarity)
        same = [pair for pair in same if pair[2] >= ALIKE]
        n_truth, n_found = len(truth.headings), len(found.headings)
        self.headings.add(n_truth, n_found, len(same))
        right = sum(truth.headings[i][0] == found.headings[j][0] for i, j, _ in same)
        self.levels.add(n_truth, n_found, right)
        for counts, a, b in (
            (self.items, truth.items, found.items),
            (self.paragraphs, truth.paragraphs, found.paragraphs),
        ):
            counts.add(len(a), len(b), sum(s >= ALIKE for _, _, s in pairs(a, b, similarity)))
        tables = {i: (j, s) for i, j, s in pairs(truth.tables, found.tables, teds)}
        for i, table in enumerate(truth.tables):
            j, score = tables.get(i, (None, 0.0))
            self.teds.append(score)
            self.teds_structure.append(0.0 if j is None else teds(table, found.tables[j], with_text=False))
        self.spurious += len(found.tables) - len(tables)

    def include(self, other: "Scores") -> None:
        """Add the counts of another one."""
        for name in ("headings", "levels", "items", "paragraphs"):
            more: Counts = getattr(other, name)
            getattr(self, name).add(more.truth, more.found, more.right)
        self.teds += other.teds
        self.teds_structure += other.teds_structure
        self.spurious += other.spurious

    def row(self) -> list[str]:
        """The scores for a table of results, in percent; the last one is a count."""
        shares = [
            sum(self.teds) / max(1, len(self.teds)), sum(self.teds_structure) / max(1, len(self.teds_structure)),
            self.headings.f1, self.levels.f1, self.items.f1, self.paragraphs.f1,
        ]  # fmt: skip
        return [*(f"{100 * share:.1f}" for share in shares), str(self.spurious)]


COLUMNS = ("TEDS", "TEDS, no text", "heading F1", "with level", "list item F1", "paragraph F1", "false tables")


def similarity(a: str, b: str) -> float:
    """1 minus the normalised edit distance."""
    return Levenshtein.normalized_similarity(a, b)


def structure_of(markdown: str) -> Structure:
    """The structure of a Markdown text, according to an independent parser."""
    found = Structure()
    tokens: list[Any] = MarkdownIt("commonmark").enable("table").parse(markdown)
    depth = 0  # of list items
    for token, inline in pairwise(tokens):
        depth += (token.type == "list_item_open") - (token.type == "list_item_close")
        text = _plain(inline) if inline.type == "inline" else ""
        if token.type == "heading_open":
            found.headings.append((int(token.tag[1]), text))
        elif token.type == "table_open":
            found.tables.append([])
        elif token.type == "tr_open":
            found.tables[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found.tables[-1][-1].append(text)
        elif token.type == "paragraph_open":
            (found.items if depth else found.paragraphs).append(text)
    for table in found.tables:
        if not any(table[0]):  # an empty header means that there is none
            del table[0]
    return found


def _plain(inline: Any) -> str:
    """The visible text of a block."""
    return "".join({"softbreak": " ", "hardbreak": "\n"}.get(c.type, c.content) for c in inline.children or [])
