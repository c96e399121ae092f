"""Learned position tables at other sizes than they were learned at, computed once per size while they do not change."""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def interpolate_grid(table: torch.Tensor, size: tuple[int, int], crop: bool = False) -> torch.Tensor:
    """An absolute position table (1, G, G, C) at another grid (h, w): bicubic with antialias, in float32.

    Returns (1, h, w, C) in the table's dtype. The convention is the public DeepSeek-OCR checkpoint's. With `crop` a
    grid that fits in the table takes its upper left corner, so that a place means the same in pictures of every size.
    """
    if table.shape[1:3] == size:
        return table
    if crop and size[0] <= table.shape[1] and size[1] <= table.shape[2]:
        return table[:, : size[0], : size[1]]
    channels_first = table.permute(0, 3, 1, 2).float()  # (1, C, G, G)
    resized = F.interpolate(channels_first, size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.permute(0, 2, 3, 1).to(table.dtype)


def interpolate_rows(table: torch.Tensor, n_rows: int, crop: bool = False) -> torch.Tensor:
    """A relative position table (R, C) at another number of rows: linear, in float32. Returns (n_rows, C).

    With `crop` fewer rows are the middle ones, so that a distance means the same in pictures of every size.
    """
    if table.shape[0] == n_rows:
        return table
    if crop and n_rows < table.shape[0]:
        first = (table.shape[0] - n_rows) // 2
        return table[first : first + n_rows]
    resized = F.interpolate(table.float().T[None], size=n_rows, mode="linear", align_corners=False)  # (1, C, n_rows)
    return resized[0].T.to(table.dtype)


class TableCache:
    """Remembers what was derived from one parameter, for as long as that parameter keeps its value.

    Nothing is kept while the parameter trains (its derivatives belong to one graph) or while torch.compile traces.
    A change is seen by the parameter's version counter, which every in-place operation and `load_state_dict` advance,
    and by its address, which moves with the device and the dtype.
    """

    def __init__(self) -> None:
        self._state: tuple = ()
        self._tables: dict[tuple[int, ...], torch.Tensor] = {}

    def get(
        self, table: torch.Tensor, size: tuple[int, ...], compute: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """`compute(table)`, remembered under `size`."""
        if torch.compiler.is_compiling() or table.is_inference() or (table.requires_grad and torch.is_grad_enabled()):
            return compute(table)
        state = (id(table), table.data_ptr(), table._version, table.device, table.dtype)
        if state != self._state:
            self._state, self._tables = state, {}
        if size not in self._tables:
            with torch.inference_mode(False), torch.no_grad():  # an inference tensor could not be used in training
                self._tables[size] = compute(table)
        return self._tables[size]

    def __deepcopy__(self, memo: dict) -> "TableCache":
        return TableCache()

    def __reduce__(self) -> tuple:
        return TableCache, ()
