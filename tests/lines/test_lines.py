"""Lines of text are detected at their positions, complete and in order, and cut into views that nano can read."""

import json
from itertools import pairwise

import numpy as np
import pytest
from helpers.drawn_page import FONT, draw_page, sentence
from helpers.shared_data import shared_data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

from nanochat.image_process import open_image
from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import MARGIN, TYPE_HEIGHT, Piece, as_one_line, cut_lines, join
from nanochat.lines.layout import Line, find_lines
from nanochat.lines.segment import Segment
from nanochat.reading.ink_audit import audit
from nanochat.synth import LEVELS, draw_document
from nanochat.synth.document import DrawnDocument


def near(found: Box, true: tuple[int, ...], slack: int = 4) -> bool:
    return all(abs(a - b) <= slack for a, b in zip(found, true))


def cut(page: Image.Image) -> list[Piece]:
    return cut_lines(page, find_lines(page))


def line_boxes(pieces: list[Piece]) -> list[Box]:
    """The bounding box of the pieces of each line."""
    rows = sorted({piece.row for piece in pieces})
    return [union([piece.box for piece in pieces if piece.row == row]) for row in rows]


@settings(max_examples=12)
@given(st.integers(11, 40), st.integers(1, 12), st.integers(0, 99), st.booleans())
def test_every_drawn_line_is_found_at_its_position(size: int, n: int, seed: int, inverted: bool) -> None:
    colours = {"paper": "#203040", "ink": "#fafafa"} if inverted else {}
    page, boxes = draw_page([sentence(seed + i) for i in range(n)], size, width=size * 40, **colours)
    lines = find_lines(page)
    assert len(lines) == n
    # true boxes are those of the ink, detected ones include ascenders and descenders
    for line, (left, top, right, bottom) in zip(lines, boxes):
        found = line.box
        assert abs(found[0] - left) <= 4 + size // 3 and abs(found[2] - right) <= 4 + size // 3
        assert found[1] <= top + size // 4 and found[3] >= bottom - size // 4 and found[3] - found[1] < 1.9 * size


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (256, 64), (300, 200), (2000, 64), (64, 2000), (512, 512)])
def test_page_without_lines_has_the_height_of_a_line(size: tuple[int, int]) -> None:
    piece = as_one_line(Image.new("RGB", size, "#eeeeee"))
    width, height = piece.picture.size
    assert height == 64 and width % 64 == 0 and width <= 512
    assert (piece.row, piece.box) == (0, (0, 0, *size))
    assert (np.asarray(piece.picture) == 0xEE).all()


def test_blank_page_frame_and_grain_have_no_lines() -> None:
    blank = Image.new("RGB", (600, 800), "#eeeeee")
    framed = blank.copy()
    ImageDraw.Draw(framed).rectangle((50, 50, 500, 700), outline="black", width=3)
    grain = np.random.default_rng(0).normal(200, 6, (800, 600, 3)).clip(0, 255).astype(np.uint8)
    for page in (blank, framed, Image.fromarray(grain), Image.new("RGB", (1, 1)), Image.new("RGB", (20_000, 100))):
        assert find_lines(page) == []


def test_prices_stay_with_their_items_and_columns_do_not_mix() -> None:
    page, boxes = draw_page([f"article {i}" for i in range(8)], 20)
    right, _ = draw_page([f"{i}.50" for i in range(8)], 20)
    page.paste(right.crop((0, 0, 200, page.height)), (480, 0))
    lines = find_lines(page)
    assert len(lines) == 8 and all(line.box[2] > 500 for line in lines)
    pieces = cut(page)
    assert [piece.row for piece in pieces] == sorted([*range(8), *range(8)]), "an article and its price are two pieces"
    assert join([str(i) for i in range(16)], pieces).splitlines() == [f"{i} {i + 1}" for i in range(0, 16, 2)]

    left, boxes = draw_page([sentence(i, 6) for i in range(10)], 16, width=1100, left=20)
    other, _ = draw_page([sentence(i + 50, 6) for i in range(10)], 16, width=500, left=20)
    end = max(box[2] for box in boxes) + 15
    left.paste(other, (end, 0))
    lines = find_lines(left)
    assert len(lines) == 20
    assert all(line.box[2] <= end + 16 for line in lines[:10]) and all(line.box[0] >= end for line in lines[10:])


