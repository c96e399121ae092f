"""One decoding step whose shapes and addresses stay the same, so that a GPU can record it and play it again.

A step of the GPT is some hundreds of small kernels, and starting them one by one takes longer than running them: d20's
weights pass through an H100 in half a millisecond, Python needs several to start its 20 blocks. A CUDA graph starts all
of them at one time. It knows addresses, not tensors: so the step computes every row and every place that the KV cache
has room for, those that are not in use as well, and is recorded anew when the cache has grown. A recording costs as
much as some steps, so that it waits until the cache has stayed where it is for a few: short answers end before.
"""

import copy
import sys

import torch
import torch.nn as nn
from torch import Tensor

from nanochat.gpt import GPT, KVCache
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

PATIENCE = 8  # steps on the same tensors before they are recorded; not measured on a GPU yet
WARM_UPS = 3  # runs before a recording, in which kernels are chosen and their workspaces made [torch.cuda.graphs]


class _WholeCache(KVCache):
    """The tensors of a cache as one step sees them, each row's next token at the place that `positions` says."""

    def __init__(self, cache: KVCache) -> None:
        self.k, self.v = cache.k, cache.v
        rows, device = len(cache.k[0]), cache.k[0].device
        self.positions = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._rows = torch.arange(rows, device=device)[:, None]
        self._keys = torch.arange(cache.k[0].size(2), device=device)

    def begin(self, n_new: int) -> Tensor:
        """The positions (rows, 1) of the new tokens, one a row."""
        assert n_new == 1
        self._mask = (self._keys <= self.positions[:, :, None]).unsqueeze(1)  # (rows, 1, 1, capacity)
        return self.positions

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Write (rows, 1, H, D) at `positions`; all keys and values, and which of them may be attended to."""
        for kept, new in ((self.k[layer], k), (self.v[layer], v)):
            kept.transpose(1, 2)[self._rows, self.positions] = new.to(kept.dtype)
        return self.k[layer], self.v[layer], self._mask

    def advance(self, n_new: int) -> None:
        """Lengths are the cache's own matter."""


class FixedStep:
    """Next logits of all rows of a KV cache. On a GPU by a recorded graph; elsewhere the same step, run each time.

    `copies`: of the GPT by dtype; what is missing is made, so that the steps of other caches find it.
    """

    def __init__(self, model: NanoDeepseekOCR, copies: dict[torch.dtype, GPT]) -> None:
        self.model, self.copies = model, copies
        self.records = model.device.type == "cuda"
        self._whole: _WholeCache | None = None
        self._gpt: GPT = model.gpt
        self._graph: torch.cuda.CUDAGraph | None = None
        self._steps = 0  # since the cache's tensors moved

    @torch.inference_mode()
    def logits(self, cache: KVCache, tokens: list[int]) -> Tensor:
        """Read one token more of each row into the cache: float32 (B, V), valid until the next call."""
        cache.reserve(max(cache.lengths) + 1)
        if self._whole is None or self._whole.k is not cache.k:
            self._whole, self._graph, self._steps = _WholeCache(cache), None, 0
            self._tokens = torch.zeros_like(self._whole.positions)
        self._steps += 1
        rows = len(tokens)
        self._tokens[:rows, 0] = torch.tensor(tokens).to(self._tokens.device)
        self._whole.positions[:rows, 0] = torch.tensor(cache.lengths).to(self._tokens.device)
        if self.records and self._steps == PATIENCE:  # now: what runs before a recording writes into the cache
            self._graph = self._record()
        if self._graph is None:
            self._logits = self._run()
        else:
            self._graph.replay()
        cache.advance(1)
        return self._logits[:rows]

    def _run(self) -> Tensor:
        assert self._whole is not None
        dtype = self._whole.k[0].dtype
        low = dtype != torch.float32
        # no cache of casts: it would be emptied while the recording still reads from it
        with torch.autocast(self.model.device.type, dtype if low else torch.bfloat16, enabled=low, cache_enabled=False):
            hidden = self._gpt.hidden(self._gpt.embed(self._tokens), self._whole)[:, -1]
            return self.model.next_logits(hidden, self._gpt)

    def _record(self) -> torch.cuda.CUDAGraph | None:
        """The step as a graph on the present tensors; None, with a word to the user, where that fails."""
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
    """A copy whose linears are of `dtype`, as autocast would cast them in each step; the embedding is shared."""
    shared = gpt.wte
    low = copy.deepcopy(gpt, {id(shared): shared})
    for part in low.modules():
        if isinstance(part, nn.Linear):
            part.requires_grad_(False).to(dtype)
    return low
