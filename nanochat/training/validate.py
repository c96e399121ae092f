"""Does the model look? Validation loss with the right pictures, with wrong ones, and how alike different pages seem.

A falling loss proves nothing: a decoder can learn to guess text. The image gain (loss with the pictures of the batch
swapped minus loss with the right ones) and the cosine between different pages' features tell guessing from reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nanochat.image_process import ImageLayout
from nanochat.machine import Precision
from nanochat.multimodal_dataloader import Batch, to_device
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.shard import sum_over_ranks

MIN_GAIN = 0.05  # nats per token: under it the text does not depend on the picture
MAX_SIMILARITY = 0.99  # mean raw cosine between pages: over it the encoder has collapsed
MIN_DIRECTIONS = 1.5  # in which pages differ: under it all that is told of a page is one number


@dataclass
class Validation:
    """What one validation found; gain and similarities are None where no two pictures could be compared."""

    loss: float
    image_gain: float | None
    similarity: float | None
    """mean cosine between different pages' vision embeddings"""
    centred_similarity: float | None
    """the same after the mean over pages is taken away"""
    directions: float | None = None
    """`directions` of the same pages"""

    def warnings(self) -> list[str]:
        """What is wrong, in plain words."""
        found = []
        if self.image_gain is not None and self.image_gain < MIN_GAIN:
            found.append(
                f"the model does not look: swapping the pictures changes the loss by {self.image_gain:+.3f} nats only"
            )
        if self.similarity is not None and self.similarity > MAX_SIMILARITY:
            found.append(f"the encoder has collapsed: different pages' features have cosine {self.similarity:.4f}")
        elif self.directions is not None and self.directions < MIN_DIRECTIONS:
            found.append(
                f"the encoder has collapsed: different pages' features differ along {self.directions:.1f} directions"
            )
        return found


def page_vectors(embeds: list[Tensor], layouts: list[ImageLayout]) -> list[Tensor]:
    """One float32 vector a page: its vision tokens one after the other, without row ends, which all pages share."""
    return [tokens[layout.is_picture().to(tokens.device)].float().flatten() for tokens, layout in zip(embeds, layouts)]


def feature_similarity(vectors: Tensor) -> tuple[float, float]:
    """Mean cosine between different rows of (n, D), n >= 2: as they are, and after the mean row is taken away."""

    def mean_cosine(rows: Tensor) -> float:
        unit = F.normalize(rows, dim=-1)
        n = len(unit)
        return float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))

    return mean_cosine(vectors), mean_cosine(vectors - vectors.mean(0))


def directions(vectors: Tensor) -> float:
    """Along how many directions the rows of (n, D) differ, from 1 to n - 1: the participation ratio of their variances.

    (sum of variances)^2 / sum of squared variances along the principal axes. It sees a collapse that cosines miss:
    pages that differ in their brightness alone lie on one line through the origin, and have any cosine.
    """
    centred = vectors - vectors.mean(0)
    variances = torch.linalg.eigvalsh((centred @ centred.T).cpu().double())  # (n,)
    return float(variances.sum().square() / variances.square().sum().clamp_min(1e-30))


def swap_pictures(embeds: list[Tensor], last_seen: dict[int, Tensor]) -> list[Tensor | None]:
    """For each picture the tokens of another with as many tokens: the one before it, if need be in an earlier batch.

    None for a picture without a partner. `last_seen` maps token counts to a picture's tokens and is brought up to date.
    """
    previous = dict(last_seen)
    for tokens in embeds:  # the first of a size takes the last of its size
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
    """Measure over all batches, which should be the same ones every time; on all ranks together."""
    model.eval()
    sums, pages = _Sums(model.device), list[Tensor]()
    last_seen: dict[int, Tensor] = {}
    with precision.autocast(model.device):
        for batch in batches:
            inputs, targets, media = to_device(batch, model.device)
            tokens = int((targets != -1).sum())
            if not len(inputs):  # of the last batch another rank may have taken all
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
                swapped = (targets[rows] != -1).sum()
                sums.add(right=losses[rows].sum(), wrong=wrong[rows].sum(), swapped=swapped)
    model.train()
    total, n, right, wrong, n_swapped = sums.reduced()
    gain = (wrong - right) / n_swapped if n_swapped else None
    return Validation(total / max(n, 1), gain, *compare_pages(pages))


def compare_pages(pages: list[Tensor]) -> tuple[float | None, float | None, float | None]:
    """(similarity, centred similarity, directions) among the pages of the most frequent size.

    All None when there are not two; directions are None when there are not four, which differ along few in any case.
    """
    sizes = [len(page) for page in pages]
    commonest = max(set(sizes), key=sizes.count, default=0)
    same = [page for page in pages if len(page) == commonest]
    if len(same) < 2:
        return None, None, None
    vectors = torch.stack(same)
    return *feature_similarity(vectors), directions(vectors) if len(same) > 3 else None
