"""The line detector: finds the lines of text in an image with a small network trained on synthetic documents.

For every 4 x 4 pixels the network predicts whether they belong to the core of a line (a band through the middle of its
small letters, too thin to touch that of the next line) and how tall the type is. Bands become segments: a curve through
the middle of the letters, and a height. It handles any image size, and pages that are tilted, curled or on a desk.
"""

import os
import sys
from dataclasses import replace
from functools import cache
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
from nanochat.lines.inked_page import InkedPage, grey_at, inked_page
from nanochat.lines.overlooked import overlooked_rows
from nanochat.lines.quantiles import weighted_median
from nanochat.lines.segment import Segment
from nanochat.lines.uncovered import with_uncovered
from nanochat.onnx_files import EXTRA, LINES, has_runtime, has_torch, open_graph

CELL = 4  # side in px of the square of the image that one prediction covers
STRIDE = 32  # px: sides are padded to multiples of this
CORE = 0.4  # thickness of a band, relative to the type height (ascenders to descenders)
UNIT = 16.0  # px: the type height whose logarithm is 0
EDGE = 16  # px of padding in paper colour around the image
SURE = 0.5  # threshold: least probability of a cell in a band
SEEN = 0.8  # least value of the highest probability in a band
LEAST_CELLS = 3  # least number of cells in a band
LARGEST_SIDE = 1536  # px: larger images are scaled down first
LARGEST_AREA = 4_000_000  # most pixels of an image that is enlarged because its type is small
SMALL, LARGE, TYPE = 16.0, 60.0, 26.0  # px: type below SMALL or above LARGE is detected again, scaled to TYPE
SMALLER, AND_SMALLER = 4, 2  # scale factors of the first and the further passes for large type
LEAST_SHOWN = 48  # px: least shorter side of an image in such a pass, twice the type height that it looks for
LARGE_TYPE = 48.0  # type height in px of the previous pass, above which the smaller image is used
LARGER = 1.5  # least ratio of large to small type
COVERED = 0.35  # largest share of a large line covered by small ones, which are parts of its letters
SAME_MIDDLE, LEFT_OUT = 0.15, 0.2  # a part of a line: of its height, how far from its middle; least ink outside parts
APART, SHORTEST = 0.2, 1.5  # largest share of a small line under large ones; its least length in type heights
WORDS, ALIKE = 4, 0.1  # least number of words of one size, and the largest relative difference of their heights
WHOLE = 0.85  # share of its length that must have been found earlier for a line to be kept
SMALL_PRINT = 20.0  # type height in px that is small if only a part of the page has it
MOST_ENLARGED = 4.0
AROUND = 64  # px of blank margin that are kept
WEIGHTS = models_folder() / "lines" / "model.safetensors"


Predictions = tuple[np.ndarray, np.ndarray]
"""probability of the core of a line, and type height in px, (h, w) each"""
Finder = Any
"""a `LineFinder`, or a function with the same outputs, of pixels (1, 3, H, W), float32 in [-1, 1]"""


def _by_torch(weights: Path) -> Finder:
    import torch  # imported here, because ONNX Runtime does not need torch

    from nanochat.lines.network import load_finder

    model = load_finder(weights).eval().requires_grad_(False)
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _by_onnx(graph: Path) -> Finder:
    opened = open_graph(graph)
    return lambda pixels: opened.run({"picture": pixels})


@cache
def _finder(weights: Path, process: int) -> Finder:
    graph = weights.with_name(LINES)
    if has_runtime() and graph.is_file():
        return _by_onnx(graph)
    if not has_torch():
        raise UserError(f"finding lines needs ONNX Runtime and {graph}: {EXTRA}")
    return _by_torch(weights)


def line_finder(weights: Path = WEIGHTS) -> Finder:
    """The line detector with these weights: their ONNX graph if there is one, else the network in PyTorch.

    It is created once per process. Raises OSError if the weights are missing, UserError if the graph does not belong to
    them.
    """
    return _finder(weights, os.getpid())  # a session does not survive a fork


def _predict(finder: Finder, pixels: np.ndarray) -> Predictions:
    if "torch" not in sys.modules or not hasattr(finder, "parameters"):
        core, tall = finder(pixels)
    else:
        import torch

        with torch.inference_mode(), torch.autocast("cpu", enabled=False):  # a worker inherits its trainer's precision
            found = finder(torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last))
        core, tall = (part.numpy() for part in found)
    return 1 / (1 + np.exp(-core[0])), np.exp(tall[0]) * UNIT


