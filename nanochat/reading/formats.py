"""What was read, as a file: plain text, Markdown, JSON, an HTML report, hOCR, or a PDF that can be searched.

Each is written page by page from the ledger's lines, so that a long document never lies in memory as a whole (but for
a PDF).
"""

import base64
import ctypes
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from nanochat.errors import UserError
from nanochat.lines.boxes import Box, turn_box, turn_size
from nanochat.reading.documents import PDFIUM, POINTS
from nanochat.reading.markdown import page_markdown
from nanochat.reading.options import Format

SUFFIX = {"hocr": ".hocr.html", "pdf": ".ocr.pdf"}  # of the others: their name
THUMBNAIL = 900  # pixels: longest side of a page in the report
Entries = Iterable[dict[str, Any]]
LoadPage = Callable[[int], Image.Image]

STYLE = Path(__file__).with_name("formats.css")
UNSURE = 75  # percent: lines of a lower mean probability are marked in the report


def page_text(entry: dict[str, Any]) -> str:
    """The text of a page; empty when it was not read."""
    return (entry["result"] or {}).get("text", "")


class PlacedText(NamedTuple):
    """A line of text and where it stands, in pixels of the page."""

    text: str
    box: Box
    confidence: int
    """0 to 100: the mean probability of its tokens"""
    parts: tuple[tuple[str, Box], ...] = ()
    """of a line with wide gaps: its stretches of text, and where each stands"""
    turned: int = 0
    """degrees clockwise by which the page had to be turned: its letters lie on the page turned so far the other way"""

    def stretches(self) -> tuple[tuple[str, Box], ...]:
        """The parts, or all of it where it has none."""
        return self.parts or ((self.text, self.box),)


def placed_lines(entry: dict[str, Any], of_blocks: bool = True) -> list[PlacedText]:
    """All lines of a page whose place is known; a block of several lines is divided into equal heights."""
    result = entry["result"] or {}
    found = [PlacedText(line["text"], tuple(line["box"]), round(100 * line["mean_probability"]),
                    tuple((part["text"], tuple(part["box"])) for part in line.get("parts", [])),
                    result.get("turned", 0))
             for line in result.get("lines", []) if line["box"]]  # fmt: skip
    for block in result.get("blocks", []) if of_blocks else []:
        rows = (block["text"] or block["label"]).splitlines()
        for left, top, right, bottom in block["boxes"][:1]:
            pitch = (bottom - top) / max(1, len(rows))
            edges = [round(top + i * pitch) for i in range(len(rows) + 1)]
            boxes = [(left, first, right, last) for first, last in pairwise(edges)]
            confidence = round(100 * result["mean_probability"])
            found += [PlacedText(row, box, confidence) for row, box in zip(rows, boxes) if row.strip()]
    return found


