"""Dense supervision for the encoder: a training-only head that predicts the character at each position.

At the start of training, a decoder that cannot read gives the encoder no useful gradient; labels at every position of
the image do. There are two linear readouts: from SAM's patches, the character in each of 8 slots of 8 x 4 pixels; from
each vision token, the characters of what it shows in reading order. Neither exists at inference.
"""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from nanochat.deepencoder.projector import Projector
from nanochat.deepencoder.sam import SAM
from nanochat.modes import ImageLayout

PATCH = 16  # pixels
SLOT_ROWS, SLOT_COLUMNS = 2, 4  # slots of a patch: 8 pixels high, 4 wide
CELL_LINES, LINE_CHARS = 5, 12  # characters of a token that are predicted: the first 12 of its first 5 lines
N_CLASSES = 128  # class 0: no character; else the ASCII code
PATCH_WEIGHTS = {0: 0.1, ord(" "): 0.3}  # nearly all slots are blank
CELL_WEIGHTS = {0: 0.15}


def dense_labels(chars: str, centres: np.ndarray, line_ids: np.ndarray, layout: ImageLayout) -> dict[str, Tensor]:
    """Labels of one view from its glyphs (`centres`: (n, 2) x, y in pixels), as int64 classes.

    `patches`: (height/16 * width/16, 8); `cells`: (rows * columns of tokens, 60). Non-ASCII characters are ignored.
    """
    height, width = layout.view
    cell_height, cell_width = layout.token_size
    slots = np.zeros((height // (PATCH // SLOT_ROWS), width // (PATCH // SLOT_COLUMNS)), dtype=np.int64)
    cells = np.zeros((*layout.view_rows, CELL_LINES, LINE_CHARS), dtype=np.int64)
    lines_of: dict[tuple[int, int], dict[int, int]] = {}  # cell -> {text line: characters of it so far}
    for char, (x, y), line in zip(chars, centres, line_ids):
        code = ord(char)
        if code >= N_CLASSES or not (0 <= x < width and 0 <= y < height):
            continue
        slots[int(y) // (PATCH // SLOT_ROWS), int(x) // (PATCH // SLOT_COLUMNS)] = code
        cell = (int(y) // cell_height, int(x) // cell_width)
        lines = lines_of.setdefault(cell, {})
        k = lines.setdefault(int(line), 0)
        lines[int(line)] += 1
        row = list(lines).index(int(line))
        if row < CELL_LINES and k < LINE_CHARS:
            cells[cell][row, k] = code
    rows, columns = height // PATCH, width // PATCH
    patches = slots.reshape(rows, SLOT_ROWS, columns, SLOT_COLUMNS).transpose(0, 2, 1, 3)
    return {
        "patches": torch.from_numpy(patches.reshape(rows * columns, -1).copy()),
        "cells": torch.from_numpy(cells.reshape(-1, CELL_LINES * LINE_CHARS)),
    }


class DenseHead(nn.Module):
    """Two readouts and their weighted cross entropies; hooks record the encoder's features without changing it."""

    patch_weights: Tensor
    cell_weights: Tensor

    def __init__(self, sam: SAM, projector: Projector, token_width: int) -> None:
        super().__init__()
        sam_width = sam.config.width
        self.norm = nn.LayerNorm(sam_width)
        self.patches = nn.Linear(sam_width, SLOT_ROWS * SLOT_COLUMNS * N_CLASSES)
        self.cells = nn.Linear(token_width, CELL_LINES * LINE_CHARS * N_CLASSES)
        self.heard: dict[str, list[Tensor]] = {"patches": [], "cells": []}
        sam.neck.register_forward_pre_hook(lambda _, args: self._hear("patches", args[0].flatten(2).transpose(1, 2)))
        projector.register_forward_hook(lambda _, args, output: self._hear("cells", output))
        for name, weights in (("patch_weights", PATCH_WEIGHTS), ("cell_weights", CELL_WEIGHTS)):
            table = torch.ones(N_CLASSES)
            for code, weight in weights.items():
                table[code] = weight
            self.register_buffer(name, table, persistent=False)

    def _hear(self, what: str, features: Tensor) -> None:
        if torch.is_grad_enabled():  # in training, not in validation
            self.heard[what].append(features)  # (N, positions, C)

    def forward(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses `patches` and `cells` for the views encoded last, against labels (positions of all views, slots).

        Views of equal size are consecutive, in the order in which the encoder processes them.
        """
        heard = {what: torch.cat([f.flatten(0, 1) for f in features]) for what, features in self.heard.items()}
        self.heard = {what: [] for what in self.heard}
        patches = self.patches(self.norm(heard["patches"])).unflatten(-1, (-1, N_CLASSES))
        cells = self.cells(F.rms_norm(heard["cells"], heard["cells"].shape[-1:])).unflatten(-1, (-1, N_CLASSES))
        return {
            "patches": F.cross_entropy(patches.flatten(0, 1), labels["patches"].flatten(), self.patch_weights),
            "cells": F.cross_entropy(cells.flatten(0, 1), labels["cells"].flatten(), self.cell_weights),
        }
