"""The kinds of document: their content, arrangement and type."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nanochat.synth.layouts import business, charts, prose, scene
from nanochat.synth.layouts.sheet import Sheet


@dataclass(frozen=True)
class Layout:
    """How one kind of document is drawn."""

    draw: Callable[[Sheet], None]
    mono: float = 0.15  # share of documents in a monospaced face
    columns: int = 1  # letters that should fit in a row: limits the type size
    more: bool = False  # whether other content may follow below


LAYOUTS = {
    "lines": Layout(prose.lines),
    "entry": Layout(prose.entry, mono=0.4),
    "crop": Layout(prose.crop, mono=0.3),
    "symbols": Layout(prose.symbols, mono=0.5),
    "strings": Layout(prose.strings, mono=0.5),
    "combs": Layout(business.combs, mono=0.3, columns=16),
    "paragraph": Layout(prose.paragraph, columns=16, more=True),
    "list": Layout(prose.bullets, columns=16, more=True),
    "columns": Layout(prose.columns, mono=0.05, columns=34, more=True),
    "close columns": Layout(prose.close_columns, mono=0.05, columns=34, more=True),
    "article": Layout(prose.article, mono=0.05, columns=24),
    "letter": Layout(prose.letter, columns=24),
    "code": Layout(prose.code, mono=1.0, columns=26),
    "receipt": Layout(business.receipt, mono=0.6, columns=24),
    "invoice": Layout(business.invoice, columns=32),
    "form": Layout(business.form, columns=22, more=True),
    "table": Layout(business.table, columns=18, more=True),
    "bars": Layout(charts.bars, mono=0.02, columns=22, more=True),
    "curves": Layout(charts.curves, mono=0.02, columns=24, more=True),
    "pie": Layout(charts.pie, mono=0.02, columns=24, more=True),
    "scene": Layout(scene.scene, mono=0.02, columns=14),
}
"""Keyed by the names used in `Level.kinds`."""

_SIGNED = ("letter", "receipt", "form", "invoice", "paragraph")
_FILLERS = (prose.paragraph, prose.bullets, business.form, business.table)


def draw(kind: str, sheet: Sheet) -> None:
    """Draw a document of `kind` on the sheet. If space is left, other content may be added below."""
    layout, rng = LAYOUTS[kind], sheet.rng
    if layout.more and rng.random() < 0.15:
        sheet.y += rng.uniform(0, 0.3) * sheet.canvas.height
    layout.draw(sheet)
    while layout.more and sheet.rows_left() >= 4 and sheet.chars_left >= 60 and rng.random() < 0.85:
        sheet.skip(rng.uniform(0.6, 1.5))
        rng.choice(_FILLERS)(sheet)
    if sheet.bottom - sheet.y > 4 * sheet.px and kind in _SIGNED and rng.random() < 0.12:
        scribble(sheet)


def scribble(sheet: Sheet) -> None:
    """A signature in the free space below the text. It is illegible and therefore not part of the text."""
    rng = sheet.rng
    top, height = sheet.y + sheet.px, min(sheet.bottom - sheet.y - 1.5 * sheet.px, 4.0 * sheet.px)
    left = sheet.left + rng.uniform(0, 0.5) * sheet.width
    turns = np.linspace(0, rng.uniform(4, 9) * np.pi, 120)
    width = rng.uniform(0.2, 0.45) * sheet.width
    x = left + width * turns / turns[-1] + 0.5 * height * np.cos(turns)
    y = top + 0.5 * height * (1 + np.sin(turns * rng.uniform(0.9, 1.1)) * np.cos(turns * rng.uniform(0.1, 0.4)))
    ink = sheet.shade(rng.uniform(0.5, 1.0))
    sheet.canvas.stroke(np.stack([x, y], axis=1), ink, rng.randint(1, max(1, sheet.px // 10)))


__all__ = ["LAYOUTS", "Layout", "Sheet", "draw"]
