"""What a person hands over to be read: pictures, PDFs, folders, patterns, standard input, data: URLs; page by page."""

import base64
import binascii
import glob
import io
import sys
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from PIL import Image

from nanochat.errors import PasswordNeeded, UserError
from nanochat.image_process import MAX_PIXELS, explain_broken, identify, open_image
from nanochat.reading.state import PageState

SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
}
ONE_PICTURE = {  # formats of which the first picture alone is read, and why
    **dict.fromkeys(("GIF", "WEBP", "PNG"), "an animation: only its first picture is read"),
    "MPO": "a photograph's second picture, made by the camera for itself: only the first is read",
}
PDFIUM = threading.Lock()  # pdfium is not to be called by two threads at a time, not even for two documents
POINTS = 72  # of a PDF's page in an inch
SCAN_COVERS = 0.6  # share of a page that its one picture covers when the page is a scan
FEW_OBJECTS = 200  # on a page: of more the pictures are not looked for
LONGEST_SCAN = 2500  # px: longer side of a page that is drawn larger than asked for, at its scan's resolution


@dataclass(frozen=True)
class Source:
    """One file, or what came instead of one."""

    name: str
    """as the person named it"""
    data: bytes | None = None
    """what it holds, if it is no file"""

    def fingerprint(self) -> str:
        """Changes when the file does. Raises UserError when it is gone."""
        if self.data is not None:
            return f"{len(self.data)}-{zlib.crc32(self.data)}"
        try:
            state = Path(self.name).stat()
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        return f"{state.st_size}-{state.st_mtime_ns}"

    def stream(self) -> Any:
        """What Pillow and pdfium open."""
        return self.name if self.data is None else io.BytesIO(self.data)

    def is_pdf(self) -> bool:
        """By its first bytes, whatever it is called. Raises UserError when it has none, or cannot be opened."""
        try:
            with self.stream() if self.data is not None else open(self.name, "rb") as file:
                head = file.read(1024)
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        if not head:
            raise UserError(f"{self.name}: an empty file")
        return b"%PDF-" in head


def _decode_data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise UserError(f"{url[:40]}...: a data: URL needs a comma before its data")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except binascii.Error as error:
        raise UserError(f"{head},...: not valid base64 ({error})") from error


def find_sources(
    arguments: Sequence[str], stdin: Callable[[], bytes] | None = None, out: Path | None = None
) -> list[Source]:
    """What the arguments of a command name, in order, a folder's files sorted, without those under `out`.

    Raises UserError for a file that is not there, a folder or pattern without a picture or PDF, or nothing on stdin.
    """
    sources: list[Source] = []
    for n, argument in enumerate(arguments, 1):
        if argument == "-":
            data = stdin() if stdin else sys.stdin.buffer.read() if sys.stdin else b""  # None where it is closed
            if not data:
                raise UserError("-: nothing came on standard input")
            sources.append(Source("stdin", data))
        elif argument.startswith("data:"):
            sources.append(Source(f"data-{n}", _decode_data_url(argument)))
        elif Path(argument).is_dir():
            wanted = {*SUFFIXES, ".pdf"}
            found = sorted(p for p in Path(argument).rglob("*") if p.suffix.lower() in wanted and not p.is_dir())
            if out is not None:  # what an earlier run wrote is nothing to be read
                written = out.resolve()
                found = [p for p in found if written not in p.resolve().parents]
            if not found:
                raise UserError(f"{argument}: no picture and no PDF in this folder")
            sources += [Source(str(path)) for path in found]
        elif Path(argument).is_file():
            sources.append(Source(argument))
        else:
            matching = sorted(p for p in glob.glob(argument, recursive=True) if Path(p).is_file())
            if not matching:
                raise UserError(f"{argument}: no such file")
            sources += [Source(path) for path in matching]
    return list(dict.fromkeys(sources))


