"""The input of the line detector: a page and its part that is not blank. Blank margins are skipped."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from nanochat.image_process import paper_colour
from nanochat.lines.boxes import Box

BLANK = 16  # grey levels: neighbouring pixels of blank paper differ by less
BLOCK = 8  # px: side of the squares that are classified as blank or not
SPECK, STRIPE = 3, 2  # in blocks: longest side of a speck, and greatest width of a stripe along the edge of a scan


@dataclass(frozen=True, eq=False)
class InkedPage:
    """A page in which lines are to be detected."""

    image: Image.Image
    """RGB"""
    paper: tuple[int, int, int]
    """paper colour, RGB"""
    inked: Box
    """box in px around everything that is not blank"""
    marked: Box
    """box in px around everything that is neither blank nor a speck or the edge of a scan"""


def inked_page(page: np.ndarray) -> InkedPage:
    """Prepare a page, RGB uint8 (H, W, 3), for line detection."""
    return InkedPage(Image.fromarray(page), paper_colour(page), *inked_boxes(page))


def grey_at(image: Image.Image, scale: float) -> np.ndarray:
    """An RGB image in grey levels, uint8 (H, W), at `scale`, at most 1."""
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.convert("L").resize(size, Image.Resampling.BOX))


def inked_boxes(page: np.ndarray) -> tuple[Box, Box]:
    """Boxes in px of an RGB page, uint8 (H, W, 3): around all that is not blank, and around all except dirt.

    Dirt is a speck, or a narrow stripe along an edge of the page. An empty box is (0, 0, 0, 0).
    """
    height, width = page.shape[:2]
    grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    differ = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) >= BLANK
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    blocks = np.zeros((rows * BLOCK, columns * BLOCK), np.uint8)
    blocks[:height, :width] = differ
    blocks = blocks.reshape(rows, BLOCK, columns, BLOCK).max((1, 3))
    _, _, stats, _ = cv2.connectedComponentsWithStats(blocks, connectivity=8)
    x, y, w, h = stats[1:, :4].T
    edge = ((w <= STRIPE) & ((x == 0) | (x + w == columns))) | ((h <= STRIPE) & ((y == 0) | (y + h == rows)))
    marks = (np.maximum(w, h) > SPECK) & ~edge
    found: list[Box] = []
    for some in (np.ones(len(x), bool), marks):
        if some.any():
            left, top = int(x[some].min()) * BLOCK, int(y[some].min()) * BLOCK
            right, bottom = int((x + w)[some].max()) * BLOCK, int((y + h)[some].max()) * BLOCK
            found.append((left, top, min(width, right), min(height, bottom)))
        else:
            found.append((0, 0, 0, 0))
    return found[0], found[1]
