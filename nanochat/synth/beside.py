"""Single letters and rows of marks beside the lines of a document. The letters are text, the rows of marks are not.

Receipts have columns of single digits or colons, which a line detector trained on words alone misses. Rows of stars,
dots and dashes separate parts of a receipt or connect a label with its value. Like rules, they are not transcribed.
"""

import random

import cv2
import numpy as np

from nanochat.synth.atlas import get_atlas
from nanochat.synth.degrade import ink_colour, ink_cover, sheet_colour, with_ink
from nanochat.synth.document import DrawnDocument, glyph_height
from nanochat.synth.fonts import Face, find_fonts

_ALONE = set("0123456789:*#&@$%ABCDEFGHJKLMNPQRSTUVWXYZ")  # characters that are unambiguous without neighbours
_DIGITS, _COLONS = 0.5, 0.2  # share of the single letters that are digits or colons, if the document has any
_APART = 1.25  # minimum distance to the neighbours, in type heights, so that a letter is a segment of its own
_MARKS = "****....---==_~#+"
_LEAST, _MOST = 7, 60  # marks in a row; a shorter row could be text
_TRIES = 12  # positions tried for each


def _free(box: np.ndarray, boxes: np.ndarray, shape: tuple[int, ...], apart: float, above: float) -> bool:
    """Whether a box (4,) lies inside the image, `apart` px sideways and `above` px vertically from all others."""
    x0, y0, x1, y1 = box
    if x0 < 2 or y0 < 2 or x1 > shape[1] - 2 or y1 > shape[0] - 2:
        return False
    near = (boxes[:, 0] < x1 + apart) & (boxes[:, 2] > x0 - apart)
    return not (near & (boxes[:, 1] < y1 + above) & (boxes[:, 3] > y0 - above)).any()


def with_lone_letters(document: DrawnDocument, rng: random.Random) -> None:
    """Print one to six of a document's letters again, each on its own, most of them on the row of another line.

    Changes the document in place: `text`, `chars`, `boxes`, `centres` and `line_ids` get one line per letter at the
    end.
    """
    known = [i for i, char in enumerate(document.chars) if char in _ALONE]
    digits, colons = ([i for i in known if document.chars[i] in some] for some in ("0123456789", ":"))
    if not known:
        return
    cover, paper, ink = ink_cover(document.image, glyph_height(document.boxes))
    added = np.zeros_like(cover)
    height, width = cover.shape
    wanted = rng.randint(1, 6)
    for _ in range(wanted * _TRIES):
        if not wanted:
            break
        kind = rng.random()
        i = rng.choice((digits if kind < _DIGITS else colons if kind < _DIGITS + _COLONS else known) or known)
        x0, y0, x1, y1 = (int(v) for v in document.boxes[i].round())
        x = rng.uniform(0, width)
        beside = rng.randrange(len(document.centres))
        y = float(document.centres[beside, 1]) if rng.random() < 0.8 else rng.uniform(0, height)
        step = np.round([x - x0, y - document.centres[i, 1]])
        box = document.boxes[i] + np.tile(step, 2)
        tall = box[3] - box[1]
        whole = 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        if not whole or not _free(box, document.boxes, document.image.shape, _APART * tall, 0.1 * tall):
            continue
        left, top = (int(v) for v in step)
        there = np.s_[y0 + top : y1 + top, x0 + left : x1 + left]
        letter = cover[y0:y1, x0:x1]
        edges = np.concatenate([letter[:, [0, -1]].ravel(), letter[[0, -1]].ravel()])
        if max(cover[there].max(), edges.max()) > 0.35 or letter.max() < 0.5:
            continue  # there is a drawing at this position, a neighbour reaches into it, or the contrast is too low
        added[there] = letter
        wanted -= 1
        char = document.chars[i]
        document.text += "\n" + char
        document.chars += char
        document.boxes = np.concatenate([document.boxes, box[None]]).astype(np.float32)
        document.centres = np.concatenate([document.centres, document.centres[i : i + 1] + step]).astype(np.float32)
        last = document.line_ids[-1] + 1
        document.line_ids = np.append(document.line_ids, last).astype(np.int32)
    document.image = with_ink(document.image, ink - paper, added)


def with_rows_of_marks(image: np.ndarray, boxes: np.ndarray, rng: random.Random) -> np.ndarray:
    """A copy of an image, (H, W) or (H, W, 3) uint8, with one to three rows of marks where there is no text.

    boxes: (N, 4), those of the glyphs. Half of the rows continue a line of text.
    """
    step = ink_colour(image) - sheet_colour(image)
    added = np.zeros(image.shape[:2], np.float32)
    tall = glyph_height(boxes) if len(boxes) else image.shape[0] / 8
    fonts = find_fonts()
    wanted = rng.randint(1, 3)
    for _ in range(_TRIES):
        if not wanted:
            break
        row = _row(fonts.pick(rng, False, rng.random() < 0.5), max(round(tall * rng.uniform(0.6, 1.0)), 6), rng)
        h, w = row.shape
        if h >= image.shape[0] - 4 or w >= image.shape[1] - 4:
            continue
        x, y = rng.randrange(2, image.shape[1] - w - 1), rng.randrange(2, image.shape[0] - h - 1)
        if len(boxes) and rng.random() < 0.5:
            _, y0, x1, y1 = boxes[rng.randrange(len(boxes))]
            y = max(round((y0 + y1 - h) / 2), 2)
            if rng.random() < 0.5:
                x = round(x1 + tall)
        box = np.array([x, y, x + w, y + h])
        if _free(box, boxes, image.shape, 0.7 * tall, -0.05 * tall):
            added[y : y + h, x : x + w] = row * rng.uniform(0.6, 1.0)
            boxes = np.concatenate([boxes, box[None].astype(np.float32)])
            wanted -= 1
    return with_ink(image.astype(np.float32), step, added)


def _row(face: Face, px: int, rng: random.Random) -> np.ndarray:
    """The coverage (h, w) of a row of one repeated mark, spaced like type or wider."""
    atlas = get_atlas(face, px)
    glyph = atlas[rng.choice(_MARKS)]
    count, pitch = rng.randint(_LEAST, _MOST), max(glyph.advance * rng.choice((1.0, 1.0, 1.0, 1.3, 2.0)), 2.0)
    height, wide = glyph.ink.shape
    row = np.zeros((atlas.ascent + atlas.descent, round(count * pitch) + wide + 1), np.float32)
    top = atlas.ascent + glyph.top
    for k in range(count):
        left = round(k * pitch)
        into = row[top : top + height, left : left + wide]
        np.maximum(into, glyph.ink[: into.shape[0]] / 255, out=into)
    return cv2.GaussianBlur(row, (0, 0), rng.uniform(0.3, 0.8))
