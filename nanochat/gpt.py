"""The language model: a nanochat GPT, the same function as karpathy/nanochat's d20 of autumn 2025.

Differences from a textbook decoder, determined by the published checkpoints: no biases, and norms without parameters;
rotary embeddings in the opposite direction to the usual one, followed by RMS norm of queries and keys; an MLP with
squared ReLU; untied embedding and head; a norm directly after the embedding; logits capped by 15 tanh(x / 15).
"""

import math
import warnings
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nanochat.attention import attend, attend_documents
from nanochat.kv_cache import KVCache as KVCache
from nanochat.model_config import GPTConfig as GPTConfig

LOGIT_CAP = 15.0
LOSS_CHUNK = 1024  # supervised positions whose logits are in memory at once: 1024 x 65,537 float32 is 268 MB


def norm(x: Tensor) -> Tensor:
    """RMS norm over the last dimension, without parameters."""
    if torch.onnx.is_in_onnx_export():
        ones = torch.ones(int(x.size(-1)))  # written so that ONNX Runtime fuses it into one operator
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + torch.finfo(x.dtype).eps) * ones
    return F.rms_norm(x, (x.size(-1),))


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of each head: y1 = x1 cos + x2 sin, y2 = x2 cos - x1 sin (nanochat's direction)."""
    x1, x2 = x.chunk(2, dim=-1)  # (B, T, H, D/2) each
    return torch.cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin], dim=-1)


def _chosen(x: Tensor, at: Tensor | None) -> Tensor:
    """The vectors (N, C) of x (B, T, C) at these positions, counted row by row; None: x unchanged."""
    return x if at is None else x.reshape(-1, int(x.size(-1)))[at]


class Attention(nn.Module):
    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_head, self.n_kv_head = config.n_head, config.n_kv_head
        self.head_dim = config.n_embd // config.n_head
        self.c_q = nn.Linear(config.n_embd, config.n_head * self.head_dim, bias=False)
        self.c_k = nn.Linear(config.n_embd, config.n_kv_head * self.head_dim, bias=False)
        self.c_v = nn.Linear(config.n_embd, config.n_kv_head * self.head_dim, bias=False)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: KVCache | None,
        documents: list[int] | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """As `Block.forward`."""
        B, T, C = x.shape
        if torch.onnx.is_in_onnx_export():  # a single operator does all of this
            return self.c_proj(_chosen(cache.attend(self, x), at))  # type: ignore[union-attr, operator]
        q, k, v = (linear(x).view(B, T, -1, self.head_dim) for linear in (self.c_q, self.c_k, self.c_v))
        qk = norm(apply_rotary(torch.cat([q, k], dim=2), *rotary))  # (B, T, H + H_kv, D): both at once
        q, k = qk.split([self.n_head, self.n_kv_head], dim=2)
        if cache is None:
            k, v, mask = k.transpose(1, 2), v.transpose(1, 2), None
        else:
            k, v, mask = cache.append(self.layer, k, v)  # (B, H, S, D)
        if documents is None:
            y = attend(q.transpose(1, 2), k, v, mask, causal=mask is None and T > 1)
        else:
            y = attend_documents(q.transpose(1, 2), k, v, documents)
        return self.c_proj(_chosen(y.transpose(1, 2).reshape(B, T, C), at))


class MLP(nn.Module):
    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.relu(self.c_fc(x)).square())


class Block(nn.Module):
    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.attn = Attention(config, layer)
        self.mlp = MLP(config)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: KVCache | None,
        documents: list[int] | None = None,
        at: Tensor | None = None,
    ) -> Tensor:
        """(B, T, C) -> (B, T, C); with `at` (N,), only the vectors at these positions, counted row by row: (N, C)."""
        x = _chosen(x, at) + self.attn(norm(x), rotary, cache, documents, at)
        return x + self.mlp(norm(x))


def cap(logits: Tensor) -> Tensor:
    """Float32 logits (..., V), within 15: 15 tanh(x / 15)."""
    return LOGIT_CAP * torch.tanh(logits.float() / LOGIT_CAP)


