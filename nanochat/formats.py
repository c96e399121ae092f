"""What was read, as a file: plain text, Markdown, JSON, an HTML report, hOCR, or a PDF that can be searched.

Each is written page by page from the ledger's lines, so that a long document never lies in memory as a whole.
"""

import base64
import ctypes
import html
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import matplotlib
import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL import Image

from nanochat.documents import PDFIUM
from nanochat.ink import Box

Format = Literal["txt", "md", "json", "html", "hocr", "pdf"]
FORMATS = get_args(Format)
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


def word_boxes(entry: dict[str, Any]) -> list[tuple[str, Box]]:
    """(text, box in pixels of the page) of all lines and blocks whose place is known."""
    result = entry["result"] or {}
    found = [(line["text"], tuple(line["box"])) for line in result.get("lines", []) if line["box"]]
    for block in result.get("blocks", []):
        found += [(block["text"] or block["label"], tuple(box)) for box in block["boxes"][:1]]
    return found


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


def _head(title: str, more: str = "") -> str:
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{html.escape(title)}</title>{more}</head><body>\n'
    )


def _html(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    yield _head(source, f"<style>{STYLE}</style>") + f"<h1>{html.escape(source)}</h1>\n"
    for entry in entries:
        yield f"<h2>page {entry['page']}</h2>\n"
        result = entry["result"]
        if result is None:
            yield f'<p class="note">{entry["state"]}: {html.escape(entry["why"])}</p>\n'
            continue
        if entry["state"] != "ok" or result["ink"] != "ok":
            yield f'<p class="note">{html.escape(" ".join((entry["state"], entry["why"])).strip())}</p>\n'
        picture = load(entry["page"])
        picture.thumbnail((THUMBNAIL, THUMBNAIL))
        encoded = base64.b64encode(_jpeg(picture)).decode()
        text = html.escape(result["text"])
        yield f'<div class="page"><img src="data:image/jpeg;base64,{encoded}" alt=""><pre>{text}</pre></div>\n'
    yield "</body></html>\n"


def _hocr(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """hOCR 1.2: pages and lines with their boxes and the mean probability as a confidence."""
    capabilities = '<meta name="ocr-system" content="nano-deepseek-ocr">'
    yield _head(source, capabilities + '<meta name="ocr-capabilities" content="ocr_page ocr_line">')
    for entry in entries:
        result = entry["result"] or {"width": 0, "height": 0}
        number = entry["page"]
        title = f'image "{source}"; bbox 0 0 {result["width"]} {result["height"]}; ppageno {number - 1}'
        yield f"<div class='ocr_page' id='page_{number}' title='{html.escape(title, quote=True)}'>\n"
        confidence = {line["text"]: round(100 * line["mean_probability"]) for line in result.get("lines", [])}
        for i, (text, box) in enumerate(word_boxes(entry)):
            where = f"bbox {' '.join(map(str, box))}; x_wconf {confidence.get(text, 100)}"
            yield f"<span class='ocr_line' id='line_{number}_{i}' title='{where}'>{html.escape(text)}</span>\n"
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


def _invisible(document: pdfium.PdfDocument, page: Any, font: Any, text: str, box: Box, height: int) -> None:
    """Lay a line of text over its place on the page, to be found and copied but not seen."""
    left, top, right, bottom = box
    size = max(1.0, 0.8 * (bottom - top))
    text_object = raw.FPDFPageObj_CreateTextObj(document.raw, font, size)
    encoded = (text + "\0").encode("utf-16-le")
    raw.FPDFText_SetText(text_object, ctypes.cast(ctypes.c_char_p(encoded), ctypes.POINTER(ctypes.c_ushort)))
    raw.FPDFTextObj_SetTextRenderMode(text_object, raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    bounds = [ctypes.c_float() for _ in range(4)]
    raw.FPDFPageObj_GetBounds(text_object, *(ctypes.byref(bound) for bound in bounds))
    width = bounds[2].value - bounds[0].value
    stretch = (right - left) / width if width > 0 else 1.0
    raw.FPDFPageObj_Transform(text_object, stretch, 0, 0, 1, left, height - bottom + 0.2 * size)
    raw.FPDFPage_InsertObject(page.raw, text_object)


def write_pdf(path: Path, entries: Entries, load: LoadPage) -> None:
    """A PDF of the pages' pictures with their text, invisible, over each line; one point a pixel."""
    with PDFIUM:
        document = pdfium.PdfDocument.new()
        font = _font(document)
    for entry in entries:
        if entry["result"] is None:
            continue
        picture = load(entry["page"])
        with PDFIUM:
            page = document.new_page(*picture.size)
            image = pdfium.PdfImage.new(document)
            image.load_jpeg(io.BytesIO(_jpeg(picture)), inline=True)
            image.set_matrix(pdfium.PdfMatrix().scale(*picture.size))
            page.insert_obj(image)
            for text, box in word_boxes(entry):
                for i, line in enumerate(rows := text.splitlines() or [text]):
                    pitch = (box[3] - box[1]) / len(rows)
                    own = box[0], round(box[1] + i * pitch), box[2], round(box[1] + (i + 1) * pitch)
                    _invisible(document, page, font, line, own, picture.height)
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


def write(path: Path, kind: Format, source: str, entries: Entries, load: LoadPage) -> None:
    """Write all pages of one source to `path`; `load` gives a page's picture by its number, where one is shown."""
    if kind == "pdf":
        write_pdf(path, entries, load)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(WRITERS[kind](source, entries, load))
