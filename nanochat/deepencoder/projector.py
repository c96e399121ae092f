"""The projector from vision features to the language model: one linear layer."""

import torch
import torch.nn as nn

from nanochat.deepencoder.initialise import init_layers


class Projector(nn.Module):
    """Maps the concatenated features of both encoders to the width of the language model."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.layers = nn.Linear(in_dim, out_dim)
        if not self.layers.weight.is_meta:
            init_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_dim) -> (..., out_dim)."""
        return self.layers(x)