def _chunk_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(cap(F.linear(hidden, head)), targets, reduction="none")


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of each position, float32 (N,), from hidden states (N, C), head (V, C) and targets (N,).

    The logits of at most LOSS_CHUNK positions are in memory at once; the backward pass recomputes them.
    """
    if len(targets) <= LOSS_CHUNK:
        return _chunk_losses(hidden, head, targets)
    pieces = zip(hidden.split(LOSS_CHUNK), targets.split(LOSS_CHUNK))
    return torch.cat([checkpoint(_chunk_losses, h, head, t, use_reentrant=False) for h, t in pieces])


def columns_and_lines(ids: Tensor, config: GPTConfig) -> Tensor:
    """Positions of whole sequences of token ids (B, T), int64 (B, T, 2), as `positions.py` defines them."""
    index = torch.arange(ids.size(1), device=ids.device).expand_as(ids)
    start_answer, newline = (ids == token for token in config.line_tokens)
    answer = torch.where(start_answer, index, -1).cummax(1).values  # where the answer of each token starts, or -1
    newline = newline & (answer >= 0)
    line = torch.where(start_answer | newline, index, -1).cummax(1).values  # where its line starts
    lines = newline.cumsum(1)
    lines = lines - torch.where(answer >= 0, lines.gather(1, answer.clamp(min=0)), 0)
    column = torch.where(answer >= 0, answer + index - line, index)
    return torch.stack([column, column + lines * config.line_stride], dim=-1)


class GPT(nn.Module):
    """Decoder over token ids, or over embeddings into which vision tokens have been inserted."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        blocks = nn.ModuleList([Block(config, layer) for layer in range(config.n_layer)])
        wte = nn.Embedding.from_pretrained(torch.empty(config.vocab_size, config.n_embd), freeze=False)
        self.transformer = nn.ModuleDict({"wte": wte, "h": blocks})
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        table = torch.empty(config.reach, config.n_embd // config.n_head // 2, dtype=torch.float32)
        self.register_buffer("cos", table, persistent=False)
        self.register_buffer("sin", table.clone(), persistent=False)
        if not self.lm_head.weight.is_meta:  # on the meta device `arange` would import torch's compiler (a second)
            self.init_weights()

    def frequencies(self) -> Tensor:
        """The rotation in radians of each pair of channels of a head per position, float32 (D/2,)."""
        half = self.config.n_embd // self.config.n_head // 2
        return 10_000 ** (-torch.arange(half, device=self.lm_head.weight.device, dtype=torch.float32) / half)

    @property
    def blocks(self) -> Sequence[Block]:
        """The transformer blocks, from first to last."""
        return cast(Sequence[Block], self.transformer["h"])

    @property
    def wte(self) -> nn.Embedding:
        """The token embedding."""
        return cast(nn.Embedding, self.transformer["wte"])

    def init_rotary(self) -> None:
        """Compute the rotary tables, (10 x sequence_len, head_dim / 2) float32, on the weights' device."""
        frequencies = self.frequencies()
        positions = torch.arange(self.config.reach, device=frequencies.device, dtype=torch.float32)
        angles = torch.outer(positions, frequencies)
        self.cos, self.sin = angles.cos(), angles.sin()

    def rotary(self, where: slice | Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines at these positions, ([B,] T, 1, D/2) each."""
        return self.cos[where].unsqueeze(-2).to(dtype), self.sin[where].unsqueeze(-2).to(dtype)

    def rotary_on_page(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines, ([B,] T, 1, D/2) each, at columns and lines: positions int64 ([B,] T, 2).

        The pairs of channels that turn by more than half a circle from one line to the next rotate with the column, and
        the others with the line.
        """
        frequencies = self.frequencies()
        is_fast = frequencies * self.config.line_stride > math.pi  # (D/2,)
        angles = torch.where(is_fast, positions[..., :1], positions[..., 1:]) * frequencies
        return angles.cos().unsqueeze(-2).to(dtype), angles.sin().unsqueeze(-2).to(dtype)

    def positions(
        self, ids: Tensor, kv_cache: KVCache | None = None, documents: list[int] | None = None
    ) -> Tensor | None:
        """Columns and lines of token ids (B, T), int64 (B, T, 2), for `hidden`. None if a position is an index.

        The tokens continue the rows of `kv_cache`, and are recorded there. `documents`: as in `hidden`.
        """
        config = self.config
        if not config.line_stride:
            return None
        if kv_cache is not None:
            return torch.tensor(kv_cache.places.extend(kv_cache.lengths, ids.tolist(), config)).to(ids.device)
        if documents is not None:
            return torch.cat([columns_and_lines(part, config) for part in ids.split(documents, dim=1)], dim=1)
        return columns_and_lines(ids, config)

    @torch.no_grad()
    def init_weights(self) -> None:
        """nanochat's initialisation: linear std min(1, sqrt(out/in)) / sqrt(in), embedding std 1, outputs zero."""
        self.init_rotary()
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=1.0)
            elif isinstance(module, nn.Linear):
                n_out, n_in = module.weight.shape
                if name.endswith(("c_proj", "lm_head")):
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.normal_(module.weight, std=min(1.0, math.sqrt(n_out / n_in)) / math.sqrt(n_in))

    def set_heads(self, n_head: int, n_kv_head: int) -> None:
        """Change the number of heads at the same width. Shapes stay the same, but the meaning of every head changes."""
        self.config.n_head, self.config.n_kv_head = n_head, n_kv_head
        self.config.__post_init__()
        for block in self.blocks:
            block.attn.n_head, block.attn.n_kv_head = n_head, n_kv_head
            block.attn.head_dim = self.config.n_embd // n_head
        self.init_rotary()

    def get_extra_state(self) -> Tensor:
        """Head counts for the state dict, int64 (2,), because they cannot be derived from the shapes of the weights."""
        return torch.tensor([self.config.n_head, self.config.n_kv_head])

    def set_extra_state(self, state: Tensor) -> None:
        """Adopt the head counts of the weights being loaded, with a warning if the model was built with others."""
        n_head, n_kv_head = state.tolist()
        if (n_head, n_kv_head) != (self.config.n_head, self.config.n_kv_head):
            warnings.warn(
                f"these weights were trained with {n_head} heads ({n_kv_head} for keys and values), the model was built"
                f" with {self.config.n_head} ({self.config.n_kv_head}): using those of the weights",
                stacklevel=2,
            )
            self.set_heads(n_head, n_kv_head)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Token embeddings (B, T, C) before the first norm."""
        return self.wte(input_ids)

    def hidden(
        self,
        embeds: Tensor,
        kv_cache: KVCache | None = None,
        documents: list[int] | None = None,
        at: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Final normed hidden states (B, T, C) of embeddings (B, T, C), which continue the cached sequence.

        `documents`: the lengths of documents packed end to end into one row; each is processed as if it were alone.
        `at`: int64 (N,), the places, counted row by row, whose states alone are wanted: (N, C). The last block computes
        no more than these.
        `positions`: columns and lines of the tokens, int64 ([B,] T, 2); None: their indices are their positions.
        """
        T = embeds.size(1)
        where: slice | Tensor = slice(T)
        if kv_cache is not None:
            where = kv_cache.begin(T)
        elif documents is not None:
            where = torch.cat([torch.arange(n, device=embeds.device) for n in documents])  # positions restart
        if positions is None:
            rotary = self.rotary(where, embeds.dtype)
        else:
            rotary = self.rotary_on_page(positions, embeds.dtype)
        x = norm(embeds)
        *first, last = self.blocks
        for block in first:
            x = block(x, rotary, kv_cache, documents)
        x = last(x, rotary, kv_cache, documents, at)
        if kv_cache is not None:
            kv_cache.advance(T)
        return norm(x)

    def forward(
        self,
        input_ids: Tensor | None = None,
        targets: Tensor | None = None,
        kv_cache: KVCache | None = None,
        loss_reduction: str = "mean",
        inputs_embeds: Tensor | None = None,
        documents: list[int] | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Float32 logits (B, T, V), or the loss against `targets` (B, T; -1 is ignored) when they are given.

        `loss_reduction`: "mean" or "sum" over supervised positions, or "none": (B, T), zero where ignored. With a
        `kv_cache`, the tokens continue the cached sequence and are added to it. `inputs_embeds` can be given instead
        of ids, with the `positions` of their tokens. `documents`, `positions`: as in `hidden`.
        """
        if inputs_embeds is None:
            assert input_ids is not None, "give input_ids or inputs_embeds"
            inputs_embeds, positions = self.embed(input_ids), self.positions(input_ids, kv_cache, documents)
        x = self.hidden(inputs_embeds, kv_cache, documents, positions=positions)
        if targets is None:
            return cap(self.lm_head(x))
        supervised = targets != -1
        losses = token_losses(x[supervised], self.lm_head.weight, targets[supervised])
        if loss_reduction == "none":
            return torch.zeros(targets.shape, device=x.device).masked_scatter(supervised, losses)
        total = losses.sum()
        return total if loss_reduction == "sum" else total / supervised.sum().clamp(min=1)
