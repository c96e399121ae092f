"""The initialisation that the parts of the encoder have in common."""

import torch
import torch.nn as nn


@torch.no_grad()
def init_layers(part: nn.Module) -> None:
    """Fresh weights for all layers: normal with std 1/sqrt(fan in), so that each keeps its input's variance."""
    for module in part.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
