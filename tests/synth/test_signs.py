"""Symbols: which ones are used, and only with faces that have them."""

import random

import numpy as np
from fontTools.ttLib import TTFont

from nanochat.synth import LEVELS, draw_document
from nanochat.synth.draw import _three_dots
from nanochat.synth.layouts.sheet import Sheet
from nanochat.synth.signs import FINE, LEAST_PX_OF_FINE, SIGNS, text_with_symbols
from nanochat.synth.writer import Writer
from nanochat.tokenizer import CHARACTERS


def test_every_symbol_is_used_and_is_one_token() -> None:
    rng = random.Random(0)
    written = "".join(text_with_symbols(SIGNS, rng, lambda: "word") for _ in range(3000))
    assert {char for char in written if not char.isascii()} == {*SIGNS} <= {*CHARACTERS}
    counts = np.array([written.count(char) for char in SIGNS])
    assert counts.min() > 0.2 * np.median(counts), "all alike often"


def test_only_symbols_of_the_face_are_used() -> None:
    rng = random.Random(1)
    for _ in range(200):
        some = "".join(rng.sample(SIGNS, 6))
        text = text_with_symbols(some, rng, lambda: "word")
        assert {char for char in text if not char.isascii()} <= {*some}
    assert text_with_symbols("", rng, str) == ""


def test_only_permitted_writers_use_symbols() -> None:
    lines = [Writer(random.Random(seed), symbols=SIGNS).sentences(1500) for seed in range(80)]
    assert 5 < sum(bool({*line} & {*SIGNS}) for line in lines) < 60
    assert not any({*Writer(random.Random(seed)).sentences(500)} & {*SIGNS} for seed in range(20))


def test_faces_have_the_symbols_and_small_type_has_no_fine_ones(monkeypatch) -> None:
    """According to the tables of the font files, read with fontTools."""
    used = []
    real = Sheet.__init__

    def spy(self, canvas, level, faces, px, ink, writer) -> None:
        used.append((faces, writer.symbols))
        real(self, canvas, level, faces, px, ink, writer)

    monkeypatch.setattr(Sheet, "__init__", spy)
    monkeypatch.setattr("nanochat.synth.draw._type_size", lambda *_: LEAST_PX_OF_FINE - 1)
    for seed in range(60):
        draw_document(LEVELS["line256"], seed, "train")
    written = [(face, symbols) for faces, symbols in used for face in faces if symbols]
    assert len(written) > 20
    for face, symbols in written:
        known = TTFont(face.path, fontNumber=face.index).getBestCmap()
        assert {*map(ord, symbols)} <= {*known} and not {*symbols} & {*FINE}


def test_an_ellipsis_is_three_dots_side_by_side() -> None:
    boxes = np.array([[0, 0, 4, 9], [4, 0, 10, 9], [10, 0, 15, 9]], np.float32)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    found, middles, lines = _three_dots("a…b", boxes, centres, np.zeros(3, np.int32))
    assert found[:, [0, 2]].tolist() == [[0, 4], [4, 6], [6, 8], [8, 10], [10, 15]]
    assert middles[:, 0].tolist() == [2, 5, 7, 9, 12.5] and len(lines) == 5
