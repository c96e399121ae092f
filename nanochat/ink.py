"""Where a page has ink, and where its lines of text lie: found in pixels, without a model.

Ink is what differs from its surroundings, dark on light or light on dark. Connected pieces of ink that are about as
tall as the page's letters are text; pieces that stand side by side are one segment, and segments at one height a line.
Rules, frames and pictures are left out, being far taller or thinner than letters.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

CONTRAST = 40  # least difference from the surroundings, of 255, that is ink
FAINT = 0.6  # and least share of what the strongest ink nearby differs by
LEAST = 0.35  # smallest piece of a letter, in letter heights; less is a dot or a comma
WORD_GAP = 1.1  # widest gap inside a segment, in letter heights
MAX_SKEW = 8.0  # degrees: a page turned further is left as it is

Box = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are the first pixels outside


@dataclass(frozen=True)
class Line:
    """One line of text: its segments from left to right."""

    segments: tuple[Box, ...]

    @property
    def box(self) -> Box:
        return union(self.segments)


def union(boxes: tuple[Box, ...] | list[Box]) -> Box:
    """The smallest box around all."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)


def ink_map(image: Image.Image) -> np.ndarray:
    """Where there is ink: bool (H, W)."""
    grey = np.asarray(image.convert("L"))
    small = cv2.resize(grey, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) if min(grey.shape) >= 64 else grey
    window = min(31, (min(small.shape) - 1) | 1)
    surroundings = cv2.medianBlur(small, max(3, window - 1 + window % 2)) if min(small.shape) > 3 else small
    surroundings = cv2.resize(surroundings, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    difference = cv2.absdiff(grey, surroundings)
    # a part of what the darkest ink nearby differs by: faint lines stand beside bold ones
    block = np.ones((9, 9), np.uint8)
    strongest = cv2.dilate(cv2.resize(difference, small.shape[::-1], interpolation=cv2.INTER_AREA), block)
    strongest = cv2.resize(strongest, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return difference > np.maximum(CONTRAST, FAINT * strongest)


def _letter_height(height: np.ndarray) -> float:
    """The height that most ink has: medians in which tall pieces count for more, so that dashes and specks do not.

    The second time without what is far taller than the first says: signatures and logos.
    """
    for power in (1.0, 2.0):
        order = np.sort(height)
        total = np.cumsum(order.astype(float) ** power)
        middle = float(order[int(np.searchsorted(total, total[-1] / 2))])
        height = height[height <= 3 * middle]
    return middle


def _pieces(ink: np.ndarray) -> np.ndarray:
    """Connected pieces of ink that may be letters, int (n, 5): left, top, right, bottom, area.

    Not the desk that the paper lies on, which reaches the picture's edge; not what lies in photographs, where half of
    everything is ink; not frames, much box and little ink.
    """
    whole = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))  # dots of a printer
    _, _, stats, centres = cv2.connectedComponentsWithStats(whole, connectivity=8)
    left, top, width, height, area = stats[1:].T
    able = (height >= 4) & (area >= 8) & (width < 60 * height) & (height < max(40, ink.shape[0] / 6))
    able &= (area > 0.12 * width * height) | (height < 16)
    if not able.any():
        return np.zeros((0, 5), int)
    letter = _letter_height(height[able])
    x, y = np.rint(centres[1:]).astype(int).T
    edge = (left == 0) | (top == 0) | (left + width == ink.shape[1]) | (top + height == ink.shape[0])
    able &= ~(edge & ((height > 2 * letter) | (width > 8 * letter)))
    window = max(9, round(6 * letter))
    able &= cv2.blur(ink.astype(np.float32), (window, window))[y, x] < 0.45
    return np.stack([left, top, left + width, top + height, area], 1)[able]


