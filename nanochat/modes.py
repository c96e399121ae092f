"""Modes: the views of an image of a given size and their number of tokens. This module has numbers only, no pixels.

`Mode.layout(width, height)` chooses the views and `ImageLayout` lays their tokens out: a view of H x W pixels becomes
r = H/64 rows of c = W/64 vision tokens, each row followed by one `image_newline`; one `view_separator` ends the image.
`nano-pages` has tokens of 32 x 64 pixels and so twice as many rows. Everything that needs the tokens of an image (data
loader, model, engine, command line) uses these two.

The sizes are those of DeepSeek-OCR (paper, section 3.2.2) for a model with position tables for pages of 1,024 pixels,
and proportional for others: nano's pages are 512, so its `base` is 512 and its `gundam` tiles are 320.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np

from nanochat.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

SIDE_STEP = 64  # sides of views are multiples of it
TOKEN_SIZE = (64, 64)  # height and width of a vision token in pixels: patches of 16, two convolutions of stride 2
PUBLIC_PAGE = 1024  # the page size of the public sizes below
MAX_TILES = 9


@dataclass(frozen=True)
class ImageLayout:
    """Token layout of one image: optional tiles as one grid, then the rows of one view, then a separator."""

    view: tuple[int, int]
    """height and width of the view in pixels, multiples of 64"""
    tile_grid: tuple[int, int] = (0, 0)
    """rows and columns of tiles; (0, 0): none"""
    tile_size: int = 0
    """side of a tile in pixels"""
    token_size: tuple[int, int] = TOKEN_SIZE
    """height and width in pixels that one vision token shows (`VisionConfig.token_size`)"""

    def __post_init__(self) -> None:
        if any(side % SIDE_STEP or side < SIDE_STEP for side in self.view) or self.tile_size % SIDE_STEP:
            raise UserError(f"view {self.view}, tile {self.tile_size}: sides must be multiples of {SIDE_STEP} pixels")

    @property
    def view_rows(self) -> tuple[int, int]:
        """(rows, vision tokens per row) of the view."""
        return self.view[0] // self.token_size[0], self.view[1] // self.token_size[1]

    @property
    def tile_rows(self) -> tuple[int, int]:
        """(rows, vision tokens per row) of all tiles together."""
        down, across = (self.tile_size // side for side in self.token_size)
        return self.tile_grid[0] * down, self.tile_grid[1] * across

    def is_picture(self) -> "Tensor":
        """Mask of the tokens that show a part of the image, bool (n_tokens,); the others end a row or the image."""
        import torch  # imported here, because images are also read without torch

        grids = [grid for grid in (self.tile_rows, self.view_rows) if grid[0]]
        rows = [[True] * columns + [False] for n_rows, columns in grids for _ in range(n_rows)]
        return torch.tensor([token for row in rows for token in row] + [False])

    @property
    def n_tokens(self) -> int:
        """Number of tokens, including row ends and separator: 273 for one view of 1024 x 1024."""
        return sum(rows * (columns + 1) for rows, columns in (self.tile_rows, self.view_rows) if rows) + 1


@cache
def _grids(most: int) -> tuple[tuple[int, int], ...]:
    """All (columns, rows) of 2 to `most` tiles, fewest first."""
    grids = [(c, r) for c in range(1, most + 1) for r in range(1, most + 1) if 2 <= c * r <= most]
    return tuple(sorted(grids, key=lambda grid: (grid[0] * grid[1], grid[0])))


def choose_tiles(width: int, height: int, tile: int) -> tuple[int, int]:
    """(rows, columns) of tiles for an image: the grid closest to its aspect ratio; (0, 0) if it fits in one tile.

    Of equally close grids, the larger is chosen if the image has over half as many pixels [deepseek-ai/DeepSeek-OCR].
    """
    if width <= tile and height <= tile:
        return 0, 0
    best, least = (1, 1), float("inf")
    for columns, rows in _grids(MAX_TILES):
        difference = abs(width / height - columns / rows)
        enough = width * height > 0.5 * tile * tile * columns * rows
        if difference < least or (difference == least and enough):
            best, least = (rows, columns), difference
    return best


def _up(side: float) -> int:
    return ceil(side / SIDE_STEP) * SIDE_STEP


@dataclass(frozen=True)
class Mode:
    """How images are turned into views."""

    name: str
    fit: Literal["resize", "pad", "native"]
    """resize: stretched to a square; pad: scaled to fit and centred on grey; native: keeps its shape"""
    side: int
    """side of the view in pixels; for native, the longest side allowed"""
    tile: int = 0
    """side of a tile in pixels; 0: no tiles"""
    max_tokens: int | None = None
    """most tokens of one image in native mode; None: limited only by the side"""
    token_size: tuple[int, int] = TOKEN_SIZE
    """height and width in pixels that one vision token shows"""

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an image inside a native view: never enlarged, same aspect ratio, within the limits."""
        longest = max(width, height)
        limit: float = self.side
        if self.max_tokens is not None and self.max_tokens > self._layout(self.side, self.side).n_tokens:
            limit = longest  # a budget above the tokens of a whole page lifts the limit on sides
        scale = min(1.0, limit / longest)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if self.max_tokens is None or self._layout(*size).n_tokens <= self.max_tokens:
            return size
        small, large = 0, max(size)  # binary search for the longest side: tokens grow with it
        while large - small > 1:
            middle = (small + large) // 2
            scale = middle / longest
            tried = max(1, round(width * scale)), max(1, round(height * scale))
            small, large = (middle, large) if self._layout(*tried).n_tokens <= self.max_tokens else (small, middle)
        return max(1, round(width * small / longest)), max(1, round(height * small / longest))

    def layout(self, width: int, height: int) -> ImageLayout:
        """The views of an image of this size in pixels, which determine its tokens."""
        if self.fit == "native":
            return self._layout(*self.scaled(width, height))
        if not self.tile:
            return self._layout(self.side, self.side)
        rows, columns = choose_tiles(width, height, self.tile)
        return ImageLayout((self.side, self.side), (rows, columns), self.tile if rows else 0, self.token_size)

    def _layout(self, width: int, height: int) -> ImageLayout:
        """One view that an image of this size fits in."""
        return ImageLayout((_up(height), _up(width)), token_size=self.token_size)

    def places(self, width: int, height: int) -> np.ndarray:
        """The part of an image of this size that each of its vision tokens shows, without row ends.

        Float32 (N, 4): left, top, right, bottom in pixels, clipped to the image; a box of padding is empty. In the
        order of the tokens, as in `ImageLayout.is_picture`.
        """
        layout = self.layout(width, height)
        found = []
        if layout.tile_size:  # all tiles together are the stretched image
            rows, columns = layout.tile_rows
            found.append(_grid(rows, columns, height / rows, width / columns))
        rows, columns = layout.view_rows
        if self.fit == "resize":
            found.append(_grid(rows, columns, height / rows, width / columns))
        elif self.fit == "native":
            shown_width, shown_height = self.scaled(width, height)
            down, across = self.token_size
            found.append(_grid(rows, columns, down * height / shown_height, across * width / shown_width))
        else:
            longest = max(width, height)
            corner = np.array([longest - width, longest - height] * 2, np.float32) / 2
            found.append(_grid(rows, columns, *(side * longest / self.side for side in self.token_size)) - corner)
        return np.concatenate(found).clip(0, np.array([width, height] * 2, np.float32)).astype(np.float32)


