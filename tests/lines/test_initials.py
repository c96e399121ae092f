"""A drop cap begins the first line beside it, and its word goes on there."""

import numpy as np
import pytest
from helpers.drawn_page import FONT, stretch
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.cut import cut_lines, join
from nanochat.lines.initials import with_missed_initials
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


@pytest.mark.parametrize("letter", ["I", "L", "W"])
@pytest.mark.parametrize("pieces", [[], [(62, 78, 104.0)]])
def test_a_drop_cap_that_the_line_detector_missed_is_found(
    letter: str, pieces: list[tuple[float, float, float]]
) -> None:
    """A single large letter is often missed, or only a piece of it is found."""
    page = PAGE.copy()
    font = ImageFont.truetype(str(FONT), 72)
    ImageDraw.Draw(page).text((LEFT, 95 - 7), letter, font=font, fill="black", anchor="lt")
    width = round(font.getlength(letter))
    lines = [stretch(LEFT + width + 6 if i < 3 else LEFT, 600 - 30 * (i % 2), 100 + i * PITCH) for i in range(6)]
    bits = [stretch(*piece, 12.0) for piece in pieces]
    first, *others = arrange(page, [*lines, *bits])
    assert len(others) == 5 and len(first.segments) == 2
    cap = first.segments[0]
    assert cap.is_initial and abs(cap.box[0] - LEFT) < 8 and abs(cap.box[2] - LEFT - width) < 8
    view = np.asarray(cut_lines(page, [Line((cap,))])[0].picture.convert("L"))
    assert (view < 100).any(0).sum() >= 3


def test_indented_lines_without_a_letter_beside_them_stay_as_they_are() -> None:
    lines = [stretch(LEFT + 50 if i < 3 else LEFT, 600, 100 + i * PITCH) for i in range(6)]
    assert all(len(line.segments) == 1 for line in arrange(PAGE, lines))


def test_the_view_of_a_drop_cap_does_not_show_the_next_letter() -> None:
    page = PAGE.copy()
    draw = ImageDraw.Draw(page)
    draw.rectangle((70, 90, 80, 140), fill="black")
    draw.rectangle((90, 90, 100, 140), fill="black")
    cap = Segment(np.array([[68.0, 125.0], [82.0, 125.0]]), 70.0, is_initial=True)
    shown = np.asarray(cut_lines(page, [Line((cap,))])[0].picture.convert("L")) < 100
    assert np.diff(shown.any(0).astype(int)).clip(0).sum() == 1


def test_the_dark_edge_of_a_scan_beside_indented_lines_is_no_drop_cap() -> None:
    page = PAGE.copy()
    ImageDraw.Draw(page).rectangle((0, 90, 3, 160), fill="black")
    lines = [stretch(50 if i < 3 else 4, 600, 100 + i * PITCH) for i in range(6)]
    assert all(len(line.segments) == 1 for line in arrange(page, lines))


def test_the_rules_around_a_cell_beside_wrapped_text_are_no_drop_cap() -> None:
    page = PAGE.copy()
    draw = ImageDraw.Draw(page)
    for y in (84, 144, 204):
        draw.line((LEFT - 8, y, 640, y), fill="black", width=2)
    for x in (LEFT - 8, LEFT + 62, 640):
        draw.line((x, 84, x, 204), fill="black", width=2)
    names = [stretch(LEFT, LEFT + 40, 100), stretch(LEFT, LEFT + 45, 160)]
    texts = [stretch(LEFT + 70, 600, y) for y in (100, 124, 160, 184)]
    found = with_missed_initials(np.asarray(page.convert("L")), [*names, *texts])
    assert found == [*names, *texts]


def test_a_drop_cap_of_a_paragraph_that_ends_beside_it() -> None:
    lines = [stretch(LEFT + 50, 600 - 200 * (i == 1), 100 + i * PITCH) for i in range(2)]
    height = PITCH / 0.48  # its feet are on the base line of the second line
    feet = 100 + PITCH + TYPE / 4
    cap = stretch(LEFT, LEFT + 40, round(feet - height / 4), height)
    assert starts(arrange(PAGE, [cap, *lines])) == [[60, 110], [110]]


def test_the_whole_letter_is_shown_beside_close_lines() -> None:
    cap, lines = with_cap()
    coarse = Segment(cap.points[[0, -1]] + [[0, 0], [30, 0]], cap.height)  # the detector's segment goes on too far
    (first, *_) = arrange(PAGE, [coarse, *lines])
    assert first.segments[0].points[-1, 0] == pytest.approx(109)


def test_a_drop_cap_read_as_a_digit_is_the_capital_that_it_looks_like() -> None:
    cap, lines = with_cap()
    pieces = cut_lines(PAGE, arrange(PAGE, [cap, *lines])[:1])
    texts = ["0", "nly the miller", *[""] * (len(pieces) - 2)]
    assert join(texts, pieces) == "Only the miller"
