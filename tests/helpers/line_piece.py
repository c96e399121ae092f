"""A line of text in one typeface, cut out as it is shown to the model."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.cut import Piece, cut_lines
from nanochat.lines.layout import Line
from nanochat.lines.segment import Segment

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
MONO, SERIF, SANS = FACES = ("DejaVuSansMono.ttf", "DejaVuSerif.ttf", "DejaVuSans.ttf")


def piece_of(text: str, face: str, size: int = 24) -> Piece:
    """A line in this face, as it is shown to the model."""
    font = ImageFont.truetype(str(FONTS / face), size)
    width = round(font.getlength(text))
    page = Image.new("RGB", (width + 60, 80), "white")
    ImageDraw.Draw(page).text((30, 40), text, "black", font, "lm")
    x = np.arange(30.0, 30 + width)
    (piece,) = cut_lines(page, [Line((Segment(np.stack([x, np.full_like(x, 40)], 1), 1.1 * size),))])
    return piece
