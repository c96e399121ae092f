"""Synthetic documents: reproducible, with boxes around the ink, and with held-out words and fonts kept apart."""

import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.errors import UserError
from nanochat.synth import CURRICULUM, LEVELS, SPLITS, TIERS, DrawnDocument, Level, draw, draw_document, geometry
from nanochat.synth.atlas import get_atlas
from nanochat.synth.canvas import Canvas
from nanochat.synth.degrade import camera
from nanochat.synth.fonts import HELD_OUT_FAMILIES, _candidates, find_fonts
from nanochat.synth.languages import MARKS
from nanochat.synth.layouts import LAYOUTS
from nanochat.synth.layouts.sheet import Sheet
from nanochat.synth.ornaments import with_ornaments
from nanochat.tokenizer import CHARACTERS, LETTERS

ROOT = Path(__file__).parents[2]
EVERYTHING = Level("everything", 320, 320, (12, 30), 20, 240, tuple(LAYOUTS), degrade=0.5)
CLEAN = Level(
    "clean", 320, 320, (12, 30), 20, 240, tuple(k for k in LAYOUTS if k not in ("scene", "crop")), degrade=0.0
)


def digest(level: str, split: str) -> str:
    """A hash of the pixels, texts and boxes of three documents."""
    found = hashlib.sha256()
    for seed in range(3):
        document = draw_document(LEVELS[level], seed, split)
        for part in (document.image, document.boxes, document.centres, document.line_ids):
            found.update(np.ascontiguousarray(part).tobytes())
        found.update(document.text.encode())
    return found.hexdigest()


def test_another_process_draws_the_same_documents():
    cases = [("s1", "train"), ("D", "hard"), ("note", "unseen"), ("page", "val")]
    program = f"from test_synth import digest\nfor case in {cases}: print(digest(*case))"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    draw_document(LEVELS["C"], 5)  # earlier drawings must not matter
    assert result.stdout.split() == [digest(*case) for case in cases]


def test_document_does_not_depend_on_earlier_ones():
    level = Level("papers", 384, 384, (12, 20), 28, 320, ("invoice", "receipt", "scene", "article"), degrade=0.3)
    for seed in range(20):
        get_atlas.cache_clear()
        cold, warm = draw_document(level, seed), draw_document(level, seed)
        assert np.array_equal(cold.image, warm.image) and cold.text == warm.text


@pytest.mark.parametrize("kind", ["invoice", "receipt", "article", "form"])
def test_rows_do_not_overlap(kind):
    level = Level("rows", 512, 512, (12, 20), 40, 500, (kind,), degrade=0.0)
    for seed in range(25):
        boxes = draw_document(level, seed).line_boxes()
        below = boxes[1:, 1] > boxes[:-1, 1]  # another line may be at the same height
        assert (boxes[:-1, 3] <= boxes[1:, 1])[below].all()


def test_splits_and_seeds_give_different_documents():
    texts = [draw_document(LEVELS["note"], seed, split).text for seed in range(15) for split in SPLITS]
    written = [text for text in texts if text]
    assert len(set(written)) == len(written)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*CURRICULUM, EVERYTHING]), st.integers(0, 10**9), st.sampled_from(SPLITS))
def test_glyphs_spell_the_text_and_are_inside_the_image(level, seed, split):
    document = draw_document(level, seed, split)
    assert document.image.dtype == np.uint8 and document.image.shape[:2] == (level.height, level.width)
    assert document.image.ndim == 2 or document.image.shape[2:] == (3,)
    assert document.boxes.dtype == document.centres.dtype == np.float32 and document.line_ids.dtype == np.int32
    count = len(document.chars)
    assert document.boxes.shape == (count, 4) and document.centres.shape == (count, 2)
    lines = document.text.split("\n") if document.text else []
    spelled = ["".join(c for c, i in zip(document.chars, document.line_ids) if i == line) for line in range(len(lines))]
    assert spelled == lines and all(line.strip() for line in lines)
    assert count <= level.max_chars and len(lines) <= level.max_lines
    others = "£€°—" + {"latin": LETTERS + MARKS, "train": CHARACTERS, "central": CHARACTERS}.get(split, "")
    assert not {*document.chars} & {*"“”‘’„‚–…"}, "read as the typewriter has them"
    assert all(32 <= ord(char) < 127 or char in others for char in document.chars)
    x0, y0, x1, y1 = document.boxes.T
    assert (x0 >= -0.01).all() and (y0 >= -0.01).all() and (x0 < x1).all() and (y0 < y1).all()
    assert (x1 <= level.width + 0.01).all() and (y1 <= level.height + 0.01).all()
    x, y = document.centres.T
    assert ((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)).all()
    words, boxes = document.word_boxes()
    assert words == document.text.split() and len(boxes) == len(words)
    assert len(document.line_boxes()) == len(lines)


