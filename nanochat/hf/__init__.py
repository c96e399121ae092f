"""The model as `transformers` knows models: its configuration, its processor, its way to generate.

Importing this package tells transformers' Auto classes of it, so that no remote code is needed where nanochat is
installed.
"""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from nanochat.hf.configuration import NanoDeepseekOcrConfig
from nanochat.hf.modeling import NanoDeepseekOcrForConditionalGeneration
from nanochat.hf.processing import NanoDeepseekOcrProcessor

AutoConfig.register(NanoDeepseekOcrConfig.model_type, NanoDeepseekOcrConfig, exist_ok=True)
AutoProcessor.register(NanoDeepseekOcrConfig, NanoDeepseekOcrProcessor, exist_ok=True)
AutoModelForImageTextToText.register(NanoDeepseekOcrConfig, NanoDeepseekOcrForConditionalGeneration, exist_ok=True)
