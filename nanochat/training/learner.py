"""`Learner`: model, training-only head and optimizers, and one optimizer step, sharded or not.

The loss of a step is the mean over all supervised tokens of all its micro-batches on all ranks, so it does not depend
on how samples are distributed. If weights are sharded (`shard.py`), every rank must take part in every forward and
backward pass, even if its batch contains nothing for a part of the model.
"""

from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn as nn
from torch import Tensor

from nanochat.checkpoint import model_of
from nanochat.common import get_dist_info
from nanochat.deepencoder.dense import DenseHead
from nanochat.errors import UserError
from nanochat.multimodal_dataloader import IGNORE, Batch, to_device
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, Pixels
from nanochat.precision import Precision
from nanochat.training.flops import step_flops
from nanochat.training.shard import (
    gathered,
    gathered_here,
    like,
    like_model,
    load_parts,
    sum_gradients,
    sum_over_ranks,
    whole,
)


class Objective(nn.Module):
    """The model and the training-only head for dense labels as one module, whose forward pass returns the losses."""

    def __init__(self, model: NanoDeepseekOCR, dense: DenseHead | None) -> None:
        super().__init__()
        self.model, self.dense = model, dense

    def forward(
        self,
        inputs: Tensor,
        targets: Tensor,
        pixels: Pixels | None,
        labels: dict[str, Tensor] | None,
        documents: list[int] | None,
        read: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns (sum of the text loss over supervised tokens, dense losses by name).

        `inputs`, `targets`: int64 (B, T), targets -1 where nothing is supervised. `pixels`: views of the images.
        `labels`: dense labels. `documents`: lengths of packed documents. If `read` is false, the GPT is skipped and the
        text loss is zero.
        """
        present = gathered_here(self)
        if read:
            loss = self.model(inputs, targets, pixels, loss_reduction="sum", documents=documents)
        else:
            assert pixels is not None
            self.model.encode_images(pixels)
            loss = torch.zeros((), device=inputs.device)
        for p in present:  # all ranks need gradients of the same parameters: add a zero for each
            loss = loss + 0 * p.flatten()[0]
        return loss, self.dense(labels) if self.dense is not None and labels is not None else {}


class Learner:
    """An `Objective` with its optimizers. It runs steps, and provides the state that a resumed run needs."""

    def __init__(
        self,
        objective: Objective,
        optimizers: list[torch.optim.Optimizer],
        precision: Precision,
        device: torch.device,
        dense_weights: dict[str, float],
        grad_clip: float,
        sharded: bool,
    ) -> None:
        """`dense_weights`: weights of the dense losses relative to the text loss. `sharded`: `objective` is sharded."""
        self.objective, self.optimizers, self.precision, self.device = objective, optimizers, precision, device
        self.dense_weights, self.grad_clip, self.sharded = dense_weights, grad_clip, sharded
        _, self.rank, _, self.world_size = get_dist_info()

    # --- one step -----------------------------------------------------------------------------------------------------

    def step(self, batches: list[Batch], multiple: float, read: bool) -> dict[str, float]:
        """Run one optimizer step over micro-batches, with all learning rates multiplied by `multiple`.

        If `read` is false, only the dense losses are used. The weights of the dense losses decrease with the learning
        rate, so that the text loss decides at the end. Returns figures over all ranks: `loss`, the mean text loss per
        supervised token; `dense`, the weighted dense loss; `tokens`, the number of input tokens; `flops`.
        """
        tokens = sum(int((targets != IGNORE).sum()) for _, targets, _ in batches)
        (all_tokens,) = sum_over_ranks([tokens], self.device)
        passes = len(batches) * self.world_size
        sums = [
            self.forward_backward(batch, all_tokens, passes, read, multiple)
            for batch in batches
            if len(batch[0]) or self.sharded
        ]  # fmt: skip
        if self.sharded:
            self._forget_unused(batches, read)
        else:
            sum_gradients([p for p in self.objective.parameters() if p.requires_grad])
        self.update(multiple)
        seen = sum(inputs.numel() for inputs, _, _ in batches)
        flops = sum(self._flops(b, read) for b in batches)
        text, dense, all_seen, flops = sum_over_ranks(
            [sum(t for t, _ in sums), sum(d for _, d in sums) / passes, seen, flops], self.device
        )
        return {"loss": text / max(all_tokens, 1), "dense": dense, "tokens": all_seen, "flops": flops}

    def forward_backward(
        self, batch: Batch, tokens: float, passes: int, read: bool = True, dense_share: float = 1.0
    ) -> tuple[float, float]:
        """Add the gradients of one micro-batch, scaled to its part of the mean of the step.

        `tokens`: supervised tokens of the whole step. `passes`: micro-batches of the step over all ranks.
        `dense_share`: factor of the dense losses in the gradients, but not in the returned loss. Returns (sum of the
        text loss, weighted dense loss).
        """
        if self.sharded and not len(batch[0]):  # no usable sample, but this rank must take part
            batch = torch.zeros(1, 1, dtype=torch.long), torch.full((1, 1), IGNORE), batch[2]
        inputs, targets, media = to_device(batch, self.device)
        with self.precision.autocast(self.device):
            text, dense = self.objective(inputs, targets, media.pixel_values, media.labels, media.documents, read)
            extra = sum((w * dense[what] for what, w in self.dense_weights.items() if what in dense), 0 * text)
        (text / max(tokens, 1) + dense_share * extra / passes).backward()
        return float(text.detach()), float(extra.detach())

    def update(self, multiple: float = 1.0) -> None:
        """Clip gradients, run a step of every optimizer at `multiple` of its peak rate, and reset the gradients."""
        if self.grad_clip:
            params = [p for group in self.optimizers[0].param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(params, self.grad_clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * multiple
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _forget_unused(self, batches: list[Batch], read: bool) -> None:
        """Remove the gradients, all zero, of sharded parameters that no rank used in this step."""
        media = [batch[2] for batch in batches]
        counts = [sum(m.pixel_values is not None for m in media), sum(m.labels is not None for m in media)]
        seen, asked = sum_over_ranks(counts, self.device)
        used = {"model.gpt.": read, "dense.": asked > 0, "model.": seen > 0}
        for name, p in self.objective.named_parameters():
            if not next(flag for prefix, flag in used.items() if name.startswith(prefix)):
                p.grad = None

    def _flops(self, batch: Batch, read: bool) -> float:
        inputs, targets, media = batch
        model = self.objective.model
        lengths = media.documents or [inputs.size(1)] * inputs.size(0)
        return step_flops(
            model.config.vision,
            model.config.gpt,
            media.view_sizes,
            lengths if read else [],
            supervised=int((targets != IGNORE).sum()) if read else 0,
            sam_trains=model.sam_model.pos_embed.requires_grad,
        )

    # --- whole weights and states, sharded or not ----------------------------------------------------------------

    def gathered(self) -> AbstractContextManager:
        """Context manager in which every rank has the whole weights, so that ranks can run the model independently."""
        return gathered(self.objective) if self.sharded else nullcontext()

    def whole_model(self) -> NanoDeepseekOCR:
        """The model with unsharded weights. All ranks must call this."""
        model = self.objective.model
        return model_of(model.config, whole(model.state_dict())) if self.sharded else model

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs besides the weights: optimizers, random state of each rank, dense head.

        Contains only tensors; sharded ones stay sharded. All ranks must call this.
        """
        random: list[Any] = [torch.get_rng_state()]
        if dist.is_initialized():
            random = [None] * self.world_size
            dist.all_gather_object(random, torch.get_rng_state())
        optimizers = [{"state": optimizer.state_dict()["state"]} for optimizer in self.optimizers]
        state: dict[str, Any] = {"optimizers": optimizers, "random": random}
        if self.objective.dense is not None:
            state["dense"] = self.objective.dense.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, in a run with any number of processes, sharded or not.

        Learning rates and weight decay stay those of this run.
        """
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["state"]})
            for p, values in optimizer.state.items():
                values.update({name: like(value, p) for name, value in values.items()})
        if (dense := self.objective.dense) is not None:
            if "dense" not in state:
                raise UserError("the checkpoint comes from a run without dense labels: give --dense-weight=0")
            dense.load_state_dict(like_model(state["dense"], dense))
        torch.set_rng_state(state["random"][self.rank % len(state["random"])])

    def load_parts(self, folder: Path, n_files: int) -> None:
        """Restore a `state_dict` that `n_files` processes wrote to `folder`; each rank reads what it needs.

        All ranks must call this.
        """
        dense = self.objective.dense
        owners = {f"dense.{name}": value for name, value in dense.state_dict().items()} if dense is not None else {}
        for number, optimizer in enumerate(self.optimizers):
            params = [p for group in optimizer.param_groups for p in group["params"]]
            owners |= {f"optimizers.{number}.state.{index}": p for index, p in enumerate(params)}
        states: list[dict[int, dict[str, Tensor]]] = [defaultdict(dict) for _ in self.optimizers]
        state: dict[str, Any] = {"optimizers": [{"state": s} for s in states], "random": {}, "dense": {}}
        for path, value in load_parts(folder, owners, n_files).items():
            what, name = path.split(".", 1)
            if what == "optimizers":
                number_, _, index_, name = name.split(".")
                states[int(number_)][int(index_)][name] = value
            else:
                state[what][int(name) if what == "random" else name] = value
        self.load_state_dict(state)
