"""Letters outside the detected lines, in type of any size.

The line detector may miss the end of a line, or a whole line of heavy, condensed or very large type. What is left of
the ink is searched for shapes like letters: those next to a line are added to it, and rows of them become lines.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from PIL import Image

from nanochat.lines.inked_page import grey_at
from nanochat.lines.segment import FEET, Segment

AROUND = 21  # px at half size: side of the square whose median is the paper
CONTRAST = 40  # least difference of ink and paper, in grey levels
LEAST, MOST = 6, 40  # px: height of a letter at one size of the image; larger letters are looked for in smaller images
SMALLEST_IMAGE = 64  # px: shorter side of the smallest image
MOST_SHAPES = 400  # an image with more shapes like letters outside its lines shows a picture
THIN, WIDE = 0.1, 3.0  # least and largest width of a letter, or of a few touching ones, relative to its height
FILLED = 0.9  # largest share of ink in the box of a broad shape; an I or a 1 is narrower than BROAD
BROAD = 0.5  # relative to its height
HOLLOW = 0.12  # least share of ink
# In type heights of the line.
UPPER, LOWER = 0.56, 0.3  # a letter of a line has its centre between these distances from the middle of the line
TALLEST, SHORTEST = 0.95, 0.3  # height of a letter beside a line
NEXT = 0.7  # widest space to the next letter of a line
RISE = 0.2  # farthest distance of the feet of a letter from those of the line; only a j goes lower
CAPITAL = 0.73  # height of a capital
BEFORE = 1.7  # how far before a line its bullet or minus is looked for
MARK_WIDTH, MARK_HEIGHT = (0.14, 0.75), (0.04, 0.42)  # least and largest size of a bullet or dash
MARK_OFF, MARK_FILLED = 0.22, 0.6  # largest distance from the middle of the line; least share of ink in its box
# In heights of the highest letter of a row.
APART = 0.8  # widest space between two letters
UNEVEN = 0.15  # largest distance of the feet of letters, and largest difference of the heights of tall letters
FEWEST, EVEN = 4, 0.75  # least number of letters in a row; least share of them that stand on its base line
LONG = 2.0  # least length of a row
MOST_FILLED = 0.5  # largest share of filled shapes, like an I, in a row; the others are bars of a chart


@dataclass(frozen=True)
class Shape:
    """A connected shape of ink that may be a letter, in px of the page."""

    left: float
    top: float
    right: float
    bottom: float
    filled: float
    """share of ink in its box"""

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def with_uncovered(image: Image.Image, found: list[Segment], longest: int) -> list[Segment]:
    """Segments of an RGB image, with the letters beside them, and the rows of letters, that were missed.

    `longest`: longest side of the image, in pixels, in which letters are looked for; larger images are scaled down.
    """
    if not found:
        return found
    scale = min(1.0, longest / max(image.size))
    grey = grey_at(image, scale)
    smaller = [Segment(s.points * scale, s.height * scale) for s in found]
    longer, left_over = with_ends(smaller, uncovered_shapes(grey, smaller))
    longer = [with_mark_before(grey, segment) for segment in longer]
    kept = [
        s if new is old else Segment(new.points / scale, new.height / scale)
        for s, old, new in zip(found, smaller, longer, strict=True)
    ]
    return kept + [Segment(s.points / scale, s.height / scale) for s in rows_of_letters(left_over)]


def uncovered_shapes(grey: np.ndarray, segments: list[Segment]) -> list[Shape]:
    """Shapes like letters of a page, uint8 (H, W), outside these segments, from left to right."""
    found = np.zeros((0, 5))
    factor = 1
    while min(grey.shape) >= SMALLEST_IMAGE:
        least = LEAST if factor == 1 else MOST // 2  # smaller ones were found in the image before
        some = _letters(grey, least) * (factor, factor, factor, factor, 1)
        free = some[~_are_in(some, segments) & ~_are_found(some, found)]
        if len(free) <= MOST_SHAPES:
            found = np.concatenate([found, free])
        grey, factor = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 2 * factor
    return sorted((Shape(*box) for box in found.tolist()), key=lambda shape: shape.left)


def _letters(grey: np.ndarray, least: int) -> np.ndarray:
    """Boxes and shares of ink, (N, 5), of shapes from `least` to MOST px high in an image, uint8 (H, W)."""
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    paper = cv2.resize(cv2.medianBlur(half, 2 * AROUND + 1), grey.shape[::-1])
    ink = (cv2.absdiff(grey, paper) > CONTRAST).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    x, y, w, h, area = stats[1:].T
    filled = area / np.maximum(1, w * h)
    kept = (h >= least) & (h <= MOST) & (w >= THIN * h) & (w <= WIDE * h)
    kept &= (filled >= HOLLOW) & ((filled <= FILLED) | (w < BROAD * h))
    return np.stack([x, y, x + w, y + h, filled], 1)[kept]


def _are_found(boxes: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which boxes, (N, 5), were found at another size of the image: their centre is in one of these. Bool (N,)."""
    x, y = (boxes[:, :2] + boxes[:, 2:4]).T / 2
    left, top, right, bottom = found.T[:4, :, None]
    return ((left <= x) & (x <= right) & (top <= y) & (y <= bottom)).any(0)


