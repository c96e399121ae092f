"""Where on the image the model looked: the attention from the tokens of an answer to the vision tokens.

It is computed after decoding, which it does not slow down: one more pass over the prompt and the finished answer
records the queries and keys of each layer.
"""

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from nanochat.gpt import apply_rotary, norm
from nanochat.image_process import ImageViews
from nanochat.lines.boxes import Box
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

CHUNK = 256  # tokens of the answer whose attention weights are in memory at a time


def _listen(model: NanoDeepseekOCR, embeds: Tensor, positions: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """Queries and keys of each layer, (T, heads x D) each, before rotary embeddings and norm.

    `embeds`: (1, T, C), at these `positions`, as in `GPT.hidden`.
    """
    heard: list[Tensor] = []

    def hear(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        heard.append(output[0])

    parts = [part for block in model.gpt.blocks for part in (block.attn.c_q, block.attn.c_k)]
    handles = [part.register_forward_hook(hear) for part in parts]
    try:
        model.gpt.hidden(embeds, positions=positions)
    finally:
        for handle in handles:
            handle.remove()
    return list(zip(heard[::2], heard[1::2]))


@torch.inference_mode()
def picture_attention(model: NanoDeepseekOCR, prompt: list[int], answer: list[int], views: ImageViews) -> Tensor:
    """Attention weights from each token of an answer to the vision tokens, averaged over layers and heads.

    `prompt` and `answer`: token ids; the prompt has one image, `views`. Returns float32 (len(answer), P) on the CPU,
    where P is the number of vision tokens that show a part of the image (`layout.is_picture()`), in their order.
    Row i is the attention of the position that predicts token i of the answer.
    """
    device, config = model.device, model.config.gpt
    ids = torch.tensor([prompt + answer], device=device)
    embeds = model.embed(ids, [views.to(device)], None)
    places = (ids[0] == model.config.image_token_id).nonzero()[:, 0]  # (n_tokens,)
    shown = places[views.layout.is_picture().to(device)]
    T, head_dim = ids.size(1), config.n_embd // config.n_head
    positions = model.gpt.positions(ids)
    if positions is None:
        cos, sin = model.gpt.rotary(slice(T), torch.float32)  # (T, 1, D/2)
    else:
        cos, sin = model.gpt.rotary_on_page(positions[0], torch.float32)
    total = torch.zeros(len(answer), len(shown), device=device)
    for queries, keys in _listen(model, embeds, positions):
        q = norm(apply_rotary(queries.float().unflatten(-1, (config.n_head, head_dim)), cos, sin))  # (T, H, D)
        k = norm(apply_rotary(keys.float().unflatten(-1, (config.n_kv_head, head_dim)), cos, sin))
        k = k.repeat_interleave(config.n_head // config.n_kv_head, dim=1)
        for first in range(0, len(answer), CHUNK):
            rows = torch.arange(first, min(first + CHUNK, len(answer)), device=device) + len(prompt) - 1
            scores = torch.einsum("qhd,khd->hqk", q[rows], k) * head_dim**-0.5  # (H, chunk, T)
            scores.masked_fill_(torch.arange(T, device=device) > rows[:, None], -torch.inf)
            total[first : first + CHUNK] += scores.softmax(-1)[..., shown].mean(0)
    return (total / config.n_layer).cpu()


def line_attention(attention: Tensor, lines: list[list[int]]) -> Tensor:
    """The share of attention of each line of an answer to each place on the image: float32 (L, P), rows sum to 1.

    `attention`: (tokens, P), from `picture_attention`. `lines`: for each line, the positions of its tokens in the
    answer. The mean attention a[l, p] of a line is weighted by a[l, p] / sum_l a[l, p], because a place that all lines
    attend to says nothing about any one of them.
    """
    drawn = torch.stack([attention[tokens].mean(0) for tokens in lines])  # (L, P)
    own = drawn.square() / drawn.sum(0).clamp(min=1e-12)
    return own / own.sum(1, keepdim=True).clamp(min=1e-12)


def attended_box(shares: Tensor, places: Tensor | np.ndarray) -> Box:
    """The box (left, top, right, bottom), in pixels, around the places that one line attends to most.

    `shares`: (P,), the row of the line in `line_attention`. `places`: (P, 4), boxes of the places in pixels. The box
    contains the places with at least half the largest share.
    """
    places = torch.as_tensor(places)
    chosen = places[shares >= shares.max() / 2]
    left, top = chosen[:, :2].min(0).values.tolist()
    right, bottom = chosen[:, 2:].max(0).values.tolist()
    return round(left), round(top), round(right), round(bottom)