def _grid(rows: int, columns: int, height: float, width: float) -> np.ndarray:
    """Boxes (rows x columns, 4) of a grid of cells of this size in pixels."""
    top, left = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    size = np.array([width, height] * 2, np.float32)
    return np.stack([left, top, left + 1, top + 1], -1).reshape(-1, 4) * size


# name -> (fit, side, tile) at PUBLIC_PAGE
_PUBLIC: dict[str, tuple[Literal["resize", "pad", "native"], int, int]] = {
    "tiny": ("resize", 512, 0),
    "small": ("resize", 640, 0),
    "base": ("pad", 1024, 0),
    "large": ("pad", 1280, 0),
    "gundam": ("pad", 1024, 640),
    "gundam-master": ("pad", 1280, 1024),
    "native": ("native", 1024, 0),
}
MODES = tuple(_PUBLIC)


def get_mode(
    name: str,
    page: int = PUBLIC_PAGE,
    max_tokens: int | None = None,
    *,
    image_size: int | None = None,
    token_size: tuple[int, int] = TOKEN_SIZE,
) -> Mode:
    """The mode called `name`: one of MODES, or `square`, which pads an image to image_size x image_size pixels.

    For a given model, use `VisionConfig.mode`, which fills in the other arguments. `page`: side in pixels of the pages
    that the model was made for; the public sizes are scaled to it. `max_tokens`: most vision tokens of one image in
    mode native. `image_size`: side of the views of `square`, longest side of those of `native`; by default `page`.
    `token_size`: height and width in pixels that one vision token shows.

    Raises UserError for an unknown name, for a `max_tokens` that is too small for any image, and in modes other than
    native for any `max_tokens`.
    """
    if name != "square" and name not in _PUBLIC:
        raise UserError(f"no mode called {name!r}: choose one of {', '.join(MODES)}")
    fit, side, tile = _PUBLIC.get(name, ("pad", PUBLIC_PAGE, 0))
    if max_tokens is not None and fit != "native":
        raise UserError(f"--max_vision_tokens is for mode native; {name} always takes the same views")
    least = ImageLayout((SIDE_STEP, SIDE_STEP), token_size=token_size).n_tokens
    if max_tokens is not None and max_tokens < least:
        raise UserError(f"max_vision_tokens {max_tokens}: the smallest picture takes {least}")

    def own(public: int) -> int:
        return max(SIDE_STEP, round(public * page / PUBLIC_PAGE / SIDE_STEP) * SIDE_STEP)

    own_size = image_size if image_size and name in ("square", "native") else own(side)
    return Mode(name, fit, own_size, own(tile) if tile else 0, max_tokens, token_size)
