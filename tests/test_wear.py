"""Papers that are harder than those that are measured: what was written on them can still be read, and stands there."""

import random
from dataclasses import replace

import numpy as np
import pytest

from nanochat.synth import LEVELS, draw_document
from nanochat.synth.document import Document
from nanochat.synth.practice import draw_practice
from nanochat.synth.wear import crossed, shown_through, worn

FLAT = replace(LEVELS["note"], degrade=0.0, kinds=("receipt", "lines"))


def flat_documents(count: int) -> list[Document]:
    """Clean, even documents with text."""
    found = [draw_document(FLAT, seed, "val") for seed in range(count)]
    return [document for document in found if document.text]


def ink(image: np.ndarray) -> np.ndarray:
    """How far each pixel is from the sheet's colour, (H, W)."""
    grey = image.reshape(*image.shape[:2], -1).mean(axis=2)
    return np.abs(grey - np.median(grey))


def share_of_glyphs(document: Document, printed: np.ndarray, least: float) -> float:
    """How many of the letters have at least this share of the ink that they were drawn with."""
    kept, whole = ink(printed), ink(document.image)
    strength = np.percentile(kept, 99) / np.percentile(whole, 99)  # paler print loses no letter
    shares = []
    for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0):
        before = whole[y0:y1, x0:x1].sum()
        if before > 2000:
            shares.append(kept[y0:y1, x0:x1].sum() / strength / before >= least)
    return float(np.mean(shares))


def test_worn_print_breaks_but_nearly_every_letter_keeps_ink() -> None:
    changed = []
    for seed, document in enumerate(flat_documents(30)):
        printed = worn(document.image, document.boxes, random.Random(seed))
        assert printed.shape == document.image.shape and printed.dtype == np.uint8
        assert share_of_glyphs(document, printed, 0.1) >= 0.9, seed
        changed.append(np.corrcoef(ink(printed).ravel(), ink(document.image).ravel())[0, 1])
    assert min(changed) > 0.5, "it lies where it was drawn"
    assert np.median(changed) < 0.97, "and it is worn"


def test_pens_cross_the_text_and_leave_most_of_it_alone() -> None:
    for seed, document in enumerate(flat_documents(30)):
        marked = crossed(document.image, document.boxes, random.Random(seed))
        before = np.broadcast_to(document.image.reshape(*document.image.shape[:2], -1), marked.shape)
        touched = (marked != before).any(axis=2)
        on_text = [touched[y0:y1, x0:x1].any() for x0, y0, x1, y1 in document.boxes.round().astype(int).clip(0)]
        assert any(on_text) and touched.mean() < 0.25, seed


def test_print_of_the_back_is_fainter_than_what_stands_in_front() -> None:
    for seed, document in enumerate(flat_documents(20)):
        seen = shown_through(document.image, document.boxes, random.Random(seed)).astype(int)
        beneath = np.abs(seen - document.image.astype(int))
        assert beneath.any() and beneath.max() < 0.35 * ink(document.image).max(), seed


def test_a_sheet_without_text_is_left_as_it_is() -> None:
    blank, nothing = np.full((64, 64), 240, np.uint8), np.zeros((0, 4), np.float32)
    assert (worn(blank, nothing, random.Random(0)) == blank).all()
    assert (crossed(blank, nothing, random.Random(0)) == blank).all()
    assert (shown_through(blank, nothing, random.Random(0)) == blank).all()


@pytest.mark.parametrize("level", ["line256", "note"])
def test_the_same_seed_gives_the_same_practice(level: str) -> None:
    for seed in range(12):
        one, two = (draw_practice(LEVELS[level], seed, "train", random.Random(seed)) for _ in range(2))
        assert one.text == two.text and (one.image == two.image).all() and (one.boxes == two.boxes).all()
