"""From a file to pixels: any image as upright RGB, and the views of it that the encoder sees.

`modes.py` determines the views of an image and their number of tokens; this module makes their pixels.
"""

import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from nanochat.errors import UserError
from nanochat.modes import ImageLayout, Mode

if TYPE_CHECKING:
    from torch import Tensor

PAD_COLOUR = (127, 127, 127)
MAX_PIXELS = 178_956_970  # a larger image is refused before it is decoded: Pillow's own limit

# EXIF orientation -> the operation that makes the image upright. ImageOps.exif_transpose would rewrite the EXIF block,
# and fail on photographs with a damaged block.
UPRIGHT: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageViews:
    """The pixels of one image, float32 in [-1, 1], and their layout. Arrays and tensors are converted as needed.

    `view`: (3, H, W); `tiles`: (rows * columns, 3, tile, tile), row by row; `scale`: pixels of the view per pixel of
    the image, along x and y; `corner`: x and y in the view of the image's upper left corner.
    """

    def __init__(
        self,
        layout: ImageLayout,
        view: "Tensor | np.ndarray",
        tiles: "Tensor | np.ndarray | None" = None,
        scale: tuple[float, float] = (1.0, 1.0),
        corner: tuple[int, int] = (0, 0),
    ) -> None:
        self.layout, self.scale, self.corner = layout, scale, corner
        self._view, self._tiles = view, tiles

    @property
    def view(self) -> "Tensor":
        """(3, H, W), as a tensor."""
        self._view = _as_tensor(self._view)
        return self._view

    @property
    def tiles(self) -> "Tensor | None":
        """(rows * columns, 3, tile, tile), as a tensor; None: no tiles."""
        if self._tiles is not None:
            self._tiles = _as_tensor(self._tiles)
        return self._tiles

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """View and tiles as arrays, without torch."""
        return np.asarray(self._view), None if self._tiles is None else np.asarray(self._tiles)

    def to(self, device, non_blocking: bool = False) -> "ImageViews":
        return self._with(lambda pixels: pixels.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "ImageViews":
        return self._with(lambda pixels: pixels.pin_memory())

    def _with(self, move: "Callable[[Tensor], Tensor]") -> "ImageViews":
        tiles = None if self.tiles is None else move(self.tiles)
        return ImageViews(self.layout, move(self.view), tiles, self.scale, self.corner)

    def __reduce__(self) -> tuple:
        """Pickle as tensors if torch is in use, because processes can share their memory."""
        torch_is_here = "torch" in sys.modules
        view, tiles = (self.view, self.tiles) if torch_is_here else self.arrays()
        return ImageViews, (self.layout, view, tiles, self.scale, self.corner)


def _as_tensor(pixels: "Tensor | np.ndarray") -> "Tensor":
    if isinstance(pixels, np.ndarray):
        import torch  # imported here, because images are also read without torch

        return torch.from_numpy(pixels)
    return pixels


PictureSource = str | Path | bytes | Image.Image | np.ndarray


NOTE = "note"  # key in the `info` of an opened image: a remark about how it was opened
SQUARE = 0.02  # relative difference of a pixel's sides below which it counts as square
MOST_STRETCH = 4.0  # largest ratio of a pixel's sides; a file that claims more is ignored
VISIBLE = 64  # alpha from which a pixel is visible
SOME = 0.02  # share of the visible pixels that is significant
LIGHT_INK = 160  # brightness from which ink cannot be seen on white
NARROW = 0.05  # of the range of values: contrast that would be lost in 8 bits
MID_TONE = 128  # grey on which both light and dark ink can be seen


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Convert a grey image of 16 or 32 bits or floats to 8 bits.

    Files do not record which value is white. It is assumed to be the smallest of these that is not exceeded: 1
    (floats), 255 (floats and 32 bits), and the full range of 10, 12, 14 and 16 bits, because scanners and cameras often
    leave the upper bits of 16 unused. If an image uses less than NARROW of this range, the part that it uses is
    stretched.
    """
    pixels = np.nan_to_num(np.asarray(image, dtype=np.float32))
    whites = (*{"F": (1, 255), "I": (255,)}.get(image.mode, ()), 1023, 4095, 16_383)
    white: float = next((white for white in whites if pixels.max() <= white), 65_535)
    black = float(pixels.min())
    used = float(pixels.max()) - black
    if 0 < used < NARROW * white:
        pixels, white = pixels - black, used
    return Image.fromarray((pixels * (255 / white)).round().clip(0, 255).astype(np.uint8))


def _ground_for(image: Image.Image) -> tuple[int, int, int, int]:
    """The RGBA background on which the ink of an RGBA image is visible: white, or black if all ink is light."""
    alpha = np.asarray(image.getchannel("A"))
    visible = np.asarray(image.convert("L"))[alpha >= VISIBLE]
    level = 255
    if visible.size and visible.size < alpha.size:
        light, dark = float((visible >= LIGHT_INK).mean()), float((visible < LIGHT_INK).mean())
        if dark < SOME:
            level = 0
        elif light > SOME and visible.size < 0.3 * alpha.size:  # ink of both kinds, without a background of its own
            level = MID_TONE
    return level, level, level, 255


def _pixel_ratio(image: Image.Image) -> tuple[float, str]:
    """(width over height of an image's pixels according to its file, or 1; a note if that was ignored)."""
    claim = next(
        (image.info[key] for key in ("dpi", "resolution", "aspect", "jfif_density") if key in image.info), None
    )
    tags = getattr(image, "tag_v2", {})  # a TIFF's own tags: Pillow does not pass on a resolution of 0
    if claim is None and {282, 283} <= set(tags):
        claim = tags[282], tags[283]
    if claim is None:
        return 1.0, ""
    try:
        across, down = (float(number) for number in claim)
        ratio = down / across
    except (TypeError, ValueError, ZeroDivisionError):
        across = down = ratio = 0.0
    if not 1 / MOST_STRETCH <= ratio <= MOST_STRETCH:
        return 1.0, f"the file claims {across:g} x {down:g} dpi, which was ignored"
    if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8) and image.format == "TIFF":
        ratio = 1 / ratio  # Pillow has turned the image, but not its resolution
    return ratio, ""


def _with_square_pixels(image: Image.Image, ratio: float, most: int) -> Image.Image:
    """Stretch an image whose pixels are `ratio` times as wide as high, to at most `most` pixels."""
    if abs(ratio - 1) < SQUARE:
        return image
    width, height = max(1.0, ratio) * image.width, max(1.0, 1 / ratio) * image.height
    smaller = min(1.0, (most / (width * height)) ** 0.5)
    size = max(1, int(width * smaller)), max(1, int(height * smaller))
    return image.resize(size, Image.Resampling.BICUBIC)


def to_rgb(image: Image.Image, most: int = MAX_PIXELS) -> Image.Image:
    """Convert any Pillow image to upright 8-bit RGB in its true proportions, with at most `most` pixels.

    The EXIF orientation is applied, transparent parts get a background on which the ink is visible, pixels are made
    square, and 16 bits are scaled to 8. If something in the file was ignored, `info[NOTE]` says so.
    """
    ratio, note = _pixel_ratio(image)
    note = note or image.info.get(NOTE, "")
    image.load()  # this already turns a TIFF upright
    turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, _ground_for(image)), image)
    image = _with_square_pixels(image.convert("RGB"), ratio, most)
    if turn is not None:
        image = image.transpose(turn)
    image.info = {NOTE: note} if note else {}  # upright with square pixels now
    return image


