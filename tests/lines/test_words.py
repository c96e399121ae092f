"""Boxes of words are at their positions, and words in a searchable PDF are extracted unchanged."""

import math
import random
import subprocess
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pypdfium2 as pdfium
import pytest
from helpers.drawn_page import WORDS
from helpers.shared_data import need_program
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import Piece, as_one_line, show_in_lines
from nanochat.lines.layout import find_lines
from nanochat.lines.words import strip_of, stroke_width
from nanochat.lines.words import word_boxes as boxes_in
from nanochat.reading.formats import write
from nanochat.reading.page import Page, Part, TextLine

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"


def word_boxes(piece: Piece, text: str) -> list[Box]:
    return boxes_in(piece, text, strip_of(piece))


Drawn = list[tuple[str, Box]]  # words and the boxes of their ink
# font, size, paper, ink, degrees of rotation of the page, whether it has two columns
SHEETS = [
    ("DejaVuSans.ttf", 22, "#ffffff", "#000000", 0.0, False),
    ("DejaVuSerif.ttf", 18, "#f4f1e8", "#222222", 0.0, True),
    ("DejaVuSansMono.ttf", 20, "#ffffff", "#303030", 0.0, False),
    ("DejaVuSans-Bold.ttf", 24, "#dddddd", "#101010", 0.0, False),
    ("DejaVuSerif-Italic.ttf", 22, "#ffffff", "#000000", 0.0, True),
    ("DejaVuSans-Oblique.ttf", 16, "#ffffff", "#000040", 0.0, False),
    ("DejaVuSansMono-Bold.ttf", 26, "#202060", "#ffffff", 0.0, False),
    ("DejaVuSerif-Bold.ttf", 20, "#ffffff", "#800000", 0.4, False),
    ("DejaVuSans.ttf", 30, "#ffffff", "#777777", -0.4, False),
    ("STIXGeneral.ttf", 24, "#ffffff", "#000000", 0.0, True),
]
MORE = [
    "+",
    "&",  # no hyphen, because poppler joins a word that ends in one with the next line
    "1",
    "I",
    "12,50",
    "a.b@c.de",
    "Łódź",
    "naïve",
    "MWQ",
    "illicit",
    "3",
    "x",
    "(left)",
]


def draw(number: int) -> tuple[Image.Image, list[Drawn]]:
    """A page and the words of each of its rows, column by column."""
    name, size, paper, ink, degrees, columns = SHEETS[number]
    rng, font = random.Random(number), ImageFont.truetype(str(FONTS / name), size)
    page = Image.new("RGB", (900, 900), paper)
    pen, rows = ImageDraw.Draw(page), []
    for left, right in ((60, 430), (490, 860)) if columns else ((60, 860),):
        for i in range(10):
            row, x, y = [], left, 60 + i * round(1.7 * size)
            while True:
                word = rng.choice(WORDS + MORE)
                if x + font.getlength(word) > right:
                    break
                pen.text((x, y), word, font=font, fill=ink)
                row.append((word, tuple(map(round, pen.textbbox((x, y), word, font=font)))))
                x += font.getlength(word + " ")
            rows.append(row)
    return page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=paper), [turned(row, degrees) for row in rows]


