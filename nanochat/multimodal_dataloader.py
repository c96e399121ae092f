"""From conversations to batches: rendering, views, packing, sharding, and a position that resumes exactly.

A batch is padded to its longest sample, or packed: its samples end to end in one row without padding, with their
lengths in `documents`. The GPT restarts its positions at each sample and attends within it, so the loss is the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nanochat.deepencoder.dense import dense_labels
from nanochat.errors import UserError
from nanochat.image_process import ImageViews, expand_image_tokens, show
from nanochat.modes import ImageLayout, Mode
from nanochat.plans import BatchPlan, OrderedBatches, ShuffledBatches
from nanochat.tokenizer import RustBPETokenizer

IGNORE = -1  # target of tokens without supervision
MAX_UNREADABLE = 0.01  # share of a data set's samples that may be unreadable before a run stops
MAX_PADDING = 0.25  # share of a padded batch that may be padding before it is packed instead


@dataclass
class Sample:
    """One conversation, ready to be batched."""

    ids: list[int]
    mask: list[int]
    images: list[ImageViews]
    labels: dict[str, Tensor] | None = None
    shown: list[int] | None = None
    """input of the decoder, if it differs from `ids`"""


@dataclass
class Skipped:
    """A sample that could not be used, and the reason; `broken` samples count towards the limit."""

    reason: str
    broken: bool


@dataclass
class Media:
    """The images of a batch, and where they and the samples are."""

    pixel_values: Tensor | list[ImageViews] | None
    """(N, 3, H, W) if every image is one view of the same size, otherwise a list; None without images"""
    rows: list[int]
    """for each image: its row of the batch"""
    layouts: list[ImageLayout]
    """layout of each image"""
    view_sizes: list[tuple[int, int]]
    """(H, W) in pixels of every view and tile"""
    labels: dict[str, Tensor] | None = None
    """dense labels, (positions of all views, slots) each, if every sample has them"""
    documents: list[int] | None = None
    """lengths in tokens of samples that are packed end to end into one row; None if they are padded"""
    skipped: list[Skipped] = field(default_factory=list)
    """samples that were left out"""

    def to(self, device: torch.device) -> "Media":
        """With the pixels and labels on `device`; copies from pinned memory do not wait."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Media":
        """With the pixels and labels in pinned memory; a DataLoader calls this."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self, move: Callable[[Any], Any]) -> "Media":
        """`move` takes and returns a tensor, or the views of an image."""
        pixels = self.pixel_values
        if pixels is not None:
            pixels = move(pixels) if isinstance(pixels, Tensor) else [move(image) for image in pixels]
        labels = self.labels and {name: move(tensor) for name, tensor in self.labels.items()}
        return replace(self, pixel_values=pixels, labels=labels)


Batch = tuple[Tensor, Tensor, Media]


def truncate(sample: Sample, image_token_id: int, max_tokens: int) -> Sample:
    """Truncate to `max_tokens` ids; an image that would be divided is left out with everything after it."""
    end, images, position = min(len(sample.ids), max_tokens), [], 0
    for image in sample.images:
        position = sample.ids.index(image_token_id, position)
        if position + image.layout.n_tokens > end:
            end = min(end, position)
            break
        images.append(image)
        position += image.layout.n_tokens
    shown = None if sample.shown is None else sample.shown[:end]
    return Sample(sample.ids[:end], sample.mask[:end], images, sample.labels if len(images) else None, shown)


def with_noise(ids: list[int], mask: list[int], share: float, newline: int, random: np.random.Generator) -> list[int]:
    """`ids` with `share` of the supervised ones replaced by others, each drawn from the same text.

    A decoder that has only seen correct text relies on it, and does not recover from its first mistake [DAN]. Line
    breaks stay as they are, because the positions of the text depend on them.
    """
    shown = np.array(ids)
    where = np.flatnonzero(np.array(mask) & (shown != newline))[:-1]  # all but the end of the answer
    replaced = where[random.random(len(where)) < share]
    if len(replaced):
        shown[replaced] = shown[random.choice(where, len(replaced))]
    return shown.tolist()


class Prepared(Dataset):
    """A task with items rendered to tokens and views, as worker processes do."""

    def __init__(self, task, tokenizer: RustBPETokenizer, mode: Mode, seq_len: int, prefix_noise: float = 0.0) -> None:
        self.task, self.tokenizer, self.mode, self.seq_len = task, tokenizer, mode, seq_len
        self.prefix_noise = prefix_noise
        self.image_token_id = tokenizer.encode_special("<|image|>")
        self.newline = tokenizer.encode("\n")[0]

    def __getitem__(self, key: Any) -> Sample | Skipped:
        try:
            sample = self._prepare(self.task[key])
            if self.prefix_noise:
                random = np.random.default_rng(crc32(repr(key).encode()))  # the same when a run is resumed
                sample.shown = with_noise(sample.ids, sample.mask, self.prefix_noise, self.newline, random)
        except UserError as error:
            return Skipped(f"sample {key}: {error}", broken=True)
        if not any(sample.mask[1:]):
            return Skipped(f"sample {key}: nothing to learn within {self.seq_len} tokens", broken=False)
        return sample

    def _prepare(self, item: dict) -> Sample:
        ids, mask = self.tokenizer.render_conversation(item)
        images = [show(image, self.mode) for image in item["images"]]
        counts = [image.layout.n_tokens for image in images]
        # the mask grows with the ids: mark supervision by position, then repeat what the ids repeat
        repeats = iter(counts)
        lengths = [next(repeats, 1) if i == self.image_token_id else 1 for i in ids]
        sample = Sample(
            ids=expand_image_tokens(ids, self.image_token_id, counts),
            mask=[m for m, n in zip(mask, lengths) for _ in range(n)],
            images=images,
        )
        if "glyphs" in item:
            chars, centres, line_ids = item["glyphs"]
            centres = centres * images[0].scale + images[0].corner
            sample.labels = dense_labels(chars, centres, line_ids, images[0].layout)
        return truncate(sample, self.image_token_id, self.seq_len + 1)


def collate(samples: Sequence[Sample | Skipped], pad_id: int, pack: bool = False) -> Batch:
    """(inputs, targets, media): int64 (B, T) padded to the longest, targets -1 where nothing is supervised.

    With `pack`, where padding would take more than MAX_PADDING: (1, T), the samples end to end. Samples with dense
    labels are sorted by the size of their view.
    """
    kept = [s for s in samples if isinstance(s, Sample)]
    if labelled := bool(kept) and all(s.labels is not None for s in kept):
        kept.sort(key=lambda s: s.images[0].layout.view)  # the encoder sees views of one size together
    lengths = [len(s.ids) - 1 for s in kept]
    longest = max(lengths, default=0)
    packed = pack and sum(lengths) < (1 - MAX_PADDING) * len(kept) * longest
    starts = [0, *accumulate(lengths)] if packed else [row * longest for row in range(len(kept) + 1)]
    inputs, targets = torch.full((starts[-1],), pad_id), torch.full((starts[-1],), IGNORE)
    for start, length, s in zip(starts, lengths, kept):
        ids, mask, shown = torch.tensor(s.ids), torch.tensor(s.mask), torch.tensor(s.shown or s.ids)
        inputs[start : start + length] = shown[:-1]
        targets[start : start + length] = torch.where(mask[1:] == 1, ids[1:], IGNORE)
    shape = (1, starts[-1]) if packed else (len(kept), longest)
    images = [image for s in kept for image in s.images]
    pixel_values: Tensor | list[ImageViews] | None = images or None
    if images and all(i.tiles is None and i.layout == images[0].layout for i in images):
        pixel_values = torch.stack([i.view for i in images])
    labels = None
    if labelled:
        labels = {what: torch.cat([s.labels[what] for s in kept]) for what in kept[0].labels or {}}  # type: ignore[index]
    layouts = [i.layout for i in images]
    sizes = [layout.view for layout in layouts]
    sizes += [(i.layout.tile_size,) * 2 for i in images for _ in range(0 if i.tiles is None else len(i.tiles))]
    skipped = [s for s in samples if isinstance(s, Skipped)]
    rows = [0 if packed else row for row, s in enumerate(kept) for _ in s.images]
    media = Media(pixel_values, rows, layouts, sizes, labels, lengths if packed else None, skipped)
    return inputs.view(shape), targets.view(shape), media


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch; copies from pinned memory do not wait."""
    inputs, targets, media = batch
    return inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True), media.to(device)


