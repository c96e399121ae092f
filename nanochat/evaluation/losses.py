"""Reading documents with known text: the text that is read, the loss of the right text, and the image gain.

The loss of the expected text is measured with the right image and with that of another document. The difference, the
image gain, shows how much the model uses the image: a model that only recites text has none.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from nanochat.deepencoder.features import compare_pages, page_vectors
from nanochat.engine import Engine, Generation, conversation_tokens
from nanochat.errors import UserError
from nanochat.image_process import ImageViews, show
from nanochat.metrics import character_error_rate, word_overlap
from nanochat.modes import Mode
from nanochat.multimodal_dataloader import IGNORE, Prepared, Skipped, collate, to_device
from nanochat.precision import Precision
from nanochat.tasks.common import Task
from nanochat.tokenizer import RustBPETokenizer

T = TypeVar("T")
THUMBNAIL = (720, 720)


@dataclass
class Reading:
    """One document: its expected text, the text that was read, and losses in nats per supervised token."""

    id: str
    """name of the document"""
    loss: float
    """the loss of the expected text with the document's own images"""
    wrong_loss: float | None
    """the loss with the images of another document; None if there is no other document"""
    expected: str
    """the expected text"""
    read: str
    """the text that was read"""
    overlap: float
    """share of the expected words that were read (0 to 1), from `metrics.word_overlap`"""
    cer: float
    """character error rate, from `metrics.character_error_rate`"""
    picture: Image.Image = field(repr=False)
    """the first image of the document, scaled down to at most THUMBNAIL"""
    seconds: float = 0.0
    """time to read the document, including encoding: that of its batch, divided by the documents in it"""
    vision_tokens: int = 0
    """number of vision tokens of all its images"""
    text_tokens: int = 0
    """number of tokens of the expected text"""
    stopped: str = "end"
    """why the answer ended, as in `Generation.stopped`: `length` and `context` mean that it was cut"""
    features: Tensor | None = field(default=None, repr=False)
    """vision tokens of the first image as one vector, float32 (D,), see `features.page_vectors`"""

    def to_dict(self) -> dict[str, Any]:
        """All fields except the image and its features, for JSON."""
        return {name: value for name, value in vars(self).items() if name not in ("picture", "features")}


@dataclass
class Summary:
    """Means over documents. Losses, in nats, are means of the mean loss of each document."""

    documents: int
    """number of documents"""
    complete: int
    """number of documents all of whose words were read"""
    loss: float
    wrong_loss: float | None
    image_gain: float | None
    """mean of wrong_loss - loss: how much the right image reduces the loss"""
    overlap: float
    cer: float
    similarity: float | None = None
    """mean cosine between the features of different images, among those of the most frequent size"""
    centred_similarity: float | None = None
    """the same after subtracting the mean over the images"""
    directions: float | None = None
    """number of directions along which those features differ, see `features.directions`"""


