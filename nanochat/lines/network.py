"""The network of the line detector. `finder.py` interprets its predictions."""

from pathlib import Path

import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class _Block(nn.Module):
    """Two convolutions with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


WIDTHS, BLOCKS = (32, 48, 64, 96), (1, 2, 2, 2)  # channels and residual blocks of each level, from the finest


class LineFinder(nn.Module):
    """A feature pyramid network (Lin et al. 2017, arXiv:1612.03144) of four levels, with one head at the finest."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(3, 16, 2), _conv(16, WIDTHS[0], 2))
        self.levels = nn.ModuleList()
        for i, (width, count) in enumerate(zip(WIDTHS, BLOCKS)):
            down = [_conv(WIDTHS[i - 1], width, 2)] if i else []
            self.levels.append(nn.Sequential(*down, *[_Block(width) for _ in range(count)]))
        self.across = nn.ModuleList(nn.Conv2d(width, WIDTHS[0], 1) for width in WIDTHS)
        self.smooth = nn.ModuleList(_conv(WIDTHS[0], WIDTHS[0]) for _ in WIDTHS[1:])
        self.head = nn.Conv2d(WIDTHS[0], 2, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(logit of a line's core, natural logarithm of the type height in units of 16 px), (B, H / 4, W / 4) each.

        `pictures`: (B, 3, H, W) float, -1 to 1, sides are multiples of 32.
        """
        x = self.stem(pictures)
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        x = self.across[-1](found[-1])
        for i in reversed(range(len(found) - 1)):
            x = self.smooth[i](self.across[i](found[i]) + F.interpolate(x, scale_factor=2.0, mode="nearest"))
        core, height = self.head(x).unbind(1)
        return core, height


def load_finder(weights: Path) -> LineFinder:
    """Load a network in float32 from a file of `scripts.line_train`. Raises OSError if the file is missing."""
    model = LineFinder()
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in load_file(weights).items()})
    return model
