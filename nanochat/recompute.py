"""Memory for time: blocks that keep only their input for the backward pass, and compute the rest again there."""

from functools import partial
from typing import Literal

import torch.nn as nn
from torch.utils.checkpoint import checkpoint

from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

Recompute = Literal["none", "sam", "all"]


def recompute_blocks(model: NanoDeepseekOCR, which: Recompute) -> None:
    """Let blocks be computed again in the backward pass: `sam`, SAM's global blocks, which keep most; `all`: every one.

    Names, weights and gradients stay what they are. Blocks that do not train are left alone.
    """
    if which == "none":
        return
    sam = [block for block in model.sam_model.blocks if which == "all" or block.window == 0]
    others = [*model.vision_model.transformer.layers, *model.gpt.transformer["h"]] if which == "all" else []  # type: ignore[misc]
    for block in (*sam, *others):
        assert isinstance(block, nn.Module)
        if any(p.requires_grad for p in block.parameters()):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)  # type: ignore
