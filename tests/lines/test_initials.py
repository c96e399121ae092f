"""A drop cap begins the first line beside it, and its word goes on there."""

from helpers.drawn_page import stretch
from PIL import Image

from nanochat.lines.cut import cut_lines, join
from nanochat.lines.layout import Line, arrange
from nanochat.lines.segment import Segment

TYPE, PITCH, LEFT = 18.0, 24, 60
PAGE = Image.new("RGB", (900, 700), "white")


def with_cap(first: float = 110, below: bool = True) -> tuple[Segment, list[Segment]]:
    """A letter of three lines, and the lines of a paragraph: three beside it, three below it unless not wanted."""
    lines = [stretch(LEFT + 50 if i else first, 600, 100 + i * PITCH) for i in range(3)]
    if below:
        lines += [stretch(LEFT, 600 - 40 * (i == 2), 100 + (3 + i) * PITCH) for i in range(3)]
    return stretch(LEFT, LEFT + 44, 122, 66.0), lines


def starts(lines: list[Line]) -> list[list[float]]:
    return [[segment.points[0, 0] for segment in line.segments] for line in lines]


def test_a_drop_cap_begins_the_first_line_beside_it() -> None:
    cap, lines = with_cap()
    assert starts(arrange(PAGE, [cap, *lines])) == [[60, 110], [110], [110], [60], [60], [60]]


def test_its_word_goes_on_without_a_space() -> None:
    cap, lines = with_cap()
    found = arrange(PAGE, [cap, *lines])
    pieces = [piece for piece in cut_lines(PAGE, found[:2])]
    rest = [""] * (sum(piece.row == 0 for piece in pieces) - 2)
    texts = ["T", "he council met", *rest, *(["on Thursday"] + [""] * 9)]
    assert join(texts[: len(pieces)], pieces).splitlines()[0] == "The council met"
    texts[0] = "T."  # no single letter
    assert join(texts[: len(pieces)], pieces).splitlines()[0] == "T. he council met"


def test_after_a_word_of_one_letter_the_first_line_begins_further_right() -> None:
    cap, lines = with_cap(first=118)
    found = arrange(PAGE, [cap, *lines])
    assert starts(found)[0] == [60, 118]
    assert not found[0].segments[0].is_initial


def test_a_large_number_beside_small_lines_is_no_drop_cap() -> None:
    cap, lines = with_cap(below=False)
    assert not any(segment.is_initial for line in arrange(PAGE, [cap, *lines]) for segment in line.segments)


def test_columns_are_read_one_after_the_other_beside_a_drop_cap() -> None:
    cap, lines = with_cap()
    left = [Segment(s.points[s.points[:, 0] <= 440], s.height) for s in lines]
    right = [stretch(470, 840 - 60 * (i == 5), 108 + i * PITCH) for i in range(6)]
    found = starts(arrange(PAGE, [cap, *left, *right]))
    assert found == [[60, 110], [110], [110], [60], [60], [60]] + [[470]] * 6
