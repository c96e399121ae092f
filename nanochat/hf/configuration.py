"""The configuration for transformers, which contains that of the model under `model`."""

from typing import Any

from transformers import PretrainedConfig

from nanochat.model_config import GPTConfig, ModelConfig


class NanoDeepseekOcrConfig(PretrainedConfig):
    """`model`: the dict that `ModelConfig.to_dict` returns.

    Some of its values are repeated under the names that transformers uses.
    """

    model_type = "nano_deepseek_ocr"

    def __init__(self, model: dict[str, Any] | None = None, **others: Any) -> None:
        self.model = model or ModelConfig().to_dict()
        gpt = self.model["gpt"]
        self.image_token_id = self.model["image_token_id"]
        self.vocab_size, self.hidden_size = gpt["vocab_size"], gpt["n_embd"]
        self.num_hidden_layers, self.max_position_embeddings = gpt["n_layer"], GPTConfig(**gpt).reach
        self.num_attention_heads, self.num_key_value_heads = gpt["n_head"], gpt["n_kv_head"]
        super().__init__(**{**others, "tie_word_embeddings": False})