def boxes_to_draw(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """(name, box in pixels of the page) of every part of a line and of every box of a block."""
    result = entry["result"] or {}
    lines = [stretch for line in placed_lines(entry, of_blocks=False) for stretch in line.stretches()]
    blocks = [(block["label"], tuple(box)) for block in result.get("blocks", []) for box in block["boxes"]]
    return lines + blocks


def words_of(line: PlacedText) -> Iterator[tuple[str, Box]]:
    """The words of a line, the length of each of its parts divided among them by their letters."""
    for text, box in line.stretches():
        page = box[2:]  # one that just holds it
        left, top, right, bottom = turn_box(box, line.turned, page)
        pixels = (right - left) / max(1, len(text))
        for word in re.finditer(r"\S+", text):
            upright = round(left + word.start() * pixels), top, round(left + word.end() * pixels), bottom
            yield word[0], turn_box(upright, -line.turned, turn_size(page, line.turned))


def _picture(entry: dict[str, Any], load: LoadPage) -> Image.Image:
    """A page's picture, or white paper of its size if that can be had no more."""
    try:
        return load(entry["page"])
    except UserError:
        result = entry["result"] or {}
        return Image.new("RGB", (result.get("width") or 595, result.get("height") or 842), "white")


def _txt(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """Pages parted by form feeds, as pdftotext does."""
    for i, entry in enumerate(entries):
        yield ("\f" if i else "") + page_text(entry) + "\n"


def _md(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    for i, entry in enumerate(entries):
        yield ("\n---\n\n" if i else "") + page_markdown(entry["result"] or {}) + "\n"


def page_record(entry: dict[str, Any]) -> dict[str, Any]:
    """A page as it stands in JSON: its number, how it ended, and what `OCR.read` gives."""
    ended = {"page": entry["page"], "state": entry["state"], "why": entry["why"]}
    return {**ended, **(entry["result"] or {"text": ""})}


def _json(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    yield '{"source": ' + json.dumps(source, ensure_ascii=False) + ', "pages": ['
    for i, entry in enumerate(entries):
        yield (",\n " if i else "\n ") + json.dumps(page_record(entry), ensure_ascii=False)
    yield "\n]}\n"


def _html(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """Each picture beside its text. A line shows its place when pointed at, one that the model was unsure of always."""
    title = html.escape(source)
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><h1>{title}</h1>\n"
    for entry in entries:
        page, result = entry["page"], entry["result"]
        facts = [entry["state"]]
        if result is not None:
            facts += [f"mode {result['mode']}", f"{result['vision_tokens']} vision tokens"]
            facts += [f"{result['tokens']} written", f"{result['mean_probability']:.0%} sure"]
        yield f'<section id="page-{page}"><h2>page {page} <small>{html.escape(", ".join(facts))}</small></h2>\n'
        if entry["why"]:
            yield f'<p class="note">{html.escape(entry["why"])}</p>\n'
        if result is not None:
            picture = _picture(entry, load)
            size = picture.size
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
            encoded = base64.b64encode(_jpeg(picture)).decode()
            boxes = "".join(_html_box(line, size) for line in placed_lines(entry))
            yield f'<div class="columns"><figure><img src="data:image/jpeg;base64,{encoded}" alt="">{boxes}</figure>\n'
            yield f"<pre>{_html_text(result)}</pre></div>\n"
        yield "</section>\n"
    yield "</body></html>\n"


def _html_box(line: PlacedText, size: tuple[int, int]) -> str:
    """The place of a line over its picture, `size` pixels large."""
    (left, top, right, bottom), (width, height) = line.box, size
    shares = left / width, top / height, (right - left) / width, (bottom - top) / height
    where = ";".join(f"{name}:{share:.2%}" for name, share in zip(("left", "top", "width", "height"), shares))
    kind = ' class="unsure"' if line.confidence < UNSURE else ""
    return f'<i{kind} style="{where}" title="{html.escape(line.text)} ({line.confidence}%)"></i>'


def _html_text(result: dict[str, Any]) -> str:
    """The text, unsure lines marked where it is made of lines."""
    lines = result.get("lines", [])
    if "\n".join(line["text"] for line in lines) != result["text"]:
        return html.escape(result["text"])
    rows = []
    for line in lines:
        sure = round(100 * line["mean_probability"])
        text = html.escape(line["text"])
        rows.append(f'<mark title="{sure}% sure">{text}</mark>' if sure < UNSURE else text)
    return "\n".join(rows)


HOCR_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en"><head><title>{}</title>
<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>
<meta name="ocr-system" content="nano-deepseek-ocr"/>
<meta name="ocr-capabilities" content="ocr_page ocr_line ocrx_word"/>
</head><body>
"""
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # characters that XML cannot hold


def _xml(text: str) -> str:
    return html.escape(NOT_XML.sub("", text))


def _hocr(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """hOCR 1.2 as XHTML: pages, lines, and words with the line's mean probability as their confidence."""
    yield HOCR_HEAD.format(_xml(source))
    for entry in entries:
        result = entry["result"] or {"width": 0, "height": 0}
        page = entry["page"]
        name = source.replace('"', "'")
        title = f'image "{name}"; bbox 0 0 {result["width"]} {result["height"]}; ppageno {page - 1}'
        yield f'<div class="ocr_page" id="page_{page}" title="{_xml(title)}">\n'
        for i, line in enumerate(placed_lines(entry), 1):
            words = [
                f'<span class="ocrx_word" id="word_{page}_{i}_{k}" title="bbox {" ".join(map(str, box))};'
                f' x_wconf {line.confidence}">{_xml(word)}</span>'
                for k, (word, box) in enumerate(words_of(line), 1)
            ]
            where = " ".join(map(str, line.box)) + (f"; textangle {line.turned}" if line.turned else "")
            yield f'<span class="ocr_line" id="line_{page}_{i}" title="bbox {where}">{" ".join(words)}</span>\n'
        yield "</div>\n"
    yield "</body></html>\n"


def _jpeg(picture: Image.Image) -> bytes:
    stored = io.BytesIO()
    picture.convert("RGB").save(stored, "JPEG", quality=85)
    return stored.getvalue()


def _font(document: pdfium.PdfDocument) -> Any:
    """DejaVu Sans, which knows most alphabets, in the document; it comes with matplotlib."""
    import matplotlib  # half a second, which only those who write PDFs should wait

    data = (Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf").read_bytes()
    buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
    return raw.FPDFText_LoadFont(document.raw, buffer, len(data), raw.FPDF_FONT_TRUETYPE, True)


def _invisible(
    document: pdfium.PdfDocument, page: Any, font: Any, stretch: tuple[str, Box], turned: int, scale: float, height: int
) -> None:
    """Lay text over its place on the page, to be found and copied but not seen.

    turned: degrees clockwise after which it would be upright; scale: points a pixel; height: of the page, px.
    """
    text, (left, top, right, bottom) = stretch
    length, thickness = turn_size((right - left, bottom - top), turned)
    size = max(1.0, 0.8 * thickness) * scale
    text_object = raw.FPDFPageObj_CreateTextObj(document.raw, font, size)
    encoded = (NOT_XML.sub("", text) + "\0").encode("utf-16-le")
    raw.FPDFText_SetText(text_object, ctypes.cast(ctypes.c_char_p(encoded), ctypes.POINTER(ctypes.c_ushort)))
    raw.FPDFTextObj_SetTextRenderMode(text_object, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    bounds = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(text_object, *(ctypes.byref(bound) for bound in bounds))
    width = bounds[2].value - bounds[0].value
    wider = length * scale / width if width > 0 else 1.0
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turned]
    x, y = {0: (left, bottom), 90: (right, bottom), 180: (right, top), 270: (left, top)}[turned]  # where it begins
    up = 0.2 * size  # from descenders to the baseline
    raw.FPDFPageObj_Transform(
        text_object, wider * cos, wider * sin, -sin, cos, x * scale - up * sin, (height - y) * scale + up * cos
    )
    raw.FPDFPage_InsertObject(page.raw, text_object)


def write_pdf(path: Path, entries: Entries, load: LoadPage, dpi: int) -> None:
    """A PDF of the pages' pictures, `dpi` pixels an inch, with their text, invisible, over each line.

    Also of pages that could not be read. pdfium builds it in memory: about the size of the file.
    """
    scale = POINTS / dpi
    with PDFIUM:
        document = pdfium.PdfDocument.new()
        font = _font(document)
    for entry in entries:
        picture = _picture(entry, load)
        with PDFIUM:
            page = document.new_page(picture.width * scale, picture.height * scale)
            image = pdfium.PdfImage.new(document)
            image.load_jpeg(io.BytesIO(_jpeg(picture)), inline=True)
            image.set_matrix(pdfium.PdfMatrix().scale(picture.width * scale, picture.height * scale))
            page.insert_obj(image)
            for line in placed_lines(entry):
                for stretch in line.stretches():
                    _invisible(document, page, font, stretch, line.turned, scale, picture.height)
            page.gen_content()
            page.close()
    with PDFIUM:
        document.save(path)
        document.close()


WRITERS: dict[str, Callable[[str, Entries, LoadPage], Iterator[str]]] = {
    "txt": _txt,
    "md": _md,
    "json": _json,
    "html": _html,
    "hocr": _hocr,
}


def write(path: Path, kind: Format, source: str, entries: Entries, load: LoadPage, dpi: int = 150) -> None:
    """Write all pages of one source to `path`; those that were not asked for stand in JSON alone.

    `load` gives a page's picture by its number, where one is shown, and may raise UserError; `dpi`: its pixels an inch.
    """
    if kind != "json":
        entries = (entry for entry in entries if entry["state"] != "skipped")
    if kind == "pdf":
        write_pdf(path, entries, load, dpi)
        return
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:  # names of files need not be UTF-8
        file.writelines(WRITERS[kind](source, entries, load))
