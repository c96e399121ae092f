"""Grounded answers become text and boxes in pixels, however broken their tags are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.prompts import PROMPTS, prompt_for
from nanochat.reading.grounding import draw_boxes, parse_grounding

REF, REF_END, DET, DET_END = "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>"


def block(label: str, numbers: str, rest: str = "") -> str:
    return f"{REF}{label}{REF_END}{DET}{numbers}{DET_END}{rest}"


def test_markdown_answer() -> None:
    answer = block("title", "[[0, 0, 999, 100]]", "\n# Bill\n\n") + block(
        "text", "[[10,20,500,999], [1,2,3,4]]", "\nPaid."
    )
    text, blocks = parse_grounding(answer, 1998, 999)
    assert text == "# Bill\nPaid."
    assert [(b.label, b.text) for b in blocks] == [("title", "# Bill"), ("text", "Paid.")]
    assert blocks[0].boxes == ((0, 0, 1998, 100),) and blocks[1].boxes == ((20, 20, 1000, 999), (2, 2, 6, 4))


def test_labels_without_text_are_the_text() -> None:
    text, blocks = parse_grounding(block("TOTAL", "[[1,2,3,4]]", "\n") + block("9.90", "[[5,6,7,8]]"), 999, 999)
    assert text == "TOTAL\n9.90" and [b.boxes for b in blocks] == [((1, 2, 3, 4),), ((5, 6, 7, 8),)]


@pytest.mark.parametrize(
    ("answer", "text", "boxes"),
    [
        ("no marks at all", "no marks at all", []),
        (f"{REF}a{REF_END}{DET}[[1,2,3,4], [5,6", "a", [((1, 2, 3, 4),)]),  # cut in a box
        (f"{REF}a{REF_END}{DET}[[1,2,3,4]]{DET_END[:4]}", "a", [((1, 2, 3, 4),)]),  # cut in a mark
        (f"{REF}a{REF_END}<|d", "a", [()]),
        (f"{REF}a", "a", [()]),
        (f"{REF}a{REF}b{REF_END}{DET}[[1,2,3,4]]{DET_END}", "ab", [((1, 2, 3, 4),)]),  # nested
        (f"{DET}[[1,2,3,4]]{DET_END}x", "x", [((1, 2, 3, 4),)]),  # without a label
        (f"{REF}a{REF_END}{DET}[[one,2,3,4]]{DET_END}", "a", [()]),
        (f"{REF}a{REF_END}{DET}[[900,5000,-7,20]]{DET_END}", "a", [((0, 20, 900, 999),)]),  # reversed, outside
        (f"{REF_END}{DET_END}z", "z", []),
    ],
)
def test_broken_answers_are_interpreted_as_far_as_possible(answer: str, text: str, boxes: list) -> None:
    assert parse_grounding(answer, 999, 999)[0] == text
    assert [block.boxes for block in parse_grounding(answer, 999, 999)[1]] == boxes


@given(st.lists(st.sampled_from([REF, REF_END, DET, DET_END, "[[1,2,3,4]]", "[[9", "word", "\n", "<|", "7,"])))
def test_no_answer_raises_an_error(parts: list[str]) -> None:
    text, blocks = parse_grounding("".join(parts), 100, 50)
    assert REF not in text and DET not in text and REF_END not in text and DET_END not in text
    for found in blocks:
        assert all(0 <= a <= c <= 100 and 0 <= b <= d <= 50 for a, b, c, d in found.boxes)


@pytest.mark.parametrize(("size", "right", "down"), [((80, 100), 80, 0), ((100, 80), 0, 80)])
def test_boxes_are_drawn_on_a_copy_with_texts_beside_it(size: tuple[int, int], right: int, down: int) -> None:
    page = Image.new("RGB", size, "white")
    drawn = draw_boxes(page, [("Gesamt €", (10, 20, 70, 50))])
    assert page.getcolors() == [(8000, (255, 255, 255))]
    assert drawn.size == (size[0] + right, size[1] + down)
    assert drawn.getpixel((10, 35)) != (255, 255, 255) and drawn.getpixel((40, 70)) == (255, 255, 255)
    beside = drawn.crop((right, down, right + size[0], down + size[1]))
    left, top, end, bottom = beside.convert("L").point(lambda tone: 255 * (tone < 250)).getbbox() or (0, 0, 0, 0)
    assert 9 <= left < 20 and 60 <= end <= 72 and 20 <= top < bottom <= 50


def test_tasks_are_the_prompts_of_the_paper() -> None:
    assert prompt_for("free") == "<image>\nFree OCR."
    assert prompt_for("markdown") == "<image>\n<|grounding|>Convert the document to markdown."
    assert prompt_for("locate:the total") == "<image>\nLocate <|ref|>the total<|/ref|> in the image."
    assert set(PROMPTS) == {"free", "markdown", "ocr", "figure", "describe"}
    for wrong in ("translate", "locate", "locate: ", "free:x"):
        with pytest.raises(UserError, match="choose one of free, markdown"):
            prompt_for(wrong)
