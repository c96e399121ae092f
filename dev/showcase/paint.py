"""Drawing functions: fonts, gradients, grain, soft shadows and perspective, with equal pixels on all machines."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Corners = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]


@cache
def font(size: int, face: str = "Sans") -> ImageFont.FreeTypeFont:
    """DejaVu `face` ("Sans", "SansMono-Bold", "Serif-Italic", ...) in pixels, from matplotlib's own files.

    System fonts and other layout engines are not used, because they would make the images depend on the machine.
    """
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVu{face}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def gradient(size: tuple[int, int], start: Colour, end: Colour, across: bool = False) -> Image.Image:
    """An RGB image of (width, height) that changes from `start` to `end`, downwards or `across` to the right."""
    width, height = size
    ramp = np.linspace(0.0, 1.0, width if across else height)[:, None]  # (L, 1)
    row = np.array(start) * (1 - ramp) + np.array(end) * ramp  # (L, 3)
    pixels = row[None, :, :] if across else row[:, None, :]
    return Image.fromarray(np.broadcast_to(pixels, (height, width, 3)).round().astype(np.uint8))


def clouds(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Smooth noise in [0, 1], (height, width): a grid of `cells` (columns, rows) random values, interpolated."""
    values = rng.random((cells[1], cells[0])).astype(np.float32)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)


def shade(picture: Image.Image, light: np.ndarray) -> Image.Image:
    """`picture` times `light` (height, width) or (height, width, 3), where 1 leaves a pixel as it is."""
    light = light if light.ndim == 3 else light[:, :, None]
    return Image.fromarray((np.asarray(picture, np.float32) * light).round().clip(0, 255).astype(np.uint8))


def spotlight(size: tuple[int, int], centre: tuple[float, float], reach: float, dark: float) -> np.ndarray:
    """Light (height, width) that is 1 at `centre` (in shares of the size) and falls to `dark` at `reach` widths."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(x - centre[0] * width, y - centre[1] * height) / (reach * width)
    return 1 - (1 - dark) * np.clip(distance, 0, 1) ** 2


def finish(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Reduce a drawing to its final size and quantize it to steps of four levels, which halves the file size."""
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)).astype(int)
    return Image.fromarray(((pixels + 2) // 4 * 4).clip(0, 255).astype(np.uint8))


def drop_shadow(
    picture: Image.Image, shape: Image.Image, offset: tuple[int, int], blur: float, strength: float
) -> None:
    """Darken `picture` under `shape` (an L mask of the same size) moved by `offset` and blurred."""
    shadow = Image.new("L", shape.size)
    shadow.paste(shape, offset)
    picture.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(blur)).point(lambda value: value * strength))


def perspective(layer: Image.Image, corners: Corners, size: tuple[int, int]) -> Image.Image:
    """`layer` (RGBA) in an empty image of `size`, with its corners, clockwise from the top left, at `corners`."""
    width, height = layer.size
    source = ((0, 0), (width, 0), (width, height), (0, height))
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, source):  # the transform needs the map from target to source
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    coefficients = np.linalg.solve(np.array(rows, float), np.array(values, float))
    return layer.transform(size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC)


def centred(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, face: ImageFont.FreeTypeFont, fill) -> None:
    """Write one line with its baseline at `y`, centred on `x`."""
    draw.text((x, y), text, font=face, fill=fill, anchor="ms")


def spaced(
    draw: ImageDraw.ImageDraw, x: float, y: float, text: str, face: ImageFont.FreeTypeFont, fill, gap: float
) -> None:
    """Like `centred`, with `gap` additional pixels between letters."""
    widths = [face.getlength(letter) + gap for letter in text]
    left = x - (sum(widths) - gap) / 2
    for letter, width in zip(text, widths):
        draw.text((left, y), letter, font=face, fill=fill, anchor="ls")
        left += width
