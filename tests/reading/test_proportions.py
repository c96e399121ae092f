"""Metadata of images: their resolution, their value range, and transparent pixels."""

import io
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw

from nanochat.image_process import NOTE, open_image
from nanochat.reading.documents import LONGEST_SCAN, open_document
from nanochat.reading.sources import Source


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG"])
def test_fax_is_stretched_to_its_resolution(kind: str) -> None:
    fax = saved(Image.new("L", (408, 196), 255), kind, dpi=(204, 98))
    width, height = open_image(fax).size
    assert width == 408
    assert height == pytest.approx(408, abs=2)  # two inches by two


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG"])
def test_square_pixels_are_not_changed(kind: str) -> None:
    assert open_image(saved(Image.new("L", (408, 196), 255), kind, dpi=(300, 300))).size == (408, 196)


@pytest.mark.parametrize("dpi", [(1, 10_000), (0, 0), (0, 300)])
def test_impossible_resolution_is_ignored_with_a_note(dpi: tuple[int, int]) -> None:
    opened = open_image(saved(Image.new("L", (60, 40), 255), "TIFF", dpi=dpi))
    assert opened.size == (60, 40)
    assert "ignored" in opened.info[NOTE]
    assert open_image(opened).info[NOTE] == opened.info[NOTE]


def test_image_is_stretched_once() -> None:
    once = open_image(saved(Image.new("L", (408, 196), 255), "TIFF", dpi=(204, 98)))
    assert open_image(once).size == once.size


def test_rotated_fax_keeps_its_proportions() -> None:
    lying = Image.new("L", (408, 196), 255)
    exif = Image.Exif()
    exif[274] = 6
    width, height = open_image(saved(lying, "TIFF", dpi=(204, 98), exif=exif, tiffinfo={274: 6})).size
    assert height == 408
    assert width == pytest.approx(408, abs=2)


def test_stretching_respects_the_pixel_limit() -> None:
    width, height = open_image(saved(Image.new("L", (400, 400), 255), "TIFF", dpi=(200, 100)), most=200_000).size
    assert width * height <= 200_000
    assert height / width == pytest.approx(2, rel=0.02)


def on_transparency(ink: tuple[int, ...]) -> bytes:
    note = Image.new("RGBA", (200, 60), (0, 0, 0, 0))
    ImageDraw.Draw(note).rectangle((20, 20, 60, 40), fill=ink)
    return saved(note, "PNG")


@pytest.mark.parametrize("ink", [(255, 255, 255, 255), (255, 240, 180, 255), (0, 0, 0, 255), (30, 60, 200, 255)])
def test_ink_on_transparency_differs_from_the_background(ink: tuple[int, ...]) -> None:
    pixels = np.asarray(open_image(on_transparency(ink)).convert("L")).astype(int)
    assert abs(pixels[30, 40] - pixels[5, 5]) > 100


def test_white_and_black_ink_on_transparency_differ_from_the_background() -> None:
    note = Image.new("RGBA", (200, 60), (0, 0, 0, 0))
    draw = ImageDraw.Draw(note)
    draw.rectangle((20, 20, 40, 40), fill=(255, 255, 255, 255))
    draw.rectangle((120, 20, 140, 40), fill=(0, 0, 0, 255))
    pixels = np.asarray(open_image(saved(note, "PNG")).convert("L")).astype(int)
    assert abs(pixels[30, 30] - pixels[5, 5]) > 100
    assert abs(pixels[30, 130] - pixels[5, 5]) > 100


def test_white_card_with_black_text_keeps_a_white_background() -> None:
    card = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    draw = ImageDraw.Draw(card)
    draw.rectangle((10, 10, 190, 90), fill=(255, 255, 255, 255))
    draw.rectangle((40, 40, 100, 60), fill=(0, 0, 0, 255))
    assert open_image(saved(card, "PNG")).getpixel((2, 2)) == (255, 255, 255)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_white_of_a_16_bit_image_is_that_of_the_bits_used(bits: int) -> None:
    white = 2**bits - 1
    picture = Image.fromarray(np.full((20, 20), white, np.uint16))
    assert open_image(saved(picture, "TIFF")).getpixel((5, 5)) == (255, 255, 255)


def scan_in_pdf(path: Path, pixels: tuple[int, int], points: tuple[float, float], share: float = 1.0) -> Source:
    """A PDF of one page with one image that covers `share` of its width and height."""
    document = pdfium.PdfDocument.new()
    page = document.new_page(*points)
    image = pdfium.PdfImage.new(document)
    image.load_jpeg(io.BytesIO(saved(Image.new("RGB", pixels, "white"), "JPEG")), inline=True)
    image.set_matrix(pdfium.PdfMatrix().scale(points[0] * share, points[1] * share))
    page.insert_obj(image)
    page.gen_content()
    document.save(path)
    document.close()
    return Source(str(path))


@pytest.mark.parametrize(
    ("pixels", "points", "share", "longest"),
    [
        ((900, 1200), (90, 120), 1.0, 1200),  # a scan on a tiny page
        ((2480, 3508), (595, 842), 1.0, LONGEST_SCAN),  # A4 at 300 dpi
        ((400, 566), (595, 842), 1.0, 1754),  # lower than the requested resolution
        ((900, 1200), (90, 120), 0.5, 250),  # an image on a page
    ],
)
def test_scanned_pdf_page_is_rendered_at_its_resolution(
    tmp_path: Path, pixels: tuple[int, int], points: tuple[float, float], share: float, longest: int
) -> None:
    document = open_document(scan_in_pdf(tmp_path / "a.pdf", pixels, points, share), dpi=150)
    assert max(document.load(1).size) == pytest.approx(longest, abs=2)
    document.close()
