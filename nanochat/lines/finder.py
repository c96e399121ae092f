"""Where lines of text lie in a picture: a small convolutional network, trained here on drawn documents.

It answers for every 4 x 4 pixels with two numbers: whether the core of a line runs here (a band through the middle of
its small letters, too thin to touch the next line's), and how tall the type is. Bands become segments: a curve through
the middle of the letters, and a height. It works at any size, on sheets that are tilted, curled or lie on a desk.
"""

import os
import sys
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from nanochat.errors import UserError
from nanochat.files import models_folder
from nanochat.image_process import to_array
from nanochat.lines.boxes import Box, union
from nanochat.lines.ground import level_page
from nanochat.lines.overlooked import overlooked_rows
from nanochat.lines.sheet import Sheet, sheet_of
from nanochat.onnx_files import EXTRA, LINES, has_runtime, has_torch, open_graph

CELL = 4  # px of the picture, in each direction, that one answer is for
STRIDE = 32  # px: sides are filled up to multiples of it
CORE = 0.4  # of the type's height, ascenders to descenders: the thickness of a band
UNIT = 16.0  # px: the type height whose logarithm is 0
ABOVE, BELOW = 0.52, 0.48  # of the type's height that lies above and below the middle of the small letters
EDGE = 16  # px of paper around a picture when it is looked at
SURE = 0.5  # probability from which a cell belongs to a band
SEEN = 0.8  # and that which a band has somewhere
LEAST_CELLS = 3  # of a band
LARGEST_SIDE = 1536  # px: larger pictures are made smaller first
LARGEST_AREA = 4_000_000  # px that a picture may be enlarged to when its type is small
SMALL, LARGE, TYPE = 16.0, 60.0, 26.0  # px of type heights: what is looked at again, and then at which size
SMALLER, AND_SMALLER = 4, 2  # times smaller a picture is shown to find large type, and then again and again
LEAST_SHOWN = 72  # px of its shorter side then
LARGE_TYPE = 48.0  # px in the look before: the height above which type is taken from the smaller one
LARGER = 1.5  # times as high as small type is large type
COVERED = 0.35  # share of large type that small lines may cover: they are bits of its letters; what more do is no type
APART, SHORTEST = 0.2, 1.5  # share of small type that large lines may cover; its length in type heights at least
WORDS, ALIKE = 4, 0.1  # words of one size: at least so many, whose heights differ by less, as a share
WHOLE = 0.85  # share of its length that was found before, if it need not be replaced
SMALL_PRINT = 20.0  # px of small type when only a part of a page is set in it
MOST_ENLARGED = 4.0
AROUND = 64  # px of blank margins that are shown
WEIGHTS = models_folder() / "lines" / "model.safetensors"


Answers = tuple[np.ndarray, np.ndarray]
"""probability of a line's core, and height of the type in px, (h, w) each"""
Finder = Any
"""a `LineFinder`, or a function of pixels (1, 3, H, W), float32 in [-1, 1], that answers as it does"""


def _by_torch(weights: Path) -> Finder:
    import torch  # only here: lines are found without torch too

    from nanochat.lines.network import load_finder

    model = load_finder(weights).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _by_onnx(graph: Path) -> Finder:
    session = open_graph(graph)
    return lambda pixels: session.run(None, {"picture": pixels})


@cache
def _finder(weights: Path, process: int) -> Finder:
    graph = weights.with_name(LINES)
    if has_runtime() and graph.is_file():
        return _by_onnx(graph)
    if not has_torch():
        raise UserError(f"finding lines needs ONNX Runtime and {graph}: {EXTRA}")
    return _by_torch(weights)


def line_finder(weights: Path = WEIGHTS) -> Finder:
    """What finds lines, by these weights: their graph in ONNX Runtime where there is one, else the network in torch.

    Made once for each process. Raises OSError when the weights are not there, UserError when the graph does not belong
    to them.
    """
    return _finder(weights, os.getpid())  # a session does not survive a fork


