"""Modes: views, tile grids, tokens and layout of images of any size follow the published rules."""

from math import ceil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from nanochat.errors import UserError
from nanochat.image_process import show, to_tensor
from nanochat.model_config import preset
from nanochat.modes import MODES, get_mode

sides = st.integers(1, 6000)
SQUARE = {"tiny": (512, 73), "small": (640, 111), "base": (1024, 273), "large": (1280, 421)}


CANDIDATES = sorted(
    {(c, r) for c in range(1, 10) for r in range(1, 10) if 2 <= c * r <= 9}, key=lambda grid: grid[0] * grid[1]
)


def grid_of_the_spec(width: int, height: int, tile: int) -> tuple[int, int]:
    """(columns, rows) by the rule of section 4, in floats as in the training of the checkpoint."""
    if width <= tile and height <= tile:
        return 0, 0
    far = [abs(width / height - c / r) for c, r in CANDIDATES]
    nearest = [grid for grid, distance in zip(CANDIDATES, far) if distance == min(far)]
    fitting = [(c, r) for c, r in nearest[1:] if width * height > 0.5 * tile * tile * c * r]
    return (fitting or nearest)[-1 if fitting else 0]


@settings(max_examples=2000)
@given(sides, sides)
@example(640, 640)
@example(641, 640)
@example(1280, 1280)
@example(2000, 1000)
@example(100, 20_000)
def test_every_size_has_the_views_and_tokens_of_the_paper(width: int, height: int) -> None:
    for name, (side, tokens) in SQUARE.items():
        layout = get_mode(name).layout(width, height)
        assert (layout.view, layout.tile_grid, layout.n_tokens) == ((side, side), (0, 0), tokens)
    for name, m, n in (("gundam", 10, 16), ("gundam-master", 16, 20)):
        layout = get_mode(name).layout(width, height)
        columns, rows = grid_of_the_spec(width, height, 64 * m)
        assert layout.tile_grid == (rows, columns) and layout.view == (64 * n, 64 * n)
        tiles = (rows * m) * (columns * m + 1) if rows else 0
        assert layout.n_tokens == tiles + n * (n + 1) + 1
    native = get_mode("native").layout(width, height)
    scale = min(1, 1024 / max(width, height))
    for pixels, side in zip((height, width), native.view):
        assert side % 64 == 0 and side - 64 < max(1, round(pixels * scale)) <= side
    assert native.n_tokens == (native.view[0] // 64) * (native.view[1] // 64 + 1) + 1


@settings(max_examples=500)
@given(sides, sides, st.integers(3, 700))
def test_token_budget_is_kept_and_nearly_used(width: int, height: int, budget: int) -> None:
    mode = get_mode("native", 512, budget)
    seen = mode.scaled(width, height)
    assert mode.layout(width, height).n_tokens <= budget
    assert seen[0] <= width and seen[1] <= height
    longest = max(width, height) if budget > 73 else min(512, max(width, height))
    if max(seen) < longest:  # scaled down to the budget: one more pixel would exceed it
        scale = (max(seen) + 1) / max(width, height)
        rows, columns = (ceil(max(1, round(length * scale)) / 64) for length in (height, width))
        assert rows * (columns + 1) + 1 > budget


@pytest.mark.parametrize("name", MODES)
def test_half_height_tokens_have_twice_as_many_rows(name: str) -> None:
    plain, flat = get_mode(name, 512), get_mode(name, 512, token_size=(32, 64))
    whole, half = plain.layout(700, 1100), flat.layout(700, 1100)
    assert (half.view, half.tile_grid) == (whole.view, whole.tile_grid)
    assert half.view_rows == (2 * whole.view_rows[0], whole.view_rows[1])
    assert half.is_picture().sum() == 2 * whole.is_picture().sum() and len(half.is_picture()) == half.n_tokens
    boxes, halves = plain.places(700, 1100), flat.places(700, 1100)
    assert len(halves) == 2 * len(boxes) == half.is_picture().sum()
    area = ((halves[:, 2] - halves[:, 0]) * (halves[:, 3] - halves[:, 1])).sum()
    # the tiles show the whole image again
    assert area == pytest.approx(700 * 1100 * (1 + bool(half.tile_size)), rel=1e-3)


def test_token_budget_with_half_height_tokens() -> None:
    layout = get_mode("native", 512, 73, token_size=(32, 64)).layout(512, 512)
    assert layout.n_tokens <= 73 and layout.view[0] < 512
    with pytest.raises(UserError, match="smallest picture takes 5"):
        get_mode("native", 512, 4, token_size=(32, 64))


def test_modes_of_nano_have_half_the_size() -> None:
    for name in MODES:
        whole, half = get_mode(name), get_mode(name, 512)
        assert (half.side, half.tile, half.fit) == (whole.side // 2, whole.tile // 2, whole.fit)
        assert half.layout(700, 1100).tile_grid == whole.layout(1400, 2200).tile_grid


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from(MODES))
def test_pixels_have_the_shapes_of_their_layout(width: int, height: int, name: str) -> None:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mode = get_mode(name, 128)
    views = show(Image.fromarray(noise), mode)
    assert views.layout == mode.layout(width, height)
    assert views.view.shape == (3, *views.layout.view) and views.view.is_contiguous()
    rows, columns = views.layout.tile_grid
    shape = None if views.tiles is None else views.tiles.shape
    assert shape == ((rows * columns, 3, mode.tile, mode.tile) if rows else None)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_tiles_are_cut_row_by_row_and_padded_as_pillow_does() -> None:
    image = picture(1300, 2000)
    views = show(image, get_mode("gundam"))
    assert views.layout.tile_grid == (3, 2) and views.tiles is not None
    stretched = image.resize((1280, 1920), Image.Resampling.BICUBIC)
    for i, (row, column) in enumerate((r, c) for r in range(3) for c in range(2)):
        box = (640 * column, 640 * row, 640 * column + 640, 640 * row + 640)
        assert torch.equal(views.tiles[i], to_tensor(stretched.crop(box)))
    page = ImageOps.pad(image, (1024, 1024), method=Image.Resampling.BICUBIC, color=(127, 127, 127))
    assert torch.equal(views.view, to_tensor(page))
    tiny = show(image, get_mode("tiny")).view
    assert torch.equal(tiny, to_tensor(image.resize((512, 512), Image.Resampling.BICUBIC)))


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 900), st.integers(8, 900), st.sampled_from(MODES))
@example(8, 9, "large")  # the frame is wider than a token
@example(17, 300, "native")  # the width is rounded up by 4%
def test_places_of_tokens(width: int, height: int, name: str) -> None:
    """The colour of the image encodes the position, so the mean colour of a token is the centre of its place."""
    xs, ys = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    blue = np.pad(np.ones((height - 2, width - 2)), 1)  # with a frame in the colour of the padding
    image = Image.fromarray((np.stack([xs, ys, blue], -1) * 255).round().astype(np.uint8))
    mode = get_mode(name, 256)
    views = show(image, mode)
    pixels = [views.view[None]]
    if views.tiles is not None:  # put together again
        rows, columns = views.layout.tile_grid
        grid = views.tiles.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
        pixels.insert(0, grid.flatten(3).flatten(1, 2)[None])
    seen = torch.cat([F.unfold(part, 64, stride=64)[0].unflatten(0, (3, -1)).permute(2, 0, 1) for part in pixels])
    places = mode.places(width, height)  # (N, 4)
    assert len(places) == len(seen) == int(views.layout.is_picture().sum())
    for (left, top, right, bottom), (red, green, blue) in zip(places.tolist(), (seen + 1) / 2):
        inside = blue > 0.99  # not padding
        if inside.float().mean() > 0.1 and min(right - left, bottom - top) > 0:
            assert abs(red[inside].mean() * width - (left + right) / 2) < 0.02 * width + 2
            assert abs(green[inside].mean() * height - (top + bottom) / 2) < 0.02 * height + 2
        if not inside.any():  # nothing is shown but padding, the frame, and what bicubic scaling blends with it
            edge = 1 + 2 * max(1, max(width, height) / 256)
            across = min(right, width - edge) - max(left, edge)
            down = min(bottom, height - edge) - max(top, edge)
            assert max(across, 0) * max(down, 0) < 0.01 * width * height


