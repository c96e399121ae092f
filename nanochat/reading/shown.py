"""One picture as it is shown to a model in one mode: as a whole, or cut into pieces."""

from dataclasses import dataclass, field

from PIL import Image

from nanochat.image_process import ImageViews
from nanochat.lines.cut import Piece
from nanochat.lines.layout import Line
from nanochat.modes import Mode
from nanochat.reading.blocks import PageBlock


@dataclass(frozen=True)
class Lined:
    """An upright RGB picture whose lines of text were found before it is read."""

    picture: Image.Image
    lines: list[Line]


@dataclass(frozen=True)
class Shown:
    """The views of one picture in one mode. Each view gets one answer."""

    mode: str
    views: list[ImageViews]
    lines: list[Line]
    """all lines found in the picture, whatever the mode"""
    pieces: list[Piece]
    """in mode `lines`, the piece of a line in each view; otherwise empty"""
    blocks: list[PageBlock] = field(default_factory=list)
    """in mode `blocks`, the block in each view; otherwise empty"""
    view_mode: Mode | None = None
    """how a picture that is shown as a whole became its view"""
    spare_vision_tokens: int = 0
    """tokens of views that were read but not kept"""
    spare_tokens: int = 0
    """tokens generated about those views"""

    @property
    def n_tokens(self) -> int:
        """Vision tokens of all views that were read, kept or not."""
        return sum(view.layout.n_tokens for view in self.views) + self.spare_vision_tokens