def rendered(
    items: Sequence[dict], tokenizer: RustBPETokenizer, mode: Mode, most_tokens: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(inputs, targets) of a batch of conversations, each (B, T). Raises UserError for a sample that cannot be used."""
    prepared = Prepared(items, tokenizer, mode, most_tokens)
    samples = [prepared[i] for i in range(len(items))]
    for sample in samples:
        if isinstance(sample, Skipped):
            raise UserError(sample.reason)
    inputs, targets, _ = to_device(collate(samples, tokenizer.get_bos_token_id()), device)
    return inputs, targets


@dataclass(frozen=True)
class _DocumentReader:
    """A model with the settings of `read_documents`, for one batch at a time."""

    engine: Engine
    tokenizer: RustBPETokenizer
    mode: Mode
    max_tokens: int | None
    read: bool

    def answers(self, items: list[dict], views: list[list[ImageViews]]) -> list[Generation]:
        """The answers to all conversations; empty if `read` is false. `views`: the images of each."""
        if not self.read:
            return [Generation([])] * len(items)
        prompts = [conversation_tokens(self.tokenizer, item, own) for item, own in zip(items, views)]
        return self.engine.generate_batch(prompts, [view for own in views for view in own], self.max_tokens)

    def losses(self, items: list[dict], embeds: list[list[Tensor]]) -> list[float]:
        """Mean loss over the supervised tokens of each conversation, in nats.

        `embeds`: vision tokens of the images of each conversation, float32 (n_tokens, C) each. Raises UserError for a
        sample that cannot be used.
        """
        model = self.engine.model
        inputs, targets = rendered(items, self.tokenizer, self.mode, model.config.gpt.sequence_len, model.device)
        vision = torch.cat([tokens for own in embeds for tokens in own])
        sums = model(inputs, targets, vision_embeds=vision, loss_reduction="none").sum(1)  # (B,)
        return (sums / (targets != IGNORE).sum(1)).tolist()

    def readings(self, names: Sequence[str], items: list[dict], other: dict | None) -> list[Reading]:
        """Read a batch of conversations and compare the answers with the expected texts.

        The wrong image of each document is that of the next one. `other`: the conversation after the batch, for the
        last one.
        """
        model = self.engine.model
        views = [[show(image, self.mode).to(model.device) for image in item["images"]] for item in items]
        started = time.perf_counter()
        answers = self.answers(items, views)
        seconds = (time.perf_counter() - started) / len(items)
        embeds = [model.encode_images(own) for own in views]
        losses = self.losses(items, embeds)
        wrong: list[float] | list[None] = [None] * len(items)
        if other is not None:
            lent = [show(image, self.mode).to(model.device) for image in other["images"]]
            shown, donors = [*items[1:], other], [*embeds[1:], model.encode_images(lent)]
            swapped = [
                {**item, "images": cycle(donor["images"], len(own))} for item, donor, own in zip(items, shown, embeds)
            ]
            wrong = self.losses(swapped, [cycle(donor, len(own)) for donor, own in zip(donors, embeds)])
        found = []
        for i, (name, item) in enumerate(zip(names, items)):
            expected, text = item["messages"][-1]["content"], self.tokenizer.decode(answers[i].tokens)
            found.append(
                Reading(
                    id=name,
                    loss=losses[i],
                    wrong_loss=wrong[i],
                    expected=expected,
                    read=text,
                    overlap=word_overlap(text, expected),
                    cer=character_error_rate(text, expected),
                    picture=_thumbnail(item["images"][0]),
                    seconds=seconds,
                    vision_tokens=sum(view.layout.n_tokens for view in views[i]),
                    text_tokens=len(self.tokenizer.encode(expected)),
                    stopped=answers[i].stopped or "end",
                    features=page_vectors(embeds[i][:1], [views[i][0].layout])[0].cpu(),
                )
            )
        return found


def read_documents(
    engine: Engine,
    tokenizer: RustBPETokenizer,
    task: Task | Sequence[dict],
    ids: Sequence[str],
    mode: Mode,
    precision: Precision,
    batch_size: int = 10,
    max_tokens: int | None = None,
    read: bool = True,
    on_batch: Callable[[int, int], None] = lambda first, last: None,
) -> Iterator[Reading]:
    """Read each conversation of `task` (named by `ids`) greedily and compare the answer with its last message.

    `mode`: how images are shown. `batch_size`: documents that are read at a time. `max_tokens`:
    length limit of an answer (default: the context of the model). The wrong image of a document is that of the next one
    in `task`. If `read` is false, only losses are measured, and the text read is empty. `on_batch(first, last)` is
    called before documents `first` to `last`, counted from 1, are read.

    Yields readings in order, a batch at a time. Raises UserError for a sample that cannot be used.
    """
    assert len(ids) == len(task)
    reader = _DocumentReader(engine, tokenizer, mode, max_tokens, read)
    engine.model.eval()
    if not len(task):
        return
    following = first = task[0]
    for start in range(0, len(task), batch_size):
        end = min(start + batch_size, len(task))
        on_batch(start + 1, end)
        items = [following, *(task[i] for i in range(start + 1, end))]  # synthetic documents are drawn at each access
        following = task[end] if end < len(task) else first
        with torch.inference_mode(), precision.autocast(engine.model.device):
            readings = reader.readings(ids[start:end], items, following if len(task) > 1 else None)
        yield from readings


def summarise(readings: Sequence[Reading]) -> Summary:
    """Means over at least one reading. `wrong_loss` and `image_gain` are over those that have a wrong loss."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    features = [r.features for r in readings if r.features is not None]
    similarity, centred, directions = compare_pages(features)
    compared = [(r.loss, r.wrong_loss) for r in readings if r.wrong_loss is not None]
    return Summary(
        documents=len(readings),
        complete=sum(r.overlap == 1 for r in readings),
        loss=mean([r.loss for r in readings]),
        wrong_loss=mean([wrong for _, wrong in compared]) if compared else None,
        image_gain=mean([wrong - right for right, wrong in compared]) if compared else None,
        overlap=mean([r.overlap for r in readings]),
        cer=mean([r.cer for r in readings]),
        similarity=similarity,
        centred_similarity=centred,
        directions=directions,
    )


def format_share(share: float) -> str:
    """A share (0 to 1) as a percentage, rounded down, so that only a complete share is shown as 100%."""
    return f"{math.floor(share * 1000) / 10:g}%"


def cycle(things: Sequence[T], n: int) -> list[T]:
    """The first `n` elements of `things` repeated endlessly."""
    return [things[i % len(things)] for i in range(n)]


def _thumbnail(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail(THUMBNAIL)
    return small
