"""Run a model with ONNX Runtime on the CPU, from the graphs of `scripts.export --format=onnx`, without torch."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanochat.engine.backend import Backend, Cache
from nanochat.errors import OutOfMemory, UserError, is_out_of_memory
from nanochat.image_process import ImageViews
from nanochat.model_config import GPTConfig, ModelConfig
from nanochat.modes import ImageLayout
from nanochat.onnx_files import DECODER, ENCODER, INT8, Graph, open_graph
from nanochat.positions import RowPlaces

Array = np.ndarray
GROWTH = 64  # least number of tokens by which a cache grows
MOST_PIXELS = 16 * 512 * 512  # most pixels of views that are encoded together


class ArrayCache:
    """The KV cache: arrays that the graph writes into and that grow when they are full.

    Row b holds `lengths[b]` tokens without gaps. Positions beyond are never attended to.
    """

    def __init__(self, config: GPTConfig, rows: int) -> None:
        self.shape = (config.n_kv_head, config.n_embd // config.n_head)
        self.lengths = [0] * rows
        self.places = RowPlaces(rows if config.line_stride else 0)
        self.arrays = [self._empty(rows, 0) for _ in range(2 * config.n_layer)]
        """keys and values of each layer in turn, each (rows, H, capacity, D); unused rows are last"""
        self.calls: dict[tuple[int, int], _Call] = {}
        """(rows, tokens of each) -> a call of the graph that reads and writes these arrays"""

    def _empty(self, rows: int, room: int) -> Array:
        heads, dim = self.shape
        return np.empty((rows, heads, room, dim), np.float32)

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for this many rows and tokens, in new arrays if the present ones are too small."""
        had_rows, _, had_room, _ = self.arrays[0].shape
        if rows > had_rows or tokens > had_room:
            rows = rows if rows <= had_rows else max(rows, had_rows + had_rows // 2)
            room = tokens if tokens <= had_room else tokens + max(GROWTH, tokens // 4)
            held = max(self.lengths, default=0)
            self.calls.clear()
            for i, array in enumerate(self.arrays):
                self.arrays[i] = self._empty(max(rows, had_rows), max(room, had_room))
                self.arrays[i][:had_rows, :, :held] = array[:, :, :held]

    def join(self, other: Any, sources: Sequence[int] = (0,)) -> None:
        """Append the rows `sources` of `other` as new last rows. Space of removed rows is used again."""
        longest = max((other.lengths[source] for source in sources), default=0)
        self.reserve(len(self.lengths) + len(sources), longest)
        for source in sources:
            row, length = len(self.lengths), other.lengths[source]
            for mine, theirs in zip(self.arrays, other.arrays):
                mine[row, :, :length] = theirs[source, :, :length]
            self.lengths.append(length)
        self.places.join(other.places, sources)

    def leave(self, row: int) -> None:
        """Remove a row; the last row moves to its index. Removing the only row frees the memory."""
        last = len(self.lengths) - 1
        if row < last:
            length = self.lengths[last]
            for array in self.arrays:
                array[row, :, :length] = array[last, :, :length]
            self.lengths[row] = length
        del self.lengths[last]
        self.places.leave(row)
        if not self.lengths:
            self.calls.clear()
            self.arrays = [self._empty(0, 0) for _ in self.arrays]


class _Call:
    """Inputs and outputs of the decoder in fixed memory, bound once: a decoding step binds about 20 tensors.

    The first rows of a cache's arrays are read, and what joins them is written into the same memory.
    """

    def __init__(self, graph: Graph, arrays: Sequence[Array], rows: int, tokens: int, config: GPTConfig) -> None:
        self._graph, self._binding = graph, graph.session.io_binding()
        self._vision: Array | None = None
        self.tokens = np.zeros((rows, tokens), np.int64)
        self.lengths, self.last = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        self.logits = np.empty((rows, config.vocab_size), np.float32)
        self.positions = np.zeros((rows, tokens, 2), np.int64) if config.line_stride else None  # columns and lines
        for name in ("tokens", "lengths", "last", *(["positions"] if config.line_stride else [])):
            self._bind(self._binding.bind_input, name, getattr(self, name))
        for i, array in enumerate(arrays):
            name, shape = f"{'kv'[i % 2]}{i // 2}", (rows, *array.shape[1:])
            self._bind(self._binding.bind_input, name, array, shape)
            self._bind(self._binding.bind_output, f"new_{name}", array, shape)
        self._bind(self._binding.bind_output, "logits", self.logits)

    def _bind(self, bind: Any, name: str, array: Array, shape: tuple[int, ...] | None = None) -> None:
        bind(name, "cpu", 0, array.dtype.type, array.shape if shape is None else shape, array.ctypes.data)

    def run(self, vision: Array) -> None:
        """Compute `logits` from what the other inputs have been set to and features (N, C), at least one row."""
        if vision is not self._vision:
            self._vision = vision
            self._bind(self._binding.bind_input, "vision", vision)
        self._graph.run_bound(self._binding)


class OnnxBackend(Backend):
    """A model in the ONNX graphs of a folder. `int8`: use the graphs with 8-bit weights.

    Raises UserError if ONNX Runtime or a graph is missing, or if a graph is damaged or belongs to other weights.
    """

    device = "cpu"

    def __init__(self, folder: str | Path, config: ModelConfig, int8: bool = False) -> None:
        self.config, self.exact = config, not int8
        names = INT8 if int8 else {name: name for name in (ENCODER, DECODER)}
        self._encoder = open_graph(Path(folder) / names[ENCODER], config)
        self._decoder = open_graph(Path(folder) / names[DECODER], config)
        self._no_vision = np.zeros((1, config.gpt.n_embd), np.float32)  # a graph wants one row at least
        self._most_pixels = MOST_PIXELS

    def encode(self, images: Sequence[ImageViews]) -> list[Array]:
        groups: dict[tuple[int, ...], list[Array]] = defaultdict(list)  # (H, W) -> views of it, (k, 3, H, W)
        for image in images:
            view, tiles = image.arrays()
            for pixels in (view[None], *([] if tiles is None else [tiles])):
                groups[pixels.shape[2:]].append(pixels)
        found = {size: iter(self._encode_views(np.concatenate(members))) for size, members in groups.items()}
        tokens = []
        for image in images:
            view, tiles = image.arrays()
            own = next(found[view.shape[1:]])
            own_tiles = None if tiles is None else np.stack([next(found[tiles.shape[2:]]) for _ in tiles])
            tokens.append(self._lay_out(image.layout, own, own_tiles))
        return tokens

    def _encode_views(self, pixels: Array) -> Array:
        """(N, 3, H, W) -> (N, H/64, W/64, C). If memory runs out, halve the number at a time, with a warning."""
        height, width = pixels.shape[2:]
        page = self.config.vision.page
        if max(height, width) > page:
            raise UserError(f"a view of {width} x {height} pixels: exported models read views of up to {page} x {page}")
        parts, first = [], 0
        while first < len(pixels):
            n = max(1, self._most_pixels // (height * width))
            views = np.ascontiguousarray(pixels[first : first + n], np.float32)
            try:
                features, self._newline, self._separator = self._encoder.run({"views": views})
            except Exception as error:
                n = min(n, len(pixels) - first)
                if not is_out_of_memory(error):
                    raise
                if n == 1:
                    told = f"not enough memory for a view of {width} x {height} pixels: use smaller pages"
                    raise OutOfMemory(told) from error
                self._most_pixels = n // 2 * height * width
                warnings.warn(f"not enough memory for {n} views at a time: continuing with {n // 2}", stacklevel=2)
                continue
            parts.append(features)
            first += n
        return np.concatenate(parts)

    def _lay_out(self, layout: ImageLayout, view: Array, tiles: Array | None) -> Array:
        """The vision tokens of an image, (n_tokens, C): rows of the tiles, rows of the view, and the separator."""
        grids = [view]
        if tiles is not None:  # (rows * columns, m, m, C) -> (rows * m, columns * m, C)
            (rows, columns), (m, _, width) = layout.tile_grid, tiles.shape[1:]
            grid = tiles.reshape(rows, columns, m, m, width).transpose(0, 2, 1, 3, 4)
            grids.insert(0, grid.reshape(rows * m, columns * m, width))
        parts = []
        for grid in grids:
            newline = np.broadcast_to(self._newline, (len(grid), 1, len(self._newline)))
            parts.append(np.concatenate([grid, newline], axis=1).reshape(-1, grid.shape[-1]))
        return np.concatenate([*parts, self._separator[None]])

    def new_cache(self, rows: int) -> ArrayCache:
        return ArrayCache(self.config.gpt, rows)

    def read(
        self, rows: Sequence[Sequence[int]], features: Sequence[Array], cache: Cache | None, skip: int = 0
    ) -> Array:
        own = self.new_cache(len(rows)) if cache is None else cache
        assert isinstance(own, ArrayCache)
        vision = np.concatenate([*features, self._no_vision])[skip:] if features else self._no_vision
        longest = max(len(row) for row in rows)
        tokens = np.array([[*row, *[0] * (longest - len(row))] for row in rows], np.int64)
        return self._decode(tokens, vision, [len(row) for row in rows], own)

    def step(self, cache: Cache, tokens: Sequence[int]) -> Array:
        assert isinstance(cache, ArrayCache)
        return self._decode(np.array(tokens, np.int64)[:, None], self._no_vision, [1] * len(tokens), cache)

    def _decode(self, tokens: Array, vision: Array, lengths: list[int], cache: ArrayCache) -> Array:
        assert tokens.shape[1] == 1 or len(tokens) == 1 or not any(cache.lengths)
        cache.reserve(len(tokens), max(cache.lengths) + tokens.shape[1])
        rows, new = tokens.shape
        call = cache.calls.get((rows, new))
        if call is None:
            call = _Call(self._decoder, cache.arrays, rows, new, self.config.gpt)
            if new == 1:  # prompts are rarely of the same length again
                cache.calls[rows, new] = call
        call.tokens[:], call.lengths[:] = tokens, cache.lengths
        call.last[:] = np.arange(rows) * new + lengths - 1
        if call.positions is not None:
            call.positions[:] = cache.places.extend(cache.lengths, tokens.tolist(), self.config.gpt)
        call.run(vision)
        cache.lengths = [held + n for held, n in zip(cache.lengths, lengths)]
        return call.logits.copy() if new == 1 else call.logits

    def copy(self, logits: Array) -> Array:
        return logits.copy()

    def leads(self, logits: Array) -> list[float]:
        second, first = np.partition(logits, -2, axis=-1)[:, -2:].T
        least = logits.min(-1, where=logits > -np.inf, initial=np.inf)
        return np.where(first > least, first - second, np.inf).tolist()

    def likeliest(self, logits: Array) -> list[int]:
        return logits.argmax(-1).tolist()

    def probabilities(self, logits: Array, chosen: Sequence[int]) -> list[float]:
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return (weights[np.arange(len(weights)), chosen] / weights.sum(-1)).tolist()

    def random(self, seed: int) -> np.random.Generator:
        return np.random.default_rng(seed)

    def draw(self, logits: Array, temperature: float, top_k: int | None, random: np.random.Generator) -> int:
        scaled = logits.astype(np.float64)
        if top_k and top_k < len(scaled):
            scaled = np.where(scaled < np.partition(scaled, -top_k)[-top_k], -np.inf, scaled)
        weights = np.exp((scaled - scaled.max()) / temperature)
        return int(random.choice(len(weights), p=weights / weights.sum()))
