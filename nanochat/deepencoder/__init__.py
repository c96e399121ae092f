"""The DeepEncoder: SAM encodes the pixels, CLIP encodes SAM's features, a projector maps both to the language model."""

from dataclasses import dataclass, field

from nanochat.deepencoder.clip import CLIP, CLIPConfig
from nanochat.deepencoder.projector import Projector
from nanochat.deepencoder.sam import SAM, SAMConfig

__all__ = ["CLIP", "SAM", "CLIPConfig", "Projector", "SAMConfig", "VisionConfig"]


@dataclass
class VisionConfig:
    """Sizes of both encoders; the defaults are DeepSeek-OCR's."""

    sam: SAMConfig = field(default_factory=SAMConfig)
    clip: CLIPConfig = field(default_factory=CLIPConfig)
    image_size: int = 1024
    """side in pixels of a whole page"""
    view: str = "square"
    """how a page is shown: `square`, padded to one of image_size; `native`, in its own shape with no side longer than
    image_size; or the name of a mode (`modes.py`)"""

    def __post_init__(self) -> None:
        if self.sam.out_channels[-1] != self.clip.width:
            raise ValueError(f"SAM gives {self.sam.out_channels[-1]} channels, CLIP takes {self.clip.width}")

    @property
    def page(self) -> int:
        """Side in pixels of the page that the position tables were made for: 1024 for d20, 512 for nano."""
        return self.sam.grid * self.sam.patch_size
