"""CLIP-L's transformer on SAM's features: the second half of the DeepEncoder, in the layout of its public checkpoints.

Differences from CLIP, with the checkpoint that determines each:
- it sees no pixels: SAM's feature map replaces the patch embeddings; its own patch embedding is kept only so that
  checkpoints load completely, and is never trained [deepseek-ai/DeepSeek-OCR]
- query, key and value are one linear layer; no norm follows the last block [deepseek-ai/DeepSeek-OCR]
- quick GELU, and a norm before the blocks spelt `pre_layrnorm` [openai/clip-vit-large-patch14]
"""

import torch
import torch.nn as nn

from nanochat.attention import attend
from nanochat.deepencoder.initialise import init_layers
from nanochat.deepencoder.position import TableCache, interpolate_grid
from nanochat.model_config import CLIPConfig as CLIPConfig


class Embeddings(nn.Module):
    """Prepends the class token and adds positions: (B, C, h, w) -> (B, 1 + h*w, C)."""

    position_ids: torch.Tensor

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.grid, self.crop = config.grid, config.crop_positions
        n_positions = 1 + config.grid**2
        self.class_embedding = nn.Parameter(torch.empty(config.width))
        if config.patch_size:
            size = config.patch_size
            self.patch_embedding = nn.Conv2d(3, config.width, kernel_size=size, stride=size, bias=False)
            self.patch_embedding.requires_grad_(False)
        self.position_embedding = nn.Embedding.from_pretrained(torch.empty(n_positions, config.width), freeze=False)
        self.register_buffer("position_ids", torch.arange(n_positions)[None])  # unused, but in the public checkpoints
        self._positions = TableCache()

    def _at_size(self, table: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The table (1 + grid*grid, C) at another grid size, class token unchanged. Returns (1 + h*w, C)."""
        grid = interpolate_grid(table[1:].view(1, self.grid, self.grid, -1), size, self.crop)
        return torch.cat([table[:1], grid.reshape(size[0] * size[1], -1)])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        size = (features.shape[2], features.shape[3])
        positions = self.position_embedding.weight
        if size != (self.grid, self.grid):
            positions = self._positions.get(positions, size, lambda table: self._at_size(table, size))
        x = features.flatten(2).transpose(1, 2) + positions[1:]  # (B, h*w, C)
        first = self.class_embedding + positions[0]
        return torch.cat([first.expand(x.shape[0], 1, -1), x], dim=1)


class Attention(nn.Module):
    """Full multi-head attention."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.qkv_proj = nn.Linear(config.width, 3 * config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, N, C = x.shape
        qkv = self.qkv_proj(x).view(B, N, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # (3, B, n_head, N, D)
        y = attend(*qkv.unbind(0))
        return self.out_proj(y.transpose(1, 2).reshape(B, N, C))


class MLP(nn.Module):
    """Two linear layers with CLIP's quick GELU between them."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, 4 * config.width)
        self.fc2 = nn.Linear(4 * config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.width, eps=1e-5)
        self.self_attn = Attention(config)
        self.layer_norm2 = nn.LayerNorm(config.width, eps=1e-5)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Transformer(nn.Module):
    """The sequence of blocks."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.layers:
            x = block(x)
        return x


class CLIP(nn.Module):
    """Turns SAM's feature map into features with global context."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.width, eps=1e-5)
        self.transformer = Transformer(config)
        if not self.pre_layrnorm.weight.is_meta:
            self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fresh weights, as `init_layers` sets them.

        The last linear of each residual branch is zero: a new block is the identity until it is trained.
        The class token and the positions have std 0.02, as in the recipe.
        """
        init_layers(self)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.self_attn.out_proj.weight)
                nn.init.zeros_(module.mlp.fc2.weight)
        embeddings = self.embeddings
        nn.init.normal_(embeddings.class_embedding, std=0.02)
        nn.init.normal_(embeddings.position_embedding.weight, std=0.02)
        embeddings.position_ids.copy_(torch.arange(embeddings.position_ids.shape[1]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """SAM's feature map (B, C, h, w) -> (B, h*w, C), without the class token."""
        x = self.pre_layrnorm(self.embeddings(features))  # (B, 1 + h*w, C)
        return self.transformer(x)[:, 1:]
