"""The DeepEncoder: SAM sees the pixels, CLIP sees SAM's features, a projector speaks to the language model."""

from nanochat.deepencoder.clip import CLIP
from nanochat.deepencoder.projector import Projector
from nanochat.deepencoder.sam import SAM
from nanochat.model_config import CLIPConfig, SAMConfig, VisionConfig

__all__ = ["CLIP", "SAM", "CLIPConfig", "Projector", "SAMConfig", "VisionConfig"]
