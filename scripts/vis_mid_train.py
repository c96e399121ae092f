"""Stage 2, mid-training: stage 1's encoder with SAM frozen and a fresh GPT, on documents and optionally text.

python -m scripts.vis_mid_train --steps=100 --batch_size=2 --resume_from_deepencoder=checkpoints/deepencoder_300.pt
python -m scripts.vis_mid_train --model=nano --steps=100 --resume_from_deepencoder=checkpoints/deepencoder_300.pt
torchrun --standalone --nproc_per_node=2 -m scripts.vis_mid_train --steps=100 --resume_from_deepencoder=...
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from nanochat.command import entry_point, parse_args
from nanochat.common import compute_cleanup, print0
from nanochat.errors import UserError
from nanochat.pretrained import load_deepencoder, load_gpt
from nanochat.synth.lessons import CourseName, lessons, validation
from nanochat.tasks.common import Task, TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.smoltalk import SmolTalk
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.training.config import TrainConfig, step_to_resume
from nanochat.training.sam_cache import keep_features
from nanochat.training.schedules import decay_to_zero, step_decay
from nanochat.training.setup import SOURCES, check_language, count_parameters, fit_batch, make_loaders, start
from nanochat.training.trainer import OnStep, Stage, Trainer

LR = {"d20": 3e-5, "nano": 1e-3, "nano-pages": 1e-3}
TEXT_SHARE = 0.1  # share of the batches with --synth in which the decoder copies text, without an image


@dataclass
class Config(TrainConfig):
    """Stage 2: train CLIP, projector and a fresh GPT on the features of a frozen SAM; writes step_N.pt."""

    resume_from_deepencoder: Annotated[str, tyro.conf.arg(aliases=["--deepencoder"])] = ""
    """stage 1's encoder, checkpoints/deepencoder_N.pt or deepseek-ai/DeepSeek-OCR; required unless resuming"""
    gpt: str = ""
    """the fresh GPT's weights: hub id, file, folder or random; by default nanochat-students/base-d20 for d20"""
    seq_len: int = 8192
    """maximum sequence length in tokens, including images; 2048 for GPUs of 24 GB"""
    smoltalk: int = 0
    """number of SmolTalk conversations to mix in; 0: none"""
    smoltalk_source: str = "HuggingFaceTB/smol-smoltalk"
    """hub id, or a local parquet file or folder"""
    synth: bool = False
    """train on synthetic documents, level by level, instead of data_dir; a tenth of the batches are text only"""
    course: CourseName = "lines"
    """with synth: lines, or whole pages, for an encoder that was trained on them"""
    decay: float = 0.25
    """with synth: share of the steps, at the end, over which the learning rate falls to zero"""
    sam_cache: str = ""
    """folder to cache SAM's features in, for images that are used repeatedly; by default, SAM runs every time"""
    sam_cache_gb: float = 20.0
    """size limit of the cache in GB; a page of d20 takes 1 MB, or half of that in bfloat16"""
    warmup_steps: int = 100
    """number of linear warm-up steps"""
    lr_decay_step: int = 2000
    """multiply the learning rate by lr_decay_gamma every so many steps"""
    lr_decay_gamma: float = 0.1
    """factor of the learning rate every lr_decay_step steps"""


def data(config: Config):
    """The data: (training task, validation task, their batch plans if the order matters)."""
    if config.synth:
        plan = lessons(
            config.batch_size, config.steps, config.decay, text_share=TEXT_SHARE, seed=config.seed, course=config.course
        )
        return SynthDocuments("train"), SynthDocuments("val"), plan, validation(config.course)
    mixture: list[Task] = [FolderOfPairs(config.data_dir, "train")]
    if config.smoltalk:
        mixture.append(SmolTalk("train", source=config.smoltalk_source, stop=config.smoltalk))
    return TaskMixture(mixture, seed=config.seed), FolderOfPairs(config.data_dir, "val"), None, None


def train(config: Config, on_step: OnStep | None = None) -> Trainer:
    """Run the whole stage. Returns its trainer after the last step."""
    if config.sam_cache and config.synth:
        raise UserError("--sam-cache is of no use with --synth, which never repeats an image")
    if step_to_resume(config, stage=2) < 0 and not config.resume_from_deepencoder:
        raise UserError("stage 2 needs stage 1's encoder: --resume-from-deepencoder=checkpoints/deepencoder_N.pt")
    if config.lr_decay_step < 1:
        raise UserError(f"--lr-decay-step={config.lr_decay_step}: give 1 or more steps")
    setup = start(config)
    source = config.gpt or SOURCES[config.model].gpt
    if config.resume_from_deepencoder:
        print0(f"Loading DeepEncoder: {config.resume_from_deepencoder}")
        load_deepencoder(setup.model, config.resume_from_deepencoder)
        print0(f"Loading fresh nanochat GPT: {source}")
        load_gpt(setup.model.gpt, source)
        check_language(config, setup, source)
    print0("Freezing SAM encoder...")
    setup.model.freeze_sam()
    if config.sam_cache:
        keep_features(setup.model.sam_model, config.sam_cache, config.sam_cache_gb)
    count_parameters(setup.model)
    fit_batch(config, setup, dense=config.synth)

    train_loader, val_loader = make_loaders(config, setup, *data(config))
    stage = Stage(
        number=2,
        schedule=decay_to_zero(config.warmup_steps, config.decay)
        if config.synth
        else step_decay(config.warmup_steps, config.lr_decay_step, config.lr_decay_gamma),
        lr=LR[config.model] if config.lr is None else config.lr,
        dense_weights={"cells": 1.0} if config.synth else {},
    )
    trainer = Trainer(config, stage, setup, train_loader, val_loader)
    trainer.run(on_step)
    return trainer


@entry_point
def main() -> None:
    train(parse_args(Config))
    compute_cleanup()


if __name__ == "__main__":
    main()
