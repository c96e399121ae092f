"""8-bit weights of a GPT for a CPU, where a decoding step spends its time loading weights from memory.

Each row of a weight matrix is rounded to multiples of 1/127 of its largest absolute value. For few rows of activations
(decoding), PyTorch's int8 kernel is used, with activations in bfloat16; it is a private operator that only this file
calls. For many rows (a prompt) computation is the bottleneck, so the weights are converted back to float32, BAND rows
at a time so that they fit the cache of the processor.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from nanochat.gpt import GPT

FEW_ROWS = 32  # most rows of activations for which the kernel is at least as fast as a float32 product
BAND = 256  # rows of W that are converted to float32 at a time


class Int8Linear(nn.Module):
    """A linear layer without bias, x W^T, with W stored as int8 (out, in) and one scale for each row of W.

    Takes float (..., in) and returns float32 (..., out).
    """

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
        """W converted to float32 (out, in), computed at each access."""
        return self.int8.float() * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.size(-1))
        if len(rows) <= FEW_ROWS:
            y = torch.ops.aten._weight_int8pack_mm(rows.bfloat16(), self.int8, self.scale).float()
        else:
            y = torch.cat([F.linear(rows, band.float()) for band in self.int8.split(BAND)], dim=-1) * self.scale
        return y.view(*x.shape[:-1], -1)


def to_int8(gpt: GPT) -> None:
    """Convert all linear layers of a GPT, including the output head, to 8 bits, in place. Embeddings are unchanged."""
    for module in list(gpt.modules()):
        for name, part in list(module.named_children()):
            if isinstance(part, nn.Linear):
                setattr(module, name, Int8Linear(part))