@pytest.mark.parametrize("degrees", [-6.0, -1.5, 2.5, 8.0])
def test_tilted_lines_are_levelled_and_boxes_keep_their_positions(degrees: float) -> None:
    page, boxes = draw_page([sentence(i, 6) for i in range(9)], 24, width=900, left=120)
    turned = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="#f4f1e8")
    pieces = cut(turned)
    found = line_boxes(pieces)
    assert len(found) == 9
    angle, (cx, cy) = np.radians(degrees), (page.width / 2, page.height / 2)
    for box, true in zip(found, boxes):  # the rotated centre of each line is the centre of its box
        x, y = (true[0] + true[2]) / 2 - cx, (true[1] + true[3]) / 2 - cy
        middle = x * np.cos(angle) + y * np.sin(angle) + cx, -x * np.sin(angle) + y * np.cos(angle) + cy
        assert abs((box[0] + box[2]) / 2 - middle[0]) < 8 and abs((box[1] + box[3]) / 2 - middle[1]) < 8
    for piece in pieces:  # level: all its ink fits between two lines one type height apart
        rows = np.flatnonzero((np.asarray(piece.picture.convert("L")) < 128).any(1))
        assert rows[-1] - rows[0] + 1 <= 1.1 * TYPE_HEIGHT


@settings(max_examples=12)
@given(st.integers(12, 60), st.integers(2, 8), st.integers(0, 99))
def test_views_contain_all_ink_at_the_trained_type_size(size: int, n: int, seed: int) -> None:
    page, _ = draw_page([sentence(seed + i, 7) for i in range(n)], size, width=size * 45)
    pieces = cut(page)
    assert {piece.row for piece in pieces} == set(range(n))
    for piece in pieces:
        assert piece.picture.height == 64 and piece.picture.width % 64 == 0 and piece.picture.width <= 512
        ink = np.asarray(piece.picture.convert("L")) < 128
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        assert 10 <= rows[-1] - rows[0] + 1 <= 34 and columns[0] >= MARGIN
    inked = (np.asarray(page.convert("L")) < 128).any(0).nonzero()[0]
    boxes = [piece.box for piece in pieces]
    assert min(box[0] for box in boxes) <= inked[0] + 2 and max(box[2] for box in boxes) >= inked[-1] - 2


def test_long_line_is_cut_between_words() -> None:
    page, _ = draw_page([sentence(3, 30)], 24, width=24 * 160)
    pieces = cut(page)
    ink = (np.asarray(page.convert("L")) < 128).any(0)
    assert len(pieces) > 2 and {piece.row for piece in pieces} == {0}
    for first, second in pairwise(pieces):
        cut_at = (first.box[2] + second.box[0]) // 2
        assert abs(first.box[2] - second.box[0]) <= 2 and not ink[cut_at - 1 : cut_at + 2].any()


def read_perfectly(pieces: list[Piece], document: DrawnDocument) -> str:
    """The text of a perfect reader of the pieces: of each piece, the letters whose centres are in its box."""
    inked = document.inked
    texts = []
    for piece in pieces:
        left, top, right, bottom = piece.box
        x, y = document.centres.T
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        lines = np.unique(document.line_ids[inside & inked])
        middle = [abs(y[inside & (document.line_ids == line)].mean() - (top + bottom) / 2) for line in lines]
        its = inside & (document.line_ids == lines[int(np.argmin(middle))]) if len(lines) else inside
        texts.append("".join(document.chars[i] for i in np.flatnonzero(its)))
    return join(texts, pieces)


@pytest.mark.parametrize(("split", "level", "most"), [("unseen", "note", 0.02), ("hard", "note", 0.04),
                                                      ("val", "page", 0.06), ("hard", "line384", 0.02)])  # fmt: skip
def test_perfect_reader_of_the_pieces_reads_the_document(split: str, level: str, most: float) -> None:
    wrong = characters = 0
    for i in range(12):
        document = draw_document(LEVELS[level], i, split)
        pieces = cut(Image.fromarray(document.image).convert("RGB"))
        text, truth = (" ".join(text.split()) for text in (read_perfectly(pieces, document), document.text))
        wrong, characters = wrong + Levenshtein.distance(text, truth), characters + len(truth)
    assert wrong <= most * characters


def test_texts_are_joined_within_lines_and_then_by_newlines() -> None:
    pieces = [Piece(Image.new("RGB", (64, 64)), row, (0, 0, 1, 1)) for row in (0, 0, 1, 2)]
    assert join(["a  b ", "c", "", "d\ne"], pieces) == "a b c\nd e"


