"""The actual peak memory of a training step, from torch's record of allocations, to verify predictions."""

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from nanochat.training.trainer import Trainer


def _allocations(events: list) -> Iterator[tuple[int, int]]:
    """(time, bytes; negative: freed) of every allocation under these events of torch's profiler."""
    for event in events:
        if event.tag == torch._C._profiler._EventType.Allocation:
            yield event.start_time_ns, event.extra_fields.alloc_size
        yield from _allocations(event.children)


def measured_peak(run: Callable[[], object], device: torch.device, held: int) -> int:
    """Peak bytes during `run`. `held`: bytes allocated before it, which the record of a CPU does not include."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    results = found.profiler.kineto_results  # type: ignore[union-attr]
    live, peak = held, held
    for _, n_bytes in sorted(_allocations(results.experimental_event_tree())):
        live += n_bytes
        peak = max(peak, live)
    return peak


def step_peak(trainer: Trainer) -> int:
    """Peak bytes of one training step after the first, including weights, optimizer and batch."""
    batch = next(iter(trainer.train_loader))
    trainer.train_step([batch])
    objective = trainer.learner.objective
    states = [x for o in trainer.learner.optimizers for state in o.state.values() for x in state.values()]
    tensors = [*objective.parameters(), *objective.buffers(), *states, *batch[:2]]
    held = sum(x.numel() * x.element_size() for x in tensors if isinstance(x, torch.Tensor))
    pixels = batch[2].pixel_values
    assert isinstance(pixels, torch.Tensor)  # views of one size
    return measured_peak(lambda: trainer.train_step([batch]), trainer.device, held + pixels.nbytes)
