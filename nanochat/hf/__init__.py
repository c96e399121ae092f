"""The model for the `transformers` library: configuration, processor and generation.

Importing this package registers them with the Auto classes of transformers, so that no remote code is needed where
nanochat is installed.
"""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from nanochat.hf.configuration import NanoDeepseekOcrConfig
from nanochat.hf.modeling import NanoDeepseekOcrForConditionalGeneration
from nanochat.hf.processing import NanoDeepseekOcrProcessor

AutoConfig.register(NanoDeepseekOcrConfig.model_type, NanoDeepseekOcrConfig, exist_ok=True)
AutoProcessor.register(NanoDeepseekOcrConfig, NanoDeepseekOcrProcessor, exist_ok=True)
AutoModelForImageTextToText.register(NanoDeepseekOcrConfig, NanoDeepseekOcrForConditionalGeneration, exist_ok=True)
