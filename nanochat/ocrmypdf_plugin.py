"""Plugin for OCRmyPDF, which makes scans searchable and preserves the other contents of a PDF.

    ocrmypdf --plugin nanochat.ocrmypdf_plugin scan.pdf searchable.pdf

OCRmyPDF cleans, turns and renders the pages; a model reads them, and OCRmyPDF places the text under the image.
"""

import argparse
import logging
import threading
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ocrmypdf import hookimpl
from ocrmypdf.exceptions import BadArgsError
from ocrmypdf.hocrtransform import BoundingBox, OcrClass, OcrElement
from ocrmypdf.pluginspec import OcrEngine, OrientationConfidence
from PIL import Image
from pydantic import BaseModel

from nanochat.errors import UserError
from nanochat.reading.confidence import confidence
from nanochat.reading.ocr import OCR, find_model
from nanochat.reading.page import Page
from nanochat.reading.placed_text import PlacedText, placed_lines, words_of

log = logging.getLogger(__name__)
CERTAIN = 15.0  # confidence from 0 to 15: the orientation is always certain
ONE_AT_A_TIME = threading.Lock()  # OCRmyPDF passes pages from many threads; the model takes one at a time


class NanoOptions(BaseModel):
    """Options of the plugin on the command line."""

    checkpoint: str = "nano"
    mode: str = ""


@cache
def _model(checkpoint: str, mode: str) -> OCR:
    return OCR(checkpoint, mode=mode)


def _read(picture: Image.Image, options: Any) -> Page:
    given = options.nano
    with ONE_AT_A_TIME:
        return _model(given.checkpoint, given.mode).read(picture)


def _lines(page: Page) -> list[PlacedText]:
    """The lines with their boxes; lines without a box are spread over the height of the page."""
    found = placed_lines({"result": page.to_dict()})
    texts = [line for line in page.text.splitlines() if line.strip()]
    if found or not texts:
        return found
    pitch = page.height / len(texts)
    boxes = [(0, round(i * pitch), page.width, round((i + 1) * pitch)) for i in range(len(texts))]
    return [PlacedText(text, box, confidence(page.mean_probability)) for text, box in zip(texts, boxes)]


def _element(kind: str, line: PlacedText) -> OcrElement:
    angle = line.turned or None
    return OcrElement(kind, BoundingBox(*line.box), text=line.text, confidence=line.confidence / 100, textangle=angle)


class NanoEngine(OcrEngine):
    """Reads pages with a trained model."""

    @staticmethod
    def version() -> str:
        return metadata.version("nano-deepseek-ocr")

    @staticmethod
    def creator_tag(options: Any) -> str:
        return "nano-deepseek-ocr"

    def __str__(self) -> str:
        return "nano-deepseek-ocr"

    @staticmethod
    def languages(options: Any) -> set[str]:
        """All languages, because the model does not use the language."""
        return {"eng", *(options.languages or [])}

    @staticmethod
    def get_orientation(input_file: Path, options: Any) -> OrientationConfidence:
        """The angle by which a page was turned clockwise, found by reading it; `--rotate-pages` turns it back."""
        with Image.open(input_file) as picture, suppress(UserError):
            if turned := _read(picture, options).turned:
                return OrientationConfidence(360 - turned, CERTAIN)
        return OrientationConfidence(angle=0, confidence=0.0)

    @staticmethod
    def get_deskew(input_file: Path, options: Any) -> float:
        """0: pages are assumed to be straight."""
        return 0.0

    @staticmethod
    def supports_generate_ocr() -> bool:
        return True

    @staticmethod
    def generate_ocr(input_file: Path, options: Any, page_number: int = 0) -> tuple[OcrElement, str]:
        """(lines and words with boxes, text) of a page; empty for a page that cannot be read, with a warning."""
        with Image.open(input_file) as picture:
            width, height = picture.size
            dpi = float(picture.info.get("dpi", (72, 72))[0])
            try:
                page = _read(picture, options)
                text, placed = page.text, _lines(page)
            except UserError as error:
                log.warning("page %d has no text: %s", page_number + 1, error)
                text, placed = "", []
        lines = []
        for line in placed:
            element = _element(OcrClass.LINE, line)
            words = [PlacedText(text, box, line.confidence, turned=line.turned) for text, box in words_of(line)]
            element.children = [_element(OcrClass.WORD, word) for word in words]
            lines.append(element)
        box = BoundingBox(0, 0, width, height)
        return OcrElement(OcrClass.PAGE, box, dpi=dpi, page_number=page_number, children=lines), text

    @staticmethod
    def generate_hocr(input_file: Path, output_hocr: Path, output_text: Path, options: Any) -> None:
        raise NotImplementedError("OCRmyPDF 17 asks for generate_ocr instead")

    @staticmethod
    def generate_pdf(input_file: Path, output_pdf: Path, output_text: Path, options: Any) -> None:
        raise BadArgsError("--pdf-renderer sandwich is for Tesseract: leave it out")


@hookimpl
def register_options() -> dict[str, type[BaseModel]]:
    return {"nano": NanoOptions}


@hookimpl
def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("nano-deepseek-ocr")
    group.add_argument("--nano-checkpoint", default="nano", help="step_N.pt, an exported folder, or nano")
    group.add_argument("--nano-mode", default="", help="how pages are shown, as in nano-ocr read")


@hookimpl
def check_options(options: Any) -> None:
    try:
        if not find_model(options.nano.checkpoint).exists():
            raise UserError(f"{options.nano.checkpoint}: no such checkpoint")
    except UserError as error:
        raise BadArgsError(str(error)) from error


@hookimpl(tryfirst=True)
def get_ocr_engine(options: Any) -> OcrEngine | None:
    if options is not None and options.ocr_engine == "none":
        return None
    return NanoEngine()