@dataclass(frozen=True)
class Selection:
    """Which pages are wanted: `1-3,7,9-`; all when empty. Raises UserError for anything else."""

    text: str = ""

    def __post_init__(self) -> None:
        self._ranges()

    def _ranges(self) -> list[tuple[int, float]]:
        ranges = []
        for part in self.text.split(",") if self.text else []:
            first, dash, last = (piece.strip() for piece in part.partition("-"))
            try:
                start = int(first)
                end = float("inf") if dash and not last else int(last or first)
            except ValueError as error:
                raise UserError(f"--pages {self.text}: give numbers and ranges such as 1-3,7") from error
            if start < 1 or end < start:
                raise UserError(f"--pages {self.text}: {part.strip()} is no range of pages (the first is 1)")
            ranges.append((start, end))
        return ranges

    def __contains__(self, number: int) -> bool:
        ranges = self._ranges()
        return not ranges or any(start <= number <= end for start, end in ranges)


EVERY_PAGE = Selection()


class Pictures:
    """A file of one picture or of several: a TIFF's are pages, an animation's first alone is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.lock = source, threading.Lock()
        with explain_broken(source.name):
            self.image = identify(source.stream())
            # of a PSD Pillow counts the layers, and what it opens is all of them together
            self.n_pages = 1 if self.image.format == "PSD" else int(getattr(self.image, "n_frames", 1))

    def skipped(self, number: int) -> str:
        """Why a page is not read; empty when it is."""
        return ONE_PICTURE.get(self.image.format or "", "") if number > 1 else ""

    def load(self, number: int, most: int = MAX_PIXELS) -> Image.Image:
        """Page `number`, from 1, as upright RGB. Raises UserError when it is broken or has over `most` pixels."""
        with self.lock, explain_broken(self.source.name):
            if self.n_pages > 1:
                self.image.seek(number - 1)
            return open_image(self.image, self.source.name, most)

    def close(self) -> None:
        self.image.close()


def _says_encrypted(source: Source) -> bool:
    """Whether a PDF says so itself: of one without a page, pdfium repeats what it last said of another."""
    with source.stream() if source.data is not None else open(source.name, "rb") as file:
        return b"/Encrypt" in file.read()


def _scan_scale(page: pdfium.PdfPage) -> float:
    """Pixels for a point at which the one picture that covers a PDF's page shows all it has; 0 where there is none."""
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
    """A PDF, its pages drawn at `dpi`, with what was typed into its forms unless `fields` is False.

    A page that is one scan of a higher resolution is drawn at that, until its longer side has LONGEST_SCAN pixels.
    """

    fields = True

    def __init__(self, source: Source, dpi: int, password: str) -> None:
        self.source, self.scale = source, dpi / POINTS
        with PDFIUM:
            try:
                self.document = pdfium.PdfDocument(source.stream(), password=password or None)
                self.n_pages = len(self.document)
                self.document.init_forms()  # or no field is ever drawn
            except pdfium.PdfiumError as error:
                if "password" in str(error).lower() and _says_encrypted(source):
                    what = "the password is not right" if password else "it is encrypted: give its --password"
                    raise PasswordNeeded(f"{source.name}: {what}") from error
                raise UserError(f"{source.name}: broken, without a page, or no PDF ({error})") from error

    def skipped(self, number: int) -> str:
        """Why a page is not read; empty when it is."""
        return ""

    def load(self, number: int, most: int = MAX_PIXELS) -> Image.Image:
        """Page `number`, from 1, as RGB. Raises UserError when it is broken or would have over `most` pixels."""
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
    """Open a file of any kind. Raises UserError when it is missing, broken, locked or empty."""
    return PDF(source, dpi, password) if source.is_pdf() else Pictures(source)


@dataclass
class InputPage:
    """One page of an input, or why there is none."""

    source: Source
    number: int
    """from 1"""
    state: PageState
    why: str = ""
    """of a page that failed or is skipped; of one that was read, what is to be said beside its text"""
    image: Image.Image | None = None
    last: bool = False
    """whether it ends its source"""
    fingerprint: str = ""
    n_pages: int = 1
    """of its source"""