def _shown_part(sheet: InkedPage, width: int, height: int) -> Box:
    """The part of a page, scaled to width x height pixels, that may contain text: with a margin, at whole strides."""
    left, top, right, bottom = sheet.inked
    across, down = width / sheet.image.width, height / sheet.image.height
    return (
        max(0, int(left * across - AROUND) // STRIDE * STRIDE),
        max(0, int(top * down - AROUND) // STRIDE * STRIDE),
        min(width, ceil(right * across + AROUND)), min(height, ceil(bottom * down + AROUND)),
    )  # fmt: skip


def _predictions(sheet: InkedPage, scale: float, finder: Finder) -> tuple[Predictions, tuple[int, int]]:
    """The predictions for a page at `scale`, and the position of the corner of the first cell, x and y in scaled px.

    The predictions are (probability of a core, type height in scaled px), (h, w) each. Blank margins are left out, and
    the rest is padded with EDGE px of paper colour.
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
    return _predict(finder, to_array(framed)[None]), (left - EDGE, top - EDGE)


def _bands(core: np.ndarray, tall: np.ndarray, corner: tuple[int, int]) -> list[Segment]:
    """Connected cells above the threshold, as segments in px of the scaled image.

    `corner`: x and y of the corner of the first cell in that image.
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


def _look(sheet: InkedPage, scale: float, finder: Finder) -> list[Segment]:
    """The segments detected at one scale, in px of the page."""
    if sheet.inked[2] == 0:
        return []
    factor = 1 / scale
    (core, tall), corner = _predictions(sheet, scale, finder)
    return [Segment((band.points + 0.5) * factor - 0.5, band.height * factor) for band in _bands(core, tall, corner)]


def _body(segments: list[Segment]) -> float:
    """The median type height in px, weighted by the length of the segments."""
    return weighted_median([segment.height for segment in segments], [segment.length for segment in segments])


class _Detection:
    """The segments found in an image so far, at one scale. Further looks, at other scales, add to them."""

    def __init__(self, image: Image.Image, found: list[Segment], scale: float, finder: Finder) -> None:
        self.image, self.found, self.scale, self.finder = image, found, scale, finder

    def look_at_large_type(self, sheet: InkedPage) -> None:
        """Add the lines of type so large that it is only detected in a smaller image.

        `sheet`: the image, or the same before its coloured backgrounds were made white.
        """
        before, smaller = self.scale, self.scale / SMALLER
        while min(sheet.image.size) * smaller >= LEAST_SHOWN:
            for large in _look(sheet, smaller, self.finder):
                if large.height * before >= LARGE_TYPE and not _is_known(large, self.found):
                    partly = _left_out(large, self.found, sheet.image) > LEFT_OUT
                    kept = [s for s in self.found if not _is_bit(s, large, partly)]
                    whole = _beside(large, [s for s in kept if _within(s.box, large.box)])
                    self.found = [*kept, *whole] if whole else self.found
            before, smaller = smaller, smaller / AND_SMALLER

    def look_at_small_print(self) -> None:
        """Detect lines again in an enlarged part of the image if they are too small to be reliable.

        The cores of lines in small print touch each other, so that lines are missed or merged.
        """
        least = SMALL / self.scale  # px of the image
        small = [segment for segment in self.found if segment.height < least]
        self.found = [segment for segment in self.found if segment.height >= least]
        for some in _one_above_the_other(small, 8 * least):
            again = self._look_larger(some, least)
            self.found += [s for s in again if not any(_within(s.box, other.box) for other in self.found)]

    def _look_larger(self, some: list[Segment], least: float) -> list[Segment]:
        """Detect segments below `least` px again, enlarged. They are kept if they are few or cannot be enlarged."""
        if sum(segment.length for segment in some) <= 8 * least:
            return some
        found, region, larger = some, _around(some, 4 * least, self.image), SMALL_PRINT / _body(some)
        while larger > 1.3 * self.scale:
            larger, looked = self._look_in(region, larger)
            found = [s for s in looked if s.height < 1.15 * least]
            wider = union([region, _around(found or some, 4 * least, self.image)])
            if wider == region:
                break
            region = wider  # text continues near the edge
        return found

    def _look_in(self, region: Box, scale: float) -> tuple[float, list[Segment]]:
        """The segments of a part of the image at `scale`, or less if it would be too large; and that scale."""
        part = self.image.crop(region)
        scale = min(scale, (LARGEST_AREA / (part.width * part.height)) ** 0.5)
        looked = _look(inked_page(np.asarray(part)), scale, self.finder)
        return scale, [Segment(s.points + region[:2], s.height) for s in looked]

    def look_at_overlooked(self) -> None:
        """Add the lines of small print that were not detected at all, looked for in enlarged parts of the image."""
        scale = min(1.0, self.scale)
        grey = grey_at(self.image, scale)
        boxes = [[round(side * scale) for side in segment.box] for segment in self.found]
        covered = [(left, top, right, bottom) for left, top, right, bottom in boxes]
        rows = [tuple(side / scale for side in row) for row in overlooked_rows(grey, covered)]
        strips = [Segment(np.array([[a, (b + d) / 2], [c, (b + d) / 2]]), d - b) for a, b, c, d in rows]
        for some in _one_above_the_other(strips, 4 * SMALL / scale):
            region = _around(some, 2 * SMALL / scale, self.image)
            for looked in self._look_in(region, SMALL_PRINT / _body(some))[1]:
                s = _along(looked, some)
                is_new = _covered(s.box, self.found) < APART and _covered(s.box, strips) > COVERED
                if is_new and s.height < LARGER * SMALL / scale and s.length >= SHORTEST * s.height:
                    self.found = [*self.found, s]


def find_segments(image: Image.Image, finder: Finder | None = None) -> list[Segment]:
    """Detect the segments of text in an RGB image, in no particular order; none if it has no text.

    Large images are scaled down first. If the type then turns out to be very small or very large, the image is
    processed again at a suitable scale; if only a part of it has small type, only that part. Last, letters outside the
    lines found are added.
    """
    return with_uncovered(image, _find_segments(image, finder or line_finder()), LARGEST_SIDE)


def _find_segments(image: Image.Image, finder: Finder) -> list[Segment]:
    """The segments that the line detector finds at suitable scales."""
    pixels = np.asarray(image)
    level = level_page(pixels)
    sheet = inked_page(level)
    # a long strip is limited by its area, or its type would become too small
    even = LARGEST_SIDE / (2 * image.width * image.height) ** 0.5
    scale = min(1.0, max(LARGEST_SIDE / max(image.size), even))
    found = _look(sheet, scale, finder)
    body = _body(found) * scale if found else TYPE
    text = replace(sheet, inked=union([b for b in (sheet.marked, *(s.box for s in found)) if b[2]])) if found else sheet
    detection = _Detection(sheet.image, found, scale, finder)
    if body > LARGE:
        smaller = _look(text, TYPE / body * scale, finder) or found
        detection.look_at_small_print()
        beside = [s for s in detection.found if _is_small_beside(s, smaller)]
        detection.found = [s for s in smaller if not any(_within(s.box, small.box) for small in beside)] + beside
        detection.look_at_overlooked()
        return detection.found
    if body < SMALL:
        most = min(MOST_ENLARGED, (LARGEST_AREA / (image.width * image.height)) ** 0.5)
        detection.scale = min(TYPE / body * scale, max(most, scale))
        detection.found = _look(text, detection.scale, finder) or found
    else:
        detection.look_at_small_print()
    detection.look_at_large_type(sheet)
    if body >= SMALL:
        detection.look_at_overlooked()
    if level is not pixels:  # it may have taken coloured letters as large as buttons for buttons
        detection.look_at_large_type(inked_page(pixels))
    return detection.found


def _is_small_beside(segment: Segment, large: list[Segment]) -> bool:
    """Whether a segment is a line in much smaller type than the large lines, and not a part of their letters."""
    larger = [other for other in large if other.height > LARGER * segment.height]
    apart = _covered(segment.box, larger) < APART
    return apart and segment.length >= SHORTEST * segment.height and segment.height < _body(large) / 2


def _is_bit(segment: Segment, large: Segment, partly: bool) -> bool:
    """Whether a segment is a part of a letter, or of a word, of a larger line.

    A segment of small type that is longer than a letter of the large line is high is a line of its own. The exception
    is a segment more than half as high and in the middle of the large line, if that was found only in part (`partly`).
    """
    if not _within(segment.box, large.box):
        return False
    small_line = segment.height < large.height / LARGER and segment.length > large.height
    off = abs(segment.box[1] + segment.box[3] - large.box[1] - large.box[3]) / 2
    is_middle = segment.height > large.height / 2 and off < SAME_MIDDLE * large.height
    return not small_line or (partly and is_middle)


def _left_out(large: Segment, found: list[Segment], image: Image.Image) -> float:
    """The share of the letters' ink in a line of large type that is outside the segments found."""
    left, top, right, bottom = large.box
    grey = np.asarray(image.crop((left, top, min(right, image.width), min(bottom, image.height))).convert("L"))
    _, ink = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, labels = cv2.connectedComponents(ink if ink.mean() < 0.5 else 1 - ink)  # letters cover less of it than paper
    edges = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    letters = (labels > 0) & ~np.isin(labels, edges)  # a rule or a bar goes on beyond the line
    outside = letters.copy()
    for x0, y0, x1, y1 in (segment.box for segment in found):
        outside[max(0, y0 - top) : max(0, y1 - top), max(0, x0 - left) : max(0, x1 - left)] = False
    return float(outside.sum() / max(1, letters.sum()))


def _beside(large: Segment, lines: list[Segment]) -> list[Segment]:
    """The longest part of a line of large type that no other line overlaps; None if it is short."""
    x = large.points[:, 0]
    free = np.ones(len(x), bool)
    for line in lines:
        if abs(line.box[1] + line.box[3] - large.box[1] - large.box[3]) < large.height / 2:  # not above or below it
            free &= (x < line.points[0, 0]) | (x > line.points[-1, 0])
    stretches = np.split(np.arange(len(x)), np.flatnonzero(np.diff(free.astype(int))) + 1)
    points = large.points[max((s for s in stretches if free[s[0]]), key=len, default=np.zeros(0, int))]
    return [Segment(points, large.height)] if len(points) > 1 and np.ptp(points[:, 0]) > large.height / 2 else []


def _is_known(large: Segment, found: list[Segment]) -> bool:
    """Whether an apparent line of large type is text in smaller type, or was almost completely found earlier."""
    inside = [s for s in found if _within(s.box, large.box)]
    bits = [s for s in inside if s.height < large.height / 2]
    whole = sum(s.length for s in inside if s.height >= large.height / 2)
    within = any(_within(large.box, s.box) and s.length > large.length for s in found)
    return within or whole >= WHOLE * large.length or _covered(large.box, bits) >= COVERED or _is_text(bits)


def _is_text(bits: list[Segment]) -> bool:
    """Whether segments are words of one type size, such as labels under the bars of a chart, not parts of letters."""
    heights = [bit.height for bit in bits]
    return len(bits) >= WORDS and float(np.std(heights)) < ALIKE * float(np.median(heights))


def _covered(box: Box, segments: list[Segment]) -> float:
    """The share of a box that segments cover."""
    left, top, right, bottom = box
    seen = np.zeros((bottom - top, right - left), bool)
    for other in (segment.box for segment in segments):
        seen[max(0, other[1] - top) : max(0, other[3] - top), max(0, other[0] - left) : max(0, other[2] - left)] = True
    return float(seen.mean()) if seen.size else 1.0


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
    """Group segments from top to bottom; groups are separated by at least `gap` px without segments."""
    groups: list[list[Segment]] = []
    end = -gap
    for segment in sorted(segments, key=lambda s: s.box[1]):
        if segment.box[1] - end >= gap:
            groups.append([])
        groups[-1].append(segment)
        end = max(end, segment.box[3])
    return groups


def _around(segments: list[Segment], room: float, image: Image.Image) -> Box:
    """The part of an image that contains segments, with a margin of `room` px on every side."""
    left, top, right, bottom = union([segment.box for segment in segments])
    return (
        max(0, round(left - room)), max(0, round(top - room)),
        min(image.width, round(right + room)), min(image.height, round(bottom + room)),
    )  # fmt: skip


def _within(box: Box, other: Box) -> bool:
    """Whether the centre of one box is inside another."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return other[0] <= x <= other[2] and other[1] <= y <= other[3]
