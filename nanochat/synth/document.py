"""A synthetic document: its image, its text, and the position of each glyph in the image."""

from dataclasses import dataclass

import numpy as np


@dataclass
class DrawnDocument:
    """The result of `draw_document`. All positions are in pixels of `image`, after every degradation."""

    image: np.ndarray  # (H, W) grey or (H, W, 3) RGB, uint8; H and W are multiples of 64
    text: str  # the exact text in reading order, lines separated by "\n"
    chars: str  # the glyphs drawn, one per box, in reading order: the text without its newlines
    boxes: np.ndarray  # (len(chars), 4) float32 x0, y0, x1, y1: advance width by ascender..descender
    centres: np.ndarray  # (len(chars), 2) float32 x, y: middle of the advance, middle of the x-height
    line_ids: np.ndarray  # (len(chars),) int32: which line of the text, counted from 0

    @property
    def inked(self) -> np.ndarray:
        """(len(chars),) bool: which glyphs are not spaces."""
        return np.array([char != " " for char in self.chars], bool)

    def line_boxes(self) -> np.ndarray:
        """(number of lines, 4) float32: the smallest box around each line's glyphs."""
        return _union(self.boxes, self.line_ids)

    def word_boxes(self) -> tuple[list[str], np.ndarray]:
        """The words (separated by spaces or line ends) and their boxes, (n_words, 4) float32."""
        inked = self.inked
        starts = np.zeros(len(self.chars), bool)
        if len(starts):
            starts[0] = True
            starts[1:] = ~inked[:-1] | (self.line_ids[1:] != self.line_ids[:-1])
        word_ids = (np.cumsum(starts) - 1)[inked]
        return self.text.split(), _union(self.boxes[inked], np.unique(word_ids, return_inverse=True)[1])


def glyph_height(boxes: np.ndarray) -> float:
    """The median height of the glyph boxes (N, 4), N at least 1, in px."""
    return float(np.median(boxes[:, 3] - boxes[:, 1]))


def _union(boxes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The box around the boxes (N, 4) of each id; ids count up from 0 without gaps."""
    if len(ids) == 0:
        return np.zeros((0, 4), np.float32)
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    low = np.minimum.reduceat(boxes[:, :2], starts)
    high = np.maximum.reduceat(boxes[:, 2:], starts)
    return np.concatenate([low, high], axis=1)
