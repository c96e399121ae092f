"""Uploads as pages: pictures, several frames of them, PDFs; one page decoded at a time."""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2 as pdfium
from PIL import Image, ImageSequence

from nanochat.common import UserError
from nanochat.image_process import MAX_PIXELS, open_image

DPI = 144
_pdfium = threading.Lock()  # the library is for one thread at a time


@dataclass
class Document:
    """One upload."""

    name: str
    data: bytes

    @property
    def is_pdf(self) -> bool:
        return b"%PDF-" in self.data[:1024]

    def count(self) -> int:
        """How many pages it has. Raises UserError when it is empty, broken, locked, or no document."""
        if not self.data:
            raise UserError(f"{self.name}: the file is empty")
        if self.is_pdf:
            with _pdfium, self._pdf() as pdf:
                return len(pdf)
        with _frames(self.name, self.data) as image:
            return getattr(image, "n_frames", 1) if image.format in ("TIFF", "MPO") else 1

    def pages(self) -> Iterator[Image.Image]:
        """Its pages as RGB pictures, each made when it is asked for. Raises UserError as `count` does."""
        if not self.is_pdf:
            n = self.count()
            if n == 1:
                yield open_image(self.data, self.name)
                return
            with _frames(self.name, self.data) as image:
                for number, frame in enumerate(ImageSequence.Iterator(image), start=1):
                    yield open_image(frame, f"{self.name}, page {number}")
            return
        for number in range(self.count()):
            with _pdfium, self._pdf() as pdf:
                page = self._draw(pdf, number)
            yield page

    def _pdf(self) -> pdfium.PdfDocument:
        try:
            return pdfium.PdfDocument(self.data)
        except pdfium.PdfiumError as error:
            reason = "needs a password" if "assword" in str(error) else "is broken, or no PDF"
            raise UserError(f"{self.name}: the PDF {reason}") from error

    def _draw(self, pdf: pdfium.PdfDocument, number: int) -> Image.Image:
        try:
            page = pdf[number]
            width, height = page.get_size()
            scale = min(DPI / 72, (MAX_PIXELS / 4 / max(1.0, width * height)) ** 0.5)  # a poster is drawn coarser
            return page.render(scale=scale).to_pil().convert("RGB")
        except (pdfium.PdfiumError, ValueError, OSError) as error:
            raise UserError(f"{self.name}, page {number + 1}: cannot be drawn") from error


def _frames(name: str, data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: over the limit of {MAX_PIXELS:,} pixels (a decompression bomb?)") from error
    except Exception as error:  # a damaged picture can raise nearly anything
        raise UserError(f"{name}: not a picture or PDF that can be read") from error
