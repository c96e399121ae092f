"""Similarity of the features of different pages: an encoder that sees all pages alike has collapsed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nanochat.modes import ImageLayout


def page_vectors(embeds: list[Tensor], layouts: list[ImageLayout]) -> list[Tensor]:
    """One float32 vector per page: its concatenated vision tokens, without row ends, which are equal in all pages."""
    return [tokens[layout.is_picture().to(tokens.device)].float().flatten() for tokens, layout in zip(embeds, layouts)]


def feature_similarity(vectors: Tensor) -> tuple[float, float]:
    """Mean cosine between different rows of (n, D), n >= 2: raw, and after subtracting the mean row."""

    def mean_cosine(rows: Tensor) -> float:
        unit = F.normalize(rows, dim=-1)
        n = len(unit)
        return float((unit.sum(0).square().sum() - unit.square().sum()) / (n * (n - 1)))

    return mean_cosine(vectors), mean_cosine(vectors - vectors.mean(0))


def directions(vectors: Tensor) -> float:
    """Number of directions along which the rows of (n, D) differ, from 1 to n - 1: the participation ratio.

    (sum of variances)^2 / sum of squared variances along the principal axes. It detects a collapse that cosines miss:
    pages that differ only in brightness lie on one line through the origin, and can have any cosine.
    """
    centred = vectors - vectors.mean(0)
    variances = torch.linalg.eigvalsh((centred @ centred.T).cpu().double())  # (n,)
    return float(variances.sum().square() / variances.square().sum().clamp_min(1e-30))


def compare_pages(pages: list[Tensor]) -> tuple[float | None, float | None, float | None]:
    """(similarity, centred similarity, directions) among the pages of the most frequent size.

    All are None for fewer than two pages; directions are None for fewer than four, which always have few.
    """
    sizes = [len(page) for page in pages]
    commonest = max(set(sizes), key=sizes.count, default=0)
    same = [page for page in pages if len(page) == commonest]
    if len(same) < 2:
        return None, None, None
    vectors = torch.stack(same)
    return *feature_similarity(vectors), directions(vectors) if len(same) > 3 else None
