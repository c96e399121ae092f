"""Strips cut out of synthetic documents: their text and the positions of their glyphs."""

import numpy as np
import pytest
from helpers.tiny_model import tiny_model
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.deepencoder.dense import DenseHead
from nanochat.lines.cut import cut_lines
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import Prepared, Sample, collate
from nanochat.synth import LEVELS, STRIPS, draw_document
from nanochat.synth.document import DrawnDocument
from nanochat.synth.strips import TOGETHER, cut_strip, handful, strips
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.tokenizer import RustBPETokenizer


def test_strips_of_a_page_have_exactly_its_text() -> None:
    written = shown = wrong = 0
    for seed in range(12):
        document = draw_document(LEVELS["page" if seed % 2 else "note"], seed, "val")
        lines = document.text.split("\n")
        for strip in strips(document):
            assert strip.picture.height == 64 and strip.picture.width % 64 == 0 and len(strip.text) < 140
            best = min((Levenshtein.distance(strip.text, part) for part in parts(lines, len(strip.text))), default=0)
            wrong += best
            shown += len(strip.text.replace(" ", ""))
        written += len("".join(document.text.split()))
    assert 0.9 * written < shown < 1.02 * written
    assert wrong <= 0.02 * shown


def parts(lines: list[str], length: int) -> list[str]:
    """Every part of a line with the given number of characters."""
    return [line[i : i + length] for line in lines for i in range(max(1, len(line) - length + 1))]


def test_positions_of_glyphs_in_a_strip() -> None:
    """At the middle of every letter there is ink nearby, and at the middle of a wide space there is none."""
    found = strips(draw_document(LEVELS["note"], 3, "val"))
    assert found
    for strip in found:
        grey = np.asarray(strip.picture.convert("L")).astype(int)
        ink = abs(grey - int(np.median(grey))) > 40
        for char, (x, y) in zip(strip.chars, np.round(strip.centres).astype(int)):
            if char.isalnum():
                assert ink[max(0, y - 9) : y + 8, max(0, x - 3) : x + 4].any(), (strip.text, char)


@pytest.mark.parametrize("slope", [0.0, 0.12])
def test_points_of_the_page_are_located_in_the_strip(slope: float) -> None:
    """Dots on a line, some above and some below its middle, are at the positions that `locate` returns."""
    page = np.full((240, 500, 3), 255, np.uint8)
    x = np.arange(40.0, 460.0, 35)
    y = 100 + slope * x + np.where(np.arange(len(x)) % 2, 5.0, -5.0)
    for a, b in np.round(np.stack([x, y], 1)).astype(int):
        page[b - 1 : b + 2, a - 1 : a + 2] = 0
    curve = np.stack([np.arange(30.0, 480.0), 100 + slope * np.arange(30.0, 480.0)], 1)
    (piece,) = cut_lines(Image.fromarray(page), [Line((Segment(curve, 30.0),))])
    assert piece.course is not None
    places, between = piece.course.locate(np.round(np.stack([x, y], 1)))
    seen = np.asarray(piece.picture.convert("L"))
    assert between.all() and not piece.course.locate(np.array([[5.0, 100.0], [499.0, 110.0]]))[1].any()
    for a, b in places:
        left, top = round(a) - 5, round(b) - 5
        rows, columns = np.nonzero(seen[top : top + 11, left : left + 11] < 128)
        assert abs(columns.mean() + left - a) < 1 and abs(rows.mean() + top - b) < 1


def test_split_letters_are_omitted_and_columns_not_joined() -> None:
    page = np.full((100, 300), 255, np.uint8)
    glyphs = [(char, 20.0 + 12 * i, line) for line, word in enumerate(("abc", "xyz")) for i, char in enumerate(word)]

    def document(second_left: float, second_y: float) -> DrawnDocument:
        centres = np.array([[x + line * second_left, 50.0 + line * second_y] for _, x, line in glyphs], np.float32)
        boxes = np.concatenate([centres - [6, 12], centres + [6, 12]], 1).astype(np.float32)
        chars = "".join(char for char, _, _ in glyphs)
        line_ids = np.array([line for *_, line in glyphs], np.int32)
        return DrawnDocument(page, "abc\nxyz", chars, boxes, centres, line_ids)

    band = Segment(np.stack([np.arange(10.0, 200.0), np.full(190, 50.0)], 1), 24.0)
    (piece,) = cut_lines(Image.fromarray(page).convert("RGB"), [Line((band,))])
    beside, below, between = document(60, 0), document(0, 30), document(0, 11)
    assert cut_strip(piece, beside).text == "abc xyz"
    assert cut_strip(piece, below).text == "abc"
    assert cut_strip(piece, between) is None
    at_the_end, inside, outside = document(186, 0), document(150, 0), document(202, 0)
    assert cut_strip(piece, at_the_end) is None
    assert (cut_strip(piece, inside).text, cut_strip(piece, outside).text) == ("abc xyz", "abc")


def test_strips_are_determined_by_the_seed() -> None:
    first = handful(7, "val")
    handful.cache_clear()
    again = handful(7, "val")
    assert len(first) == TOGETHER
    assert all(
        a.text == b.text and a.picture.tobytes() == b.picture.tobytes() for a, b in zip(first, again, strict=True)
    )
    assert {s.text for s in first} != {s.text for s in handful(8, "val")} != {s.text for s in handful(7, "train")}


def test_labels_of_views_of_many_widths_match_their_features() -> None:
    """The loss of the head on a mixed batch equals that of its views one by one, weighted by their labels."""
    task, tokenizer = SynthDocuments("val"), RustBPETokenizer.characters()
    data = Prepared([task[STRIPS, i] for i in range(0, 108, 9)], tokenizer, get_mode("native"), 2000)
    samples = [s for s in (data[i] for i in range(12)) if isinstance(s, Sample)]
    assert len({s.images[0].layout.view for s in samples}) > 2, "of several widths"
    model = tiny_model()
    head = DenseHead(model.sam_model, model.projector, 32)

    def losses(batch: list[Sample]) -> tuple[dict[str, float], dict[str, float]]:
        _, _, media = collate(batch, 0)
        model.encode_images(media.pixel_values)
        tables = {"patches": head.patch_weights, "cells": head.cell_weights}
        weights = {what: float(tables[what][labels].sum()) for what, labels in media.labels.items()}
        return {what: loss.item() for what, loss in head(media.labels).items()}, weights

    together, _ = losses(samples)
    alone = [losses([sample]) for sample in samples]
    for what, loss in together.items():
        mean = sum(found[what] * weight[what] for found, weight in alone) / sum(weight[what] for _, weight in alone)
        assert loss == pytest.approx(mean, rel=1e-4)
