"""Weights, gradients and optimizer state divided among processes by torch's `fully_shard`, and put together again.

The GPT's blocks are gathered one by one, as each runs; all else once for a whole pass, because how often the encoder
runs depends on each rank's pictures, and what ranks gather they must gather together. A divided tensor is a DTensor,
known here by its mesh: importing torch.distributed.tensor takes seconds, which only those who divide should wait for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn as nn
from torch import Tensor
from torch.utils._pytree import tree_map_only


def is_divided(x: object) -> bool:
    """Whether a tensor is divided among processes."""
    return hasattr(x, "device_mesh")


def shard(module: nn.Module, blocks: nn.ModuleList) -> None:
    """Divide a module's parameters, in place, among all processes; `blocks` are what runs once a pass."""
    from torch.distributed.fsdp import fully_shard

    for part in (*blocks, module):
        unit: Any = fully_shard(part)
        unit.set_gradient_divide_factor(1.0)  # gradients are summed: the loss is already a share of the step's
        unit.set_force_sum_reduction_for_comms(True)


def gathered_here(module: nn.Module) -> list[Tensor]:
    """Of a divided module, the parameters that train and are whole at this moment; of any other, none."""
    trained: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    present = [p for p in trained if not is_divided(p)]
    return present if len(present) < len(trained) else []


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """All parameters of a divided module whole on every rank meanwhile, so that ranks need not run the same parts."""
    units: list[Any] = [unit for unit in module.modules() if hasattr(unit, "unshard")]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(unit is not module, recurse=False)
            unit.reshard()


def whole(state: Any) -> Any:
    """A state dict with every divided tensor put together, on the CPU; all ranks call it, and all get it."""
    return tree_map_only(Tensor, lambda x: x.full_tensor().cpu() if is_divided(x) else x, state)


def like(value: Any, model: Any) -> Any:
    """A whole tensor divided as `model` is, where that is divided and of the same shape; else as it is."""
    if not is_divided(model) or not isinstance(value, Tensor) or value.shape != model.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)
