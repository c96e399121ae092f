"""The projector from vision features to the language model: one linear layer."""

import torch
import torch.nn as nn


class Projector(nn.Module):
    """Maps the concatenated features of both encoders to the width of the language model."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.layers = nn.Linear(in_dim, out_dim)
        if not self.layers.weight.is_meta:
            self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fresh weights: normal with std 1/sqrt(fan in), bias zero."""
        nn.init.normal_(self.layers.weight, std=self.layers.in_features**-0.5)
        nn.init.zeros_(self.layers.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in_dim) -> (..., out_dim)."""
        return self.layers(x)
