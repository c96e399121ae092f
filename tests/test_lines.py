"""Lines of text are found where they were drawn, whole and in order, and cut to views that nano can read."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from drawn_page import draw_page, sentence
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from shared_data import shared_data

from nanochat.audit import audit
from nanochat.image_process import open_image
from nanochat.ink import Box, Line, find_lines, ink_map, skew
from nanochat.lines import Piece, cut_lines, join, line_boxes, set_level


def near(found: Box, true: tuple[int, ...], slack: int = 4) -> bool:
    return all(abs(a - b) <= slack for a, b in zip(found, true))


@settings(max_examples=25)
@given(st.integers(11, 40), st.integers(1, 12), st.integers(0, 99), st.booleans())
def test_every_drawn_line_is_found_where_it_stands(size: int, n: int, seed: int, inverted: bool) -> None:
    colours = {"paper": "#203040", "ink": "#fafafa"} if inverted else {}
    page, boxes = draw_page([sentence(seed + i) for i in range(n)], size, width=size * 40, **colours)
    lines = find_lines(ink_map(page))
    assert len(lines) == n
    for line, box in zip(lines, boxes):
        assert near(line.box, box, 3 + size // 8)


def test_a_blank_page_a_frame_and_a_photograph_have_no_lines() -> None:
    blank = Image.new("RGB", (600, 800), "#eeeeee")
    framed = blank.copy()
    ImageDraw.Draw(framed).rectangle((50, 50, 500, 700), outline="black", width=3)
    grain = np.random.default_rng(0).normal(200, 6, (800, 600, 3)).clip(0, 255).astype(np.uint8)
    for page in (blank, framed, Image.fromarray(grain), Image.new("L", (1, 1)), Image.new("RGB", (20_000, 100))):
        assert find_lines(ink_map(page)) == [] and cut_lines(set_level(page.convert("RGB"))) == []


def test_prices_stay_with_what_they_price_and_columns_of_prose_do_not_mix() -> None:
    page, boxes = draw_page([f"article {i}" for i in range(8)], 20)
    right, _ = draw_page([f"{i}.50" for i in range(8)], 20)
    page.paste(right.crop((0, 0, 200, page.height)), (480, 0))
    lines = find_lines(ink_map(page))
    assert len(lines) == 8 and all(line.box[2] > 500 for line in lines)
    pieces = cut_lines(set_level(page))
    assert [piece.row for piece in pieces] == sorted([*range(8), *range(8)]), "an article and its price are two pieces"
    assert join([str(i) for i in range(16)], pieces).splitlines() == [f"{i} {i + 1}" for i in range(0, 16, 2)]

    left, boxes = draw_page([sentence(i, 6) for i in range(10)], 16, width=1100, left=20)
    other, _ = draw_page([sentence(i + 50, 6) for i in range(10)], 16, width=500, left=20)
    end = max(box[2] for box in boxes) + 30
    left.paste(other, (end, 0))
    lines = find_lines(ink_map(left))
    assert len(lines) == 20
    assert all(line.box[2] <= end for line in lines[:10]) and all(line.box[0] >= end for line in lines[10:])


@pytest.mark.parametrize("degrees", [-4.0, -1.5, 2.5, 6.0])
def test_a_page_on_the_slant_is_set_level_and_boxes_lead_back(degrees: float) -> None:
    page, boxes = draw_page([sentence(i, 6) for i in range(9)], 24, width=900, left=120)
    turned = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="#f4f1e8")
    ink = ink_map(turned)
    assert abs(skew(ink) - degrees) < 0.25 and skew(ink_map(page)) == 0
    pieces = cut_lines(set_level(turned))
    found = line_boxes(pieces)
    assert len(found) == 9
    angle, (cx, cy) = np.radians(degrees), (page.width / 2, page.height / 2)
    for box, true in zip(found, boxes):  # the middle of each line, turned by hand, lies in the middle of its box
        x, y = (true[0] + true[2]) / 2 - cx, (true[1] + true[3]) / 2 - cy
        middle = x * np.cos(angle) + y * np.sin(angle) + cx, -x * np.sin(angle) + y * np.cos(angle) + cy
        assert abs((box[0] + box[2]) / 2 - middle[0]) < 8 and abs((box[1] + box[3]) / 2 - middle[1]) < 8


@settings(max_examples=20)
@given(st.integers(10, 60), st.integers(2, 8), st.integers(0, 99))
def test_views_fit_hold_all_ink_and_letters_have_the_size_that_was_learnt(size: int, n: int, seed: int) -> None:
    page, _ = draw_page([sentence(seed + i, 7) for i in range(n)], size, width=size * 45)
    pieces = cut_lines(set_level(page))
    if not pieces:
        assert max(page.size) <= 512
        return
    assert {piece.row for piece in pieces} == set(range(n))
    for piece in pieces:
        assert piece.picture.height == 64 and piece.picture.width % 64 == 0 and piece.picture.width <= 512
        rows = np.flatnonzero((np.asarray(piece.picture.convert("L")) < 128).any(1))
        assert 10 <= rows[-1] - rows[0] + 1 <= 34
    for first, second in pairwise(pieces):
        if first.row == second.row:  # cut in a gap: the parts neither overlap nor leave ink between them
            between = ink_map(page)[first.box[1] : first.box[3], first.box[2] : second.box[0]]
            assert first.box[2] <= second.box[0] and not between.any()


def test_small_pictures_and_faint_print_are_cut_into_whole_lines() -> None:
    for size in (8, 20):
        page, _ = draw_page(["one line of text", "another line"], size, width=320)
        assert [piece.row for piece in cut_lines(set_level(page))] == [0, 1]
    strip, ((left, top, right, bottom),) = draw_page(["TOTAL SALES"], 20, width=260, left=8)
    level = set_level(strip.crop((0, 20, 260, 60)))
    parts = ((left, top - 20, right, top - 10), (left, top - 17, right, bottom - 20))
    broken = replace(level, lines=[Line((box,)) for box in parts])
    (piece,) = cut_lines(broken)
    assert near(piece.box, (left, top - 20, right, bottom - 20), 1)


def test_texts_are_joined_along_lines_and_then_down() -> None:
    pieces = [Piece(Image.new("RGB", (64, 64)), row, (0, 0, 1, 1)) for row in (0, 0, 1, 2)]
    assert join(["a  b ", "c", "", "d\ne"], pieces) == "a b c\nd e"


def test_receipts_of_the_real_world_are_cut_line_by_line() -> None:
    """Of the annotated boxes of 20 scanned receipts, 99% lie whole in one line; nearly as many lines as rows."""
    folder = shared_data("sroie")
    truth = json.loads((folder / "boxes_and_fields.json").read_text())
    whole = total = found = rows = 0
    for sample in json.loads((folder / "val.json").read_text()):
        page = open_image(folder / sample["image"])
        ink = ink_map(page)
        lines = find_lines(ink)
        found, rows = found + len(lines), rows + len(sample["answer"].splitlines())
        assert audit(lines, sample["answer"]).verdict == "ok"
        assert audit([], sample["answer"]).verdict == "invented" and audit(lines, "TOTAL").verdict == "missing"
        for x0, y0, x1, y1, _ in truth[sample["id"]]["boxes"]:
            if not ink[y0:y1, x0:x1].any():
                continue
            inside = [
                ink[max(y0, t) : max(0, min(y1, b)), max(x0, left) : max(0, min(x1, r))].sum()
                for left, t, r, b in (line.box for line in lines)
            ]
            whole, total = whole + (max(inside) >= 0.85 * ink[y0:y1, x0:x1].sum()), total + 1
    assert whole >= 0.99 * total and abs(found - rows) < 0.08 * rows
