"""A GPT's weights at 8 bits, for reading on a CPU, where the time of a step goes into fetching weights from memory.

Each row of a matrix is rounded to 255 steps of 1/127 of its largest entry. Few rows of activations, a step of
decoding, are multiplied by PyTorch's kernel for that, a private operator and named nowhere else; it takes them in
bfloat16. Many, a prompt, set the pace themselves: float32 products with the weights at full width again, a band of
them at a time, which the processor's cache holds.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from nanochat.gpt import GPT

FEW_ROWS = 32  # up to as many the kernel is as fast as a float32 product or faster
BAND = 256  # rows of W that exist at full width at one time


class Int8Linear(nn.Module):
    """A linear without bias, x W^T, that holds W as int8 (out, in) and a scale for each of its rows."""

    int8: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).bfloat16()
        self.register_buffer("scale", scale)
        self.register_buffer("int8", (weight / scale[:, None].float()).round().to(torch.int8))

    @property
    def weight(self) -> Tensor:
        """W at full width, made anew each time: float32 (out, in)."""
        return self.int8.float() * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.size(-1))
        if len(rows) <= FEW_ROWS:
            y = torch.ops.aten._weight_int8pack_mm(rows.bfloat16(), self.int8, self.scale).float()
        else:
            y = torch.cat([F.linear(rows, band.float()) for band in self.int8.split(BAND)], dim=-1) * self.scale
        return y.view(*x.shape[:-1], -1)


def to_int8(gpt: GPT) -> None:
    """Put all linears of a GPT, the head among them, at 8 bits, in place; embeddings stay as they are."""
    for module in list(gpt.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Linear):
                setattr(module, name, Int8Linear(part))