@pytest.mark.parametrize(
    ("size", "image_size", "name", "view", "tokens"),
    [
        ("d20", 1024, "", (1024, 1024), 273),  # the view of the model is a square
        ("d20", 640, "", (640, 640), 111),
        ("d20", 640, "native", (640, 512), 10 * 9 + 1),  # the longest side is image_size too
        ("d20", 640, "base", (1024, 1024), 273),  # public modes are relative to the page size
        ("nano", 512, "", (512, 384), 8 * 7 + 1),
        ("nano", 512, "square", (512, 512), 73),
        ("nano-pages", 512, "", (512, 384), 16 * 7 + 1),  # tokens of half the height
        ("nano-pages", 512, "base", (512, 512), 145),
    ],
)
def test_mode_of_a_model(size, image_size, name, view, tokens) -> None:
    vision = preset(size).vision
    vision.image_size = image_size
    layout = vision.mode(name).layout(900, 1200)
    assert (layout.view, layout.n_tokens) == (view, tokens)
    assert vision.layout(*view).n_tokens == tokens


@pytest.mark.parametrize(
    ("name", "budget", "words"),
    [("grand", None, "choose one of tiny"), ("base", 90, "for mode native"), ("native", 2, "smallest picture takes 3")],
)
def test_invalid_values_are_reported_in_one_line(name: str, budget: int | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        get_mode(name, 512, budget)
