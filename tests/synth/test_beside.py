"""Single letters and rows of marks next to lines: the letters are text, the marks are not."""

import random
from dataclasses import replace

import numpy as np
import pytest

from nanochat.synth import LEVELS, draw_document
from nanochat.synth import practice as practice_module
from nanochat.synth.atlas import get_atlas
from nanochat.synth.beside import with_lone_letters, with_rows_of_marks
from nanochat.synth.document import DrawnDocument
from nanochat.synth.fonts import capital, find_fonts
from nanochat.synth.practice import draw_practice
from nanochat.synth.strips import NARROWEST, made_tall

SHARES = ("SMALL_PRINT", "WORN", "SYMBOLS", "SMALL_CAPITALS", "ALONE", "MARKED", "DECORATED", "CROSSED")
SHARES += ("THROUGH", "UNDERLINED", "SHADED", "SCANNED")


def documents(count: int, degrade: float = 0.0) -> list[DrawnDocument]:
    level = replace(LEVELS["note"], degrade=degrade, kinds=("receipt", "form", "lines"))
    found = [draw_document(level, seed, "val") for seed in range(count)]
    return [document for document in found if document.text]


def changed(document: DrawnDocument, before: np.ndarray) -> np.ndarray:
    """Mask of the pixels that differ between two images, (H, W)."""
    return (np.asarray(document.image) != before).reshape(*before.shape[:2], -1).any(axis=2)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Practice has all of these, and nothing else."""
    for name in SHARES:
        monkeypatch.setattr(practice_module, name, float(name in names))


def test_lone_letters_are_separate_lines_in_empty_places() -> None:
    added = 0
    for seed, document in enumerate(documents(40, degrade=0.5)):
        before, letters, lines = document.image.copy(), len(document.chars), document.text.split("\n")
        with_lone_letters(document, random.Random(seed))
        more = document.text.split("\n")[len(lines) :]
        assert document.text.split("\n")[: len(lines)] == lines and all(len(line) == 1 for line in more)
        assert document.chars == document.text.replace("\n", "")
        assert len(document.chars) == len(document.boxes) == len(document.centres) == len(document.line_ids)
        touched = changed(document, before)
        for k in range(letters, len(document.chars)):
            x0, y0, x1, y1 = document.boxes[k].round().astype(int)
            assert touched[y0:y1, x0:x1].any(), "its ink is there"
            touched[y0:y1, x0:x1] = False
            wide = document.boxes[k] + np.array([-1, 0, 1, 0]) * (y1 - y0)
            others = np.delete(document.boxes, k, axis=0)
            apart = (others[:, 2] < wide[0]) | (others[:, 0] > wide[2]) | (others[:, 3] < y0) | (others[:, 1] > y1)
            assert apart.all(), "no word is near it on its row"
            assert document.line_ids[k] == document.line_ids[k - 1] + 1
        # pixels without ink may differ by one from rounding
        assert np.abs(document.image[touched].astype(int) - before[touched]).max(initial=0) <= 1
        added += len(more)
    assert added > 60


def test_rows_of_marks_do_not_touch_the_text() -> None:
    rows = 0
    for seed, document in enumerate(documents(40)):
        seen = with_rows_of_marks(document.image, document.boxes, random.Random(seed))
        touched = changed(document, seen)
        rows += touched.any()
        for x0, y0, x1, y1 in document.boxes:  # ascenders and descenders are smaller than their boxes
            inside = np.s_[round(y0 + 0.1 * (y1 - y0)) : round(y1 - 0.1 * (y1 - y0)), round(x0) : round(x1)]
            assert not touched[inside].any(), seed
    assert rows > 15


def test_small_capitals_are_smaller_capitals() -> None:
    fonts = find_fonts()
    face = fonts.pick(random.Random(0), False, False)
    px = 30
    small, plain, smaller = (
        get_atlas(replace(face, small_capitals=True), px), get_atlas(face, px), get_atlas(face, round(0.8 * px)),
    )  # fmt: skip
    for char in "azmQZ4&":
        same = (smaller if char.islower() else plain)[char.upper()]
        assert small[char].advance == same.advance and (small[char].ink == same.ink).all()


@pytest.mark.parametrize(("char", "expected"), [("a", "A"), ("é", "É"), ("ß", "ß"), ("µ", "µ"), ("7", "7")])
def test_capital(char: str, expected: str) -> None:
    assert capital(char) == expected


def test_text_in_small_capitals_is_transcribed_as_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "SMALL_CAPITALS")
    texts = [draw_practice(LEVELS["note"], seed, "train", random.Random(seed)).text for seed in range(20)]
    assert not [char for text in texts for char in text if char.islower() and char not in "ßµ"]


def share_in_boxes(document: DrawnDocument) -> float:
    """The share of the ink that is inside the boxes of the glyphs."""
    ink = np.abs(document.image.astype(float) - np.median(document.image))
    ink = ink.reshape(*document.image.shape[:2], -1).mean(axis=2)
    within = np.zeros(ink.shape, bool)
    for x0, y0, x1, y1 in document.boxes.round().astype(int):
        within[y0:y1, x0:x1] = True
    return ink[within].sum() / ink.sum()


def test_tall_type_keeps_its_positions_and_is_readable() -> None:
    taller = 0
    for seed, document in enumerate(documents(30)):
        before = replace(document, boxes=document.boxes.copy(), centres=document.centres.copy())
        made_tall(document, random.Random(seed))
        factor = document.image.shape[0] / before.image.shape[0]
        taller += factor > 1
        assert document.image.shape[0] % 64 == 0 and 1 <= factor <= 2.25 and document.text == before.text
        assert np.allclose(document.boxes, before.boxes * [1, factor, 1, factor])
        wide, tall = np.median(document.boxes[:, 2:] - document.boxes[:, :2], axis=0)
        assert factor == 1 or wide / tall > 0.85 * NARROWEST
        assert abs(share_in_boxes(document) - share_in_boxes(before)) < 0.05, "ink lies in the boxes as before"
    assert taller > 10
