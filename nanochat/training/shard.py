"""Multiple processes: summing numbers and gradients; sharding weights, gradients and optimizer state (`fully_shard`).

The GPT's blocks are gathered one by one as they run, everything else once per pass: how often the encoder runs depends
on the images of each rank, but all ranks must gather together. A sharded tensor is a DTensor, recognised here by its
mesh, because importing torch.distributed.tensor takes seconds that runs without sharding should not spend.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
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
    """Sum the gradients of all ranks, with unsharded parameters; a parameter that no rank used keeps no gradient.

    This does not use DistributedDataParallel: with text-only and vision batches mixed, ranks and micro-batches use
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
    """The sums of numbers over all ranks, in float64 on `device`; unchanged for a single process."""
    if not dist.is_initialized():
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(sums)
    return sums.tolist()


def is_divided(x: object) -> bool:
    """Whether a tensor is sharded among processes."""
    return hasattr(x, "device_mesh")


def shard(module: nn.Module, blocks: Iterable[nn.Module]) -> None:
    """Shard a module's parameters among all processes, in place; `blocks` are the parts that run once per pass."""
    from torch.distributed.fsdp import fully_shard

    for part in (*blocks, module):
        unit: Any = fully_shard(part)
        # sum gradients, because each loss is already scaled to its share of the step
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)


def gathered_here(module: nn.Module) -> list[Tensor]:
    """The trained parameters of a sharded module that are gathered at the moment; of any other module, none."""
    trained: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
    present = [p for p in trained if not is_divided(p)]
    return present if len(present) < len(trained) else []


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Keep all parameters of a sharded module gathered on every rank, so that ranks need not run the same parts."""
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
    """A state dict with every sharded tensor gathered on the CPU. All ranks must call this, and all get the result."""
    return tree_map_only(Tensor, lambda x: x.full_tensor().cpu() if is_divided(x) else x, state)


def like(value: Any, model: Any) -> Any:
    """`value` sharded like `model`, if that is sharded and has the same shape; else unchanged."""
    if not is_divided(model) or is_divided(value) or not isinstance(value, Tensor) or value.shape != model.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(model.device), model.device_mesh, model.placements, src_data_rank=None)


def like_model(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A state dict with each tensor sharded like that of `model`, if the model is sharded."""
    ours = model.state_dict()
    return {name: like(value, ours.get(name)) for name, value in state.items()}


def save_parts(state: dict[str, Any], folder: Path) -> None:
    """Write a nested state of tensors to a folder of safetensors; each process writes its part; all must call it.

    Raises UserError on all processes if one cannot write.
    """
    import torch.distributed.checkpoint as dcp

    try:
        dcp.save(state, storage_writer=dcp.HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except dcp.CheckpointException as error:
        rank, (reason, _) = next(iter(error.failures.items()))
        raise UserError(f"cannot write {folder}: {reason} (process {rank})") from error


def load_parts(folder: Path, owners: dict[str, Tensor], n_files: int) -> dict[str, Tensor]:
    """The tensors that `save_parts` wrote, by path, such as `optimizers.0.state.5.exp_avg`; all must call it.

    `owners`: for a path, or the part before its last dot, the tensor that it belongs to; a tensor of the same shape is
    sharded like its owner. Raises UserError unless there are `n_files` files, all complete.
    """
    import torch.distributed.checkpoint as dcp

    reader = dcp.HuggingFaceStorageReader(str(folder))
    if (n_found := len(list(folder.glob("*.safetensors")))) != n_files:
        raise UserError(f"{folder} contains the parts of {n_found} processes instead of {n_files}")
    try:
        described: dict[str, Any] = reader.read_metadata().state_dict_metadata  # type: ignore[assignment]
    except Exception as error:  # safetensors raises various errors of its own
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
