"""Learned position tables for other grid sizes, computed once per size while the tables are frozen."""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def interpolate_grid(table: torch.Tensor, size: tuple[int, int], crop: bool = False) -> torch.Tensor:
    """An absolute position table (1, G, G, C) at another grid (h, w): bicubic with antialias, in float32.

    Returns (1, h, w, C) in the table's dtype. The convention is that of the public DeepSeek-OCR checkpoint. With
    `crop`, a grid that fits in the table uses its upper left corner, so positions mean the same at every image size.
    """
    if table.shape[1:3] == size:
        return table
    if crop and (torch.onnx.is_in_onnx_export() or (size[0] <= table.shape[1] and size[1] <= table.shape[2])):
        return table[:, : size[0], : size[1]]  # an exported graph supports every size that fits in the table
    # (1, C, G, G), left channels-last in memory: the contiguous kernel is wrong where w is 1 (torch 2.15, CPU)
    channels_first = table.permute(0, 3, 1, 2).float()
    resized = F.interpolate(channels_first, size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.permute(0, 2, 3, 1).to(table.dtype)


def interpolate_rows(table: torch.Tensor, n_rows: int, crop: bool = False) -> torch.Tensor:
    """A relative position table (R, C) at another number of rows: linear, in float32. Returns (n_rows, C).

    With `crop`, fewer rows are the middle ones, so that a distance means the same at every image size.
    """
    if table.shape[0] == n_rows:
        return table
    if crop and (torch.onnx.is_in_onnx_export() or n_rows < table.shape[0]):
        first = (table.shape[0] - n_rows) // 2
        return table[first : first + n_rows]
    resized = F.interpolate(table.float().T[None], size=n_rows, mode="linear", align_corners=False)  # (1, C, n_rows)
    return resized[0].T.to(table.dtype)


class TableCache:
    """Caches tables computed from one parameter, for as long as that parameter is frozen and keeps its value.

    Nothing is cached for a parameter that is trained, not even between steps: fused optimizers do not advance the
    version counter (torch 2.15). Other ways to change a frozen parameter (`load_state_dict`, `to`) are detected.
    """

    def __init__(self) -> None:
        self._state: tuple = ()
        self._tables: dict[tuple[int, ...], torch.Tensor] = {}

    def get(
        self, table: torch.Tensor, size: tuple[int, ...], compute: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """`compute(table)`, cached under `size`; never part of a compiled graph.

        When traced with varying sizes, the derivative of `F.interpolate` fails (torch 2.15). `disable` is not used as
        a decorator because that would import the compiler, which takes a second.
        """
        if torch.onnx.is_in_onnx_export():
            return compute(table)  # the graph computes it for every size
        if torch.compiler.is_compiling():
            return torch.compiler.disable(self._get)(table, size, compute)
        return self._get(table, size, compute)

    def _get(
        self, table: torch.Tensor, size: tuple[int, ...], compute: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        if table.requires_grad or table.is_inference():
            self._state, self._tables = (), {}
            return compute(table)
        state = (id(table), table.data_ptr(), table._version, table.device, table.dtype)
        if state != self._state:
            self._state, self._tables = state, {}
        if size not in self._tables:
            with torch.inference_mode(False), torch.no_grad():  # an inference tensor could not be used elsewhere
                self._tables[size] = compute(table)
        return self._tables[size]

    def __deepcopy__(self, memo: dict) -> "TableCache":
        return TableCache()

    def __reduce__(self) -> tuple:
        return TableCache, ()
