"""Reading documents whose text is known: what the model reads, how sure it is of the right text, and whether it looks.

Beside the loss of the expected text under the right picture stands its loss under another document's picture. Their
difference, the image gain, is what the picture tells the model; a model that recites by heart what it cannot see has
none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from nanochat.common import UserError
from nanochat.engine import Engine
from nanochat.image_process import ImageViews, expand_image_tokens
from nanochat.machine import Precision
from nanochat.metrics import character_error_rate, word_overlap
from nanochat.multimodal_dataloader import Prepared, Skipped, ViewFunction, collate, to_device
from nanochat.tasks.common import Task
from nanochat.tokenizer import RustBPETokenizer

THUMBNAIL = (720, 720)


@dataclass
class Reading:
    """One document: what stands in it, what was read, and the losses in nats per supervised token."""

    id: str
    loss: float
    wrong_loss: float | None
    """the loss with another document's picture; None where there is no other document"""
    expected: str
    read: str
    overlap: float
    """share of the expected words that were read, `metrics.word_overlap`"""
    cer: float
    """`metrics.character_error_rate`"""
    picture: Image.Image = field(repr=False)
    """the document's first picture, at most THUMBNAIL in size"""

    def to_dict(self) -> dict[str, Any]:
        """All but the picture, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "picture"}


@dataclass
class Summary:
    """Means over documents; losses are means of the documents' own means."""

    documents: int
    complete: int
    """documents of which every word was read"""
    loss: float
    wrong_loss: float | None
    image_gain: float | None
    """wrong_loss - loss: what seeing the right picture is worth"""
    overlap: float
    cer: float


@dataclass(frozen=True)
class _Reader:
    """A model and how it is asked: as in `read_documents`."""

    engine: Engine
    tokenizer: RustBPETokenizer
    view: ViewFunction
    max_tokens: int | None

    def texts(self, items: list[dict]) -> list[str]:
        """The model's answers to all conversations together."""
        image_token_id = self.tokenizer.encode_special("<|image|>")
        prompts: list[list[int]] = []
        pixels: list[ImageViews] = []
        for item in items:
            images = [self.view(image).to(self.engine.model.device) for image in item["images"]]
            counts = [image.layout.n_tokens for image in images]
            prompts.append(expand_image_tokens(self.tokenizer.render_for_completion(item), image_token_id, counts))
            pixels += images
        return [self.tokenizer.decode(g.tokens) for g in self.engine.generate_batch(prompts, pixels, self.max_tokens)]

    def loss(self, item: dict) -> float:
        """Mean loss of the supervised tokens of one conversation, nats."""
        model = self.engine.model
        sample = Prepared([item], self.tokenizer, self.view, model.config.gpt.sequence_len)[0]
        if isinstance(sample, Skipped):
            raise UserError(sample.reason)
        inputs, targets, media = to_device(collate([sample], self.tokenizer.get_bos_token_id()), model.device)
        return float(model(inputs, targets, media["pixel_values"]))

    def reading(self, name: str, item: dict, other: dict | None, text: str) -> Reading:
        """Compare what was read with what is there; `other` is the document that lends the wrong picture."""
        expected = item["messages"][-1]["content"]
        wrong = None if other is None else {**item, "images": _pictures_of(other, len(item["images"]))}
        return Reading(
            id=name,
            loss=self.loss(item),
            wrong_loss=None if wrong is None else self.loss(wrong),
            expected=expected,
            read=text,
            overlap=word_overlap(text, expected),
            cer=character_error_rate(text, expected),
            picture=_thumbnail(item["images"][0]),
        )


def read_documents(
    engine: Engine,
    tokenizer: RustBPETokenizer,
    task: Task | Sequence[dict],
    ids: Sequence[str],
    view: ViewFunction,
    precision: Precision,
    batch_size: int = 10,
    max_tokens: int | None = None,
) -> Iterator[Reading]:
    """Read each conversation of `task` (named by `ids`) greedily and compare with its last message.

    `view` is how a picture becomes views, `batch_size` how many documents are read together, `max_tokens` ends an
    answer (default: the model's context does). The wrong picture of a document is that of the next one in `task`.
    Yields readings in order, a batch at a time. Raises UserError for a sample that cannot be read.
    """
    assert len(ids) == len(task)
    reader = _Reader(engine, tokenizer, view, max_tokens)
    engine.model.eval()
    for start in range(0, len(task), batch_size):
        end = min(start + batch_size, len(task))
        items = [task[i] for i in range(start, end)]
        others: list[dict | None] = [*items[1:], task[end % len(task)] if len(task) > 1 else None]
        with torch.inference_mode(), precision.autocast(engine.model.device):
            texts = reader.texts(items)
            readings = [reader.reading(*row) for row in zip(ids[start:end], items, others, texts)]
        yield from readings


def summarise(readings: Sequence[Reading]) -> Summary:
    """Means over at least one reading; the wrong loss over those that have one."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    compared = [(r.loss, r.wrong_loss) for r in readings if r.wrong_loss is not None]
    return Summary(
        documents=len(readings),
        complete=sum(r.overlap == 1 for r in readings),
        loss=mean([r.loss for r in readings]),
        wrong_loss=mean([wrong for _, wrong in compared]) if compared else None,
        image_gain=mean([wrong - right for right, wrong in compared]) if compared else None,
        overlap=mean([r.overlap for r in readings]),
        cer=mean([r.cer for r in readings]),
    )


def format_share(share: float) -> str:
    """A share as per cent, rounded down: only a full share reads 100%."""
    return f"{math.floor(share * 1000) / 10:g}%"


def _pictures_of(item: dict, n: int) -> list[Image.Image]:
    """`n` pictures of a conversation, the first ones again when it has fewer."""
    return [item["images"][i % len(item["images"])] for i in range(n)]


def _thumbnail(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail(THUMBNAIL)
    return small
