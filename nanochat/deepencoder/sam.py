"""SAM-ViT-B and the 16x compressor: the first half of the DeepEncoder, in the layout of its public checkpoints.

Differences from a textbook ViT, with the checkpoint that determines each:
- windowed attention in most blocks, global in `global_layers`; a window that exceeds the edge is padded with zeros
  after the norm, and the padding takes part in attention [facebook/sam-vit-base]
- decomposed relative positions, added to the scores from the unscaled query [facebook/sam-vit-base]
- a neck of two convolutions, then two with stride 2 and nothing between them [deepseek-ai/DeepSeek-OCR]
Everything is channels-last, (B, H, W, C), until the neck.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from nanochat.deepencoder.initialise import init_layers
from nanochat.deepencoder.position import TableCache, interpolate_grid, interpolate_rows
from nanochat.model_config import SAMConfig as SAMConfig


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W), without a copy if the memory format is channels-last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    """Splits the image into patches: (B, 3, H, W) -> (B, h, w, C)."""

    def __init__(self, config: SAMConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, kernel_size=config.patch_size, stride=config.patch_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(x).permute(0, 2, 3, 1).contiguous()  # otherwise every norm of every block would copy it


def relative_rows(table: torch.Tensor) -> torch.Tensor:
    """Expands a relative table (2s-1, D) to pairs of query and key: (s, s, D), where [q, k] is row q - k + s - 1."""
    at = torch.arange((table.shape[0] + 1) // 2, device=table.device)
    return table[at[:, None] - at[None, :] + at[-1]]


def unfolded_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias_h: torch.Tensor, bias_w: torch.Tensor
) -> torch.Tensor:
    """Attention with the full score matrix in memory; arguments and result as in `folded_attention`."""
    bias = (bias_h[..., :, None] + bias_w[..., None, :]).view(-1, q.shape[1], k.shape[1])
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=q.shape[2] ** -0.5)
    return torch.bmm(scores.softmax(-1, dtype=torch.float32).to(v.dtype), v)


def fold_bias(
    q: torch.Tensor, k: torch.Tensor, bias_h: torch.Tensor, bias_w: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Longer queries and keys, whose products are the scores with the bias in them; arguments as in `folded_attention`.

    The bias of a pair is the query's value for the key's row plus its value for the key's column. All these values are
    appended to the queries, and one-hot encodings of row and column to the keys: their product adds the right two.
    """
    h, w = bias_h.shape[-1], bias_w.shape[-1]
    row = torch.arange(h, device=q.device).repeat_interleave(w)[:, None] == torch.arange(h, device=q.device)
    column = torch.arange(w, device=q.device).repeat(h)[:, None] == torch.arange(w, device=q.device)
    marks = torch.cat([row, column], dim=1).to(k.dtype).expand(k.shape[0], -1, -1)  # (B, h * w, h + w)
    long_q = torch.cat([q * q.shape[2] ** -0.5, bias_h.flatten(1, 2), bias_w.flatten(1, 2)], dim=2)
    return long_q, torch.cat([k, marks], dim=2)


def folded_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias_h: torch.Tensor, bias_w: torch.Tensor
) -> torch.Tensor:
    """Attention with the bias folded into longer queries and keys, so that a fused kernel never stores the scores.

    q: (B, h_q * w_q, D), heads counted in B; k, v: (B, h * w, D); bias_h: (B, h_q, w_q, h); bias_w: (B, h_q, w_q, w).
    Returns (B, h_q * w_q, D).
    """
    long_q, long_k = fold_bias(q, k, bias_h, bias_w)
    D = q.shape[2]
    long_v = F.pad(v, (0, long_k.shape[2] - D))  # flash kernels need the same width for all three
    y = F.scaled_dot_product_attention(long_q[:, None], long_k[:, None], long_v[:, None], scale=1.0)
    return y[:, 0, :, :D]


def pad_grid(x: torch.Tensor, fill: torch.Tensor, bottom: int, right: int) -> torch.Tensor:
    """(B, H, W, C) -> (B, H + bottom, W + right, C), with the new positions set to `fill` (C)."""
    B, H, W, C = x.shape
    fill, any_size = fill.to(x.dtype), torch.onnx.is_in_onnx_export()
    if any_size or right:
        x = torch.cat([x, fill.expand(B, H, right, C)], dim=2)
    if any_size or bottom:
        x = torch.cat([x, fill.expand(B, bottom, W + right, C)], dim=1)
    return x


