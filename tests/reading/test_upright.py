"""Pages on their side or upside down are read like upright ones, and positions refer to the original."""

import subprocess
import sys
from pathlib import Path

import img2pdf
import numpy as np
import pypdfium2 as pdfium
import pytest
from helpers.drawn_page import FONT, draw_page
from helpers.shared_data import need_program
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box, turn_box
from nanochat.reading import orientation
from nanochat.reading.formats import write
from nanochat.reading.job import why_it_ended
from nanochat.reading.ocr import OCR
from nanochat.reading.orientation import CLOCKWISE, Sight, best_turn, turn
from nanochat.reading.page import Page
from nanochat.reading.placed_text import PlacedText, placed_lines, words_of

TEXTS = [
    "Minutes of the meeting", "The board met at nine and", "agreed to paint the harbour", "bridge before the winter.",
    "Nobody asked for the bill.", "Paid by card 12.50",
]  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> OCR:
    return OCR("nano", "cpu")


@pytest.fixture(scope="module")
def sheet() -> Image.Image:
    return draw_page(TEXTS, 24, width=520)[0]


@pytest.fixture(scope="module")
def upright(reader: OCR, sheet: Image.Image) -> Page:
    return reader.read(sheet)


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_box_rotates_with_its_image(width: int, height: int, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    picture = Image.new("L", (width, height))
    picture.paste(255, (left, top, right, bottom))
    box: Box = (left, top, right, bottom)
    assert turn_box(box, 0, picture.size) == box
    for degrees in CLOCKWISE:
        turned = turn(picture, degrees)
        assert turn_box(box, degrees, picture.size) == turned.getbbox()
        assert turn_box(turn_box(box, degrees, picture.size), -degrees, turned.size) == box


@pytest.mark.parametrize("degrees", CLOCKWISE)
def test_page_is_read_in_any_orientation(reader: OCR, sheet: Image.Image, upright: Page, degrees: int) -> None:
    assert upright.text.splitlines() == TEXTS and upright.turned == 0
    lying = turn(sheet, degrees)
    page = reader.read(lying)
    assert (page.turned, page.text) == ((360 - degrees) % 360, upright.text)
    assert why_it_ended(page) == f"it was read turned by {360 - degrees} degrees clockwise"
    assert (page.width, page.height) == lying.size
    assert page.markdown == upright.markdown, "paragraphs are seen on the page as it is read"
    assert page.vision_tokens > upright.vision_tokens, "what it took to find out is counted"
    for line, as_it_is in zip(page.lines, upright.lines, strict=True):
        assert line.box is not None and as_it_is.box is not None
        assert line.box == turn_box(as_it_is.box, degrees, sheet.size)
        assert [part.box for part in line.parts] == [turn_box(p.box, degrees, sheet.size) for p in as_it_is.parts]


@pytest.mark.parametrize("degrees", [0, *CLOCKWISE])
def test_words_are_over_their_letters_in_every_format(
    reader: OCR, sheet: Image.Image, upright: Page, degrees: int, tmp_path: Path
) -> None:
    lying = turn(sheet, degrees) if degrees else sheet
    result = (reader.read(lying) if degrees else upright).to_dict()
    entry = {"page": 1, "state": "ok", "why": "", "result": result}
    ink = np.asarray(lying.convert("L")) < 128
    words = [word for line in placed_lines(entry) for word in words_of(line)]
    assert [word for word, _ in words] == " ".join(TEXTS).split()
    for _, (left, top, right, bottom) in words:
        assert ink[top:bottom, left:right].any()
    across = dict(words)["harbour"]
    assert (across[2] - across[0] > across[3] - across[1]) == (degrees in (0, 180)), "along the line"

    write(tmp_path / "a.hocr", "hocr", "a.png", [entry], lambda number: lying)
    assert ("textangle" in (tmp_path / "a.hocr").read_text()) == (degrees != 0)
    write(tmp_path / "a.pdf", "pdf", "a.png", [entry], lambda number: lying, dpi=72)
    text = pdfium.PdfDocument(tmp_path / "a.pdf")[0].get_textpage()
    whole = text.get_text_range()
    for line in placed_lines(entry):
        start = whole.index(line.text)
        first, last = text.get_charbox(start), text.get_charbox(start + len(line.text) - 1)  # left, bottom, right, top
        found = min(first[0], last[0]), lying.height - max(first[3], last[3]), max(first[2], last[2])
        left, top, right, bottom = line.box
        rows, columns = np.nonzero(ink[top:bottom, left:right])
        letters = left + columns.min(), top + rows.min(), left + columns.max()
        assert all(abs(a - b) < 12 for a, b in zip(found, letters)), "the text lies over the picture's letters"


def test_orientation_needs_a_clear_advantage() -> None:
    hard = Sight(300, 0.82)
    assert best_turn(hard, {}) == 0
    assert best_turn(hard, {180: Sight(300, 0.86)}) == 0, "upside down, figures seem readable"
    assert best_turn(hard, {180: Sight(300, 0.97), 90: Sight(200, 0.92)}) == 180
    assert best_turn(Sight(300, 0.94), {180: Sight(300, 0.96)}) == 0
    assert best_turn(Sight(300, 0.94), {180: Sight(300, 0.99)}) == 180
    assert best_turn(Sight(300, 0.6), {180: Sight(300, 0.75)}) == 0, "not sure of either"
    assert best_turn(Sight(10, 0.99), {90: Sight(600, 0.9), 270: Sight(600, 0.8)}) == 90, "on its side"
    assert best_turn(Sight(10, 0.99), {90: Sight(40, 0.7)}) == 0, "a note in a margin, perhaps"
    assert best_turn(Sight(3, 0.99), {90: Sight(40, 0.98)}) == 90


def test_a_nearly_blank_page_that_is_read_surely_is_searched_on_its_side_once(
    reader: OCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Image.new("RGB", (900, 1200), "white")
    font = ImageFont.truetype(FONT, 24)
    ImageDraw.Draw(page).text((120, 300), "The parcel of 12 May has arrived.", fill="black", font=font)
    searched = []
    monkeypatch.setattr(orientation, "find_segments", lambda picture: searched.append(picture.size) or [])
    read = reader.read(page)
    assert read.mean_probability > 0.95 and read.turned == 0 and searched == [(1200, 900)]


def test_words_are_separated_along_vertical_lines() -> None:
    box = (10, 20, 30, 120)
    assert list(words_of(PlacedText("ab cdefghi", box, 90, turned=270))) == [
        ("ab", (10, 20, 30, 40)), ("cdefghi", (10, 50, 30, 120)),
    ]  # fmt: skip
    assert list(words_of(PlacedText("ab cdefghi", box, 90, turned=90))) == [
        ("ab", (10, 100, 30, 120)), ("cdefghi", (10, 20, 30, 90)),
    ]  # fmt: skip


def test_image_without_text_is_not_turned(reader: OCR) -> None:
    photo = np.linspace(0, 255, 400 * 300).reshape(300, 400).astype(np.uint8)
    page = reader.read(Image.fromarray(photo).convert("RGB"))
    assert (page.turned, page.text) == (0, "")


@pytest.mark.parametrize("degrees", [90, 180])
def test_ocrmypdf_turns_pages(tmp_path: Path, degrees: int) -> None:
    need_program("tesseract", "tesseract-ocr")
    sheet = Image.new("RGB", (620, 800), "white")
    draw = ImageDraw.Draw(sheet)
    for i, text in enumerate(TEXTS):
        draw.text((60, 80 + 50 * i), text, font=ImageFont.truetype(str(FONT), 28), fill="black")
    turn(sheet, degrees).save(tmp_path / "scan.png", dpi=(72, 72))
    (tmp_path / "scan.pdf").write_bytes(img2pdf.convert(str(tmp_path / "scan.png")))
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", "nanochat.ocrmypdf_plugin", "--rotate-pages"]
    done = subprocess.run(
        [*command, "--output-type=pdf", tmp_path / "scan.pdf", tmp_path / "out.pdf"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    document = pdfium.PdfDocument(tmp_path / "out.pdf")
    page = document[0]
    shown = np.asarray(page.render(scale=1).to_pil().convert("L"))
    assert shown.shape == (800, 620) and np.abs(shown - np.asarray(sheet.convert("L"), int)).mean() < 8
    assert "".join(page.get_textpage().get_text_range().split()) == "".join("".join(TEXTS).split())
