"""Training targets of the line detector: bands along the middle of the lines of a synthetic document, with heights."""

import random
from dataclasses import replace

import cv2
import numpy as np

from nanochat.lines.finder import CELL, CORE, UNIT
from nanochat.synth.beside import with_lone_letters
from nanochat.synth.degrade import fax, noise, sheet_colour, to_bytes
from nanochat.synth.document import DrawnDocument
from nanochat.synth.draw import draw_document
from nanochat.synth.levels import LEVELS
from nanochat.synth.practice import draw_practice

LARGEST_GAP = 1.0  # in type heights; a wider gap on a line starts a new segment
SHORTEST = 0.7  # in type heights; length of the band of a single letter, such as a colon
_COLUMNS = replace(LEVELS["page"], name="columns", kinds=("columns",))  # the hardest case: narrow gaps
_CLOSE = replace(LEVELS["page"], name="close columns", kinds=("close columns",))
_SIGNS = replace(LEVELS["page"], name="signs", kinds=("scene", "code"))  # and type of any colour on any background
SHOWN = (
    *(LEVELS[name] for name in ("line256", "line512", "E", "Ew", "note", "note", "leaf", "leaf", "page", "page")),
    *(_COLUMNS, _COLUMNS, _COLUMNS, _CLOSE, _CLOSE, _CLOSE, _SIGNS),
)
LONELY = 0.25  # share of documents with single letters, in addition to those of `draw_practice`
WIDE, SQUEEZED = (0.35, 1.0, 1.9), (0.08, 0.55, 0.85)  # wide type, narrow type: (share, range of factors)
UPRIGHT = 0.2  # share of documents with a line beside them that is rotated by 90 degrees, like numbers in margins
FADED = 0.2  # share of documents with some lines in fainter ink
FAINTEST = 20  # of 255, the contrast that remains at least
FAXED = 0.06  # share of documents turned into black and white
SIDE, WINDOWS = 256, 2  # px, side of a training window; windows of a document


def segments(document: DrawnDocument) -> list[tuple[np.ndarray, float]]:
    """The text segments of a document's lines: points (N, 2) x, y along the middle of the letters, and the height, px.

    The points use OpenCV's convention, as the line detector does: pixel centres are integers.
    """
    found = []
    inked = document.inked
    for line in range(len(np.unique(document.line_ids))):
        here = np.flatnonzero(inked & (document.line_ids == line))
        if not len(here):
            continue
        boxes, centres = document.boxes[here], document.centres[here] - 0.5
        heights = boxes[:, 3] - boxes[:, 1]
        gaps = boxes[1:, 0] - boxes[:-1, 2] > LARGEST_GAP * heights[1:]
        for part in np.split(np.arange(len(here)), np.flatnonzero(gaps) + 1):
            first, last = part[0], part[-1]
            half = (boxes[first, 2] - boxes[first, 0]) / 2, (boxes[last, 2] - boxes[last, 0]) / 2
            points = np.concatenate([[centres[first]], centres[part], [centres[last]]])
            height = float(np.median(heights[part]))
            least = (SHORTEST * height - (points[-1, 0] - points[0, 0])) / 2
            points[0, 0] -= max(half[0], least)
            points[-1, 0] += max(half[1], least)
            found.append((points, height))
    return found


