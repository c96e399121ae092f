"""A sheet that text is set on: paints glyphs, rules and boxes, and keeps the place of every glyph."""

import numpy as np

from nanochat.synth.atlas import Atlas

Ink = tuple[int, ...]  # one grey value, or red, green, blue


class Canvas:
    """A picture being set, and the glyphs set on it in reading order."""

    def __init__(self, width: int, height: int, paper: Ink):
        self.image = np.empty((height, width) if len(paper) == 1 else (height, width, 3), np.uint8)
        self.image[:] = paper if len(paper) == 3 else paper[0]
        self.lines: list[str] = []
        self._boxes: list[tuple[float, float, float, float]] = []
        self._centres: list[tuple[float, float]] = []

    @property
    def width(self) -> int:
        return self.image.shape[1]

    @property
    def height(self) -> int:
        return self.image.shape[0]

    def write(
        self, x: float, baseline: int, text: str, atlas: Atlas, ink: Ink, tracking: float = 0.0, join: bool = False
    ) -> float:
        """Set `text` with the pen at `x`; returns where the pen stops.

        Begins a new line of the document's text; with `join` the text goes on in the line before it, after one space
        whose box follows the glyph that was set last (cells of a table, the two ends of a row).
        """
        if join:
            self._space_after_last(atlas, baseline)
            self.lines[-1] += " " + text
        else:
            self.lines.append(text)
        top, bottom = baseline - atlas.ascent, baseline + atlas.descent
        middle = baseline - atlas.x_height / 2
        pad = atlas.px  # room for italics that lean out of their advance
        left = int(x) - pad
        height = atlas.ascent + atlas.descent + 2 * pad
        strip = np.zeros((height, int(atlas.width(text) + tracking * len(text)) + 3 * pad), np.uint8)
        for char in text:
            glyph = atlas.glyph(char)
            if char != " ":
                row = pad + atlas.ascent + glyph.top
                column = round(x) - left + glyph.left
                height, width = glyph.ink.shape
                cut = strip[row : row + height, column : column + width]
                np.maximum(cut, glyph.ink, out=cut)
            end = x + glyph.advance + tracking
            self._boxes.append((x, top, end, bottom))
            self._centres.append(((x + end) / 2, middle))
            x = end
        self._blend(strip, left, top - pad, ink)
        return x

    def _space_after_last(self, atlas: Atlas, baseline: int) -> None:
        x = self._boxes[-1][2]
        end = x + atlas.glyph(" ").advance
        self._boxes.append((x, baseline - atlas.ascent, end, baseline + atlas.descent))
        self._centres.append(((x + end) / 2, baseline - atlas.x_height / 2))

    def _blend(self, coverage: np.ndarray, left: int, top: int, ink: Ink) -> None:
        """Paint `ink` through the coverage (h, w), whose corner is at (left, top); what falls outside is dropped."""
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + coverage.shape[1], self.width), min(top + coverage.shape[0], self.height)
        if x0 >= x1 or y0 >= y1:
            return
        alpha = coverage[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.int16)
        cut = self.image[y0:y1, x0:x1]
        if self.image.ndim == 3:
            alpha = alpha[:, :, None]
        paint = np.array(ink, np.int16)
        cut += ((paint - cut) * alpha.astype(np.int32) // 255).astype(np.uint8)  # wraps round, as two's complement does

    def glyphs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(boxes (N, 4) float32, centres (N, 2) float32, line ids (N,) int32) of everything written."""
        line_ids = np.repeat(np.arange(len(self.lines), dtype=np.int32), [len(line) for line in self.lines])
        boxes = np.array(self._boxes, np.float32).reshape(-1, 4)
        return boxes, np.array(self._centres, np.float32).reshape(-1, 2), line_ids
