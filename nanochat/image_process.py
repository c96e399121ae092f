"""From a picture to views: the square or native pictures the encoder sees, and how many tokens they take.

A view of H x W pixels becomes r = H/64 rows of c = W/64 vision tokens, each row closed by one `image_newline`; one
`view_separator` ends the image. Everything that needs to know an image's tokens (loader, model, engine, server) asks
`ImageLayout`.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from nanochat.common import UserError

TOKEN_PIXELS = 64  # one vision token covers 64 x 64 pixels: patches of 16, then two convolutions of stride 2
PAD_COLOUR = (127, 127, 127)
MAX_PIXELS = 178_956_970  # a larger picture is refused before it is decoded: Pillow's own limit

# What makes a picture upright again, by EXIF orientation. ImageOps.exif_transpose would write the EXIF block anew, and
# fail on photographs whose block is damaged while their pixels are not.
UPRIGHT: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageLayout:
    """How the tokens of one image lie: optional tiles read as one grid, then the rows of one view, then a separator."""

    view: tuple[int, int]
    """height and width of the view in pixels, multiples of 64"""
    tile_grid: tuple[int, int] = (0, 0)
    """rows and columns of tiles; (0, 0): none"""
    tile_size: int = 0
    """side of a tile in pixels"""

    def __post_init__(self) -> None:
        if any(side % TOKEN_PIXELS or side < TOKEN_PIXELS for side in self.view) or self.tile_size % TOKEN_PIXELS:
            raise UserError(
                f"view {self.view}, tile {self.tile_size}: sides must be multiples of {TOKEN_PIXELS} pixels"
            )

    @property
    def view_rows(self) -> tuple[int, int]:
        """(rows, vision tokens per row) of the view."""
        return self.view[0] // TOKEN_PIXELS, self.view[1] // TOKEN_PIXELS

    @property
    def tile_rows(self) -> tuple[int, int]:
        """(rows, vision tokens per row) of all tiles together."""
        per_side = self.tile_size // TOKEN_PIXELS
        return self.tile_grid[0] * per_side, self.tile_grid[1] * per_side

    def is_picture(self) -> Tensor:
        """Which of the image's tokens show a part of it: bool (n_tokens,); the others end rows or the image."""
        grids = [grid for grid in (self.tile_rows, self.view_rows) if grid[0]]
        rows = [[True] * columns + [False] for n_rows, columns in grids for _ in range(n_rows)]
        return torch.tensor([token for row in rows for token in row] + [False])

    @property
    def n_tokens(self) -> int:
        """Tokens that the image takes, row ends and separator included: 273 for one view of 1024 x 1024."""
        return sum(rows * (columns + 1) for rows, columns in (self.tile_rows, self.view_rows) if rows) + 1


@dataclass
class ImageViews:
    """The pixels of one image, float32 in [-1, 1], and their layout."""

    layout: ImageLayout
    view: Tensor
    """(3, H, W)"""
    tiles: Tensor | None = None
    """(rows * columns, 3, tile, tile), row by row"""

    def to(self, device, non_blocking: bool = False) -> "ImageViews":
        tiles = None if self.tiles is None else self.tiles.to(device, non_blocking=non_blocking)
        return ImageViews(self.layout, self.view.to(device, non_blocking=non_blocking), tiles)

    def pin_memory(self) -> "ImageViews":
        return ImageViews(self.layout, self.view.pin_memory(), None if self.tiles is None else self.tiles.pin_memory())


ViewFunction = Callable[[Image.Image], ImageViews]


