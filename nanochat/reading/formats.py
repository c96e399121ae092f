"""Output files: plain text, Markdown, JSON, an HTML report, hOCR, or a searchable PDF.

Each is written page by page from the lines of the ledger, so that a long document is never in memory as a whole (except
for a PDF).
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from nanochat.errors import UserError
from nanochat.reading.confidence import confidence
from nanochat.reading.inline import jpeg_url
from nanochat.reading.markdown import page_markdown
from nanochat.reading.options import Format
from nanochat.reading.placed_text import PlacedText, placed_lines, words_of
from nanochat.reading.searchable_pdf import write_pdf
from nanochat.reading.state import PageState

SUFFIX = {"hocr": ".hocr.html", "pdf": ".ocr.pdf"}  # the others: their name
THUMBNAIL = 900  # pixels: longest side of a page in the report
Entries = Iterable[dict[str, Any]]
LoadPage = Callable[[int], Image.Image]

STYLE = Path(__file__).with_name("formats.css")
UNSURE = 75  # per cent: lines with a lower confidence are marked in the report


def page_confidence(result: dict[str, Any]) -> int:
    """The calibrated confidence of a page in per cent, rounded down."""
    words = [(len(line["text"].split()), confidence(line["mean_probability"])) for line in result.get("lines", [])]
    total = sum(n for n, _ in words)
    return sum(n * sure for n, sure in words) // total if total else confidence(result["mean_probability"])


def page_text(entry: dict[str, Any]) -> str:
    """The text of a page; empty if it was not read."""
    return (entry["result"] or {}).get("text", "")


def _picture(entry: dict[str, Any], load: LoadPage) -> Image.Image:
    """The image of a page, or a white one of the same size if it is no longer available."""
    try:
        return load(entry["page"])
    except UserError:
        result = entry["result"] or {}
        return Image.new("RGB", (result.get("width") or 595, result.get("height") or 842), "white")


def _txt(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """Pages separated by form feeds, as in the output of pdftotext."""
    for i, entry in enumerate(entries):
        yield ("\f" if i else "") + page_text(entry) + "\n"


def _md(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    for i, entry in enumerate(entries):
        yield ("\n---\n\n" if i else "") + page_markdown(entry["result"] or {}) + "\n"


def page_record(entry: dict[str, Any]) -> dict[str, Any]:
    """A page as a dict for JSON: its number, its status, and the result of `OCR.read`."""
    ended = {"page": entry["page"], "state": entry["state"], "why": entry["why"]}
    return {**ended, **(entry["result"] or {"text": ""})}


def _json(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    yield '{"source": ' + json.dumps(source, ensure_ascii=False) + ', "pages": ['
    for i, entry in enumerate(entries):
        yield (",\n " if i else "\n ") + json.dumps(page_record(entry), ensure_ascii=False)
    yield "\n]}\n"


def _html(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """Each image beside its text. The box of a line appears on hover; boxes of uncertain lines are always shown."""
    title = html.escape(source)
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><h1>{title}</h1>\n"
    for entry in entries:
        page, result = entry["page"], entry["result"]
        facts = [entry["state"]]
        if result is not None:
            facts += [f"mode {result['mode']}", f"{result['vision_tokens']} vision tokens"]
            facts += [f"{result['tokens']} written", f"{page_confidence(result)}% sure"]
        yield f'<section id="page-{page}"><h2>page {page} <small>{html.escape(", ".join(facts))}</small></h2>\n'
        if entry["why"]:
            yield f'<p class="note">{html.escape(entry["why"])}</p>\n'
        if result is not None:
            picture = _picture(entry, load)
            size = picture.size
            shown = jpeg_url(picture, THUMBNAIL)
            boxes = "".join(_html_box(line, size) for line in placed_lines(entry))
            yield f'<div class="columns"><figure><img src="{shown}" alt="">{boxes}</figure>\n'
            yield f"<pre>{_html_text(result)}</pre></div>\n"
        yield "</section>\n"
    yield "</body></html>\n"


def _html_box(line: PlacedText, size: tuple[int, int]) -> str:
    """The box of a line over the image, which is `size` pixels large."""
    (left, top, right, bottom), (width, height) = line.box, size
    shares = left / width, top / height, (right - left) / width, (bottom - top) / height
    where = ";".join(f"{name}:{share:.2%}" for name, share in zip(("left", "top", "width", "height"), shares))
    kind = ' class="unsure"' if line.confidence < UNSURE else ""
    return f'<i{kind} style="{where}" title="{html.escape(line.text)} ({line.confidence}%)"></i>'


def _html_text(result: dict[str, Any]) -> str:
    """The text, with uncertain lines marked if it consists of lines."""
    lines = result.get("lines", [])
    if "\n".join(line["text"] for line in lines) != result["text"]:
        return html.escape(result["text"])
    rows = []
    for line in lines:
        sure = confidence(line["mean_probability"])
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
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # characters that XML does not allow


def _xml(text: str) -> str:
    return html.escape(NOT_XML.sub("", text))


def _hocr(source: str, entries: Entries, load: LoadPage) -> Iterator[str]:
    """hOCR 1.2 as XHTML: pages, lines, and words, with the confidence of their line."""
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


WRITERS: dict[str, Callable[[str, Entries, LoadPage], Iterator[str]]] = {
    "txt": _txt,
    "md": _md,
    "json": _json,
    "html": _html,
    "hocr": _hocr,
}


def write(path: Path, kind: Format, source: str, entries: Entries, load: LoadPage, dpi: int = 150) -> None:
    """Write all pages of one source to `path`; pages that were not selected appear in JSON only.

    `load`: returns the image of a page by its number, for formats that show it, and may raise UserError. `dpi`: its
    resolution in pixels per inch.
    """
    if kind != "json":
        entries = (entry for entry in entries if entry["state"] != PageState.SKIPPED)
    if kind == "pdf":
        write_pdf(path, entries, lambda entry: _picture(entry, load), dpi)
        return
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:  # names of files need not be UTF-8
        file.writelines(WRITERS[kind](source, entries, load))
