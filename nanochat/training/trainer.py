"""`Trainer`: the training loop of both stages. `learner.py` runs a single step.

The differences between the stages (frozen parts, schedule, data) are passed to the trainer.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch.distributed as dist

from nanochat.checkpoint import load_into, load_weights, read_meta
from nanochat.common import get_dist_info, print0
from nanochat.deepencoder.dense import DenseHead
from nanochat.errors import UserError, extra
from nanochat.machine import Utilisation, choose_precision
from nanochat.multimodal_dataloader import Batch, MultimodalLoader
from nanochat.plans import FixedPlan
from nanochat.precision import Precision
from nanochat.prompts import names_of
from nanochat.tasks.common import ENDLESS
from nanochat.training.config import TrainConfig, step_to_resume
from nanochat.training.learner import Learner, Objective
from nanochat.training.optim import build_optimizers
from nanochat.training.recompute import compile_blocks, recompute_blocks
from nanochat.training.saving import newest_step, save_checkpoint, save_deepencoder, save_divided
from nanochat.training.schedules import Schedule
from nanochat.training.setup import Setup
from nanochat.training.shard import like_model, shard
from nanochat.training.validate import Validation, validate

OnStep = Callable[[int, int, dict[str, float]], None]  # (step, steps, figures), called after each step


def taught_modes(view: str, shown: Counter[str]) -> list[str]:
    """The reading modes that a model learns from its training images, the best one first.

    `view`: the view mode of its vision configuration. `shown`: number of training images by height: "lines" (as low as
    one line of text) and "pages" (higher).
    """
    if view != "native" or not shown.total():
        return [view]
    by_mode = {"lines": shown["lines"], "native": shown["pages"]}
    often = [mode for mode, n in by_mode.items() if n >= 0.1 * shown.total()]
    return sorted(often, key=lambda mode: by_mode[mode], reverse=True)


@dataclass
class Stage:
    """What defines a training stage: its number, its learning rate and schedule, and its dense losses."""

    number: int
    """1 or 2"""
    schedule: Schedule
    """factor of the learning rate at each step"""
    lr: float
    """default peak learning rate"""
    dense_steps: int = 0
    """number of steps at the start that train the encoder alone, on dense labels"""
    dense_weights: dict[str, float] = field(default_factory=dict)
    """weight of each dense loss (patches, cells) relative to the text loss; empty: no dense losses"""


class Trainer:
    """Runs a stage from its first step, or from a checkpoint, to its last step.

    `train_loader`: yields batches without end. `val_loader`: starts a new pass over the validation set. Raises
    UserError if a setting is out of range or the training data has no usable samples.
    """

    def __init__(
        self,
        config: TrainConfig,
        stage: Stage,
        setup: Setup,
        train_loader: MultimodalLoader,
        val_loader: Callable[[], MultimodalLoader],
    ) -> None:
        self.config, self.stage, self.device = config, stage, setup.device
        self.model, self.tokenizer = setup.model.to(setup.device), setup.tokenizer
        self.train_loader, self.val_loader = train_loader, val_loader
        _, self.rank, _, self.world_size = get_dist_info()
        self.first_step = step_to_resume(config, stage.number)
        self.checkpoint = Path(config.checkpoint_dir) / f"step_{self.first_step}.pt"  # to resume from
        self.resumed = read_meta(self.checkpoint) if self.first_step >= 0 else {}
        precision = self._choose_precision()
        self.utilisation = Utilisation(self.device, precision)
        self.learner = self._build_learner(precision)
        self.step, self.best, self.total_flops, self.started = 0, math.inf, 0.0, time.time()
        self.last: Validation | None = None
        self.shown: Counter[str] = Counter()  # number of training images: lines, pages
        self.steps = self._count_steps()
        self.accumulate = self._accumulation()
        if self.accumulate > 1 and not isinstance(train_loader.plan, FixedPlan):
            raise UserError(
                "--total-batch-size cannot be combined with --synth, where each batch is a step: give only --batch-size"
            )
        self.log = open_log(config, stage)

    def _choose_precision(self) -> Precision:
        """The precision that the settings ask for.

        If it is to be measured, all ranks use the choice of the first one, and a resumed run uses that of the original
        run if possible.
        """
        before: str | None = self.resumed.get("precision")
        name: str = self.config.precision
        if name == "default":
            name = "auto" if self.device.type == "cuda" else "float32"
        if name == "auto" and self.device.type == "cpu" and dist.is_initialized():
            names = [choose_precision(name, self.device, before).name if self.rank == 0 else ""]
            dist.broadcast_object_list(names)
            name = names[0]
        return choose_precision(name, self.device, before)

    def _build_learner(self, precision: Precision) -> Learner:
        config, stage, model = self.config, self.stage, self.model
        dense = None
        if stage.dense_weights:
            dense = DenseHead(model.sam_model, model.projector, model.config.gpt.n_embd)
        recompute_blocks(model, config.recompute)
        if config.compile:
            compile_blocks(model)
        objective = Objective(model, dense).to(self.device).train()
        if config.shard and config.optimizer == "adamw8bit":
            raise UserError("--shard cannot divide 8-bit optimizer state: use --optimizer=adamw")
        sharded = config.shard and dist.is_initialized()
        if sharded:
            shard(objective, model.gpt.blocks)
        optimizers = build_optimizers(
            objective, config.optimizer, stage.lr, config.weight_decay, muon_dtype=precision.dtype()
        )
        return Learner(objective, optimizers, precision, self.device, stage.dense_weights, config.grad_clip, sharded)

    def _accumulation(self) -> int:
        if self.config.batch_size < 1:
            raise UserError(f"--batch-size={self.config.batch_size}: a step needs at least one sample")
        per_pass, total = self.config.batch_size * self.world_size, self.config.samples_of_step(self.world_size)
        if total % per_pass:
            raise UserError(f"--total-batch-size={total} is not a multiple of --batch-size x processes = {per_pass}")
        return total // per_pass

    def _count_steps(self) -> int:
        if self.config.steps >= 0:
            return self.config.steps
        if len(self.train_loader.data.task) >= ENDLESS:
            raise UserError("--synth needs the number of --steps, because synthetic documents never end")
        samples = self.config.num_epochs * len(self.train_loader.data.task)
        return math.ceil(samples / self.config.samples_of_step(self.world_size))

    # --- resuming -----------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Restore weights, optimizers, random states and position from a checkpoint, if the settings ask for it.

        Raises UserError if the checkpoint is from another stage, optimizer or kind of data.
        """
        folder, step = Path(self.config.checkpoint_dir), self.first_step
        if step < 0:
            print0(f"nothing to resume in {folder}: starting from the first step")
            return
        meta = self.resumed
        if meta["stage"] != self.stage.number:
            raise UserError(f"{self.checkpoint} is from stage {meta['stage']}, but this is stage {self.stage.number}")
        load_into(self.model, like_model(load_weights(self.checkpoint), self.model), self.checkpoint)
        if bool(meta["plan"]) != bool(self.train_loader.plan.state_dict()):
            raise UserError(f"{self.checkpoint} comes from a run {'with' if meta['plan'] else 'without'} --synth")
        if (kind := meta["training"]["optimizer"]) != self.config.optimizer:
            raise UserError(
                f"{folder}/optim_{step} was written with --optimizer={kind}, but this run uses {self.config.optimizer}"
            )
        if (parts := folder / f"optim_{step}").is_dir():
            self.learner.load_parts(parts, meta["world_size"])
        else:
            self.learner.load_state_dict(load_weights(folder / f"optim_{step}.pt"))
        self.step, self.total_flops = step, meta["total_flops"]
        self.shown = Counter(meta.get("shown", {}))
        self.best = math.inf if meta["best"] is None else meta["best"]
        if self.config.resume == "auto":
            self.started = meta.get("started", 0.0)
        self.train_loader.position = meta["position"]
        if isinstance(self.train_loader.plan, FixedPlan):  # with other plans, a batch of any size is one step
            samples = meta["position"] * meta["world_size"] * meta["training"]["batch_size"]
            self.train_loader.position = samples // (self.world_size * self.config.batch_size)
        self.train_loader.plan.load_state_dict(meta["plan"])
        print0(f"resumed from {self.checkpoint}")

    def save(self) -> None:
        """Write a checkpoint of the current step. All ranks must call this; the first writes all unsharded files."""
        resume = self.learner.state_dict()
        if self.learner.sharded:
            save_divided(self.config.checkpoint_dir, self.step, resume)
        model = self.learner.whole_model()
        if self.rank == 0:
            meta = {
                "stage": self.stage.number,
                "preset": self.config.model,
                "tasks": names_of(self.train_loader.data.task.prompts),
                "position": self.train_loader.position,
                "plan": self.train_loader.plan.state_dict(),
                "world_size": self.world_size,
                "started": self.started,
                "precision": self.learner.precision.name,
                "best": self.best if math.isfinite(self.best) else None,
                "total_flops": self.total_flops,
                "validation": asdict(self.last) if self.last else None,
                "training": asdict(self.config),
            }
            if not meta["plan"]:  # for synthetic documents, the curriculum determines the modes
                meta |= {"shown": self.shown, "reading_modes": taught_modes(self.model.config.vision.view, self.shown)}
            alone = None if self.learner.sharded else resume
            folder = self.config.checkpoint_dir
            self.tokenizer.save(folder)
            if self.stage.number == 1:
                print0(f"Saved DeepEncoder checkpoint to {save_deepencoder(folder, self.step, model)}")
            print0(f"Saved checkpoint to {save_checkpoint(folder, self.step, model, alone, meta)}")
        if dist.is_initialized():
            dist.barrier()

    # --- the loop -----------------------------------------------------------------------------------------------------

    def train_step(self, batches: list[Batch]) -> dict[str, float]:
        """Run one optimizer step over micro-batches. Returns the figures of `Learner.step`, and the learning rate as
        `lr`.
        """
        multiple = self.stage.schedule(self.step, self.steps)
        figures = self.learner.step(batches, multiple, read=self.step >= self.stage.dense_steps)
        self.total_flops += figures["flops"]
        layouts = [layout for _, _, media in batches for layout in media.layouts]
        self.shown.update("lines" if layout.view_rows[0] == 1 else "pages" for layout in layouts)
        return {**figures, "lr": self.stage.lr * multiple}

    def validate(self) -> Validation:
        """Validate on the fixed validation set; print and log the result, and warn if the model ignores its images."""
        with self.learner.gathered():
            found = validate(self.model, self.val_loader(), self.learner.precision)
        self.best, self.last = min(self.best, found.loss), found
        line = f"step {self.step:05d}/{self.steps} | Validation loss: {found.loss:.4f} | min: {self.best:.4f}"
        if found.image_gain is not None:
            line += f" | image gain: {found.image_gain:.3f}"
        if found.similarity is not None:
            line += f" | similarity: {found.similarity:.4f} (centred {found.centred_similarity:.4f})"
        if found.directions is not None:
            line += f" | directions: {found.directions:.1f}"
        print0(line)
        for warning in found.warnings():
            print0(f"WARNING: {warning}")
        named = {"loss": found.loss, "image_gain": found.image_gain, "feature_similarity": found.similarity}
        self.log({f"val/{name}": value for name, value in named.items() if value is not None}, self.step)
        return found

    def run(self, on_step: OnStep | None = None) -> Validation:
        """Train until the last step, with a call of `on_step` after each. Returns the result of the last validation."""
        if self.config.resume_step >= 0 or self.config.resume == "auto":
            self.resume()
        elif newest_step(self.config.checkpoint_dir, 3 - self.stage.number) >= 0:
            print0(
                f"WARNING: {self.config.checkpoint_dir} contains checkpoints of the other stage: "
                "those of the same steps will be replaced"
            )
        started, first = time.perf_counter(), self.step
        batches = iter(self.train_loader)
        while self.step < self.steps:
            start = time.perf_counter()
            position = self.train_loader.position
            figures = self.train_step([next(batches) for _ in range(self.accumulate)])
            self.step += 1
            if self.train_loader.plan.observe(position, figures["loss"]):
                print0(f"step {self.step:05d}/{self.steps} | {self.train_loader.plan}")
                batches = iter(self.train_loader)  # prefetched batches are from the old plan
            left = (time.perf_counter() - started) / (self.step - first) * (self.steps - self.step)
            self._report(figures, time.perf_counter() - start, left)
            if on_step is not None:
                on_step(self.step, self.steps, figures)
            at_end = self.step == self.steps
            if at_end or (self.config.eval_every > 0 and self.step % self.config.eval_every == 0):
                self.validate()
            if at_end or (self.config.save_every > 0 and self.step % self.config.save_every == 0):
                self.save()
        return self.last or self.validate()

    def _report(self, figures: dict[str, float], seconds: float, left: float) -> None:
        mfu = 100 * self.utilisation.share(figures["flops"] / seconds / self.world_size)
        rate = figures["tokens"] / seconds
        dense = f" | dense: {figures['dense']:.4f}" if self.stage.dense_weights else ""
        print0(
            f"step {self.step - 1:05d}/{self.steps} | loss: {figures['loss']:.4f}{dense} | lr: {figures['lr']:.2e} | "
            f"dt: {seconds:.2f}s | tok/sec: {rate:,.0f} | mfu: {mfu:.2f} | left: {left / 60:.1f} min"
        )
        named = {"loss": figures["loss"], "lr": figures["lr"], "dt": seconds, "tok_per_sec": rate, "mfu": mfu}
        self.log({f"train/{k}": v for k, v in {**named, "total_flops": self.total_flops}.items()}, self.step)


def open_log(config: TrainConfig, stage: Stage) -> Callable[[dict[str, float], int], None]:
    """A function that logs figures of a step to wandb, in the project nano-deepseek-ocr.

    It does nothing for `--run=dummy`, and on ranks other than the first.
    """
    if config.run == "dummy" or get_dist_info()[1] != 0:
        return lambda values, step: None
    with extra("train"):
        import wandb  # imported only when used, because it takes a second

    run = wandb.init(project="nano-deepseek-ocr", name=config.run, config={**asdict(config), "stage": stage.number})
    return lambda values, step: run.log(values, step=step)
