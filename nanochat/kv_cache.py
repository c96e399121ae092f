"""The keys and values of the tokens that the GPT has processed, in tensors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nanochat.model_config import GPTConfig
from nanochat.positions import RowPlaces

GROWTH = 256  # minimum number of tokens by which a cache grows


class KVCache:
    """Keys and values of the tokens processed so far, in tensors that are written in place and grow when full.

    Row b holds `lengths[b]` tokens without gaps, so that rows of different lengths can share a batch: new tokens of a
    row are written after its last one, and positions beyond are never attended to. A forward pass calls `begin` once,
    `append` in every layer, and `advance` once.
    """

    lengths: list[int]
    """number of tokens in each row, kept on the host so that no step waits for the device"""

    def __init__(self, config: GPTConfig, batch: int, device: torch.device | str, dtype: torch.dtype) -> None:
        empty = torch.zeros(batch, config.n_kv_head, 0, config.n_embd // config.n_head, device=device, dtype=dtype)
        self.k, self.v = [empty] * config.n_layer, [empty] * config.n_layer  # (B, H, capacity, D) of each layer
        self.lengths = [0] * batch
        self.places = RowPlaces(batch if config.line_stride else 0)

    def begin(self, n_new: int) -> slice | Tensor:
        """Make room for `n_new` tokens per row; return their positions: a slice (equal in all rows) or (B, n_new)."""
        longest = max(self.lengths)
        self._end = longest + n_new
        self.reserve(self._end)
        self._mask, self._slots = None, None
        if min(self.lengths) == longest:
            if longest and n_new > 1:
                keys = torch.arange(self._end, device=self.k[0].device)
                self._mask = keys <= keys[longest:, None]  # (n_new, end)
            return slice(longest, self._end)
        keys = torch.arange(self._end, device=self.k[0].device)
        positions = torch.tensor(self.lengths, device=keys.device)[:, None] + keys[:n_new]  # (B, n_new)
        self._mask = (keys <= positions[:, :, None]).unsqueeze(1)  # (B, 1, n_new, end)
        self._slots = (torch.arange(len(self.lengths), device=keys.device)[:, None], positions)
        return positions

    def reserve(self, tokens: int) -> None:
        """Make room for this many tokens in every row; if there is not enough, `k` and `v` are replaced."""
        if tokens > self.k[0].size(2):
            more = tokens + max(GROWTH, tokens // 4) - self.k[0].size(2)  # zeros, because masked values must be finite
            self.k = [F.pad(k, (0, 0, 0, more)) for k in self.k]
            self.v = [F.pad(v, (0, 0, 0, more)) for v in self.v]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Write (B, n_new, H, D) after each row's last token.

        Returns all keys and values up to the longest row's end, (B, H, end, D), and a mask of those that each new token
        may attend to, bool (..., n_new, end), or None for all before it.
        """
        end, n_new, rows = self._end, k.size(1), len(self.lengths)
        keys, values = self.k[layer][:rows], self.v[layer][:rows]
        if self._slots is None:
            keys[:, :, end - n_new : end] = k.transpose(1, 2)
            values[:, :, end - n_new : end] = v.transpose(1, 2)
        else:
            keys.transpose(1, 2)[self._slots] = k.to(keys.dtype)
            values.transpose(1, 2)[self._slots] = v.to(values.dtype)
        return keys[:, :, :end], values[:, :, :end], self._mask

    def advance(self, n_new: int) -> None:
        """Record that every row has grown by `n_new` tokens."""
        self.lengths = [length + n_new for length in self.lengths]

    def truncate(self, lengths: list[int]) -> None:
        """Drop tokens beyond these lengths, such as the padding of a prompt."""
        assert all(0 <= new <= old for new, old in zip(lengths, self.lengths, strict=True))
        self.lengths = list(lengths)

    def join(self, other: "KVCache", sources: Sequence[int] = (0,)) -> None:
        """Append the rows `sources` of `other`; the space of removed rows is reused."""
        if not sources:
            return
        first, lengths = len(self.lengths), [other.lengths[source] for source in sources]
        end, longest = first + len(sources), max(lengths)
        self.reserve(longest)
        if end > self.k[0].size(0):
            more = max(end - self.k[0].size(0), first // 2)
            self.k = [F.pad(k, (0, 0, 0, 0, 0, 0, 0, more)) for k in self.k]
            self.v = [F.pad(v, (0, 0, 0, 0, 0, 0, 0, more)) for v in self.v]
        for ours, others in ((self.k, other.k), (self.v, other.v)):
            for mine, theirs in zip(ours, others):
                mine[first:end, :, :longest] = theirs[list(sources), :, :longest]
        self.lengths += lengths
        self.places.join(other.places, sources)

    def leave(self, row: int) -> None:
        """Remove a row; the last row moves to its index."""
        last = len(self.lengths) - 1
        if row < last:
            length = self.lengths[last]
            for tensors in (self.k, self.v):
                for tensor in tensors:
                    tensor[row, :, :length] = tensor[last, :, :length]
            self.lengths[row] = length
        del self.lengths[last]
        self.places.leave(row)
