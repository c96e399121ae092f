"""A decoding step with fixed shapes and addresses, so that a GPU can record it as a CUDA graph and replay it.

A decoding step consists of a few hundred small kernels, and launching them one by one takes longer than running them:
an H100 reads the weights of d20 in half a millisecond, but Python needs several milliseconds to launch 20 blocks. A
CUDA graph launches all of them at once. A graph contains addresses, not tensors. So the step computes every row and
every position that the KV cache has room for, used or not, and is recorded again when the cache has grown. A recording
costs as much as several steps, so it is made only after the cache has kept its size for PATIENCE steps.
"""

import copy
import sys

import torch
import torch.nn as nn
from torch import Tensor

from nanochat.gpt import GPT, KVCache
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

PATIENCE = 8  # steps with the same cache tensors before the step is recorded; not yet tuned on a GPU
WARM_UPS = 3  # runs before a recording, in which kernels are selected and workspaces allocated (torch.cuda.graphs)


class _WholeCache(KVCache):
    """The tensors of a KV cache, all of their rows, for one step that writes each row's token at `positions`."""

    def __init__(self, cache: KVCache) -> None:
        self.k, self.v = cache.k, cache.v
        rows, device = len(cache.k[0]), cache.k[0].device
        self.positions = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._rows = torch.arange(rows, device=device)[:, None]
        self._keys = torch.arange(cache.k[0].size(2), device=device)

    def begin(self, n_new: int) -> Tensor:
        """The positions of the new tokens, int64 (rows, 1), one for each row."""
        assert n_new == 1
        self._mask = (self._keys <= self.positions[:, :, None]).unsqueeze(1)  # (rows, 1, 1, capacity)
        return self.positions

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Write keys and values (rows, 1, H, D) at `positions`.

        Returns all keys and values, and a mask, bool (rows, 1, 1, capacity), of those that may be attended to.
        """
        for kept, new in ((self.k[layer], k), (self.v[layer], v)):
            kept.transpose(1, 2)[self._rows, self.positions] = new.to(kept.dtype)
        return self.k[layer], self.v[layer], self._mask

    def advance(self, n_new: int) -> None:
        """Does nothing: `FixedStep` updates the lengths of the cache that this one wraps."""


class FixedStep:
    """A decoding step for all rows of a KV cache: replayed from a CUDA graph on a GPU, run each time elsewhere.

    `copies`: dtype -> copy of the GPT with its linear layers in that dtype. A missing copy is added, so that several
    FixedSteps can share the dict.
    """

    def __init__(self, model: NanoDeepseekOCR, copies: dict[torch.dtype, GPT]) -> None:
        self.model, self.copies = model, copies
        self.records = model.device.type == "cuda"
        self._whole: _WholeCache | None = None
        self._gpt: GPT = model.gpt
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0  # since the tensors of the cache were replaced

    @torch.inference_mode()
    def logits(self, cache: KVCache, tokens: list[int]) -> Tensor:
        """Append `tokens`, one for each row, to the cache. Returns the next logits, float32 (B, V).

        The returned tensor is overwritten by the next call.
        """
        cache.reserve(max(cache.lengths) + 1)
        if self._whole is None or self._whole.k is not cache.k:
            self._whole, self._graph, self._steps = _WholeCache(cache), None, 0
            self._tokens = torch.zeros_like(self._whole.positions)
            self._on_page = self._tokens[..., None].repeat(1, 1, 2)  # columns and lines, (rows, 1, 2)
        self._steps += 1
        rows = len(tokens)
        self._tokens[:rows, 0] = torch.tensor(tokens).to(self._tokens.device)
        self._whole.positions[:rows, 0] = torch.tensor(cache.lengths).to(self._tokens.device)
        positions = self.model.gpt.positions(torch.tensor(tokens)[:, None], cache)
        if positions is not None:
            self._on_page[:rows] = positions.to(self._tokens.device)
        if self.records and self._steps == PATIENCE:  # here, since the warm-up runs write to the cache
            self._graph = self._record()
        if self._graph is None:
            self._logits = self._run()
        else:
            self._graph.replay()
        cache.advance(1)
        return self._logits[:rows]

    def forget(self) -> None:
        """Release the tensors of the cache, which is not used any more."""
        self._whole = self._graph = None

    def _run(self) -> Tensor:
        assert self._whole is not None
        dtype = self._whole.k[0].dtype
        low = dtype != torch.float32
        # autocast must not cache casts: the cache would be emptied while the recording still reads from it
        with torch.autocast(self.model.device.type, dtype if low else torch.bfloat16, enabled=low, cache_enabled=False):
            positions = self._on_page if self._gpt.config.line_stride else None
            hidden = self._gpt.hidden(self._gpt.embed(self._tokens), self._whole, positions=positions)[:, -1]
            return self.model.next_logits(hidden, self._gpt)

    def _record(self) -> torch.cuda.CUDAGraph | None:
        """Record the step on the current tensors. If that fails, print a warning and return None."""
        assert self._whole is not None
        dtype = self._whole.k[0].dtype
        if dtype != torch.float32:
            self._gpt = self.copies[dtype] = self.copies.get(dtype) or _with_linears_in(self.model.gpt, dtype)
        try:
            return self._capture()
        except RuntimeError as error:
            self.records = False
            print(f"decoding without a CUDA graph, which is slower: {error}", file=sys.stderr)
            return None

    def _capture(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
            self._logits = self._run()
        return graph


def _with_linears_in(gpt: GPT, dtype: torch.dtype) -> GPT:
    """A copy of the GPT with its linear layers in `dtype`, as autocast would cast them. It shares the embedding."""
    shared = gpt.wte
    low = copy.deepcopy(gpt, {id(shared): shared})
    for part in low.modules():
        if isinstance(part, nn.Linear):
            part.requires_grad_(False).to(dtype)
    return low