class MultimodalLoader:
    """Iterates over batches. `position` is the number of the next one, which is all that a resumed run needs."""

    def __init__(
        self,
        data: Prepared,
        plan: BatchPlan,
        rank: int,
        world_size: int,
        num_workers: int,
        pin: bool,
        pack: bool = False,
    ) -> None:
        self.data, self.plan, self.rank, self.world_size = data, plan, rank, world_size
        self.num_workers, self.pin, self.pack = num_workers, pin, pack
        self.position = 0
        self.skipped: Counter[str] = Counter()
        self.broken: set[str] = set()

    def _keys(self, start: int) -> Iterator[list[Any]]:
        k = start
        while (keys := self.plan.batch(k, self.rank, self.world_size)) is not None:
            yield keys
            k += 1

    def _count(self, skipped: list[Skipped]) -> None:
        for sample in skipped:
            if sample.reason not in self.skipped:
                print(f"skipped: {sample.reason}", flush=True)
            self.skipped[sample.reason] += 1
            n = len(self.data.task)
            if len(self.skipped) >= n:
                raise UserError(f"{sample.reason}; none of {n} samples could be used")
            if not sample.broken:
                continue
            self.broken.add(sample.reason)
            n_broken = len(self.broken)
            if n_broken > MAX_UNREADABLE * n:
                raise UserError(f"{sample.reason} ({n_broken} of {n} samples could not be used: over the limit of 1%)")

    def __iter__(self) -> Iterator[Batch]:
        pad_id = self.data.tokenizer.get_bos_token_id()
        loader = DataLoader(
            self.data,
            batch_sampler=self._keys(self.position),  # type: ignore[arg-type]
            num_workers=self.num_workers,
            collate_fn=lambda samples: collate(samples, pad_id, self.pack),
            pin_memory=self.pin,
            multiprocessing_context="fork" if self.num_workers else None,
        )
        for batch in loader:
            self._count(batch[2].skipped)
            self.position += 1
            yield batch


def create_multimodal_loader(
    task,
    tokenizer: RustBPETokenizer,
    batch_size: int,
    seq_len: int,
    mode: Mode,
    *,
    shuffle: bool = True,
    plan: BatchPlan | None = None,
    seed: int = 42,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    pin_memory: bool = False,
    pack: bool = False,
    prefix_noise: float = 0.0,
) -> MultimodalLoader:
    """Batches of conversations with images, text or both: endless and reshuffled each epoch, or one pass in order.

    `batch_size`: samples per rank and batch; `seq_len`: tokens, including images; `mode`: how images are shown; `plan`:
    batches in any other order; `pack`: as in `collate`; `prefix_noise`: as in
    `TrainConfig`. Raises UserError when the task is empty.
    """
    if len(task) == 0:
        raise UserError("the dataset is empty")
    if plan is None:
        plan = ShuffledBatches(len(task), batch_size, seed) if shuffle else OrderedBatches(len(task), batch_size)
    data = Prepared(task, tokenizer, mode, seq_len, prefix_noise)
    return MultimodalLoader(data, plan, rank, world_size, num_workers, pin_memory, pack)
