"""An image that text is typeset on: paints glyphs and shapes and records the box of every glyph."""

import cv2
import numpy as np

from nanochat.synth.atlas import Atlas

Colour = tuple[int, ...]  # one grey value, or red, green, blue


class Canvas:
    """An image, and the glyphs written on it so far, in reading order."""

    def __init__(self, width: int, height: int, paper: Colour):
        self.image = np.empty((height, width) if len(paper) == 1 else (height, width, 3), np.uint8)
        self.image[:] = paper if len(paper) == 3 else paper[0]
        self.lines: list[str] = []
        self.rise = 0  # px, how far accents of the written text reach above its boxes
        self._boxes: list[tuple[float, float, float, float]] = []
        self._centres: list[tuple[float, float]] = []

    @property
    def width(self) -> int:
        return self.image.shape[1]

    @property
    def height(self) -> int:
        return self.image.shape[0]

    def write(
        self, x: float, baseline: int, text: str, atlas: Atlas, ink: Colour, spread: float = 0.0, join: bool = False,
        pitch: float = 0.0,
    ) -> None:  # fmt: skip
        """Write `text` with the pen at `x` px on the baseline; each space is `spread` px wider than in the font.

        With a `pitch`, every character, spaces included, is centred in a cell of `pitch` px.

        Starts a new line of the document's text. With `join` the text continues the previous line after one space,
        whose box follows the last glyph (cells of a table, the two ends of a row).
        """
        if join:
            self._space_after_last(atlas, baseline)
            self.lines[-1] += " " + text
        else:
            self.lines.append(text)
        if not text.isascii():
            self.rise = max(self.rise, atlas.rise)
        top, bottom = baseline - atlas.ascent, baseline + atlas.descent
        middle = baseline - atlas.x_height / 2
        if pitch:
            spans = [(x + k * pitch, x + (k + 1) * pitch) for k in range(len(text))]
            for (start, end), char in zip(spans, text):
                self.scrap((start + end - atlas[char].advance) / 2, baseline, char, atlas, ink)
        else:
            spans = self.scrap(x, baseline, text, atlas, ink, spread)
        for start, end in spans:
            self._boxes.append((start, top, end, bottom))
            self._centres.append(((start + end) / 2, middle))

    def scrap(
        self, x: float, baseline: int, text: str, atlas: Atlas, ink: Colour, spread: float = 0.0
    ) -> list[tuple[float, float]]:
        """Paint `text` without adding it to the document. Returns the (start, end) x of each glyph's advance, px."""
        pad = atlas.px // 2 + 2  # room for italics that reach beyond their advance
        left = int(x) - pad
        width = int(atlas.width(text) + spread * text.count(" ")) + 3 * pad
        above = atlas.ascent + atlas.rise
        strip = np.zeros((above + atlas.descent, width), np.uint8)
        spans = []
        for char in text:
            glyph = atlas[char]
            end = x + glyph.advance
            if char == " ":
                end += spread
            else:
                row = above + glyph.top
                column = round(x) - left + glyph.left
                ink_height, ink_width = glyph.ink.shape
                cut = strip[row : row + ink_height, column : column + ink_width]
                np.maximum(cut, glyph.ink, out=cut)
            spans.append((x, end))
            x = end
        self._blend(strip, left, baseline - above, ink)
        return spans

    def _space_after_last(self, atlas: Atlas, baseline: int) -> None:
        x = self._boxes[-1][2]
        end = x + atlas[" "].advance
        self._boxes.append((x, baseline - atlas.ascent, end, baseline + atlas.descent))
        self._centres.append(((x + end) / 2, baseline - atlas.x_height / 2))

    def _blend(self, coverage: np.ndarray, left: int, top: int, ink: Colour) -> None:
        """Paint `ink` with opacity `coverage` (h, w), 0 to 255, corner at (left, top). Clipped to the image."""
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + coverage.shape[1], self.width), min(top + coverage.shape[0], self.height)
        if x0 >= x1 or y0 >= y1:
            return
        alpha = coverage[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.int32)
        cut = self.image[y0:y1, x0:x1]
        if self.image.ndim == 3:
            alpha = alpha[:, :, None]
        cut[:] = cut + (np.array(ink, np.int32) - cut) * alpha // 255

    def fill(self, x0: float, y0: float, x1: float, y1: float, ink: Colour) -> None:
        """Paint a rectangle; its edges are rounded to whole pixels. Clipped to the image."""
        self.image[max(round(y0), 0) : max(round(y1), 0), max(round(x0), 0) : max(round(x1), 0)] = ink

    def frame(self, x0: float, y0: float, x1: float, y1: float, ink: Colour, thickness: int = 1) -> None:
        """Paint the outline of a rectangle."""
        cv2.rectangle(self.image, (round(x0), round(y0)), (round(x1), round(y1)), ink, thickness)

    def rule(self, x0: float, x1: float, y: float, ink: Colour, thickness: int = 1, dash: int = 0) -> None:
        """Paint a horizontal line from `x0` to `x1`. dash: length of its dashes in px, 0 for a solid line."""
        if not dash:
            return self.fill(x0, y, x1, y + thickness, ink)
        for x in range(round(x0), round(x1), 2 * dash):
            self.fill(x, y, min(x + dash, x1), y + thickness, ink)

    def polygon(self, points: np.ndarray, ink: Colour) -> None:
        """Paint a filled polygon with corners (N, 2), px."""
        cv2.fillPoly(self.image, [np.round(points).astype(np.int32)], ink, cv2.LINE_AA)

    def stroke(self, points: np.ndarray, ink: Colour, thickness: int = 1) -> None:
        """Paint an open polyline through the points (N, 2), px."""
        cv2.polylines(self.image, [np.round(points).astype(np.int32)], False, ink, thickness, cv2.LINE_AA)

    def disc(self, x: float, y: float, radius: float, ink: Colour, thickness: int = -1) -> None:
        """Paint a disc, or with a `thickness` of at least 1 its outline."""
        cv2.circle(self.image, (round(x), round(y)), max(round(radius), 1), ink, thickness, cv2.LINE_AA)

    def glyphs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all written text: boxes (N, 4) float32, centres (N, 2) float32, line ids (N,) int32."""
        line_ids = np.repeat(np.arange(len(self.lines), dtype=np.int32), [len(line) for line in self.lines])
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        return boxes, np.array(self._centres, np.float32).reshape(-1, 2), line_ids