@contextmanager
def explain_broken(name: str) -> Iterator[None]:
    """Turn any error of Pillow about an image into a UserError of one line that names the image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit applies
            yield
    except FileNotFoundError as error:
        raise UserError(f"{name}: no such file") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: over the limit of {MAX_PIXELS:,} pixels (a decompression bomb?)") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: not a picture that can be read") from error
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged image can raise almost any exception
        raise UserError(f"{name}: broken or truncated picture ({' '.join(str(error).split())})") from error


def identify(source: str | Path | BinaryIO) -> Image.Image:
    """`Image.open`, with support for HEIC, the format of many phone cameras."""
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        from pillow_heif import register_heif_opener  # imported here, because it is rarely needed

        register_heif_opener()
        return Image.open(source)


def open_image(source: PictureSource, name: str | None = None, most: int = MAX_PIXELS) -> Image.Image:
    """Open and decode an image as RGB.

    `source`: a path, the bytes of a file, a Pillow image, or an array of pixels: (H, W) grey, (H, W, 3) RGB or
    (H, W, 4) RGBA, uint8, bool, or floats from 0 to 1. Raises UserError with the name of the image if it is missing,
    broken, of another type, or larger than `most` pixels.
    """
    name = name or _name_of(source)
    with explain_broken(name):
        if isinstance(source, Image.Image):
            image = source
        elif isinstance(source, np.ndarray):
            image = _from_array(source, name)
        elif isinstance(source, bytes | bytearray | memoryview):
            image = identify(io.BytesIO(source))
        elif isinstance(source, str | Path):
            if str(source) and Path(source).is_dir():
                raise UserError(f"{name} is a folder: give one of its files, or use `nano-ocr read`")
            image = identify(source)
        else:
            raise UserError(f"{name}: give a path, the bytes of a file, a Pillow image or an array of pixels")
        if image.width * image.height > most:
            raise UserError(f"{name}: {image.width} x {image.height} pixels is over the limit of {most:,}")
        return to_rgb(image, most)


def _name_of(source: object) -> str:
    """The name of an image in error messages."""
    if isinstance(source, str | Path):
        return str(source) or "a path without a name"
    if isinstance(source, bytes | bytearray | memoryview):
        return f"the picture ({len(source):,} bytes)"
    if isinstance(source, np.ndarray):
        return f"an array of shape {source.shape} and type {source.dtype}"
    if isinstance(source, Image.Image):
        return "the picture"
    return f"{source!r:.60} ({type(source).__name__})"


def _from_array(pixels: np.ndarray, name: str) -> Image.Image:
    """Pixels as a Pillow image. Raises UserError for an array that is not an image."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    shape_is_right = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype.kind == "f" and pixels.size and 0 <= pixels.min() and pixels.max() <= 1:  # also refuses NaN
        pixels = (pixels * 255).round().astype(np.uint8)
    if not shape_is_right or not pixels.size or pixels.dtype != np.uint8:
        raise UserError(f"{name}: give pixels as (H, W) or (H, W, 3 or 4), uint8, bool, or floats from 0 to 1")
    return Image.fromarray(np.ascontiguousarray(pixels))


