"""The model for transformers: our forward pass with the loading, the cache and the `generate` of transformers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from nanochat.errors import UserError
from nanochat.gpt import GPT, cap, columns_and_lines
from nanochat.hf.configuration import NanoDeepseekOcrConfig
from nanochat.image_process import ImageViews
from nanochat.model_config import VisionConfig
from nanochat.nano_deepseek_ocr import ModelConfig, NanoDeepseekOCR


class PaddedCache:
    """A cache of transformers with the interface of our KVCache, as `GPT.hidden` uses it. Rows are padded on the left.

    `attention_mask`: (B, past + new), 1 for tokens and 0 for padding.
    """

    def __init__(self, cache: DynamicCache, attention_mask: Tensor) -> None:
        self.cache, self.attention_mask = cache, attention_mask.bool()

    def begin(self, n_new: int) -> slice | Tensor:
        """Positions of the `n_new` new tokens without counting padding: a slice, or int64 (B, n_new)."""
        past = self.cache.get_seq_length()
        here = self.attention_mask[:, : past + n_new]  # (B, S)
        places = torch.arange(past + n_new, device=here.device)
        self.mask: Tensor | None = None
        if past or not here.all():
            causal = places <= places[past:, None]  # (n_new, S)
            # padding attends to itself, because a softmax over nothing is undefined
            own = places == places[past:, None]
            self.mask = ((causal & here[:, None]) | own)[:, None]  # (B, 1, n_new, S)
        if here.all():
            return slice(past, past + n_new)
        return (here.long().cumsum(1) - 1).clamp(min=0)[:, past:]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Append keys and values (B, n_new, H, D) of a layer.

        Returns all keys and values, (B, H, S, D), and a mask, bool (B, 1, n_new, S), of those that may be attended to,
        or None for plain causal attention.
        """
        keys, values = self.cache.update(k.transpose(1, 2), v.transpose(1, 2), layer)
        return keys, values, self.mask

    def advance(self, n_new: int) -> None:
        """Does nothing: `append` has updated the length already."""


class NanoDeepseekOcrForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """The model as a class of transformers. `generate` works as for other image-text-to-text models."""

    config_class = NanoDeepseekOcrConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    input_modalities = ["image", "text"]  # noqa: RUF012
    _supports_sdpa = True
    _keys_to_ignore_on_load_unexpected = [r"_extra_state$"]  # noqa: RUF012 - head counts, also in the configuration

    def __init__(self, config: NanoDeepseekOcrConfig) -> None:
        super().__init__(config)
        self.model = NanoDeepseekOCR(ModelConfig.from_dict(config.model))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Compute the rotary tables, which are not stored in the weights file. All other weights are loaded."""
        if isinstance(module, GPT):
            module.init_rotary()

    def get_input_embeddings(self) -> nn.Module:
        return self.model.gpt.wte

    def get_output_embeddings(self) -> nn.Module:
        return self.model.gpt.lm_head

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        positions: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, V) for token ids (B, T) and images in order of appearance, as the processor returns both.

        `pixel_values`: float32 (N, 3, H, W), each image in the upper left corner. `image_sizes`: int64 (N, 2), their
        heights and widths. `labels`: int64 (B, T), -100 is ignored. `logits_to_keep`: only for this many last
        positions; 0: for all. `positions`: columns and lines of the tokens, int64 (B, T, 2), for a model that has them
        (`GPTConfig.line_stride`); by default those of sequences that start here. Raises UserError if the `<|image|>`
        tokens do not match the images.
        """
        if positions is None:
            if self.model.config.gpt.line_stride and past_key_values is not None and past_key_values.get_seq_length():
                raise UserError("tokens that continue a cache need `positions`: use `generate`, which passes them")
            positions = self.positions(input_ids, attention_mask)
        kept = past_key_values
        if past_key_values is None and (use_cache or attention_mask is not None):
            past_key_values = DynamicCache()  # padding needs a cache, even if it is not returned
            kept = past_key_values if use_cache else None
        embeds = self.model.embed(input_ids, views(pixel_values, image_sizes, self.model.config.vision), None)
        cache = None
        if past_key_values is not None:
            length = past_key_values.get_seq_length() + input_ids.size(1)
            if attention_mask is None:
                attention_mask = torch.ones(len(input_ids), length, device=input_ids.device)
            cache = PaddedCache(past_key_values, attention_mask)
        hidden = self.model.gpt.hidden(embeds, cache, positions=positions)  # type: ignore[arg-type]
        logits = cap(self.model.gpt.lm_head(hidden[:, -logits_to_keep:]))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=kept)

    def prepare_inputs_for_generation(self, input_ids: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Leave out the images after the first step, since the cache contains them."""
        inputs = super().prepare_inputs_for_generation(input_ids, **kwargs)  # type: ignore[misc]
        positions = self.positions(input_ids, kwargs.get("attention_mask"))
        if positions is not None:
            inputs["positions"] = positions[:, -inputs["input_ids"].size(1) :]
        past = inputs.get("past_key_values")
        if past is not None and past.get_seq_length() > 0:
            inputs["pixel_values"] = inputs["image_sizes"] = None
        return inputs

    def positions(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor | None:
        """Columns and lines of whole sequences of token ids (B, T), int64 (B, T, 2), without counting padding.

        None if the positions of this model are indices.
        """
        config = self.model.config.gpt
        if not config.line_stride:
            return None
        positions = torch.zeros(*input_ids.shape, 2, dtype=torch.int64, device=input_ids.device)
        tokens = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        for row, ids, is_token in zip(positions, input_ids, tokens.bool()):
            row[is_token] = columns_and_lines(ids[is_token][None], config)[0]
        return positions

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Any = None, **others: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Repeat each row and its image `expand_size` times, for beams or several answers.

        Raises UserError unless each row has one image.
        """
        pictures = others.get("pixel_values")
        if expand_size > 1 and pictures is not None and len(pictures) != len(input_ids):
            raise UserError("beam search and several answers need exactly one image per prompt")
        return super()._expand_inputs_for_generation(expand_size, is_encoder_decoder, input_ids, **others)  # type: ignore[misc]


def views(pixel_values: Tensor | None, image_sizes: Tensor | None, vision: VisionConfig) -> list[ImageViews] | None:
    """The views of a batch of images (N, 3, H, W) without their padding. `image_sizes`: (N, 2), height and width."""
    if pixel_values is None:
        return None
    sizes = [pixel_values.shape[-2:]] * len(pixel_values) if image_sizes is None else image_sizes.tolist()
    return [
        ImageViews(vision.layout(int(height), int(width)), pixels[:, : int(height), : int(width)])
        for pixels, (height, width) in zip(pixel_values, sizes)
    ]