def _segments(pieces: np.ndarray, shape: tuple[int, ...], letter: float) -> list[Box]:
    """Pieces about one letter tall, joined along lines.

    Only the middle of each piece is joined with its neighbours': where lines are set tight, tails of one line reach
    as low as the tips of the next.
    """
    left, top, right, bottom = pieces[:, :4].T
    middle = (top + bottom) / 2
    low, high = np.floor(middle - 0.3 * letter).astype(int), np.ceil(middle + 0.3 * letter).astype(int)
    cores = np.zeros(shape, np.uint8)
    for x0, y0, x1, y1 in zip(left, np.maximum(low, 0), right, high):
        cores[y0:y1, x0:x1] = 1
    reach = max(3, round(WORD_GAP * letter) | 1)
    _, labels = cv2.connectedComponents(cv2.morphologyEx(cores, cv2.MORPH_CLOSE, np.ones((1, reach), np.uint8)))
    owner = labels[np.minimum(middle.astype(int), shape[0] - 1), (left + right) // 2]
    groups = [pieces[owner == i] for i in range(1, int(owner.max(initial=0)) + 1)]
    return [_around(group) for group in groups if len(group)]


def _around(pieces: np.ndarray) -> Box:
    (left, top), (right, bottom) = pieces[:, :2].min(0), pieces[:, 2:4].max(0)
    return int(left), int(top), int(right), int(bottom)


def _with_marks(segments: list[Box], marks: np.ndarray, letter: float) -> list[Box]:
    """Segments with the dots, commas and dashes that lie in or beside them."""
    grown = []
    for left, top, right, bottom in segments:
        x, y = (marks[:, 0] + marks[:, 2]) / 2, (marks[:, 1] + marks[:, 3]) / 2
        beside = (x > left - letter) & (x < right + letter) & (y > top - 0.35 * letter) & (y < bottom + 0.2 * letter)
        grown.append(union([(left, top, right, bottom), *([_around(marks[beside])] if beside.any() else [])]))
    return grown


def _same_line(a: Box, b: Box) -> bool:
    """Whether two segments stand at one height; a stain or a logo several lines tall is on none of them."""
    overlap = min(a[3], b[3]) - max(a[1], b[1])
    low, high = sorted((a[3] - a[1], b[3] - b[1]))
    return overlap > 0.5 * low and high < 2.5 * low


def _rows(segments: list[Box]) -> list[Line]:
    """Segments at one height together, from top to bottom; a segment is compared with its nearest neighbour."""
    rows: list[list[Box]] = []
    for segment in sorted(segments, key=lambda box: box[1] + box[3]):
        for row in reversed(rows[-4:]):
            nearest = min(row, key=lambda box: abs(box[0] + box[2] - segment[0] - segment[2]))
            if _same_line(nearest, segment):
                row.append(segment)
                break
        else:
            rows.append([segment])
    return [Line(tuple(sorted(row))) for row in rows]


def _gutter(segments: list[Box], letter: float) -> int | None:
    """The column of pixels between two columns of running text; None where there is one.

    Both sides need lines that are long: a column of prices stays with the words that it prices.
    """
    wide = [box for box in segments if box[2] - box[0] > 8 * letter]
    if len(wide) < 8:
        return None
    covered = np.zeros(max(box[2] for box in segments) + 1, int)
    for left, _, right, _ in wide:
        covered[left:right] += 1
    best: tuple[int, int] | None = None
    for x in range(0, len(covered), 2):
        before, after = sum(b[2] <= x for b in wide), sum(b[0] >= x for b in wide)
        narrow = sum(b[2] - b[0] <= 8 * letter for b in segments if b[2] <= x or b[0] >= x)
        if min(before, after) >= max(4, 0.2 * len(wide)) and covered[x] <= 0.15 * len(wide) and narrow < len(wide):
            best = min(best or (len(wide), 0), (int(covered[x]), x))
    return best[1] if best else None


def _reading_order(segments: list[Box], letter: float) -> list[Line]:
    """Lines from top to bottom; where text runs in columns, column by column between the lines that cross them."""
    x = _gutter(segments, letter)
    if x is None:
        return _rows(segments)
    crossing = sorted((b for b in segments if b[0] < x - letter and b[2] > x + letter), key=lambda b: b[1] + b[3])
    lines: list[Line] = []
    rest = [b for b in segments if b not in crossing]
    for crosser in [*crossing, None]:
        above = [b for b in rest if crosser is None or b[1] + b[3] < crosser[1] + crosser[3]]
        rest = [b for b in rest if b not in above]
        for column in ([b for b in above if b[0] + b[2] < 2 * x], [b for b in above if b[0] + b[2] >= 2 * x]):
            lines += _reading_order(column, letter) if len(column) < len(segments) else _rows(column)
        lines += [Line((crosser,))] if crosser else []
    return lines


def find_lines(ink: np.ndarray) -> list[Line]:
    """Lines of text in reading order, from where there is ink (bool, H x W); none on a blank page."""
    pieces = _pieces(ink)
    segments: list[Box] = []
    letter = 0.0
    while len(pieces):  # the page's own type first, then what is set larger
        height, width = pieces[:, 3] - pieces[:, 1], pieces[:, 2] - pieces[:, 0]
        own = _letter_height(height)
        letter = letter or own
        rule = (height < 0.3 * own) & (width > 3 * own) | (width < 0.25 * own) & (height > 2 * own)
        letters = (height >= LEAST * own) & (height <= 2.4 * own) & ~rule
        marks = (height < LEAST * own) & ~rule
        found = _with_marks(_segments(pieces[letters], ink.shape, own), pieces[marks], own)
        segments += [b for b in found if not any(_inside(b, other) for other in segments)]
        pieces = pieces[height > 2.4 * own]
    return [line for line in _reading_order(segments, letter) if line.box[3] - line.box[1] >= 0.6 * letter]


def _inside(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in another: large pieces that are letters of two lines grown together."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]


def skew(ink: np.ndarray) -> float:
    """Degrees by which lines rise from left to right, 0 when that is not clear.

    The feet of letters fall into the fewest rows when seen along the lines.
    """
    pieces = _pieces(ink)
    if len(pieces) < 20:
        return 0.0
    height = pieces[:, 3] - pieces[:, 1]
    letter = _letter_height(height)
    feet = pieces[(height > 0.5 * letter) & (height < 2.4 * letter)]
    x, y = (feet[:, 0] + feet[:, 2]) / 2, feet[:, 3]

    def sharpness(degrees: float) -> float:
        rows = ((y + x * np.tan(np.radians(degrees))) / max(2.0, 0.25 * letter)).astype(int)
        return float((np.bincount(rows - rows.min()).astype(float) ** 2).sum())

    coarse = max(np.arange(-MAX_SKEW, MAX_SKEW + 0.1, 0.5), key=sharpness)
    best = float(max(np.arange(coarse - 0.4, coarse + 0.41, 0.1), key=sharpness))
    return best if sharpness(best) > 1.15 * sharpness(0.0) else 0.0
