"""Image gain and similarity of pages, compared with vectors worked out by hand."""

import pytest
import torch

from nanochat.deepencoder.features import compare_pages, directions, feature_similarity, page_vectors
from nanochat.modes import ImageLayout
from nanochat.training.validate import Validation, swap_pictures


@pytest.mark.parametrize(
    ("vectors", "raw", "centred"),
    [
        ([[1, 0], [0, 1]], 0.0, -1.0),  # two pages always lie opposite each other around their mean
        ([[2, 0], [5, 0]], 1.0, -1.0),  # length does not count
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], (2 * -1 + 4 * 0) / 6, (2 * -1 + 4 * 0) / 6),  # mean zero already
        ([[3, 4], [4, 3], [0, 5]], (24 / 25 + 4 / 5 + 3 / 5) / 3, None),
    ],
)
def test_feature_similarity(vectors, raw, centred):
    found_raw, found_centred = feature_similarity(torch.tensor(vectors, dtype=torch.float32))
    assert found_raw == pytest.approx(raw, abs=1e-6)
    if centred is not None:
        assert found_centred == pytest.approx(centred, abs=1e-6)


def test_common_part_raises_only_the_raw_similarity():
    own = torch.eye(4)
    raw, centred = feature_similarity(own + 100.0)
    assert raw > 0.999
    assert centred == pytest.approx(-1 / 3, abs=1e-4)  # the corners of a tetrahedron


def test_directions_are_counted():
    assert directions(torch.eye(4) + 100.0) == pytest.approx(3)  # the corners of a tetrahedron span three
    line = torch.tensor([[2.0], [-1.0], [-2.0], [5.0], [3.0]]) * torch.tensor([[3.0, 4.0, 0.0]])
    assert directions(line) == pytest.approx(1)
    cross = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert directions(cross) == pytest.approx((18 + 2) ** 2 / (18**2 + 2**2))
    assert directions(torch.ones(4, 3)) == 0


def test_directions_detect_pages_that_differ_only_in_brightness():
    generator = torch.Generator().manual_seed(0)
    brightness = torch.tensor([[1.0]] * 12 + [[-1.0]] * 4)  # four pages are light on dark
    pages = list(brightness * torch.randn(1, 50, generator=generator))
    similarity, centred, found = compare_pages(pages)
    assert similarity == pytest.approx(0.2) and centred == pytest.approx(0.2) and found == pytest.approx(1)
    (said,) = Validation(1.0, 0.5, similarity, centred, found).warnings()
    assert "collapsed" in said and "1.0 directions" in said
    assert compare_pages(pages[:3])[2] is None  # three pages differ along two directions at most
    assert compare_pages(pages[:1]) == (None, None, None)


def test_positions_of_tokens_matter_in_page_vectors():
    first, second = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    ends = torch.tensor([[9.0, 9.0], [7.0, 7.0]])  # a row end and a separator: the same on every page, and left out
    pages = page_vectors([torch.cat([first, ends]), torch.cat([second, ends])], [ImageLayout((64, 128))] * 2)
    raw, _ = feature_similarity(torch.stack(pages))
    assert raw == pytest.approx(0.0)


def tokens(n: int, value: float) -> torch.Tensor:
    return torch.full((n, 2), value)


def values(donors) -> list[float | None]:
    return [None if donor is None else float(donor[0, 0]) for donor in donors]


def test_every_image_gets_another_of_its_size():
    assert values(swap_pictures([tokens(3, 1), tokens(3, 2), tokens(3, 3)], {})) == [3, 1, 2]


def test_single_image_gets_its_partner_from_an_earlier_batch():
    seen: dict[int, torch.Tensor] = {}
    assert values(swap_pictures([tokens(3, 1)], seen)) == [None]
    assert values(swap_pictures([tokens(3, 2)], seen)) == [1]
    assert values(swap_pictures([tokens(5, 9)], seen)) == [None]  # no other page of five tokens
    assert values(swap_pictures([tokens(5, 8), tokens(3, 4)], seen)) == [9, 2]


def test_texts_of_warnings():
    assert Validation(1.0, 0.5, 0.9, 0.0).warnings() == []
    assert Validation(1.0, None, None, None).warnings() == []
    (gain,) = Validation(1.0, 0.049, 0.9, 0.0).warnings()
    assert "does not look" in gain
    (collapse,) = Validation(1.0, 0.5, 0.9901, 0.0).warnings()
    assert "collapsed" in collapse