def turned(row: Drawn, degrees: float) -> Drawn:
    """The boxes of words after a rotation of their page of 900 x 900 pixels, moved with their centres."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    found = []
    for word, (left, top, right, bottom) in row:
        x, y = (left + right) / 2 - 450, (top + bottom) / 2 - 450
        dx, dy = x * cos + y * sin - x, -x * sin + y * cos - y
        found.append((word, tuple(round(v) for v in (left + dx, top + dy, right + dx, bottom + dy))))
    return found


def inside(box: Box, piece: Piece) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return piece.box[0] <= x < piece.box[2] and piece.box[1] <= y < piece.box[3]


def shown(number: int) -> tuple[Image.Image, list[list[tuple[Piece, Drawn]]]]:
    """A page and, for each drawn row, its pieces from the line detector with their words."""
    page, rows = draw(number)
    pieces = show_in_lines(page, find_lines(page))
    found = []
    for row in rows:
        some = [(piece, [word for word in row if inside(word[1], piece)]) for piece in pieces]
        found.append(sorted([(p, words) for p, words in some if words], key=lambda pair: pair[0].box[0]))
        assert [word for _, words in found[-1] for word in words] == row, "a word was cut, or is on no piece"
    return page, found


@pytest.mark.parametrize("number", range(len(SHEETS)))
def test_words_are_found_at_their_positions(number: int) -> None:
    """Each edge is within a third of the type height of the ink, and no word overlaps the next one."""
    size = SHEETS[number][1]
    for row in shown(number)[1]:
        for piece, words in row:
            boxes = word_boxes(piece, " ".join(word for word, _ in words))
            assert len(boxes) == len(words)
            off = np.abs(np.array(boxes)[:, [0, 2]] - np.array([box for _, box in words])[:, [0, 2]])
            assert off.max() <= max(3, size / 3), (piece.box, words, boxes)
            assert all(a[2] <= b[0] + 1 for a, b in pairwise(boxes))


def test_words_are_separated_by_the_text_not_the_widest_gap() -> None:
    """Letter-spaced text has gaps as wide as spaces. The number of letters of each word decides which are spaces."""
    font = ImageFont.truetype(str(FONTS / "DejaVuSans.ttf"), 24)
    page = Image.new("RGB", (700, 120), "white")
    pen, x = ImageDraw.Draw(page), 40.0
    starts = {}
    for i, letter in enumerate("INVOICE for 12"):
        if letter != " ":
            pen.text((x, 40), letter, font=font, fill="black")
            starts[i] = x
        x += font.getlength(letter) + 5
    (piece,) = show_in_lines(page, find_lines(page))
    boxes = word_boxes(piece, "INVOICE for 12")
    assert [box[0] for box in boxes] == pytest.approx([starts[0], starts[8], starts[12]], abs=5)


def test_rules_of_a_table_are_not_part_of_its_words() -> None:
    font = ImageFont.truetype(str(FONTS / "DejaVuSerif.ttf"), 22)
    page = Image.new("RGB", (700, 140), "white")
    pen, drawn = ImageDraw.Draw(page), []
    for x, text in ((60, "Lamp oil"), (220, "0.952"), (330, "0.909")):
        pen.text((x, 50), text, "black", font)
        drawn.append(pen.textbbox((x, 50), text, font=font))
    for x in (50, 205, 315, 410):
        pen.line((x, 20, x, 110), "black", 2)
    pieces = sorted(show_in_lines(page, find_lines(page)), key=lambda piece: piece.box[0])
    texts = {1: ["Lamp oil 0.952 0.909"], 2: ["Lamp oil", "0.952 0.909"], 3: ["Lamp oil", "0.952", "0.909"]}[
        len(pieces)
    ]
    boxes = [box for piece, text in zip(pieces, texts) for box in word_boxes(piece, text)]
    assert boxes[0][0] == pytest.approx(drawn[0][0], abs=3)
    for box, (left, _, right, _) in zip(boxes[1:], drawn):
        assert box[2] == pytest.approx(right, abs=3) and (box[0] == pytest.approx(left, abs=3) or left == drawn[0][0])


def test_bold_strokes_are_thicker() -> None:
    def width(name: str) -> float:
        font, page = ImageFont.truetype(str(FONTS / name), 24), Image.new("RGB", (700, 100), "white")
        ImageDraw.Draw(page).text((40, 30), "Sphinx of black quartz, judge my vow", "black", font)
        return stroke_width(strip_of(show_in_lines(page, find_lines(page))[0]))

    for family in ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono"):
        assert width(f"{family}-Bold.ttf") > 1.2 * width(f"{family}.ttf") > 0
    assert stroke_width(strip_of(as_one_line(Image.new("RGB", (300, 60), "white")))) == 0


def test_image_without_ink_or_course_has_no_boxes() -> None:
    page = Image.new("RGB", (300, 60), "white")
    assert word_boxes(as_one_line(page), "made up") == []
    piece, _ = shown(0)[1][0][0]
    assert word_boxes(piece, "  ") == []
    blank = Piece(Image.new("RGB", piece.picture.size, "white"), 0, piece.box, piece.course)
    assert word_boxes(blank, "made up") == []


@pytest.mark.parametrize("number", range(len(SHEETS)))
def test_words_of_a_searchable_pdf_equal_the_text(number: int, tmp_path: Path) -> None:
    """They are extracted exactly, in order and separated, by pdftotext of poppler and by pdfium."""
    need_program("pdftotext", "poppler-utils")
    page, rows = shown(number)
    lines = []
    for row in rows:
        texts = [" ".join(word for word, _ in words) for _, words in row]
        parts = [Part(text, piece.box, word_boxes(piece, text)) for text, (piece, _) in zip(texts, row)]
        lines.append(TextLine(" ".join(texts), union(part.box for part in parts), 0.9, 0.9, parts=parts))
    text = "\n".join(line.text for line in lines)
    result = Page(text, 1, 1, 1, 0.1, "end", "lines", width=900, height=900, lines=lines).to_dict()
    entry = {"page": 1, "state": "ok", "why": "", "result": result}
    write(path := tmp_path / "page.pdf", "pdf", "page.png", iter([entry]), lambda page_number: page, dpi=110)
    poppler = subprocess.run(["pdftotext", str(path), "-"], capture_output=True, text=True, check=True).stdout
    assert poppler.split() == text.split()
    assert pdfium.PdfDocument(path)[0].get_textpage().get_text_range().split() == text.split()