def _are_in(boxes: np.ndarray, segments: list[Segment]) -> np.ndarray:
    """Which boxes, (N, 5), have their centre in a segment, without the room below that only descenders need. (N,)."""
    x, y = (boxes[:, :2] + boxes[:, 2:4]).T / 2
    inside = np.zeros(len(boxes), bool)
    for segment in segments:
        below = (y - segment.y_at(x)) / segment.height
        between = (segment.points[0, 0] <= x) & (x <= segment.points[-1, 0])
        inside |= between & (-UPPER <= below) & (below <= LOWER)
    return inside


def with_ends(segments: list[Segment], shapes: list[Shape]) -> tuple[list[Segment], list[Shape]]:
    """(the segments, each with the letters before and after it that were missed; the other shapes)."""
    found, left_over = [], list(shapes)
    for segment in segments:
        for side in (-1, 1):
            near = [shape for shape in left_over if _stands_on(shape, segment)]
            ordered = sorted(near, key=lambda shape: side * shape.left)
            for shape in ordered:
                end = segment.points[-1 if side > 0 else 0, 0]
                gap = shape.left - end if side > 0 else end - shape.right
                middle = (shape.left + shape.right) / 2
                if gap > NEXT * segment.height:
                    break
                if side * (middle - end) > 0:
                    segment = _extended(segment, shape.right if side > 0 else shape.left)
                    left_over.remove(shape)
        found.append(segment)
    return found, left_over


def with_mark_before(grey: np.ndarray, segment: Segment) -> Segment:
    """A segment of a page, uint8 (H, W), with the bullet, dash or minus that stands alone before it."""
    (x, y), height = segment.ends[0], segment.height
    box = [round(v) for v in (x - BEFORE * height, y - height / 2, x - 1, y + height / 2)]
    if min(box[:2]) < 0 or height < LEAST or box[3] > len(grey):
        return segment
    part = grey[box[1] : box[3], box[0] : box[2]]
    ink = (cv2.absdiff(part, np.full_like(part, round(float(np.median(part))))) > CONTRAST).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(ink)
    if count != 2:
        return segment
    left, top, width, tall, area = stats[1].tolist()
    sized = all(
        low * height <= side <= high * height for side, (low, high) in ((width, MARK_WIDTH), (tall, MARK_HEIGHT))
    )
    apart = left > 0 and left + width < part.shape[1]
    level = abs(top + tall / 2 - height / 2) <= MARK_OFF * height and width >= MARK_FILLED * tall
    if sized and apart and level and area >= MARK_FILLED * width * tall:
        return _extended(segment, box[0] + left)
    return segment


def _stands_on(shape: Shape, segment: Segment) -> bool:
    """Whether a shape is as high as a letter of a segment, and has its feet on its base line."""
    height = segment.height
    middle = float(segment.ends[:, 1].mean() + np.tan(segment.angle) * (shape.centre[0] - segment.ends[:, 0].mean()))
    feet = shape.bottom - (middle + FEET * height)
    return SHORTEST * height <= shape.height <= TALLEST * height and abs(feet) <= RISE * height


def _extended(segment: Segment, x: float) -> Segment:
    """A segment that goes on to `x`, at its own slope."""
    (x0, y0), (x1, y1) = segment.ends
    slope = np.tan(segment.angle)
    if x > x1:
        points = np.concatenate([segment.points, [[x, y1 + slope * (x - x1)]]])
    else:
        points = np.concatenate([[[x, y0 + slope * (x - x0)]], segment.points])
    return Segment(points, segment.height)


def rows_of_letters(shapes: list[Shape]) -> list[Segment]:
    """Rows of letters of one size among shapes from left to right, as segments."""
    rows: list[list[Shape]] = []
    for shape in shapes:
        near = [row for row in rows if _goes_on(row, shape)]
        if near:
            min(near, key=lambda row: abs(row[-1].bottom - shape.bottom)).append(shape)
        else:
            rows.append([shape])
    return [segment for row in rows if (segment := _as_line(row)) is not None]


def _goes_on(row: list[Shape], shape: Shape) -> bool:
    """Whether a shape continues a row."""
    last, high = row[-1], max(row[-1].height, shape.height)
    close = shape.left - last.right <= APART * high and shape.centre[0] > last.right - UNEVEN * high
    alike = min(last.height, shape.height) >= high / 2
    return close and alike and abs(last.bottom - shape.bottom) <= 2 * UNEVEN * high


def _as_line(row: list[Shape]) -> Segment | None:
    """A row of shapes as a segment; None if it does not look like text."""
    if len(row) < FEWEST or np.mean([shape.filled > FILLED for shape in row]) > MOST_FILLED:
        return None
    high = float(np.percentile([shape.height for shape in row], 90))
    x, bottom = np.array([(shape.centre[0], shape.bottom) for shape in row]).T
    slope, feet = np.polyfit(x, bottom, 1) if np.ptp(x) > 0 else (0.0, float(bottom.mean()))
    on_base = np.abs(bottom - slope * x - feet) < UNEVEN * high
    length = row[-1].right - row[0].left
    if on_base.mean() < EVEN or length < LONG * high or abs(slope) > UNEVEN:
        return None
    gaps = [max(0.0, b.left - a.right) for a, b in pairwise(row)]
    if np.median(gaps) > high / 2:
        return None
    height = high / CAPITAL
    ends = np.array([row[0].left, row[-1].right])
    return Segment(np.stack([ends, slope * ends + feet - FEET * height], 1), height)
