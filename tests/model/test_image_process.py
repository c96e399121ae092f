"""Images of every kind become upright, on white, in [-1, 1]; tokens are counted as laid out; bad files are named."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.image_process import (
    MAX_PIXELS,
    ImageLayout,
    ImageViews,
    count_vision_tokens,
    expand_image_tokens,
    open_image,
    process_image,
    show,
    to_rgb,
)
from nanochat.modes import get_mode

IMAGE = 99


@pytest.mark.parametrize(("side", "tokens"), [(512, 73), (640, 111), (1024, 273), (1280, 421), (64, 3)])
def test_token_counts_of_the_published_modes(side: int, tokens: int) -> None:
    assert (
        count_vision_tokens(base_size=side)
        == tokens
        == show(Image.new("L", (9, 5)), get_mode("square", side)).layout.n_tokens
    )


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 3), st.integers(1, 3), st.integers(1, 4))
def test_token_counts_equal_an_explicit_layout(rows: int, columns: int, down: int, across: int, m: int) -> None:
    layout = ImageLayout((64 * rows, 64 * columns), (down, across if down else 0), 64 * m if down else 0)
    laid_out = 0
    for _ in range(down * m):
        laid_out += sum(m for _ in range(across)) + 1
    for _ in range(rows):
        laid_out += columns + 1
    assert layout.n_tokens == laid_out + 1


@pytest.mark.parametrize("side", [0, -64, 100, 1000])
def test_sides_that_are_not_multiples_of_64_are_rejected(side: int) -> None:
    with pytest.raises(UserError, match="multiples of 64"):
        process_image(Image.new("RGB", (8, 8)), side)


@given(st.lists(st.one_of(st.just(IMAGE), st.integers(0, 98))), st.data())
def test_image_tokens_are_repeated_in_place(ids: list[int], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 5), min_size=ids.count(IMAGE), max_size=ids.count(IMAGE)))
    expanded = expand_image_tokens(ids, IMAGE, counts)
    position, pictures = 0, iter(counts)
    for token in ids:  # every other token once, every image token as often as expected
        width = next(pictures) if token == IMAGE else 1
        assert expanded[position : position + width] == [token] * width
        position += width
    assert position == len(expanded)
    assert expand_image_tokens(ids, IMAGE, 3).count(IMAGE) == 3 * ids.count(IMAGE)


def test_placeholders_and_images_must_agree() -> None:
    with pytest.raises(UserError, match="2 image placeholders but comes with 3"):
        expand_image_tokens([1, IMAGE, IMAGE], IMAGE, [7, 7, 7])


def test_image_is_centred_on_grey() -> None:
    view = process_image(Image.new("RGB", (200, 100), (255, 0, 255)), base_size=128)
    assert view.shape == (3, 128, 128) and view.dtype == torch.float32 and view.is_contiguous()
    grey = torch.tensor(127 / 127.5 - 1).expand(3, 32, 128)
    torch.testing.assert_close(view[:, :32], grey)
    torch.testing.assert_close(view[:, 96:], grey)
    assert (view[0, 32:96] == 1).all() and (view[1, 32:96] == -1).all() and (view[2, 32:96] == 1).all()
    tall = process_image(Image.new("RGB", (100, 200), (255, 0, 255)), base_size=128)
    assert torch.equal(tall, view.transpose(1, 2))


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([64, 128, 192]))
def test_any_shape_fits_the_square(width: int, height: int, side: int) -> None:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    view = process_image(Image.fromarray(noise), side)
    assert view.shape == (3, side, side) and -1 <= view.min() and view.max() <= 1


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_image_one_pixel_high(size: tuple[int, int]) -> None:
    assert (process_image(Image.new("RGB", size, "white"), 64) == 1).any()


def colours(image: Image.Image) -> list[tuple[int, int, int]]:
    """The pixels of the first row after conversion."""
    return [image.getpixel((x, 0)) for x in range(image.width)]  # type: ignore[misc]


def palette_with_hole() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 0, 255, 10, 20, 30])
    image.putdata([0, 1, 2])
    image.info["transparency"] = 1
    return image


def row(mode: str, *pixels: Any) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


MODES = [
    (row("RGBA", (255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51)), [(255, 0, 0), (255, 255, 255), (204, 204, 204)]),
    (row("LA", (0, 255), (0, 0), (100, 255)), [(0, 0, 0), (255, 255, 255), (100, 100, 100)]),
    (palette_with_hole(), [(255, 0, 0), (255, 255, 255), (10, 20, 30)]),
    (row("CMYK", (0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)), [(255, 255, 255), (255, 0, 0), (0, 0, 0)]),
    (row("1", 0, 255), [(0, 0, 0), (255, 255, 255)]),
    (row("I;16", 0, 65_535, 32_768), [(0, 0, 0), (255, 255, 255), (128, 128, 128)]),
    (row("I;16", 0, 200), [(0, 0, 0), (50, 50, 50)]),  # 10 bits, must not be taken for 8
    (row("I;16", 5200, 5965), [(0, 0, 0), (255, 255, 255)]),  # little of the range is used
    (row("I", 0, 65_535, -5), [(0, 0, 0), (255, 255, 255), (0, 0, 0)]),
    (row("I", 0, 255, 100), [(0, 0, 0), (255, 255, 255), (100, 100, 100)]),
    (row("F", 0.0, 1.0, 0.5), [(0, 0, 0), (255, 255, 255), (128, 128, 128)]),
    (row("F", 0.0, 255.0, float("nan")), [(0, 0, 0), (255, 255, 255), (0, 0, 0)]),
    (row("L", 0, 77), [(0, 0, 0), (77, 77, 77)]),
]


@pytest.mark.parametrize(("image", "expected"), MODES, ids=[f"{image.mode}-{i}" for i, (image, _) in enumerate(MODES)])
def test_every_mode_becomes_rgb_over_white(image: Image.Image, expected: list[tuple[int, int, int]]) -> None:
    assert to_rgb(image).mode == "RGB"
    assert colours(to_rgb(image)) == expected


def test_transparency_survives_a_file() -> None:
    stored = io.BytesIO()
    palette_with_hole().save(stored, "PNG")
    assert colours(open_image(stored.getvalue())) == [(255, 0, 0), (255, 255, 255), (10, 20, 30)]


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int, suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    how = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"photo.{suffix}", exif=exif, **how)
    once = open_image(tmp_path / f"photo.{suffix}")
    assert np.array_equal(np.asarray(once), UPRIGHT[orientation](pixels))
    assert np.array_equal(np.asarray(open_image(once)), np.asarray(once)), "turned a second time"


def encoded(format_name: str, size: tuple[int, int] = (40, 30)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    stored = io.BytesIO()
    Image.fromarray(noise).save(stored, format_name, **({"exif": exif} if format_name == "JPEG" else {}))
    return stored.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "GIF"])
def test_damaged_files_are_read_or_reported_in_one_line(format_name: str) -> None:
    """With bytes changed at random, a file is read or rejected by name, whatever Pillow raises."""
    draw, whole, refused = random.Random(0), encoded(format_name), 0
    for attempt in range(120):
        damaged = bytearray(whole)
        for _ in range(draw.choice([1, 2, 20])):
            damaged[draw.randrange(draw.choice([30, 200, len(damaged)]))] = draw.randrange(256)
        try:
            assert open_image(bytes(damaged), f"page {attempt}").mode == "RGB"
        except UserError as error:
            refused += 1
            assert str(error).startswith(f"page {attempt}: ") and "\n" not in str(error)
    assert refused > 12


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_block_does_not_lose_the_image() -> None:
    photo = bytearray(encoded("JPEG"))
    expected = open_image(bytes(photo))
    at = photo.index(b"\x01\x0e\x00\x02") + 1  # the tag of the description, 0x010E, becomes one without text
    photo[at] = 0x00
    assert open_image(bytes(photo)).tobytes() == expected.tobytes()


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "half.png").write_bytes(encoded("PNG")[:200])
    (tmp_path / "letter.png").write_text("Dear Sir or Madam")
    (tmp_path / "empty.jpg").touch()
    for name, reason in [
        ("half.png", "broken or truncated"),
        ("letter.png", "not a picture"),
        ("empty.jpg", "not a picture"),
        ("nowhere.png", "no such file"),
    ]:
        with pytest.raises(UserError, match=reason) as caught:
            open_image(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(UserError, match="page 3: broken"):
        open_image(encoded("JPEG", (400, 300))[:5000], name="page 3")
    with pytest.raises(UserError, match="is a folder"):
        open_image(tmp_path)


def test_decompression_bomb_is_rejected_before_decoding(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 2
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")  # 4 KB on the disk, 22 MB of bits, 537 MB as RGB
    with pytest.raises(UserError, match=r"bomb\.png: over the limit of 178,956,970 pixels"):
        open_image(tmp_path / "bomb.png")
    with pytest.raises(UserError, match=f"{side} x {side} pixels is over the limit"):
        open_image(Image.new("1", (side, side)))


@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(["native", "tiny", "base", "square"]))
def test_view_records_the_position_of_the_image(width: int, height: int, kind: str) -> None:
    picture = Image.new("RGB", (width, height), (255, 255, 255))
    views = show(picture, get_mode(kind, 256))
    (x, y), (across, down) = views.corner, views.scale
    right, bottom = round(x + width * across), round(y + height * down)
    inside = views.view[0, y:bottom, x:right]
    assert inside.numel() and (inside == 1).all()
    if views.view[0].numel() > inside.numel() and kind != "native":  # grey padding around the image, none inside
        outside = views.view[0].clone()
        outside[y:bottom, x:right] = 0
        assert outside.abs().max() < 0.01


def test_views_move_to_a_device_completely() -> None:
    views = ImageViews(ImageLayout((64, 64), (1, 2), 64), torch.zeros(3, 64, 64), torch.zeros(2, 3, 64, 64))
    moved = views.to("meta")
    assert moved.view.device.type == "meta" and moved.tiles is not None and moved.tiles.device.type == "meta"
    assert moved.layout is views.layout
