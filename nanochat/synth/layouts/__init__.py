"""The kinds of document: what stands on a sheet, where, and in what type."""

from collections.abc import Callable
from dataclasses import dataclass

from nanochat.synth.layouts import business, charts, prose, scene
from nanochat.synth.layouts.sheet import Sheet


@dataclass(frozen=True)
class Layout:
    """How one kind of document is set, and in what type."""

    draw: Callable[[Sheet], None]
    mono: float = 0.15  # share of documents in typewriter or code faces
    columns: int = 1  # letters that a row of the sheet should hold: keeps the type small enough
    more: bool = False  # whether something else may follow below


LAYOUTS = {
    "lines": Layout(prose.lines),
    "crop": Layout(prose.crop),
    "paragraph": Layout(prose.paragraph, columns=16, more=True),
    "list": Layout(prose.bullets, columns=16, more=True),
    "columns": Layout(prose.columns, mono=0.05, columns=34, more=True),
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
"""By the names that a level's `kinds` use."""

_FILLERS = (prose.paragraph, prose.bullets, business.form, business.table)


def draw(kind: str, sheet: Sheet) -> None:
    """Set a document of `kind` on the sheet, and on a page with room left perhaps something more below it."""
    layout, rng = LAYOUTS[kind], sheet.rng
    if layout.more and rng.random() < 0.15:
        sheet.y += rng.uniform(0, 0.3) * sheet.canvas.height
    layout.draw(sheet)
    while layout.more and sheet.rows_left() >= 4 and sheet.chars_left >= 60 and rng.random() < 0.85:
        sheet.skip(rng.uniform(0.6, 1.5))
        rng.choice(_FILLERS)(sheet)


__all__ = ["LAYOUTS", "Layout", "Sheet", "draw"]
