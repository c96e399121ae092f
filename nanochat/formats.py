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
from typing import Any, Literal, NamedTuple

import matplotlib
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from nanochat.boxes import Box
from nanochat.common import UserError
from nanochat.documents import PDFIUM, POINTS

Format = Literal["txt", "md", "json", "html", "hocr", "pdf"]
SUFFIX = {"hocr": ".hocr.html", "pdf": ".ocr.pdf"}  # of the others: their name
THUMBNAIL = 900  # pixels: longest side of a page in the report
Entries = Iterable[dict[str, Any]]
LoadPage = Callable[[int], Image.Image]

STYLE = """body{font:15px/1.5 sans-serif;margin:2em;background:#fafafa}h2{border-top:1px solid #ccc;padding-top:.6em}
.page{display:flex;gap:2em;align-items:flex-start}.page img{max-width:48%;border:1px solid #ccc}
pre{white-space:pre-wrap;flex:1;font:14px/1.45 monospace;margin:0}.note{color:#a33}"""


def page_text(entry: dict[str, Any]) -> str:
    """The text of a page; empty when it was not read."""
    return (entry["result"] or {}).get("text", "")


class Placed(NamedTuple):
    """A line of text and where it stands, in pixels of the page."""

    text: str
    box: Box
    confidence: int
    """0 to 100: the mean probability of its tokens"""


def placed_lines(entry: dict[str, Any]) -> list[Placed]:
    """All lines of a page whose place is known; a block of several lines is divided into equal heights."""
    result = entry["result"] or {}
    found = [Placed(line["text"], tuple(line["box"]), round(100 * line["mean_probability"]))
             for line in result.get("lines", []) if line["box"]]  # fmt: skip
    for block in result.get("blocks", []):
        rows = (block["text"] or block["label"]).splitlines()
        for left, top, right, bottom in block["boxes"][:1]:
            pitch = (bottom - top) / max(1, len(rows))
            edges = [round(top + i * pitch) for i in range(len(rows) + 1)]
            boxes = [(left, first, right, last) for first, last in pairwise(edges)]
            confidence = round(100 * result["mean_probability"])
            found += [Placed(row, box, confidence) for row, box in zip(rows, boxes) if row.strip()]
    return found


def boxes_to_draw(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """(name, box in pixels of the page) of every line and of every box of a block."""
    result = entry["result"] or {}
    lines = [(line["text"], tuple(line["box"])) for line in result.get("lines", []) if line["box"]]
    blocks = [(block["label"], tuple(box)) for block in result.get("blocks", []) for box in block["boxes"]]
    return lines + blocks


def words_of(line: Placed) -> Iterator[tuple[str, Box]]:
    """The words of a line, its width divided among them by their letters."""
    left, top, right, bottom = line.box
    pixels = (right - left) / max(1, len(line.text))
    for word in re.finditer(r"\S+", line.text):
        yield word[0], (round(left + word.start() * pixels), top, round(left + word.end() * pixels), bottom)


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
        yield ("\n---\n\n" if i else "") + page_text(entry) + "\n"


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
    title = html.escape(source)
    yield f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>\n'
    yield f"<body><h1>{title}</h1>\n"
    for entry in entries:
        yield f"<h2>page {entry['page']}</h2>\n"
        result = entry["result"]
        if entry["state"] != "ok" or entry["why"]:
            yield f'<p class="note">{html.escape(": ".join(filter(None, (entry["state"], entry["why"]))))}</p>\n'
        if result is None:
            continue
        picture = _picture(entry, load)
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        encoded = base64.b64encode(_jpeg(picture)).decode()
        text = html.escape(result["text"])
        yield f'<div class="page"><img src="data:image/jpeg;base64,{encoded}" alt=""><pre>{text}</pre></div>\n'
    yield "</body></html>\n"


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
            where = " ".join(map(str, line.box))
            yield f'<span class="ocr_line" id="line_{page}_{i}" title="bbox {where}">{" ".join(words)}</span>\n'
        yield "</div>\n"
    yield "</body></html>\n"


def _jpeg(picture: Image.Image) -> bytes:
    stored = io.BytesIO()
    picture.convert("RGB").save(stored, "JPEG", quality=85)
    return stored.getvalue()


def _font(document: pdfium.PdfDocument) -> Any:
    """DejaVu Sans, which knows most alphabets, in the document; it comes with matplotlib."""
    data = (Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf").read_bytes()
    buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
    return raw.FPDFText_LoadFont(document.raw, buffer, len(data), raw.FPDF_FONT_TRUETYPE, True)


def _invisible(document: pdfium.PdfDocument, page: Any, font: Any, line: Placed, scale: float, height: int) -> None:
    """Lay a line of text over its place on the page, to be found and copied but not seen; `scale`: points a pixel."""
    left, top, right, bottom = line.box
    size = max(1.0, 0.8 * (bottom - top)) * scale
    text_object = raw.FPDFPageObj_CreateTextObj(document.raw, font, size)
    encoded = (NOT_XML.sub("", line.text) + "\0").encode("utf-16-le")
    raw.FPDFText_SetText(text_object, ctypes.cast(ctypes.c_char_p(encoded), ctypes.POINTER(ctypes.c_ushort)))
    raw.FPDFTextObj_SetTextRenderMode(text_object, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    bounds = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(text_object, *(ctypes.byref(bound) for bound in bounds))
    width = bounds[2].value - bounds[0].value
    stretch = (right - left) * scale / width if width > 0 else 1.0
    raw.FPDFPageObj_Transform(text_object, stretch, 0, 0, 1, left * scale, (height - bottom) * scale + 0.2 * size)
    raw.FPDFPage_InsertObject(page.raw, text_object)


def write_pdf(path: Path, entries: Entries, load: LoadPage, dpi: int) -> None:
    """A PDF of the pages' pictures, `dpi` pixels an inch, with their text, invisible, over each line.

    All pages but those that were not asked for, also such as could not be read. pdfium builds it in memory: about the
    size of the file.
    """
    scale = POINTS / dpi
    with PDFIUM:
        document = pdfium.PdfDocument.new()
        font = _font(document)
    for entry in entries:
        if entry["state"] == "skipped":
            continue
        picture = _picture(entry, load)
        with PDFIUM:
            page = document.new_page(picture.width * scale, picture.height * scale)
            image = pdfium.PdfImage.new(document)
            image.load_jpeg(io.BytesIO(_jpeg(picture)), inline=True)
            image.set_matrix(pdfium.PdfMatrix().scale(picture.width * scale, picture.height * scale))
            page.insert_obj(image)
            for line in placed_lines(entry):
                _invisible(document, page, font, line, scale, picture.height)
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
    """Write all pages of one source to `path`.

    `load` gives a page's picture by its number, where one is shown, and may raise UserError; `dpi`: its pixels an inch.
    """
    if kind == "pdf":
        write_pdf(path, entries, load, dpi)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(WRITERS[kind](source, entries, load))
