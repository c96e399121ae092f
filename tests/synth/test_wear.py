"""Documents that are harder than the evaluation sets: their text stays readable, at its positions."""

import random
from dataclasses import replace

import numpy as np
import pytest

from nanochat.synth import LEVELS, draw_document
from nanochat.synth.document import DrawnDocument
from nanochat.synth.practice import draw_practice
from nanochat.synth.wear import crossed, scanned_in_black_and_white, shaded, shown_through, underlined, worn

FLAT = replace(LEVELS["note"], degrade=0.0, kinds=("receipt", "lines"))


def flat_documents(count: int) -> list[DrawnDocument]:
    """Clean, even documents with text."""
    found = [draw_document(FLAT, seed, "val") for seed in range(count)]
    documents = [document for document in found if document.text]
    assert len(documents) > count / 2
    return documents


def ink(image: np.ndarray) -> np.ndarray:
    """The difference of each pixel from the paper colour, (H, W)."""
    grey = image.reshape(*image.shape[:2], -1).mean(axis=2)
    return np.abs(grey - np.median(grey))


def share_of_glyphs(document: DrawnDocument, printed: np.ndarray, least: float) -> float:
    """The share of letters that keep at least `least` of their original ink."""
    kept, whole = ink(printed), ink(document.image)
    strength = np.percentile(kept, 99) / np.percentile(whole, 99)  # paler print is not lost ink
    shares = []
    for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0):
        before = whole[y0:y1, x0:x1].sum()
        if before > 2000:
            shares.append(kept[y0:y1, x0:x1].sum() / strength / before >= least)
    return float(np.mean(shares))


def test_worn_print_keeps_ink_in_nearly_every_letter() -> None:
    changed = []
    for seed, document in enumerate(flat_documents(90)):
        printed = worn(document.image, document.boxes, random.Random(seed))
        assert printed.shape == document.image.shape and printed.dtype == np.uint8
        assert share_of_glyphs(document, printed, 0.1) >= 0.9, seed
        blank = ink(document.image) < 0.05 * ink(document.image).max()
        darkened = ink(printed)[blank] > 0.5 * ink(document.image).max()
        assert darkened.mean() < 0.1, f"paper printed black, {seed}"
        changed.append(np.corrcoef(ink(printed).ravel(), ink(document.image).ravel())[0, 1])
    assert min(changed) > 0.5, "it lies where it was drawn"
    assert np.median(changed) < 0.97, "and it is worn"


def test_pen_strokes_cover_little_of_the_text() -> None:
    for seed, document in enumerate(flat_documents(30)):
        marked = crossed(document.image, document.boxes, random.Random(seed))
        before = np.broadcast_to(document.image.reshape(*document.image.shape[:2], -1), marked.shape)
        touched = (marked != before).any(axis=2)
        on_text = [touched[y0:y1, x0:x1].any() for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0)]
        assert any(on_text) and touched.mean() < 0.25, seed


def test_show_through_is_fainter_than_the_front() -> None:
    for seed, document in enumerate(flat_documents(20)):
        seen = shown_through(document.image, document.boxes, random.Random(seed)).astype(int)
        beneath = np.abs(seen - document.image.astype(int))
        assert beneath.any() and beneath.max() < 0.35 * ink(document.image).max(), seed


def test_underlines_are_below_the_letters() -> None:
    seen = 0
    for seed, document in enumerate(flat_documents(20)):
        changed = underlined(document, random.Random(seed)) != document.image
        rows = changed.reshape(*changed.shape[:2], -1).any(axis=2)
        seen += rows.any()
        for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0):
            upper = y0 + round(0.6 * (y1 - y0))
            assert rows[y0 + 4 : upper, x0:x1].mean() < 0.2, seed
    assert seen > 12
    rotated = draw_document(replace(LEVELS["note"], degrade=1.0), 4, "hard")
    assert (underlined(rotated, random.Random(1)) != rotated.image).any()


def test_halftone_background_is_lighter_than_the_text() -> None:
    greyed = []
    for seed, document in enumerate(flat_documents(20)):
        seen = ink(shaded(document.image, document.boxes, random.Random(seed)))
        before = ink(document.image)
        strongest = np.percentile(before, 99.5)
        assert (seen[before > 0.8 * strongest] > 0.6 * strongest).mean() > 0.95, "letters keep their ink"
        greyed.append((seen - before > 0.05 * strongest).mean())
    assert 0.02 < np.mean(greyed) < 0.5


def test_black_and_white_keeps_the_letters() -> None:
    for seed, document in enumerate(flat_documents(20)):
        seen = scanned_in_black_and_white(document.image, document.boxes, random.Random(seed))
        assert seen.shape == document.image.shape[:2] and seen.dtype == np.uint8
        assert ((seen < 30) | (seen > 225)).mean() > 0.8
        assert share_of_glyphs(document, seen, 0.3) > 0.9, seed


def test_image_without_text_is_unchanged() -> None:
    blank, nothing = np.full((64, 64), 240, np.uint8), np.zeros((0, 4), np.float32)
    assert (worn(blank, nothing, random.Random(0)) == blank).all()
    assert (crossed(blank, nothing, random.Random(0)) == blank).all()
    assert (shaded(blank, nothing, random.Random(0)) == blank).all()
    empty = DrawnDocument(blank, "", "", nothing, np.zeros((0, 2), np.float32), np.zeros(0, np.int32))
    assert (underlined(empty, random.Random(0)) == blank).all()
    assert (shown_through(blank, nothing, random.Random(0)) == blank).all()


@pytest.mark.parametrize("level", ["line256", "note"])
def test_practice_is_determined_by_the_seed(level: str) -> None:
    for seed in range(12):
        one, two = (draw_practice(LEVELS[level], seed, "train", random.Random(seed)) for _ in range(2))
        assert one.text == two.text and (one.image == two.image).all() and (one.boxes == two.boxes).all()
