"""The OCRmyPDF plugin: the pages of a scan are unchanged, with the text of the model below them."""

import io
import subprocess
import sys
from pathlib import Path

import img2pdf
import pypdfium2 as pdfium
import pytest
from helpers.drawn_page import draw_page, sentence
from helpers.shared_data import need_program
from helpers.tiny_server import tiny_checkpoint
from PIL import Image

from nanochat import ocrmypdf_plugin as plugin
from nanochat.errors import UserError
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page, Part, TextLine


@pytest.fixture(autouse=True)
def tesseract() -> None:
    """OCRmyPDF needs Tesseract even if a plugin reads."""
    need_program("tesseract", "tesseract-ocr")


def ocrmypdf(*arguments: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", "nanochat.ocrmypdf_plugin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_scan_becomes_searchable(tmp_path: Path) -> None:
    """Both pages contain the text that the model reads from their images, according to another library."""
    model = tiny_checkpoint(tmp_path, 256)
    pages = []
    for n in (4, 8):
        stored = io.BytesIO()
        draw_page([sentence(i) for i in range(n)])[0].save(stored, "PNG", dpi=(72, 72))
        pages.append(stored.getvalue())
    (tmp_path / "scan.pdf").write_bytes(img2pdf.convert(pages))
    out = tmp_path / "out.pdf"
    done = ocrmypdf("--output-type=pdf", "--nano-checkpoint", model, tmp_path / "scan.pdf", out)
    assert done.returncode == 0, done.stderr
    ocr, found = OCR(model, "cpu"), [page.get_textpage().get_text_range() for page in pdfium.PdfDocument(out)]
    expected = [ocr.read(page).text.split() for page in pages]
    assert [text.split() for text in found] == expected and all(expected) and expected[0] != expected[1]


def test_missing_model_is_reported_in_one_line(tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "white").save(tmp_path / "scan.pdf", resolution=100)
    done = ocrmypdf("--nano-checkpoint", "no/such.pt", tmp_path / "scan.pdf", tmp_path / "out.pdf")
    assert done.returncode == 1 and "no/such.pt: no such checkpoint" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.pdf").exists()


def page(text: str, lines: list[TextLine]) -> Page:
    return Page(
        text,
        vision_tokens=1,
        tokens=1,
        seconds=0.1,
        most_vision_tokens=1,
        stopped="end",
        width=300,
        height=200,
        lines=lines,
    )


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (300, 200), "white").save(tmp_path / "page.png", dpi=(150, 150))
    return tmp_path / "page.png"


def test_lines_and_words_are_at_their_positions(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = TextLine("ab cdef", (100, 20, 170, 40), 0.5, 0.1)
    monkeypatch.setattr(plugin, "_read", lambda image, options: page("ab cdef", [line]))
    element, text = plugin.NanoEngine.generate_ocr(picture, None, 3)
    assert (text, element.page_number, element.bbox.right, round(element.dpi)) == ("ab cdef", 3, 300, 150)
    words = [(word.text, word.bbox.left, word.bbox.right) for word in element.children[0].children]
    assert words == [("ab", 100, 120), ("cdef", 130, 170)]


def test_words_are_at_the_positions_of_their_letters(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [(100, 20, 110, 40), (150, 20, 170, 40)]
    line = TextLine("ab cdef", (100, 20, 170, 40), 0.5, 0.1, parts=[Part("ab cdef", (100, 20, 170, 40), boxes)])
    monkeypatch.setattr(plugin, "_read", lambda image, options: page("ab cdef", [line]))
    element, _ = plugin.NanoEngine.generate_ocr(picture, None)
    words = [(word.text, word.bbox.left, word.bbox.right) for word in element.children[0].children]
    assert words == [("ab", 100, 110), ("cdef", 150, 170)]


def test_text_without_a_position_can_be_found(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_read", lambda image, options: page("one\n\ntwo", []))
    element, _ = plugin.NanoEngine.generate_ocr(picture, None)
    assert [(line.text, line.bbox.top, line.bbox.bottom) for line in element.children] == [
        ("one", 0, 100),
        ("two", 100, 200),
    ]


def test_unreadable_page_stays_an_image(picture: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def fail(image, options):
        raise UserError("no room for an answer")

    monkeypatch.setattr(plugin, "_read", fail)
    element, text = plugin.NanoEngine.generate_ocr(picture, None, 6)
    assert (text, element.children) == ("", []) and "page 7 has no text: no room for an answer" in caplog.text