def smaller(a: int, b: int) -> int:
    """The smaller of two sizes. In an export, where sizes are tensors, it becomes an operation of the graph."""
    if torch.onnx.is_in_onnx_export():
        return torch.minimum(torch.as_tensor(a), torch.as_tensor(b))  # type: ignore[return-value]
    return min(a, b)


class Attention(nn.Module):
    """Multi-head attention over a grid, with decomposed relative positions."""

    def __init__(self, config: SAMConfig, side: int) -> None:
        super().__init__()
        self.n_head, self.crop = config.n_head, config.crop_positions
        head_dim = config.width // config.n_head
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.rel_pos_h = nn.Parameter(torch.empty(2 * side - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.empty(2 * side - 1, head_dim))
        self._cache_h, self._cache_w = TableCache(), TableCache()

    def _table(self, table: torch.Tensor, cache: TableCache, side: int) -> torch.Tensor:
        n_rows = 2 * side - 1
        if table.shape[0] == n_rows:
            return table
        return cache.get(table, (n_rows,), lambda table: interpolate_rows(table, n_rows, self.crop))

    def _bias(
        self, q: torch.Tensor, asked: tuple[int, int], window: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The relative position bias of each query for each row and each column of keys in its window.

        `q`: (B, h_q * w_q, D), on a grid `asked`, (h_q, w_q). `window`: (h, w). Returns (B, h_q, w_q, h) and
        (B, h_q, w_q, w).
        """
        (h_q, w_q), (h, w) = asked, window
        q = q.unflatten(1, (h_q, w_q))
        rows_h = relative_rows(self._table(self.rel_pos_h, self._cache_h, h))
        rows_w = relative_rows(self._table(self.rel_pos_w, self._cache_w, w))
        bias_h = torch.einsum("bhwd,hkd->bhwk", q, rows_h[:h_q]).contiguous()
        return bias_h, torch.einsum("bhwd,wkd->bhwk", q, rows_w[:w_q]).contiguous()

    def _in_graph(self, x: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
        """`forward` in an exported graph, in fewer copies than ONNX Runtime would make of it.

        Queries, keys and values are three products instead of one that is split, padding gets no queries, and the bias
        is part of the product of queries and keys.
        """
        B, H, W, C = x.shape
        (h, w), n_head, D = window, self.n_head, C // self.n_head
        h_q, w_q = smaller(h, H), smaller(w, W)
        everywhere = not isinstance(h, int)  # in an exported graph, the window is the whole grid
        rows, columns = (1, 1) if everywhere else ((H + h - 1) // h, (W + w - 1) // w)

        def windows(weight: torch.Tensor, bias: torch.Tensor, high: int, wide: int) -> torch.Tensor:
            grid = F.linear(x, weight, bias)
            if not everywhere:
                grid = pad_grid(grid, bias, rows * high - H, columns * wide - W)
            grid = grid.view(B, rows, high, columns, wide, n_head, D).permute(0, 1, 3, 5, 2, 4, 6)
            return grid.reshape(-1, high * wide, D)  # (windows * n_head, high * wide, D)

        sizes = (h_q, w_q), (h, w), (h, w)
        parts = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), sizes)
        q, k, v = (windows(weight, bias, *size) for weight, bias, size in parts)
        long_q, long_k = fold_bias(q, k, *self._bias(q, (h_q, w_q), window))
        y = (torch.bmm(long_q, long_k.transpose(1, 2)).softmax(-1) @ v).view(B, rows, columns, n_head, h_q, w_q, D)
        y = y.permute(0, 1, 4, 2, 5, 3, 6).reshape(B, rows * h_q, columns * w_q, C)
        return self.proj(y if everywhere else y[:, :H, :W])

    def forward(self, x: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
        """Attend within each `window` (rows, columns) of x (B, H, W, C), zero-padded to whole windows."""
        if torch.onnx.is_in_onnx_export():
            return self._in_graph(x, window)
        B, H, W, C = x.shape
        h, w = window
        # A zero before this linear layer becomes its bias, so padding is added after it.
        qkv = pad_grid(self.qkv(x), self.qkv.bias, -H % h, -W % w)
        rows, columns, n_head = qkv.shape[1] // h, qkv.shape[2] // w, self.n_head
        qkv = qkv.view(B, rows, h, columns, w, 3, n_head, -1).permute(5, 0, 1, 3, 6, 2, 4, 7)
        only_q, kv = qkv.split([1, 2])
        h_q, w_q = smaller(h, H), smaller(w, W)  # in a grid smaller than the window, only real positions are queries
        q = only_q[..., :h_q, :w_q, :].reshape(-1, h_q * w_q, C // n_head)  # (windows * n_head, h_q * w_q, D)
        k, v = kv.reshape(2, -1, h * w, C // n_head).unbind(0)  # (windows * n_head, h * w, D)
        bias_h, bias_w = self._bias(q, (h_q, w_q), window)
        # On a CPU, one thread, forward and backward: 64 positions 14.0 ms explicit, 16.6 fused with a bias; 1,024
        # positions 102 ms explicit, 182 folded; 4,096 positions (1024 pixels) 12.0 s explicit, 8.5 s folded.
        attend = unfolded_attention if x.device.type == "cpu" and h * w <= 1024 else folded_attention
        y = attend(q, k, v, bias_h, bias_w).view(B, rows, columns, n_head, h_q, w_q, -1)
        y = y.permute(0, 1, 4, 2, 5, 3, 6).reshape(B, rows * h_q, columns * w_q, C)
        return self.proj(y[:, :H, :W])


class MLP(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, config: SAMConfig) -> None:
        super().__init__()
        self.lin1 = nn.Linear(config.width, 4 * config.width)
        self.lin2 = nn.Linear(4 * config.width, config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lin2(F.gelu(self.lin1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; `window` 0 attends over the whole grid."""

    def __init__(self, config: SAMConfig, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config, window or config.grid)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config)

    def init_residual(self) -> None:
        """Set the last layer of each residual branch and the relative positions to zero."""
        attn = self.attn
        for weight in (attn.proj.weight, self.mlp.lin2.weight, attn.rel_pos_h, attn.rel_pos_w):
            nn.init.zeros_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        window = (self.window, self.window) if self.window else (x.shape[1], x.shape[2])
        x = x + self.attn(self.norm1(x), window)
        return x + self.mlp(self.norm2(x))


class SAM(nn.Module):
    """Turns pixels into a feature map: one position for each vision token, by default 64 times smaller on each side."""

    def __init__(self, config: SAMConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.empty(1, config.grid, config.grid, config.width))
        windows = [0 if i in config.global_layers else config.window for i in range(config.n_layer)]
        self.blocks = nn.ModuleList(Block(config, window) for window in windows)
        self.neck = nn.Sequential(
            nn.Conv2d(config.width, config.neck, kernel_size=1, bias=False),
            LayerNorm2d(config.neck, eps=1e-6),
            nn.Conv2d(config.neck, config.neck, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(config.neck, eps=1e-6),
        )
        first, second = config.out_channels
        self.net_2 = nn.Conv2d(config.neck, first, kernel_size=3, stride=2, padding=1, bias=False)
        self.net_3 = nn.Conv2d(first, second, kernel_size=3, stride=config.last_stride, padding=1, bias=False)
        self._positions = TableCache()
        if not self.pos_embed.is_meta:
            self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Fresh weights, as `init_layers` sets them.

        The last linear of each residual branch is zero: a new block is the identity until it is trained.
        Absolute positions have std 0.02, as in the recipe; relative positions are zero, as in SAM.
        """
        init_layers(self)
        for module in self.modules():
            if isinstance(module, Block):
                module.init_residual()
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in [-1, 1], sides multiples of 64 -> (B, out_channels[-1], h, w).

        h = H/64 and w = W/64 where a vision token shows 64 x 64 pixels.
        """
        height, width = pixel_values.shape[2:]
        stride = 4 * self.config.patch_size
        assert height % stride == 0 and width % stride == 0, f"sides {height} x {width} are no multiples of {stride}"
        x = self.patch_embed(pixel_values)  # (B, h, w, C)
        size, crop = (x.shape[1], x.shape[2]), self.config.crop_positions
        positions: torch.Tensor = self.pos_embed
        if size != positions.shape[1:3]:
            positions = self._positions.get(positions, size, lambda table: interpolate_grid(table, size, crop))
        x = x + positions
        for block in self.blocks:
            x = block(x)
        x = self.neck(x.permute(0, 3, 1, 2))  # (B, neck, h, w), channels-last in memory
        return self.net_3(self.net_2(x))