def _answer(finder: Finder, pixels: np.ndarray) -> Answers:
    if "torch" not in sys.modules or not hasattr(finder, "parameters"):
        core, tall = finder(pixels)
    else:
        import torch

        with torch.inference_mode(), torch.autocast("cpu", enabled=False):  # a worker inherits its trainer's precision
            found = finder(torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last))
        core, tall = (part.numpy() for part in found)
    return 1 / (1 + np.exp(-core[0])), np.exp(tall[0]) * UNIT


def text_box(middles: np.ndarray, height: float) -> Box:
    """The box in px around type of this height, ascenders to descenders, whose middle runs through (N, 2) x, y."""
    x, y = middles.T
    return (
        max(0, round(x[0])), max(0, round(y.min() - ABOVE * height)),
        round(x[-1]) + 1, round(y.max() + BELOW * height) + 1,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of text on one line."""

    points: np.ndarray
    """(N, 2) float, x and y in px of the picture, from left to right: the middle of the small letters"""
    height: float
    """of the type in px, ascenders to descenders"""
    is_initial: bool = False
    """whether it is a drop cap whose word goes on in the next stretch"""

    @cached_property
    def curve(self) -> np.ndarray:
        """Coefficients of y as a polynomial of x less the middle of its range, highest power first."""
        x, y = self.points.T
        degree = int(np.interp(self.length / self.height, (2, 4, 10, 24), (0, 1, 2, 3)))
        return np.polyfit(x - (x[0] + x[-1]) / 2, y, min(degree, len(x) - 1))

    def y_at(self, x: np.ndarray) -> np.ndarray:
        """The middle of the small letters in px at these x."""
        return np.polyval(self.curve, x - (self.points[0, 0] + self.points[-1, 0]) / 2)

    @cached_property
    def ends(self) -> np.ndarray:
        """(2, 2): x and y in px of its left and right end."""
        x = self.points[[0, -1], 0]
        return np.stack([x, self.y_at(x)], 1)

    @property
    def length(self) -> float:
        """In px, as wide as it is."""
        return float(self.points[-1, 0] - self.points[0, 0])

    @property
    def angle(self) -> float:
        """Radians by which it falls from left to right."""
        return float(np.arctan2(self.ends[1, 1] - self.ends[0, 1], max(self.length, 1e-6)))

    @cached_property
    def box(self) -> Box:
        """Left, top, right, bottom in px of the picture, around its type from ascenders to descenders."""
        x = self.points[:, 0]
        return text_box(np.stack([x, self.y_at(x)], 1), self.height)


def _shown_part(sheet: Sheet, width: int, height: int) -> Box:
    """Which part of a sheet shown at width x height pixels has anything to find: at whole strides, room around it."""
    left, top, right, bottom = sheet.inked
    across, down = width / sheet.image.width, height / sheet.image.height
    return (
        max(0, int(left * across - AROUND) // STRIDE * STRIDE),
        max(0, int(top * down - AROUND) // STRIDE * STRIDE),
        min(width, ceil(right * across + AROUND)), min(height, ceil(bottom * down + AROUND)),
    )  # fmt: skip


def _answers(sheet: Sheet, scale: float, finder: Finder) -> tuple[Answers, tuple[int, int]]:
    """What the finder says of a sheet shown at `scale`, and where its first cell's corner lies, x and y in px as shown.

    The answers are (probability of a core, height of the type in px as shown), (h, w) each. Blank margins are left out,
    EDGE px of paper are around the rest.
    """
    image = sheet.image
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top, right, bottom = _shown_part(sheet, width, height)
    across, down = image.width / width, image.height / height
    shown = image.resize(
        (right - left, bottom - top), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC,
        box=(left * across, top * down, right * across, bottom * down),
    )  # fmt: skip
    rows, columns = (-(-(side + 2 * EDGE) // STRIDE) * STRIDE for side in (bottom - top, right - left))
    framed = cv2.copyMakeBorder(
        np.asarray(shown), EDGE, rows - EDGE - shown.height, EDGE, columns - EDGE - shown.width,
        cv2.BORDER_CONSTANT, value=sheet.paper,
    )  # fmt: skip
    return _answer(finder, to_array(framed)[None]), (left - EDGE, top - EDGE)


def _bands(core: np.ndarray, tall: np.ndarray, corner: tuple[int, int]) -> list[Segment]:
    """Connected cells that are sure to be a line's core, as segments in px of what was shown.

    `corner`: where the first cell's corner lies there, x and y.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats((core > SURE).astype(np.uint8), connectivity=4)
    found = []
    for label, (left, top, width, height, cells) in enumerate(stats[1:], 1):
        window = np.s_[top : top + height, left : left + width]
        here = labels[window] == label
        if cells < LEAST_CELLS or core[window][here].max() < SEEN:
            continue
        weight = np.where(here, core[window], 0.0)
        x = np.arange(left, left + width)
        y = (weight * np.arange(top, top + height)[:, None]).sum(0) / weight.sum(0)
        points = np.stack([x, y], 1) * CELL + (CELL - 1) / 2 + corner
        points[0, 0] -= CELL / 2
        points[-1, 0] += CELL / 2
        found.append(Segment(points, float(np.median(tall[window][here]))))
    return found


def _look(sheet: Sheet, scale: float, finder: Finder) -> list[Segment]:
    """The segments in px of the picture, seen at one scale."""
    if sheet.inked[2] == 0:
        return []
    factor = 1 / scale
    (core, tall), corner = _answers(sheet, scale, finder)
    return [Segment((band.points + 0.5) * factor - 0.5, band.height * factor) for band in _bands(core, tall, corner)]


def weighted_median(values: list[float], weights: list[float]) -> float:
    """The value that values of half the weight do not exceed."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(np.array(weights)[order])
    return values[order[int(np.searchsorted(total, total[-1] / 2))]]


def _body(segments: list[Segment]) -> float:
    """The type height in px that half of the text, by its length, stays under."""
    return weighted_median([segment.height for segment in segments], [segment.length for segment in segments])


def find_segments(image: Image.Image, finder: Finder | None = None) -> list[Segment]:
    """The stretches of text in an RGB picture, in no order; none where there is no text.

    Large pictures are looked at smaller. Where the type then turns out very small or very large, the picture is looked
    at once more, at a scale that suits it; where only some of it is small, that part is.
    """
    finder = finder or line_finder()
    pixels = np.asarray(image)
    level = level_page(pixels)
    sheet = sheet_of(level)
    even = (
        LARGEST_SIDE / (2 * image.width * image.height) ** 0.5
    )  # of a long strip: by its area, or its type would be lost
    scale = min(1.0, max(LARGEST_SIDE / max(image.size), even))
    found = _look(sheet, scale, finder)
    body = _body(found) * scale if found else TYPE
    text = replace(sheet, inked=union([b for b in (sheet.marked, *(s.box for s in found)) if b[2]])) if found else sheet
    if body > LARGE:
        smaller = _look(text, TYPE / body * scale, finder) or found
        beside = [s for s in _look_at_small_print(sheet.image, found, scale, finder) if _is_small_beside(s, smaller)]
        found = [s for s in smaller if not any(_within(s.box, small.box) for small in beside)] + beside
        return _look_at_overlooked(sheet.image, found, scale, finder)
    if body < SMALL:
        most = min(MOST_ENLARGED, (LARGEST_AREA / (image.width * image.height)) ** 0.5)
        scale = min(TYPE / body * scale, max(most, scale))
        found = _look(text, scale, finder) or found
    else:
        found = _look_at_small_print(sheet.image, found, scale, finder)
    found = _look_at_large_type(sheet, found, scale, finder)
    if body >= SMALL:
        found = _look_at_overlooked(sheet.image, found, scale, finder)
    # coloured letters as large as buttons may have been levelled as if they were some
    return found if level is pixels else _look_at_large_type(sheet_of(pixels), found, scale, finder)


def _is_small_beside(segment: Segment, large: list[Segment]) -> bool:
    """Whether a segment is a line of type much smaller than that of large lines, and is no part of their ink."""
    larger = [other for other in large if other.height > LARGER * segment.height]
    apart = _covered(segment.box, larger) < APART
    return apart and segment.length >= SHORTEST * segment.height and segment.height < _body(large) / 2


def _look_at_large_type(sheet: Sheet, found: list[Segment], scale: float, finder: Finder) -> list[Segment]:
    """`found` at `scale`, and the lines of type so large that it is only seen when the picture is shown smaller."""
    before, smaller = scale, scale / SMALLER
    while min(sheet.image.size) * smaller >= LEAST_SHOWN:
        for large in _look(sheet, smaller, finder):
            if large.height * before >= LARGE_TYPE and not _is_known(large, found):
                found = [s for s in found if not _is_bit(s, large)]
                found += _beside(large, [s for s in found if _within(s.box, large.box)])
        before, smaller = smaller, smaller / AND_SMALLER
    return found


def _is_bit(segment: Segment, large: Segment) -> bool:
    """Whether a segment is a part of a line of larger type: of small type as long as a letter is high, it is not."""
    small_line = segment.height < large.height / LARGER and segment.length > large.height
    return _within(segment.box, large.box) and not small_line


def _beside(large: Segment, lines: list[Segment]) -> list[Segment]:
    """The longest stretch of a line of large type on which no other line stands; none if it is short."""
    x = large.points[:, 0]
    free = np.ones(len(x), bool)
    for line in lines:
        if abs(line.box[1] + line.box[3] - large.box[1] - large.box[3]) < large.height / 2:  # not above or below it
            free &= (x < line.points[0, 0]) | (x > line.points[-1, 0])
    stretches = np.split(np.arange(len(x)), np.flatnonzero(np.diff(free.astype(int))) + 1)
    points = large.points[max((s for s in stretches if free[s[0]]), key=len, default=np.zeros(0, int))]
    return [Segment(points, large.height)] if len(points) > 1 and np.ptp(points[:, 0]) > large.height / 2 else []


def _is_known(large: Segment, found: list[Segment]) -> bool:
    """Whether what seems a line of large type is text of smaller type, or was found before, nearly all of it."""
    inside = [s for s in found if _within(s.box, large.box)]
    bits = [s for s in inside if s.height < large.height / 2]
    whole = sum(s.length for s in inside if s.height >= large.height / 2)
    within = any(_within(large.box, s.box) and s.length > large.length for s in found)
    return within or whole >= WHOLE * large.length or _covered(large.box, bits) >= COVERED or _is_text(bits)


def _is_text(bits: list[Segment]) -> bool:
    """Whether pieces are words in one size of type, such as the labels under the bars of a chart, not of letters."""
    heights = [bit.height for bit in bits]
    return len(bits) >= WORDS and float(np.std(heights)) < ALIKE * float(np.median(heights))


def _covered(box: Box, segments: list[Segment]) -> float:
    """Share of a box that segments cover."""
    left, top, right, bottom = box
    seen = np.zeros((bottom - top, right - left), bool)
    for other in (segment.box for segment in segments):
        seen[max(0, other[1] - top) : max(0, other[3] - top), max(0, other[0] - left) : max(0, other[2] - left)] = True
    return float(seen.mean()) if seen.size else 1.0


def _look_at_small_print(image: Image.Image, found: list[Segment], scale: float, finder: Finder) -> list[Segment]:
    """`found` at `scale`, but what is smaller than the finder sees well is looked for again, larger, where it lies.

    Lines of small print stand so near each other that their cores touch: some are overlooked, some taken together.
    """
    least = SMALL / scale  # px of the picture
    kept = [segment for segment in found if segment.height >= least]
    for some in _one_above_the_other([segment for segment in found if segment.height < least], 8 * least):
        again = _look_larger(image, some, least, scale, finder)
        kept += [s for s in again if not any(_within(s.box, other.box) for other in kept)]
    return kept


def _look_larger(image: Image.Image, some: list[Segment], least: float, scale: float, finder: Finder) -> list[Segment]:
    """Segments under `least` px high, looked for again; as they are where they are few or cannot be made larger."""
    if sum(segment.length for segment in some) <= 8 * least:
        return some
    found, region, larger = some, _around(some, 4 * least, image), SMALL_PRINT / _body(some)
    while larger > 1.3 * scale:
        part = image.crop(region)
        larger = min(larger, (LARGEST_AREA / (part.width * part.height)) ** 0.5)
        looked = [Segment(s.points + region[:2], s.height) for s in _look(sheet_of(np.asarray(part)), larger, finder)]
        found = [s for s in looked if s.height < 1.15 * least]
        wider = union([region, _around(found or some, 4 * least, image)])
        if wider == region:
            break
        region = wider  # more of it was found near the edge
    return found


def _look_at_overlooked(image: Image.Image, found: list[Segment], scale: float, finder: Finder) -> list[Segment]:
    """`found` at `scale`, and the lines of small print that were not seen at all beside it, looked for larger."""
    scale = min(1.0, scale)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BOX))
    boxes = [[round(side * scale) for side in segment.box] for segment in found]
    covered = [(left, top, right, bottom) for left, top, right, bottom in boxes]
    rows = [tuple(side / scale for side in row) for row in overlooked_rows(grey, covered)]
    strips = [Segment(np.array([[a, (b + d) / 2], [c, (b + d) / 2]]), d - b) for a, b, c, d in rows]
    for some in _one_above_the_other(strips, 4 * SMALL / scale):
        region = _around(some, 2 * SMALL / scale, image)
        part = image.crop(region)
        larger = min(SMALL_PRINT / _body(some), (LARGEST_AREA / (part.width * part.height)) ** 0.5)
        for looked in _look(sheet_of(np.asarray(part)), larger, finder):
            s = _along(Segment(looked.points + region[:2], looked.height), some)
            is_new = _covered(s.box, found) < APART and _covered(s.box, strips) > COVERED
            if is_new and s.height < LARGER * SMALL / scale and s.length >= SHORTEST * s.height:
                found = [*found, s]
    return found


def _along(segment: Segment, rows: list[Segment]) -> Segment:
    """The part of a segment along these rows of ink, which may end where a known line begins."""
    x, (left, top, right, bottom) = segment.points[:, 0], segment.box
    near = [row for row in rows if top < row.points[0, 1] < bottom and row.box[0] < right and row.box[2] > left]
    if not near:
        return segment
    room = segment.height / 4
    kept = (x > min(row.box[0] for row in near) - room) & (x < max(row.box[2] for row in near) + room)
    return Segment(segment.points[kept], segment.height) if kept.sum() > 1 else segment


def _one_above_the_other(segments: list[Segment], gap: float) -> list[list[Segment]]:
    """Segments in groups, from the top: the next one begins after at least `gap` px without any."""
    groups: list[list[Segment]] = []
    end = -gap
    for segment in sorted(segments, key=lambda s: s.box[1]):
        if segment.box[1] - end >= gap:
            groups.append([])
        groups[-1].append(segment)
        end = max(end, segment.box[3])
    return groups


def _around(segments: list[Segment], room: float, image: Image.Image) -> Box:
    """The part of a picture that segments lie in, with `room` px on every side."""
    left, top, right, bottom = union([segment.box for segment in segments])
    return (
        max(0, round(left - room)), max(0, round(top - room)),
        min(image.width, round(right + room)), min(image.height, round(bottom + room)),
    )  # fmt: skip


def _within(box: Box, other: Box) -> bool:
    """Whether the middle of a box lies in another one."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]
