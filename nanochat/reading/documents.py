"""Documents of any kind, opened page by page: images with one page or several, and PDFs."""

import threading
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from nanochat.errors import PasswordNeeded, UserError
from nanochat.image_process import MAX_PIXELS, explain_broken, identify, open_image
from nanochat.reading.sources import Source
from nanochat.reading.state import PageState

ONE_PICTURE = {  # formats of which only the first image is read -> the reason
    **dict.fromkeys(("GIF", "WEBP", "PNG"), "an animation: only its first picture is read"),
    "MPO": "a photograph's second picture, made by the camera for itself: only the first is read",
}
PDFIUM = threading.Lock()  # pdfium must not be called by two threads at a time, not even for two documents
POINTS = 72  # units of a PDF page per inch
SCAN_COVERS = 0.6  # least share of a page that its only image covers if the page is a scan
FEW_OBJECTS = 200  # most objects on a page that is checked for being a scan
LONGEST_SCAN = 2500  # px: longest side of a page that is rendered at the higher resolution of its scan


class Pictures:
    """A file of one or several images. Those of a TIFF are pages; of an animation, only the first is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.lock = source, threading.Lock()
        with explain_broken(source.name):
            self.image = identify(source.stream())
            # Pillow counts the layers of a PSD, but opens all of them as one image
            self.n_pages = 1 if self.image.format == "PSD" else int(getattr(self.image, "n_frames", 1))

    def skipped(self, number: int) -> str:
        """The reason why a page is not read; empty if it is read."""
        return ONE_PICTURE.get(self.image.format or "", "") if number > 1 else ""

    def load(self, number: int, most: int = MAX_PIXELS) -> Image.Image:
        """Page `number`, from 1, as upright RGB. Raises UserError if it is broken or has more than `most` pixels."""
        with self.lock, explain_broken(self.source.name):
            if self.n_pages > 1:
                self.image.seek(number - 1)
            return open_image(self.image, self.source.name, most)

    def close(self) -> None:
        self.image.close()


def _says_encrypted(source: Source) -> bool:
    """Whether a PDF is encrypted by its own content: for one without pages, pdfium repeats its last error."""
    with source.stream() if source.data is not None else open(source.name, "rb") as file:
        return b"/Encrypt" in file.read()


def _scan_scale(page: pdfium.PdfPage) -> float:
    """The scale, in pixels per point, of the only image that covers a PDF page; 0 if there is none."""
    if pdfium_c.FPDFPage_CountObjects(page) > FEW_OBJECTS:
        return 0.0
    width, height = page.get_size()
    scales = []
    for picture in page.get_objects(filter=[pdfium_c.FPDF_PAGEOBJ_IMAGE]):
        left, bottom, right, top = picture.get_bounds()
        if (right - left) * (top - bottom) >= SCAN_COVERS * width * height > 0:
            sides = sorted(picture.get_px_size())
            scales.append(min(side / length for side, length in zip(sides, sorted((right - left, top - bottom)))))
    return min(scales[0], LONGEST_SCAN / max(width, height)) if len(scales) == 1 else 0.0


class PDF:
    """A PDF. Pages are rendered at `dpi`, with the contents of form fields unless `fields` is False.

    A page that is a single scan of a higher resolution is rendered at that, up to LONGEST_SCAN pixels.
    """

    fields = True

    def __init__(self, source: Source, dpi: int, password: str) -> None:
        self.source, self.scale = source, dpi / POINTS
        with PDFIUM:
            try:
                self.document = pdfium.PdfDocument(source.stream(), password=password or None)
                self.n_pages = len(self.document)
                self.document.init_forms()  # otherwise form fields are not rendered
            except pdfium.PdfiumError as error:
                if "password" in str(error).lower() and _says_encrypted(source):
                    what = "the password is not right" if password else "it is encrypted: give its --password"
                    raise PasswordNeeded(f"{source.name}: {what}") from error
                raise UserError(f"{source.name}: broken, without pages, or not a PDF ({error})") from error

    def skipped(self, number: int) -> str:
        """The reason why a page is not read; empty if it is read."""
        return ""

    def load(self, number: int, most: int = MAX_PIXELS) -> Image.Image:
        """Page `number`, from 1, as RGB. Raises UserError if it is broken or would have more than `most` pixels."""
        with PDFIUM:
            try:
                page = self.document[number - 1]
                width, height = page.get_size()
                if width * height * self.scale**2 > most:
                    large = f"{width * self.scale:.0f} x {height * self.scale:.0f} pixels"
                    raise UserError(f"{self.source.name}, page {number}: {large} is over the limit: lower --dpi")
                scale = max(self.scale, min(_scan_scale(page), (most / max(1e-6, width * height)) ** 0.5))
                bitmap = page.render(scale=scale, may_draw_forms=self.fields)
                picture = bitmap.to_pil().convert("RGB").copy()
                picture.info = {"dpi": (scale * POINTS, scale * POINTS)}
                bitmap.close()
                page.close()
            except pdfium.PdfiumError as error:
                raise UserError(f"{self.source.name}, page {number}: broken ({error})") from error
        return picture

    def close(self) -> None:
        with PDFIUM:
            self.document.close()


Document = Pictures | PDF


def open_document(source: Source, dpi: int = 150, password: str = "") -> Document:
    """Open a file of any kind. Raises UserError if it is missing, broken, locked or empty."""
    return PDF(source, dpi, password) if source.is_pdf() else Pictures(source)


@dataclass
class InputPage:
    """One page of an input, or the reason why there is none."""

    source: Source
    number: int
    """from 1"""
    state: PageState
    why: str = ""
    """the reason of a page that failed or is skipped; remarks about a page that was read"""
    image: Image.Image | None = None
    last: bool = False
    """whether it is the last page of its source"""
    fingerprint: str = ""
    n_pages: int = 1
    """of its source"""