def ink_of(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: the pixels that differ clearly from the most frequent colour."""
    flat = image.reshape(-1, image.shape[2] if image.ndim == 3 else 1)
    colours, counts = np.unique(flat, axis=0, return_counts=True)
    return (np.abs(flat.astype(int) - colours[counts.argmax()]).max(axis=1) > 24).reshape(image.shape[:2])


@pytest.mark.parametrize("seed", range(30))
def test_ink_on_clean_paper_is_only_inside_the_boxes(seed, monkeypatch):
    for shape in ("fill", "frame", "rule", "polygon", "stroke", "disc"):
        monkeypatch.setattr(Canvas, shape, lambda *_: None)  # leaves nothing but text
    monkeypatch.setattr(Sheet, "shade", lambda sheet, _: sheet.ink)  # ... and all of it in one ink
    document = draw_document(CLEAN, seed)
    if not document.text:
        return
    ink = ink_of(document.image)
    covered = np.zeros_like(ink)
    for char, (x0, y0, x1, y1) in zip(document.chars, document.boxes):
        if char != " ":
            assert ink[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))].any(), char
            lean = 0.25 * (y1 - y0)  # italics extend beyond their advance, but not beyond their line
            above = 0 if char.isascii() else 0.3 * (y1 - y0)  # except accents
            covered[max(int(y0 - above), 0) : int(np.ceil(y1)), max(int(x0 - lean), 0) : int(np.ceil(x1 + lean))] = True
    assert not (ink & ~covered).any()


@pytest.mark.parametrize("seed", range(30))
def test_boxes_and_centres_follow_the_ink_through_every_geometry(seed, monkeypatch):
    """Every fifth glyph is painted as a square about its centre, the others are not; the squares are then located."""
    painted: list[bool] = []

    def squares(canvas, x, baseline, text, atlas, ink, spread=0.0):
        spans = []
        for char in text:
            end, y = x + atlas[char].advance, baseline - atlas.x_height / 2
            painted.append(len(painted) % 5 == 0)
            if painted[-1]:
                cv2.rectangle(
                    canvas.image, (int((x + end) / 2 - 2), int(y - 2)), (int((x + end) / 2 + 2), int(y + 2)), ink, -1
                )
            spans.append((x, end))
            x = end
        return spans

    monkeypatch.setattr(Canvas, "scrap", squares)
    monkeypatch.setattr(draw, "camera", lambda image, *_: image)
    monkeypatch.setattr(draw, "strokes", lambda image, *_: image)
    monkeypatch.setattr(draw, "clutter", lambda *_: None)
    document = draw_document(Level("bent", 256, 256, (20, 28), 8, 90, ("lines",), degrade=1.0), seed, "val")
    image = document.image.astype(float) if document.image.ndim == 2 else document.image.mean(axis=2)
    off = []
    for (x, y), square in zip(document.centres, painted):
        x0, y0 = int(x) - 7, int(y) - 7
        window = image[max(y0, 0) : y0 + 15, max(x0, 0) : x0 + 15]
        if square and window.shape == (15, 15):
            ink = np.abs(window - np.median(window))
            ink[ink < 10] = 0
            rows, columns = np.mgrid[y0 : y0 + 15, x0 : x0 + 15] + 0.5
            off.append((((columns - x) * ink).sum() / ink.sum(), ((rows - y) * ink).sum() / ink.sum()))
    if not document.text:  # some sheets are blank
        return
    # the position of a square is rounded to whole pixels
    assert np.abs(off).max() < 1.3 and np.abs(np.mean(off, axis=0)).max() < 0.8
    # one face: always the same distance from the centres
    middles = (document.boxes[:, :2] + document.boxes[:, 2:]) / 2
    assert np.ptp(middles - document.centres, axis=0).max() < 1.5


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("scale", [0.4, 1.0, 1.9])
def test_painted_dot_is_at_the_mapped_point(seed, scale):
    rng = random.Random(seed)
    source, size = (round(240 * scale), round(200 * scale)), (240, 200)
    spot = np.array([[rng.uniform(60, 180) * scale, rng.uniform(60, 140) * scale]], np.float32)
    y, x = np.mgrid[0 : source[1], 0 : source[0]] + 0.5
    squared = (x - spot[0, 0]) ** 2 + (y - spot[0, 1]) ** 2
    image = (255 * np.exp(-squared / (2 * max(3 * scale, 2) ** 2))).astype(np.uint8)
    matrix = geometry.random_homography(source, size, 0.03, 1.0, rng)
    curl = geometry.Curl(size, 4.0, rng)
    bent = curl.image(geometry.warp(image, matrix, size, None)).astype(float)
    y, x = np.mgrid[0:200, 0:240] + 0.5
    seen = np.array([(x * bent).sum(), (y * bent).sum()]) / bent.sum()
    told = curl.points(geometry.map_points(spot, matrix))[0]
    assert np.abs(seen - told).max() < 0.3


def test_keep_inside_changes_only_boxes_outside_the_image():
    inside = np.array([[10.0, 10, 90, 40]])
    assert np.allclose(geometry.keep_inside(np.eye(3), inside, (100, 50), 1.0), np.eye(3))
    moved = geometry.keep_inside(np.eye(3), inside + [20, 0, 20, 0], (100, 50), 0.0)
    assert np.allclose(geometry.map_points(np.array([[110.0, 40]]), moved), [[100, 40]])
    shrunk = geometry.keep_inside(np.eye(3), np.array([[-50.0, 0, 150, 50]]), (100, 50), 0.0)
    assert np.allclose(geometry.map_points(np.array([[-50.0, 0], [150, 50]]), shrunk), [[0, 12.5], [100, 37.5]])


def families_drawn(split: str, monkeypatch) -> set[str]:
    """The font families of 60 documents of all kinds."""
    seen: set[str] = set()
    real = Sheet.__init__

    def spy(self, canvas, level, faces, *args):
        seen.update(face.family for face in faces)
        real(self, canvas, level, faces, *args)

    monkeypatch.setattr(Sheet, "__init__", spy)
    for seed in range(60):
        draw_document(LEVELS["D"] if seed % 3 else EVERYTHING, seed, split)
    return seen


def test_held_out_fonts_are_used_only_in_unseen(monkeypatch):
    for split in ("train", "val", "hard"):
        assert not families_drawn(split, monkeypatch) & set(HELD_OUT_FAMILIES)
    assert families_drawn("unseen", monkeypatch) <= set(HELD_OUT_FAMILIES)


def test_drawings_are_beside_the_text_in_its_ink():
    seen = 0
    for seed in range(40):
        document = draw_document(LEVELS["page"], seed, "val")
        decorated = with_ornaments(document.image, document.boxes, random.Random(seed))
        assert decorated.shape == document.image.shape and decorated.dtype == np.uint8
        changed = (decorated != document.image).reshape(*decorated.shape[:2], -1).any(axis=2)
        for x0, y0, x1, y1 in document.boxes.round().astype(int):
            assert not changed[y0:y1, x0:x1].any()
        seen += changed.any()
    assert seen > 30


def test_about_one_image_in_fifty_is_empty():
    empty = [not draw_document(LEVELS["s1"], seed).text for seed in range(900)]
    assert 0.01 < np.mean(empty) < 0.04


def test_hard_images_are_noisier_than_clean_ones():
    def roughness(split: str, level: Level) -> float:
        images = [draw_document(level, seed, split).image.astype(float) for seed in range(30)]
        return float(np.mean([np.median(np.abs(np.diff(image, axis=1))) for image in images]))

    blank = Level("blank", 256, 256, (14, 16), 2, 30, degrade=0.0)
    assert roughness("train", blank) < 0.5 < roughness("hard", blank)


def test_fax_that_would_lose_the_text_is_not_used():
    def faxes(ink: int) -> int:
        """How many of 300 images of bars in `ink` on paper of 240 become black and white."""
        page = np.full((64, 320), 240, np.uint8)
        for x in range(40, 280, 30):
            page[22:42, x : x + 5] = ink
        sent = [camera(page, 24, 1.0, random.Random(seed)) for seed in range(300)]
        return sum(set(np.unique(picture)) == {0, 255} for picture in sent)

    assert faxes(40) > 5 and faxes(228) == 0


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_kind_of_document_has_text(kind):
    level = Level("one kind", 512, 512, (12, 20), 40, 500, (kind,), degrade=0.2)
    lengths = [len(draw_document(level, seed).chars) for seed in range(12)]
    assert np.mean(lengths) > (10 if kind in ("crop", "entry", "scene") else 60)


def test_sums_of_receipts_are_right():
    level = Level("till", 512, 512, (12, 13), 40, 500, ("receipt",), degrade=0.0)
    checked = 0
    for seed in range(60):
        found = dict(
            re.findall(r"^(CASH|CHANGE|TOTAL) \D*([\d,]+\.\d\d)$", draw_document(level, seed).text.upper(), re.M)
        )
        if len(found) == 3:
            cash, change, total = (round(100 * float(found[k].replace(",", ""))) for k in ("CASH", "CHANGE", "TOTAL"))
            assert cash - total == change
            checked += 1
    assert checked >= 3


def test_fonts_of_matplotlib_are_enough_for_every_split(monkeypatch):
    monkeypatch.setenv("NANO_FONTS", str(Path(matplotlib.get_data_path()) / "fonts/ttf"))
    fonts = find_fonts.__wrapped__()
    for split in SPLITS:
        texts = [draw_document(LEVELS["D"], seed, split, fonts).text for seed in range(4)]
        assert any(texts)


def test_missing_fonts_are_reported_with_the_install_command(monkeypatch, tmp_path):
    monkeypatch.setenv("NANO_FONTS", str(tmp_path))
    with pytest.raises(UserError, match=r"runs/fonts\.sh"):
        find_fonts.__wrapped__()
    monkeypatch.setenv("NANO_FONTS", str(tmp_path / "missing"))
    with pytest.raises(UserError, match=r"runs/fonts\.sh"):
        find_fonts.__wrapped__()


def test_font_name_with_a_line_break(monkeypatch, tmp_path):
    program = f"""#!{sys.executable}
import sys
for face in ("Plain", "Roman", "/a.ttf", "0"), ("Odd", "Roman\\n", "/b.ttf", "0"):
    row = sys.argv[-1]
    for name, value in zip(("{{family[0]}}", "{{style[0]}}", "{{file}}", "{{index}}"), face):
        row = row.replace("%" + name, value)
    sys.stdout.write(row)
"""
    (tmp_path / "fc-list").write_text(program)
    (tmp_path / "fc-list").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NANO_FONTS", raising=False)
    assert {("Plain", "Roman", "/a.ttf", 0), ("Odd", "Roman", "/b.ttf", 0)} <= set(_candidates())


def test_word_and_line_boxes_by_hand():
    boxes = np.array([[0, 0, 4, 9], [4, 1, 8, 9], [8, 0, 10, 9], [10, 0, 15, 9], [0, 10, 5, 20]], np.float32)
    ids = np.array([0, 0, 0, 0, 1], np.int32)
    document = DrawnDocument(np.zeros((64, 64), np.uint8), "ab c\nd", "ab cd", boxes, boxes[:, :2], ids)
    words, found = document.word_boxes()
    assert words == ["ab", "c", "d"]
    assert found.tolist() == [[0, 0, 8, 9], [10, 0, 15, 9], [0, 10, 5, 20]]
    assert document.line_boxes().tolist() == [[0, 0, 15, 9], [0, 10, 5, 20]]


def test_levels_fit_the_patches_and_the_tiers_name_them():
    assert all(level.width % 64 == 0 and level.height % 64 == 0 for level in CURRICULUM)
    assert {name for names in TIERS.values() for name in names} <= set(LEVELS)
    assert all(set(level.kinds) <= set(LAYOUTS) for level in CURRICULUM)