def test_curled_line_is_straightened() -> None:
    page = np.full((200, 420, 3), 255, np.uint8)
    x = np.arange(20, 400)
    y = 100 + 12 * np.sin(x / 130)
    for column, middle in zip(x, y):
        page[round(middle) - 2 : round(middle) + 3, column] = 0
    points = np.stack([x, y], 1).astype(float)[::4]
    (piece,) = cut_lines(Image.fromarray(page), [Line((Segment(points, 26.0),))])
    rows = np.flatnonzero((np.asarray(piece.picture.convert("L")) < 128).any(1))
    assert rows[-1] - rows[0] + 1 <= 9 and abs((rows[0] + rows[-1]) / 2 - 32.5) < 3, "24 px up and down before"


def test_real_receipts_are_cut_line_by_line() -> None:
    """95% of the annotated boxes of 20 receipts are within one line, and there are nearly as many lines as rows."""
    folder = shared_data("sroie")
    truth = json.loads((folder / "boxes_and_fields.json").read_text())
    whole = total = found = rows = 0
    for sample in json.loads((folder / "val.json").read_text()):
        page = open_image(folder / sample["image"])
        lines = find_lines(page)
        found, rows = found + len(lines), rows + len(sample["answer"].splitlines())
        assert audit(lines, sample["answer"]).verdict == "ok"
        assert audit([], sample["answer"]).verdict == "invented" and audit(lines, "TOTAL").verdict == "missing"
        for x0, y0, x1, y1, _ in truth[sample["id"]]["boxes"]:
            middle = (y0 + y1) / 2
            over = [s.box for line in lines for s in line.segments if s.box[1] < middle < s.box[3]]
            seen = sum(max(0, min(x1, right) - max(x0, left)) for left, _, right, _ in over)
            whole, total = whole + (seen >= 0.85 * (x1 - x0)), total + 1
    assert whole >= 0.95 * total and abs(found - rows) < 0.08 * rows


@pytest.mark.parametrize("degrees", [-1.4, -0.8, 0.8, 1.4])
def test_distant_prices_stay_with_their_items_on_a_tilted_receipt(degrees: float) -> None:
    """The words are too short to show the slope, and there is nothing else on the page."""
    page, _ = draw_page([f"tea {i}" for i in range(12)], 18, width=620, left=30)
    prices, _ = draw_page([f"{i}.50" for i in range(12)], 18, width=120, left=0)
    page.paste(prices, (480, 0))
    tilted = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="#f4f1e8")
    lines = find_lines(tilted)
    assert len(lines) == 12 and all(len(line.segments) == 2 for line in lines)


def test_line_of_a_long_strip_is_found_completely() -> None:
    page, ((left, _, right, _),) = draw_page([sentence(0, 110)], 36, width=12_000)
    strip = page.crop((0, 30, 12_000, 120))
    (line,) = find_lines(strip)
    assert line.box[0] < left + 20 and line.box[2] > min(right, 12_000) - 40


@settings(max_examples=8)
@given(st.integers(8, 9), st.integers(3, 9), st.integers(0, 99))
def test_every_line_of_dense_small_print_below_larger_text_is_found(size: int, n: int, seed: int) -> None:
    page, _ = draw_page([sentence(seed + i) for i in range(9)], 18, width=600)
    font, pitch, top = ImageFont.truetype(str(FONT), size), round(1.12 * size), page.height
    sheet = Image.new("RGB", (page.width, top + pitch * n + 40), "#f4f1e8")
    sheet.paste(page)
    for i in range(n):
        ImageDraw.Draw(sheet).text((40, top + pitch * i), sentence(seed + i, 12), font=font, fill="#222222")
    lines = find_lines(sheet)
    found = [round((line.box[1] + line.box[3]) / 2 - top) // pitch for line in lines[9:]]
    assert sorted({*found}) == list(range(n)) and len(found) <= n + 1  # a line may be in two parts
    assert all(line.box[3] < top for line in lines[:9])


@pytest.mark.parametrize("name", ["sroie/images/sroie_133.jpg", "funsd/images/00283813.png"])
def test_fields_beside_an_address_are_read_from_top_to_bottom(name: str) -> None:
    with Image.open(shared_data(name)) as page:
        tops = [line.box[1] for line in find_lines(page.convert("RGB"))]
    assert len(tops) > 20
    assert tops == sorted(tops)
