"""Activation checkpointing (less memory) and compilation (less time) of the transformer blocks."""

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch.nn as nn
from torch.utils.checkpoint import checkpoint

from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

Recompute = Literal["none", "sam", "all"]


def repeated_blocks(model: NanoDeepseekOCR) -> Iterator[nn.Module]:
    """The repeating blocks of SAM, CLIP and GPT, which hold nearly all weights and time."""
    yield from model.sam_model.blocks
    yield from model.vision_model.transformer.layers
    yield from model.gpt.blocks


def recompute_blocks(model: NanoDeepseekOCR, which: Recompute) -> None:
    """Recompute blocks in the backward pass: `sam`, SAM's global blocks, which need most memory; `all`, every block.

    Names, weights and gradients do not change. Frozen blocks are left alone.
    """
    for block in repeated_blocks(model):
        chosen = which == "all" or (which == "sam" and getattr(block, "window", None) == 0)
        if chosen and any(p.requires_grad for p in block.parameters()):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)  # type: ignore


def compile_blocks(model: NanoDeepseekOCR) -> None:
    """Compile each block with torch.compile; equal blocks share the code. Names and weights do not change."""
    for block in repeated_blocks(model):
        block.compile()
