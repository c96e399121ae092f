"""Floating-point operations of a training step, including the vision encoder.

A multiply-add counts as 2 operations, and the backward pass as twice the forward pass. A linear layer costs 2 x in x
out per token; attention costs 4 x width per pair of query and key (scores and values; with a causal mask, half of the
pairs). Formulas: PaLM (arXiv:2204.02311), appendix B, extended to the parts of the encoder.
"""

from collections.abc import Sequence
from math import prod

from nanochat.deepencoder import VisionConfig
from nanochat.gpt import GPTConfig


def gpt_forward_flops(config: GPTConfig, lengths: Sequence[int], supervised: int) -> float:
    """One forward pass over rows or packed documents of `lengths` tokens, with the head on `supervised` tokens."""
    width, kv = config.n_embd, config.n_embd * config.n_kv_head // config.n_head
    linears = 2 * (2 * width * width + 2 * width * kv + 8 * width * width)  # q, output, k, v, MLP of 4x
    attention = sum(4 * width * n * n / 2 for n in lengths)
    return config.n_layer * (sum(lengths) * linears + attention) + 2 * width * config.vocab_size * supervised


def sam_forward_flops(config: VisionConfig, height: int, width: int) -> float:
    """One forward pass of SAM, its neck and the compressor over one view of `height` x `width` pixels."""
    sam = config.sam
    h, w = height // sam.patch_size, width // sam.patch_size
    patches = h * w
    padded = -(-h // sam.window) * -(-w // sam.window) * sam.window**2  # windows exceed the edge
    total = 2.0 * patches * 3 * sam.patch_size**2 * sam.width
    for layer in range(sam.n_layer):
        everywhere = layer in sam.global_layers
        tokens, keys = (patches, patches) if everywhere else (padded, sam.window**2)
        side = h + w if everywhere else 2 * sam.window
        total += tokens * (8 * sam.width**2 + 4 * sam.width * keys + 2 * sam.width * side)
        total += patches * 16 * sam.width**2
    first, second = sam.out_channels
    total += 2 * patches * (sam.width * sam.neck + 9 * sam.neck**2)
    down, across = sam.last_stride
    return total + 2 * (patches / 4 * 9 * sam.neck * first + patches / (4 * down * across) * 9 * first * second)


def clip_forward_flops(config: VisionConfig, height: int, width: int, gpt_width: int) -> float:
    """One forward pass of CLIP and the projector over one view."""
    clip, positions = config.clip, prod(config.layout(height, width).view_rows)
    tokens = positions + 1
    block = tokens * (24 * clip.width**2 + 4 * clip.width * tokens)
    return clip.n_layer * block + 2 * positions * (clip.width + config.sam.out_channels[-1]) * gpt_width


def step_flops(
    vision: VisionConfig,
    gpt: GPTConfig,
    view_sizes: list[tuple[int, int]],
    lengths: Sequence[int],
    supervised: int,
    sam_trains: bool = True,
) -> float:
    """Forward and backward (3x forward) of one batch: views of (H, W) pixels, rows of `lengths` tokens.

    A frozen SAM has no backward pass: 1x forward.
    """
    sam = sum(sam_forward_flops(vision, *size) for size in view_sizes)
    clip = sum(clip_forward_flops(vision, *size, gpt.n_embd) for size in view_sizes)
    text = gpt_forward_flops(gpt, lengths, supervised)
    return (3 if sam_trains else 1) * sam + 3 * (clip + text)
