"""Validation: the loss with the right images and with wrong ones, and the similarity of different pages' features.

A falling loss proves nothing: a decoder can learn to guess text. The image gain (the loss with the images of the batch
swapped, minus the loss with the right ones) and the cosine between pages' features tell guessing from reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from nanochat.deepencoder.features import compare_pages, page_vectors
from nanochat.multimodal_dataloader import IGNORE, Batch, to_device
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.precision import Precision
from nanochat.training.shard import sum_over_ranks

MIN_GAIN = 0.05  # nats per token: below this, the text does not depend on the image
MAX_SIMILARITY = 0.99  # mean raw cosine between pages: above this, the encoder has collapsed
MIN_DIRECTIONS = 1.5  # directions along which pages differ: below this, the features of a page contain a single number


@dataclass
class Validation:
    """The result of one validation; gain and similarities are None if no two images could be compared."""

    loss: float
    """mean loss in nats per supervised token"""
    image_gain: float | None
    """loss with the images of the batch swapped, minus the loss with the right ones, in nats"""
    similarity: float | None
    """mean cosine between different pages' vision embeddings"""
    centred_similarity: float | None
    """the same after subtracting the mean over pages"""
    directions: float | None = None
    """number of directions along which those pages differ, see `features.directions`"""

    def warnings(self) -> list[str]:
        """Descriptions of what is wrong; empty if nothing is."""
        found = []
        if self.image_gain is not None and self.image_gain < MIN_GAIN:
            found.append(
                f"the model does not look: swapping the images changes the loss by only {self.image_gain:+.3f} nats"
            )
        if self.similarity is not None and self.similarity > MAX_SIMILARITY:
            found.append(f"the encoder has collapsed: different pages' features have cosine {self.similarity:.4f}")
        elif self.directions is not None and self.directions < MIN_DIRECTIONS:
            found.append(
                f"the encoder has collapsed: different pages' features differ along {self.directions:.1f} directions"
            )
        return found


def swap_pictures(embeds: list[Tensor], last_seen: dict[int, Tensor]) -> list[Tensor | None]:
    """For each image, the tokens of another image with as many tokens: the previous one, maybe of an earlier batch.

    None for an image without a partner. `last_seen` maps token counts to an image's tokens and is updated.
    """
    previous = dict(last_seen)
    for tokens in embeds:  # the first image of a size is swapped with the last one
        if sum(len(other) == len(tokens) for other in embeds) > 1:
            previous[len(tokens)] = tokens
    donors = []
    for tokens in embeds:
        donors.append(previous.get(len(tokens)))
        previous[len(tokens)] = tokens
    last_seen.update({len(tokens): tokens for tokens in embeds})
    return donors


class _Sums:
    """Losses and token counts, summed over batches and ranks."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.values = device, [0.0] * 5  # loss, tokens, right, wrong, swapped tokens

    def add(self, **sums: Tensor | int) -> None:
        for i, name in enumerate(("loss", "tokens", "right", "wrong", "swapped")):
            self.values[i] += float(sums.get(name, 0))

    def reduced(self) -> list[float]:
        return sum_over_ranks(self.values, self.device)


@torch.no_grad()
def validate(model: NanoDeepseekOCR, batches: Iterable[Batch], precision: Precision) -> Validation:
    """Validate on all batches, which should be the same every time. All ranks must call this together."""
    model.eval()
    sums, pages = _Sums(model.device), list[Tensor]()
    last_seen: dict[int, Tensor] = {}
    with precision.autocast(model.device):
        for batch in batches:
            inputs, targets, media = to_device(batch, model.device)
            tokens = int((targets != IGNORE).sum())
            assert media.documents is None, "packed samples would see each other"
            if not len(inputs):  # other ranks may have all samples of the last batch
                continue
            if media.pixel_values is None:
                sums.add(loss=model(inputs, targets, loss_reduction="sum"), tokens=tokens)
                continue
            embeds = model.encode_images(media.pixel_values)
            losses = model(inputs, targets, vision_embeds=torch.cat(embeds), loss_reduction="none").sum(1)  # (B,)
            sums.add(loss=losses.sum(), tokens=tokens)
            pages += page_vectors(embeds, media.layouts)
            donors = swap_pictures(embeds, last_seen)
            rows = sorted({row for row, donor in zip(media.rows, donors) if donor is not None})
            if rows:
                others = [own if donor is None else donor for own, donor in zip(embeds, donors)]
                wrong = model(inputs, targets, vision_embeds=torch.cat(others), loss_reduction="none").sum(1)
                swapped = (targets[rows] != IGNORE).sum()
                sums.add(right=losses[rows].sum(), wrong=wrong[rows].sum(), swapped=swapped)
    model.train()
    total, n, right, wrong, n_swapped = sums.reduced()
    gain = (wrong - right) / n_swapped if n_swapped else None
    return Validation(total / max(n, 1), gain, *compare_pages(pages))
