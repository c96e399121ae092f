"""What learns, and one optimizer step of it: model and training-only head, optimizers, whole or divided.

A step's loss is the mean over all supervised tokens of all its micro-batches on all ranks, so that it does not depend
on how samples are spread. Where weights are divided among processes (`shard.py`), every rank takes part in every pass,
whatever it was given to read.
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
from nanochat.machine import Precision
from nanochat.multimodal_dataloader import IGNORE, Batch, to_device
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, Pixels
from nanochat.shard import gathered, gathered_here, like, load_parts, sum_gradients, sum_over_ranks, whole
from nanochat.training.flops import step_flops


class Objective(nn.Module):
    """Model and training-only head under one roof: what a step differentiates."""

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
        """(summed text loss, dense losses); without `read` the GPT is left out and the first is zero."""
        present = gathered_here(self)
        if read:
            loss = self.model(inputs, targets, pixels, loss_reduction="sum", documents=documents)
        else:
            assert pixels is not None
            self.model.encode_images(pixels)
            loss = torch.zeros((), device=inputs.device)
        for p in present:  # every rank must bring a gradient of the same parameters: here is a zero for each
            loss = loss + 0 * p.flatten()[0]
        return loss, self.dense(labels) if self.dense is not None and labels is not None else {}


class Learner:
    """An objective with its optimizers: takes steps, and knows what a later run must be given to go on."""

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
        """`dense_weights`: of each dense loss beside the text loss; `sharded`: the objective is a divided one."""
        self.objective, self.optimizers, self.precision, self.device = objective, optimizers, precision, device
        self.dense_weights, self.grad_clip, self.sharded = dense_weights, grad_clip, sharded
        _, self.rank, _, self.world_size = get_dist_info()

    # --- one step -----------------------------------------------------------------------------------------------------

    def step(self, batches: list[Batch], multiple: float, read: bool) -> dict[str, float]:
        """One step over micro-batches at `multiple` of the peak rates; without `read` on dense labels alone.

        The dense labels' weights fall with the rates: they show where to look, and the text has the last word.
        Returns, over all ranks: `loss`, mean text loss of a token; `dense`, weighted dense loss; `tokens`, those that
        went in; `flops`.
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
        """Gradients of one micro-batch as its part of the whole step's mean; (summed text loss, dense loss).

        `dense_share`: of the dense losses' weights, in the gradients; the loss returned has them whole.
        """
        if self.sharded and not len(batch[0]):  # nothing could be used: this rank must take part nevertheless
            batch = torch.zeros(1, 1, dtype=torch.long), torch.full((1, 1), IGNORE), batch[2]
        inputs, targets, media = to_device(batch, self.device)
        with self.precision.autocast(self.device):
            text, dense = self.objective(inputs, targets, media.pixel_values, media.labels, media.documents, read)
            extra = sum((w * dense[what] for what, w in self.dense_weights.items() if what in dense), 0 * text)
        (text / max(tokens, 1) + dense_share * extra / passes).backward()
        return float(text.detach()), float(extra.detach())

    def update(self, multiple: float = 1.0) -> None:
        """Clip the gradients, take a step of every optimizer at `multiple` of its peak rate, and forget them."""
        if self.grad_clip:
            params = [p for group in self.optimizers[0].param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(params, self.grad_clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * multiple
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _forget_unused(self, batches: list[Batch], read: bool) -> None:
        """Drop the zeros that stand for the gradients, already summed, of sharded parameters that no rank used."""
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

    # --- whole weights and states, whatever is divided ----------------------------------------------------------------

    def gathered(self) -> AbstractContextManager:
        """Weights whole on every rank meanwhile, so that ranks may run the model on what only they have."""
        return gathered(self.objective) if self.sharded else nullcontext()

    def whole_model(self) -> NanoDeepseekOCR:
        """The model with its weights put together; all ranks call it."""
        model = self.objective.model
        return model_of(model.config, whole(model.state_dict())) if self.sharded else model

    def state_dict(self) -> dict[str, Any]:
        """What a later run needs beside the weights: optimizers, each rank's random state, dense head; all call it.

        Tensors only; divided ones stay so.
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
        """Take up what `state_dict` gave, in a run of any number of processes, divided or not.

        Rates and decay are this run's, not the saved one's.
        """
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["state"]})
            for p, values in optimizer.state.items():
                values.update({name: like(value, p) for name, value in values.items()})
        if (dense := self.objective.dense) is not None:
            if "dense" not in state:
                raise UserError("the checkpoint comes from a run without dense labels: give --dense-weight=0")
            ours = dense.state_dict()
            dense.load_state_dict({name: like(value, ours[name]) for name, value in state["dense"].items()})
        torch.set_rng_state(state["random"][self.rank % len(state["random"])])

    def load_parts(self, folder: Path, n_files: int) -> None:
        """Take up what as many processes wrote of `state_dict`; each reads what it now holds, and all call it."""
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
