"""`nano-ocr score`: how well a model reads your own documents, with the text layer of born-digital PDFs as reference.

Each page is rendered, optionally degraded, and read. The text layer is not a perfect reference: its order is that of
the program that wrote the PDF, and text in images is not part of it.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from pypdfium2 import PdfiumError
from rich.table import Table

from nanochat.errors import UserError
from nanochat.evaluation.compression import compression_curve, plot_compression
from nanochat.evaluation.losses import THUMBNAIL
from nanochat.evaluation.measure import (
    ModeReading,
    Progress,
    per_cent,
    plain_figures,
    progress_bars,
    read_in_mode,
    results_table,
    wide_console,
)
from nanochat.evaluation.report import pairs_html, write_page
from nanochat.evaluation.score_report import card_html, plot_html, table_html
from nanochat.evaluation.scores import Estimate, PageScore, summarise_pages
from nanochat.files import write_text
from nanochat.reading.documents import PDF, PDFIUM, POINTS, open_document
from nanochat.reading.ocr import OCR
from nanochat.reading.sources import EVERY_PAGE, Selection, Source
from nanochat.tasks.eval_set import EvalSet, reading

SOFT_HYPHENS = {"\x02": "-", "\ufffe": "-", "\xad": "-"}  # hyphens at line ends in pdfium and Unicode


class PdfPages(EvalSet):
    """The pages of a PDF that have text, rendered at `dpi` and degraded by `degrade` (0: not at all, 1: strongly).

    `without_text` is the number of other pages. Raises UserError if the file is not a PDF, or no page has text.
    """

    def __init__(
        self, path: str | Path, dpi: int = 150, pages: Selection = EVERY_PAGE, degrade: float = 0.0, password: str = ""
    ) -> None:
        super().__init__()
        if not 0 <= degrade <= 1:
            raise UserError(f"--degrade={degrade}: give a strength from 0 to 1")
        document = open_document(Source(str(path)), dpi, password)
        if not isinstance(document, PDF):
            document.close()
            raise UserError(f"{path} is an image, not a PDF: only a PDF has a text layer to compare with")
        self.document, self.degrade = document, degrade
        document.fields = False  # text entered into a form is not part of the text layer
        wanted = [n for n in range(1, document.n_pages + 1) if n in pages]
        texts = {n: text_layer(document, n) for n in wanted}
        self.numbers = [n for n in wanted if texts[n].strip()]
        self.texts = [texts[n] for n in self.numbers]
        self.without_text = len(wanted) - len(self.numbers)
        if not self.numbers:
            raise UserError(f"{path}: no text layer on {len(wanted)} pages (scanned?), so there is no ground truth")
        self.ids = [f"page {n}" for n in self.numbers]
        self.tiers = ["page"] * len(self.numbers)

    def get_example(self, index: int) -> dict:
        picture = self.document.load(self.numbers[index])
        return reading(worsen(picture, self.degrade, self.numbers[index]), self.texts[index])


def text_layer(document: PDF, number: int) -> str:
    """The text layer of page `number`, counted from 1, with newlines between lines and hyphens at line ends as printed.

    Raises UserError for a page that is broken.
    """
    with PDFIUM:
        try:
            page = document.document[number - 1]
            layer = page.get_textpage()
            text = layer.get_text_bounded()
            layer.close()
            page.close()
        except PdfiumError as error:
            raise UserError(f"page {number} is damaged ({error}): exclude it with --pages") from error
    return "\n".join(text.translate(str.maketrans(SOFT_HYPHENS)).splitlines())


def worsen(picture: Image.Image, strength: float, seed: int) -> Image.Image:
    """Degrade an image like a cheap scan: rotation, blur, grain and JPEG artefacts, all proportional to `strength`.

    Strength 1 is up to 1.5 degrees, a blur of 1.2 pixels, grain of 20 of 255 grey levels, and JPEG quality 30; 0
    changes nothing.
    """
    if strength == 0:
        return picture
    rng = random.Random(seed)
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-1.5, 1.5) * strength, 1.0)
    pixels = cv2.warpAffine(pixels, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.1 + 1.1 * strength)
    grain = np.random.default_rng(seed).normal(0, 20 * strength, (height, width, 1))
    pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(90 - 60 * strength)]
    return Image.fromarray(np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)))


@dataclass
class ModeScores:
    """All pages as read in one mode."""

    readings: list[ModeReading]
    """the result of each page"""

    @cached_property
    def figures(self) -> dict[str, Estimate | None]:
        """The figures over all pages, by name."""
        return summarise_pages(self.scores)

    @property
    def scores(self) -> list[PageScore]:
        """The score of each page."""
        return [r.score for r in self.readings]


Scored = dict[str, ModeScores]  # by mode
HEADINGS = (
    *("mode", "pages", "vision tokens a page", "characters wrong", "of which order", "words wrong", "word F1"),
    *("values right", "loops", "s a page"),
)


def score_rows(scored: Scored) -> list[list[str]]:
    """One row of the results table for each mode."""
    rows = []
    for mode, read in scored.items():
        found, readings = read.figures, read.readings
        tokens = sum(r.vision_tokens for r in readings) / len(readings)
        seconds = found["seconds"]
        figures = [per_cent(found[name]) for name in ("cer", "order", "wer", "f1", "values", "looping")]
        rows.append([mode, str(len(readings)), f"{tokens:.0f}", *figures, f"{seconds.value:.2f}" if seconds else ""])
    return rows


def score_pdf(readers: Sequence[OCR], found: PdfPages, progress: Progress = lambda reader, done, total: None) -> Scored:
    """Read every page with each reader, in its mode. `progress(mode, done, total)` is called as pages are read."""
    return {reader.mode: ModeScores(read_in_mode(reader, found, reader.mode, progress)) for reader in readers}


def write_score(folder: Path, name: str, found: PdfPages, scored: Scored, facts: dict[str, str]) -> None:
    """Write results.json, compression_MODE.svg and report.html, with every page, into `folder`.

    Raises UserError if they cannot be written.
    """
    body = [f"<header><h1>{escape(name)}</h1></header>", pairs_html(facts), table_html(HEADINGS, score_rows(scored))]
    modes = {}
    for mode, read in scored.items():
        curve = compression_curve([r.compression for r in read.readings], read.scores)
        if curve:
            path = plot_compression(curve, f"{name}, mode {mode}", folder / f"compression_{mode}.svg")
            body.append(plot_html(path.read_text(encoding="utf-8")))
        modes[mode] = {
            "figures": plain_figures(read.figures),
            "compression": [asdict(b) for b in curve],
            "pages": [asdict(r) for r in read.readings],
        }
    for i in range(len(found)):
        picture = found[i]["images"][0]
        picture.thumbnail(THUMBNAIL)
        tokens = ", ".join(f"{read.readings[i].vision_tokens} ({mode})" for mode, read in scored.items())
        readers = [(mode, read.readings[i].score) for mode, read in scored.items()]
        body.append(card_html(picture, f"vision tokens: {tokens}", readers))
    results = {"file": name, "facts": facts, "without_text": found.without_text, "modes": modes}
    write_text(folder / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    write_page(folder / "report.html", name, body)


def score_table(name: str, scored: Scored) -> Table:
    """The results as a table for the terminal."""
    return results_table(name, HEADINGS, score_rows(scored))


def score(
    path: str, checkpoint: str, modes: Sequence[str], found: PdfPages, out: Path, device: str, batch_size: int
) -> None:
    """Read the pages in each of `modes` (default: that of the model), print the table, write a report to `out`."""
    readers = [OCR(checkpoint, device, mode, batch_size=batch_size) for mode in modes or ("",)]
    with progress_bars() as progress:
        scored = score_pdf(readers, found, progress)
    facts = {
        "Model": checkpoint,
        "Step": str(readers[0].meta.get("step", "-")),
        "Drawn at": f"{found.document.scale * POINTS:.0f} dpi, degraded {found.degrade:g}",
        "Pages without text": str(found.without_text),
        "Compared": "white space as one space",
    }
    write_score(out, Path(path).name, found, scored, facts)
    console = wide_console()
    console.print(score_table(Path(path).name, scored))
    console.print(f"{out}/report.html, results.json")
