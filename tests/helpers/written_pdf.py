"""PDFs with a text layer: visible or invisible, at the right or the wrong position, right or wrong."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c


@dataclass(frozen=True)
class Written:
    """One line of text on a page."""

    text: str
    x: float
    """of its start, points from the left"""
    y: float
    """of its baseline, points from the bottom"""
    size: float = 12.0
    """points"""
    visible: bool = True


def write_text_pdf(
    path: Path, lines: list[Written], size: tuple[float, float] = (420, 595), scan: Path | None = None
) -> Path:
    """A PDF of one page with these lines, in Helvetica; `scan`: a PDF on whose page they are written."""
    document = pdfium.PdfDocument.new() if scan is None else pdfium.PdfDocument(scan)
    page = document.new_page(*size) if scan is None else document[0]
    for line in lines:
        thing = pdfium_c.FPDFPageObj_NewTextObj(document, b"Helvetica", line.size)
        encoded = (line.text + "\0").encode("utf-16-le")
        text = ctypes.cast(ctypes.create_string_buffer(encoded), ctypes.POINTER(ctypes.c_ushort))
        pdfium_c.FPDFText_SetText(thing, text)
        pdfium_c.FPDFPageObj_Transform(thing, 1, 0, 0, 1, line.x, line.y)
        if not line.visible:
            pdfium_c.FPDFTextObj_SetTextRenderMode(thing, 3)
        pdfium_c.FPDFPage_InsertObject(page, thing)
    page.gen_content()
    page.close()
    document.save(path)
    document.close()
    return path