def to_array(image: Image.Image | np.ndarray) -> np.ndarray:
    """RGB or grey 8-bit pixels as float32 (3, H, W) in [-1, 1]: (x / 255 - 0.5) / 0.5."""
    pixels = np.asarray(image, dtype=np.uint8)
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[..., None], (*pixels.shape, 3))
    found = np.empty((3, *pixels.shape[:2]), np.float32)
    np.divide(pixels.transpose(2, 0, 1), np.float32(127.5), out=found)
    return np.subtract(found, np.float32(1), out=found)


def to_tensor(image: Image.Image | np.ndarray) -> "Tensor":
    """`to_array` as a tensor."""
    return _as_tensor(to_array(image))


def paper_colour(image: Image.Image | np.ndarray) -> tuple[int, int, int]:
    """The background colour of an RGB image: the median of each channel along its border."""
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ordered = np.sort(border, axis=0, kind="stable")  # bytes are sorted faster than `np.median` selects
    red, green, blue = ((ordered[(len(border) - 1) // 2].astype(int) + ordered[len(border) // 2]) // 2).tolist()
    return red, green, blue


def _padded(image: Image.Image, side: int) -> tuple[Image.Image, tuple[int, int], tuple[int, int]]:
    """(the image scaled to fit a square and centred on grey, its size after scaling, its upper left corner)."""
    # thin images keep at least one pixel
    width, height = (max(1, round(length * side / max(image.size))) for length in image.size)
    page = Image.new("RGB", (side, side), PAD_COLOUR)
    corner = round((side - width) / 2), round((side - height) / 2)
    page.paste(image.resize((width, height), Image.Resampling.BICUBIC), corner)
    return page, (width, height), corner


def process_image(image: Image.Image, base_size: int = 1024) -> "Tensor":
    """Scale an image to fit a square of `base_size` pixels and centre it on grey: float32 (3, S, S) in [-1, 1]."""
    ImageLayout((base_size, base_size))  # refuses a side that is not a multiple of 64
    return to_tensor(_padded(to_rgb(image), base_size)[0])


def count_vision_tokens(base_size: int = 1024) -> int:
    """Tokens of one square view: (n + 1) n + 1 with n = base_size / 64; 73, 111, 273, 421 for 512, 640, 1024, 1280."""
    return ImageLayout((base_size, base_size)).n_tokens


def show(image: Image.Image, mode: Mode) -> ImageViews:
    """The views of an image in a mode: those of `mode.layout` for its size, as pixels.

    A native view keeps the aspect ratio of the image. It is padded on the right and at the bottom, with the background
    colour of the image, to multiples of 64.
    """
    image = to_rgb(image)
    layout = mode.layout(*image.size)
    tiles = None
    if layout.tile_size:
        (rows, columns), side = layout.tile_grid, layout.tile_size
        stretched = image.resize((columns * side, rows * side), Image.Resampling.BICUBIC)
        grid = to_array(stretched).reshape(3, rows, side, columns, side)
        tiles = np.ascontiguousarray(grid.transpose(1, 3, 0, 2, 4)).reshape(-1, 3, side, side)
    corner = 0, 0
    if mode.fit == "pad":
        view, size, corner = _padded(image, mode.side)
    elif mode.fit == "resize":
        size = layout.view[::-1]
        view = image.resize(size, Image.Resampling.BICUBIC)
    else:
        size = mode.scaled(*image.size)
        view = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        if layout.view[::-1] != size:
            canvas = Image.new("RGB", layout.view[::-1], paper_colour(view))
            canvas.paste(view)
            view = canvas
    scale = size[0] / image.width, size[1] / image.height
    return ImageViews(layout, to_array(view), tiles, scale, corner)


def expand_image_tokens(ids: list[int], image_token_id: int, n: int | list[int]) -> list[int]:
    """Repeat each image token: `n` times every one, or n[i] times the i-th. Raises UserError when the counts differ."""
    n_images = ids.count(image_token_id)
    counts = [n] * n_images if isinstance(n, int) else n
    if len(counts) != n_images:
        raise UserError(f"the text has {n_images} image placeholders but comes with {len(counts)} pictures")
    remaining = iter(counts)
    return [token for i in ids for token in ([i] * next(remaining) if i == image_token_id else [i])]