def _to_8_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits or of floats as 8 bits.

    16 bits run to 65,535; the others do not say what is white: the least of 1 (floats), 255 and 65,535 that holds them.
    """
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float32))
    scales = {"I": (255, 65_535), "F": (1, 255, 65_535)}.get(image.mode, (65_535,))
    white = next((scale for scale in scales if pixels.max() <= scale), 65_535)
    return Image.fromarray((pixels * (255 / white)).round().clip(0, 255).astype(np.uint8))


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as upright 8-bit RGB: EXIF orientation applied, transparency over white, 16 bits scaled to 8."""
    turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    if turn is not None:
        image = image.transpose(turn)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def open_image(source: str | Path | bytes | Image.Image, name: str | None = None) -> Image.Image:
    """Open and decode a picture as RGB. Raises UserError, naming it, when it is missing, broken, or far too large."""
    name = name or (str(source) if isinstance(source, str | Path) else "the picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit below is the rule
            image = (
                source
                if isinstance(source, Image.Image)
                else Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
            )
        if image.width * image.height > MAX_PIXELS:
            raise UserError(f"{name}: {image.width} x {image.height} pixels is over the limit of {MAX_PIXELS:,}")
        return to_rgb(image)
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: over the limit of {MAX_PIXELS:,} pixels (a decompression bomb?)") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: not a picture that can be read") from error
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged picture can raise nearly anything
        raise UserError(f"{name}: broken or truncated picture ({error})") from error


def to_tensor(image: Image.Image | np.ndarray) -> Tensor:
    """RGB or grey 8-bit pixels as float32 (3, H, W) in [-1, 1]: (x / 255 - 0.5) / 0.5."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8))
    if pixels.ndim == 2:
        pixels = pixels[..., None].expand(-1, -1, 3)
    return pixels.permute(2, 0, 1).float().div_(127.5).sub_(1.0).contiguous()


def process_image(image: Image.Image, base_size: int = 1024) -> Tensor:
    """Scale a picture to fit a square of `base_size` pixels, centre it on grey: float32 (3, S, S) in [-1, 1]."""
    ImageLayout((base_size, base_size))  # refuses a side that is no multiple of 64
    image = to_rgb(image)
    width, height = (max(1, round(side * base_size / max(image.size))) for side in image.size)  # a line stays visible
    page = Image.new("RGB", (base_size, base_size), PAD_COLOUR)
    page.paste(
        image.resize((width, height), Image.Resampling.BICUBIC), ((base_size - width) // 2, (base_size - height) // 2)
    )
    return to_tensor(page)


def count_vision_tokens(base_size: int = 1024) -> int:
    """Tokens of one square view: (n + 1) n + 1 with n = base_size / 64; 73, 111, 273, 421 for 512, 640, 1024, 1280."""
    return ImageLayout((base_size, base_size)).n_tokens


def square_view(image: Image.Image, base_size: int = 1024) -> ImageViews:
    """One padded square view of a picture."""
    return ImageViews(ImageLayout((base_size, base_size)), process_image(image, base_size))


def native_view(image: Image.Image, max_side: int = 1024) -> ImageViews:
    """One view that keeps the picture's shape, scaled down until no side is longer than `max_side`, never enlarged.

    Sides become the next multiples of 64; what they add, on the right and at the bottom, is grey.
    """
    image = to_rgb(image)
    scale = min(1.0, max_side / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    layout = ImageLayout((-(-height // TOKEN_PIXELS) * TOKEN_PIXELS, -(-width // TOKEN_PIXELS) * TOKEN_PIXELS))
    if layout.view != (height, width):
        canvas = Image.new("RGB", layout.view[::-1], PAD_COLOUR)
        canvas.paste(image)
        image = canvas
    return ImageViews(layout, to_tensor(image))


def view_function(kind: str, size: int) -> ViewFunction:
    """How a model sees a page: `square` pads it to size x size, `native` keeps its shape with no side over `size`."""
    return partial(square_view, base_size=size) if kind == "square" else partial(native_view, max_side=size)


def expand_image_tokens(ids: list[int], image_token_id: int, n: int | list[int]) -> list[int]:
    """Repeat each image token: `n` times every one, or n[i] times the i-th. Raises UserError when the counts differ."""
    n_images = ids.count(image_token_id)
    counts = [n] * n_images if isinstance(n, int) else n
    if len(counts) != n_images:
        raise UserError(f"the text has {n_images} image placeholders but comes with {len(counts)} pictures")
    remaining = iter(counts)
    return [token for i in ids for token in ([i] * next(remaining) if i == image_token_id else [i])]
