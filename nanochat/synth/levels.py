"""The levels of difficulty: image size, type size, amount of text and kinds of document."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One level. All images of a level have the same size, so that they can be stacked into a batch."""

    name: str
    width: int  # px, a multiple of 64
    height: int  # px, a multiple of 64
    font_px: tuple[int, int]  # smallest and largest type size
    max_lines: int
    max_chars: int  # of the text, without line ends
    kinds: tuple[str, ...] = ("lines",)  # layouts, drawn with equal probability; a name listed twice is twice as likely
    degrade: float = 0.3  # 0: clean, 1: barely readable


_LINE_KINDS = ("lines", "lines", "entry", "crop")
_ROW_KINDS = ("lines", "lines", "paragraph")
_NOTE_KINDS = ("lines", "paragraph", "list", "receipt", "form", "table", "letter")
_PAGE_KINDS = (
    *("lines", "receipt", "receipt", "invoice", "form", "table", "paragraph", "columns", "article", "letter"),
    *("code", "list", "bars", "curves", "pie", "scene"),
)

CURRICULUM = (
    Level("s1", 64, 64, (14, 28), 1, 5, degrade=0.2),
    Level("s2", 64, 64, (12, 28), 2, 10, degrade=0.2),
    Level("w", 128, 64, (12, 28), 2, 20, degrade=0.2),
    Level("B", 128, 128, (20, 28), 2, 16),
    Level("C", 128, 128, (16, 28), 3, 28),
    Level("D", 128, 128, (12, 28), 4, 48),
    Level("line128", 128, 64, (12, 32), 1, 24, _LINE_KINDS, degrade=0.4),
    Level("line192", 192, 64, (12, 32), 1, 36, _LINE_KINDS, degrade=0.4),
    Level("line256", 256, 64, (12, 32), 1, 48, _LINE_KINDS, degrade=0.4),
    Level("line320", 320, 64, (12, 32), 1, 60, _LINE_KINDS, degrade=0.4),
    Level("line384", 384, 64, (12, 32), 1, 72, _LINE_KINDS, degrade=0.4),
    Level("line448", 448, 64, (12, 32), 1, 84, _LINE_KINDS, degrade=0.4),
    Level("line512", 512, 64, (12, 32), 1, 96, _LINE_KINDS, degrade=0.4),
    Level("rough192", 192, 64, (12, 32), 1, 36, _LINE_KINDS, degrade=0.9),
    Level("rough320", 320, 64, (12, 32), 1, 60, _LINE_KINDS, degrade=0.9),
    Level("rough448", 448, 64, (12, 32), 1, 84, _LINE_KINDS, degrade=0.9),
    Level("E", 192, 192, (12, 28), 8, 90, ("lines", "paragraph", "list", "form")),
    Level("Ew", 256, 128, (12, 28), 6, 90, ("lines", "paragraph", "list", "form")),
    Level("rows2", 256, 64, (18, 26), 2, 40, _ROW_KINDS),
    Level("rows3", 256, 128, (20, 28), 3, 66, _ROW_KINDS),
    Level("rows4", 256, 128, (20, 28), 4, 88, _ROW_KINDS),
    Level("rows6", 256, 192, (20, 28), 6, 130, _ROW_KINDS),
    Level("rows8", 256, 256, (20, 28), 8, 160, _ROW_KINDS),
    Level("wide8", 384, 256, (20, 28), 8, 240, _ROW_KINDS),
    Level("block", 256, 256, (16, 28), 8, 160, _NOTE_KINDS, degrade=0.4),
    Level("rows12", 384, 384, (20, 28), 12, 300, _ROW_KINDS),
    Level("rows16", 512, 512, (20, 28), 16, 400, _ROW_KINDS),
    Level("rows24", 512, 512, (14, 24), 24, 500, _ROW_KINDS),
    Level("note", 256, 256, (12, 24), 14, 160, _NOTE_KINDS, degrade=0.4),
    Level("leaf", 384, 384, (12, 28), 28, 320, _PAGE_KINDS, degrade=0.4),
    Level("page", 512, 512, (12, 32), 40, 500, _PAGE_KINDS, degrade=0.4),
    Level("sheet", 768, 1024, (12, 32), 80, 1500, _PAGE_KINDS, degrade=0.4),
)
"""The levels from easy to hard. Each adds text, smaller type or a larger image."""

LEVELS = {level.name: level for level in CURRICULUM}
STRIPS = "strips"  # not drawn on its own: lines cut out of documents of several levels, see `strips.py`
BLOCKS = "blocks"  # not drawn on its own: several lines cut out of a page together, see `blocks.py`
TEXT = "text"  # no images: the text of a note, to be copied

TIERS = {
    "line": ("line128", "line256", "line384", "line512"),
    "note": ("note",),
    "page": ("page",),
}
"""The tiers of the evaluation sets: a line of any width, a note of 160 characters, a page of 500."""

ONE_VIEW_TIERS = {
    "block": ("block",),
    "page": ("page",),
}
"""The tiers for whole views: a block of at most 8 lines and 160 characters, a page of 500 characters."""
