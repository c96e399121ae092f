"""The DeepEncoder: SAM sees the pixels, CLIP sees SAM's features, a projector speaks to the language model."""

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
    """side in pixels of a whole page, scaled and padded to a square"""

    def __post_init__(self) -> None:
        if self.sam.out_channels[-1] != self.clip.width:
            raise ValueError(f"SAM gives {self.sam.out_channels[-1]} channels, CLIP takes {self.clip.width}")