def paint(lines: list[tuple[np.ndarray, float]], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """(core, 0 or 1; natural logarithm of the height in units of 16 px), each float32 (height / 4, width / 4)."""
    size = (height // CELL, width // CELL)
    core, tall = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for points, type_height in lines:
        # cell centres are integers; four fractional bits for the corners
        dots = np.round(((points + 0.5) / CELL - 0.5) * 16)
        reach = max(CORE * type_height / CELL / 2, 0.5) * 16
        along = np.concatenate([dots - [0, reach], (dots + [0, reach])[::-1]]).astype(np.int32)
        for canvas, value in ((core, 1.0), (tall, float(np.log(type_height / UNIT)))):
            cv2.fillPoly(canvas, [along], value, lineType=cv2.LINE_8, shift=4)
    return core, tall


def _with_upright_line(image: np.ndarray, seed: int, rng: random.Random) -> np.ndarray:
    """The image with a line beside it that is rotated by 90 degrees, on the same paper colour. It is not a target."""
    line = draw_document(LEVELS[rng.choice(("line128", "line256", "line512"))], seed, "train").image
    grey = np.rot90(cv2.cvtColor(line, cv2.COLOR_RGB2GRAY) if line.ndim == 3 else line, rng.choice((1, 3)))
    ink = np.abs(grey - np.median(grey)) / 255
    column = np.zeros((image.shape[0], grey.shape[1]))
    top = rng.randint(min(0, len(column) - len(ink)), max(0, len(column) - len(ink)))
    shown = ink[max(0, -top) :][: len(column) - max(0, top)]
    column[max(0, top) : max(0, top) + len(shown)] = shown
    paper = sheet_colour(image)
    beside = paper + np.sign(128 - paper) * 255 * column[:, :, None]
    return np.concatenate([image, beside.clip(0, 255).astype(np.uint8)], axis=1)


def _faded(image: np.ndarray, lines: list[tuple[np.ndarray, float]], rng: random.Random) -> np.ndarray:
    """The image with a third of its lines at 1/6 to 1/2 of their contrast. They remain targets."""
    small = cv2.GaussianBlur(cv2.resize(image, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA), (0, 0), 5)
    paper = cv2.resize(small, image.shape[1::-1]).astype(np.float32)
    share = np.ones(image.shape[:2], np.float32)
    for points, height in lines:
        if rng.random() < 0.33:
            around = np.round([*(points - [0, height]), *(points + [0, height])[::-1]]).astype(np.int32)
            inside = cv2.fillPoly(np.zeros_like(share, np.uint8), [around], 1) > 0
            contrast = np.percentile(np.abs(image - paper)[inside], 95) if inside.any() else 0.0
            share[inside] = max(rng.uniform(0.17, 0.5), min(1.0, FAINTEST / max(contrast, 1)))
    kept = cv2.GaussianBlur(share, (0, 0), 2)[:, :, None]
    return to_bytes(paper + (image - paper) * kept + noise(image.shape, rng) * rng.uniform(0, FAINTEST / 3))


def example(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """WINDOWS windows of a synthetic document at one scale, each (RGB uint8 (256, 256, 3), core, height)."""
    rng = random.Random(f"lines/{seed}")
    level = replace(rng.choice(SHOWN), degrade=rng.uniform(0.2, 1.0))
    document = draw_practice(level, seed, "train", rng)
    if rng.random() < LONELY:
        with_lone_letters(document, rng)
    image = document.image if document.image.ndim == 3 else cv2.cvtColor(document.image, cv2.COLOR_GRAY2RGB)
    lines = segments(document)
    form = rng.random()
    if form < FADED:
        image = _faded(image, lines, rng)
    elif form > 1 - FAXED:
        image = cv2.cvtColor(fax(image, 16), cv2.COLOR_GRAY2RGB)
    if rng.random() < UPRIGHT:
        image = _with_upright_line(image, seed, rng)
    scale = float(np.exp(rng.uniform(np.log(0.7), np.log(2.5))))
    form = rng.random()
    low, high = WIDE[1:] if form < WIDE[0] else SQUEEZED[1:] if form > 1 - SQUEEZED[0] else (0.85, 1.1)
    wide = scale * rng.uniform(low, high)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, None, fx=wide, fy=scale, interpolation=how)
    lines = [((points + 0.5) * [wide, scale] - 0.5, tall * scale) for points, tall in lines]
    border = [int(v) for v in np.median(image[[0, -1]].reshape(-1, 3), 0)]
    shown = []
    for _ in range(WINDOWS):
        x = rng.randint(min(0, image.shape[1] - SIDE), max(0, image.shape[1] - SIDE))
        y = rng.randint(min(0, image.shape[0] - SIDE), max(0, image.shape[0] - SIDE))
        window = np.empty((SIDE, SIDE, 3), np.uint8)
        window[:] = border
        left, top = max(0, -x), max(0, -y)
        piece = image[max(0, y) : y + SIDE, max(0, x) : x + SIDE]
        window[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
        shown.append((window, *paint([(points - [x, y], tall) for points, tall in lines], SIDE, SIDE)))
    return shown
