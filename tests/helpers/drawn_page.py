"""Pages of text drawn with Pillow, with the bounding box of every line."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.segment import Segment

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
WORDS = "total amount of the goods sold and paid by card on Monday 12.50 Kuala Lumpur invoice number 4711".split()


def draw_page(
    texts: list[str], size: int = 22, width: int = 700, left: int = 40, paper: str = "#f4f1e8", ink: str = "#222222"
) -> tuple[Image.Image, list[tuple[int, int, int, int]]]:
    """(a page with one text per line, the box of the ink of each line)."""
    font = ImageFont.truetype(str(FONT), size)
    pitch = round(size * 1.5)
    page = Image.new("RGB", (width, pitch * (len(texts) + 2)), paper)
    draw = ImageDraw.Draw(page)
    boxes = []
    for i, text in enumerate(texts):
        draw.text((left, pitch * (i + 1)), text, font=font, fill=ink)
        boxes.append(tuple(round(x) for x in draw.textbbox((left, pitch * (i + 1)), text, font=font)))
    return page, boxes


def sentence(i: int, n_words: int = 5) -> str:
    return " ".join(WORDS[(7 * i + k) % len(WORDS)] for k in range(n_words))


def stretch(left: float, right: float, y: float, height: float = 18.0) -> Segment:
    """A level segment of text, as the line detector would find it."""
    x = np.arange(left, right + 1.0)
    return Segment(np.stack([x, np.full_like(x, y)], 1), height)
