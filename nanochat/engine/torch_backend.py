"""`TorchBackend`: runs a NanoDeepseekOCR with PyTorch, on any device."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from nanochat.engine.backend import Backend, Cache
from nanochat.engine.int8 import Int8Linear
from nanochat.gpt import KVCache
from nanochat.image_process import ImageViews
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, choose_tokens


class TorchBackend(Backend):
    """Runs `model` on the device it is on. Features and logits are torch tensors."""

    def __init__(self, model: NanoDeepseekOCR) -> None:
        self.model, self.config = model, model.config

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the computation: that of autocast if it is enabled, else that of the weights."""
        kind = self.device.type
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.model.image_newline.dtype

    @property
    def exact(self) -> bool:  # type: ignore[override]
        return self.dtype == torch.float32 and not isinstance(self.model.gpt.lm_head, Int8Linear)

    def context(self) -> AbstractContextManager:
        return torch.inference_mode()

    def encode(self, images: Sequence[ImageViews]) -> list[Tensor]:
        return self.model.encode_images([image.to(self.device) for image in images])

    def new_cache(self, rows: int) -> KVCache:
        return KVCache(self.config.gpt, rows, self.device, self.dtype)

    def read(
        self, rows: Sequence[Sequence[int]], features: Sequence[Tensor], cache: Cache | None, skip: int = 0
    ) -> Tensor:
        # Shorter rows are padded on the right, where causal attention keeps the padding from what comes before it.
        longest = max(len(row) for row in rows)
        padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=self.device)
        vision = None
        if features:
            n_places = sum(list(row).count(self.config.image_token_id) for row in rows)
            vision = torch.cat(list(features))[skip : skip + n_places]
        embeds = self.model.embed(padded, None, vision)  # (B, T, C)
        assert cache is None or isinstance(cache, KVCache)
        before = [0] * len(rows) if cache is None else list(cache.lengths)
        hidden = self.model.gpt.hidden(embeds, cache, positions=self.model.gpt.positions(padded, cache))
        if cache is not None:
            cache.truncate([held + len(row) for held, row in zip(before, rows)])
        last = torch.tensor([len(row) - 1 for row in rows], device=self.device)
        return self.model.next_logits(hidden[torch.arange(len(rows), device=self.device), last])

    def step(self, cache: Cache, tokens: Sequence[int]) -> Tensor:
        assert isinstance(cache, KVCache)
        chosen = torch.tensor(tokens, device=self.device)[:, None]  # (B, 1)
        embeds, positions = self.model.gpt.embed(chosen), self.model.gpt.positions(chosen, cache)
        hidden = self.model.gpt.hidden(embeds, cache, positions=positions)  # (B, 1, C)
        return self.model.next_logits(hidden[:, -1])

    def copy(self, logits: Tensor) -> Tensor:
        return logits.clone()

    def leads(self, logits: Tensor) -> list[float]:
        top = logits.topk(2, -1).values  # (B, 2)
        least = logits.masked_fill(logits.isinf(), torch.inf).min(-1).values
        return torch.where(top[:, 0] > least, top[:, 0] - top[:, 1], torch.inf).tolist()

    def likeliest(self, logits: Tensor) -> list[int]:
        return logits.argmax(-1).tolist()

    def probabilities(self, logits: Tensor, chosen: Sequence[int]) -> list[float]:
        places = torch.tensor(chosen, device=logits.device)[:, None]
        return torch.softmax(logits, -1).gather(1, places)[:, 0].tolist()

    def random(self, seed: int) -> torch.Generator:
        return torch.Generator(device=self.device).manual_seed(seed)

    def draw(self, logits: Tensor, temperature: float, top_k: int | None, random: torch.Generator) -> int:
        return int(choose_tokens(logits[None], temperature, top_k, random)[0])
