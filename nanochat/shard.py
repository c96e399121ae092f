"""Several processes: numbers and gradients summed; or weights, gradients, optimizer state divided by `fully_shard`.

The GPT's blocks are gathered one by one, as each runs; all else once for a whole pass, because how often the encoder
runs depends on each rank's pictures, and what ranks gather they must gather together. A divided tensor is a DTensor,
known here by its mesh: importing torch.distributed.tensor takes seconds, which only those who divide should wait for.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn as nn
from torch import Tensor
from torch.utils._pytree import tree_map_only

from nanochat.errors import UserError


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Sum the gradients of all ranks, whose parameters are whole; one that no rank used keeps none.

    By hand, not by DistributedDataParallel: with text-only and vision batches mixed, ranks and micro-batches use
    different parameters, and the sum must not depend on which.
    """
    if not dist.is_initialized() or not parameters:
        return
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=parameters[0].device)
    dist.all_reduce(used, dist.ReduceOp.MAX)
    for p, is_used in zip(parameters, used.tolist()):
        if is_used and p.grad is None:
            p.grad = torch.zeros_like(p)
    grads = [p.grad for p in parameters if p.grad is not None]
    for handle in [dist.all_reduce(grad, async_op=True) for grad in grads]:
        handle.wait()  # type: ignore[union-attr]


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """The sums of numbers, in float64, over all ranks, whose tensors lie on `device`; one process's own as they are."""
    if not dist.is_initialized():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return sums.tolist()


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
    if not is_divided(model) or is_divided(value) or not isinstance(value, Tensor) or value.shape != model.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def save_parts(state: dict[str, Any], folder: Path) -> None:
    """Write a nested state of tensors to a folder of safetensors, every process what it holds; all call it.

    Raises UserError on all of them when one cannot write.
    """
    import torch.distributed.checkpoint as dcp

    try:
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except dcp.CheckpointException as error:
        rank, (reason, _) = next(iter(error.failures.items()))
        raise UserError(f"cannot write {folder}: {reason} (process {rank})") from error


def load_parts(folder: Path, owners: dict[str, Tensor], n_files: int) -> dict[str, Tensor]:
    """What `save_parts` wrote, by its path in the state, such as `optimizers.0.state.5.exp_avg`; all call it.

    `owners`: for a path, or what is before its last dot, the tensor that it belongs to: of the same shape, it is
    divided as that is now. Raises UserError unless there are `n_files`, all whole.
    """
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(str(folder))
    if (n_found := len(list(folder.glob("*.safetensors")))) != n_files:
        raise UserError(f"{folder} holds the parts of {n_found} processes, not of {n_files}")
    try:
        described: dict[str, Any] = reader.read_metadata().state_dict_metadata  # type: ignore[assignment]
    except Exception as error:  # safetensors raises its own by how a file is broken
        raise UserError(f"{folder}: a file is truncated or broken ({error})") from error
    state: dict[str, Any] = {}
    for path, found in described.items():
        owner, dtype = owners.get(path, owners.get(path.rpartition(".")[0])), found.properties.dtype
        if owner is not None and owner.shape == found.size:
            state[path] = torch.zeros_like(owner, dtype=dtype)
        else:
            state[path] = torch.zeros(found.size, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*assuming the intent is to load in a single process")
        dcp.load(state, storage_reader=reader)
    return state
