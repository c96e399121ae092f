"""The views of one image in one mode: the whole image, or pieces of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from nanochat.image_process import ImageViews
from nanochat.lines.cut import Piece
from nanochat.lines.layout import Line
from nanochat.modes import Mode
from nanochat.reading.blocks import PageBlock

FEW_VIEWS = 4  # number of views that are read together when lines are streamed


@dataclass(frozen=True)
class Lined:
    """An upright RGB image and its detected lines."""

    picture: Image.Image
    lines: list[Line]


@dataclass(frozen=True)
class Shown:
    """The views of one image in one mode. Each view gets one answer."""

    mode: str
    views: list[ImageViews]
    lines: list[Line]
    """all detected lines of the image, in every mode"""
    pieces: list[Piece]
    """in mode `lines`, the piece of a line in each view; otherwise empty"""
    blocks: list[PageBlock] = field(default_factory=list)
    """in mode `blocks`, the block in each view; otherwise empty"""
    view_mode: Mode | None = None
    """the mode of the view, if the image is shown as a whole"""
    spare_vision_tokens: int = 0
    """vision tokens of views whose reading was not kept"""
    spare_tokens: int = 0
    """tokens generated for those views"""

    @property
    def n_tokens(self) -> int:
        """Vision tokens of all views that were read, kept or not."""
        return sum(view.layout.n_tokens for view in self.views) + self.spare_vision_tokens


def few_lines(shown: Shown) -> list[Shown]:
    """An image in mode `lines`, divided into parts of a few whole lines each, with at least FEW_VIEWS views."""
    starts = [0]
    for i, (piece, before) in enumerate(zip(shown.pieces[1:], shown.pieces), 1):
        if piece.row != before.row and i - starts[-1] >= FEW_VIEWS:
            starts.append(i)
    ends = [*starts[1:], len(shown.pieces)]
    return [replace(shown, views=shown.views[a:b], pieces=shown.pieces[a:b]) for a, b in zip(starts, ends)]


def together(parts: Sequence[Shown]) -> Shown:
    """The parts of an image joined."""
    return replace(
        parts[0],
        views=[view for part in parts for view in part.views],
        pieces=[piece for part in parts for piece in part.pieces],
        spare_vision_tokens=sum(part.spare_vision_tokens for part in parts),
        spare_tokens=sum(part.spare_tokens for part in parts),
    )
