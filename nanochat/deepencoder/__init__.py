"""The DeepEncoder: SAM encodes the pixels, CLIP encodes SAM's features, a projector maps both to the language model."""

from nanochat.deepencoder.clip import CLIP
from nanochat.deepencoder.projector import Projector
from nanochat.deepencoder.sam import SAM
from nanochat.model_config import CLIPConfig, SAMConfig, VisionConfig

__all__ = ["CLIP", "SAM", "CLIPConfig", "Projector", "SAMConfig", "VisionConfig"]
