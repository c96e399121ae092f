"""Reproduce the known failure: three short runs of nano on synthetic pages, and a plot of their validations.

python -m dev.seeing_runs --out=out/seeing      # about ten minutes on two CPU cores

`blind`: everything at once from scratch, with AdamW, on notes of up to 160 characters. `forgetting`: the same, but
starting from an encoder that already recognises characters. `recipe`: from that encoder as in stage 1, with Muon, dense
labels and the easiest level first. All see the same number of pixels per step. docs/seeing.md describes the results.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from dev.seeing_plots import plot, read_log
from nanochat.command import entry_point, parse_args
from nanochat.evaluation.compression import save_svg
from nanochat.pretrained import load_deepencoder
from nanochat.synth.curriculum import Curriculum, Lesson, LevelSet
from nanochat.synth.lessons import LESSONS
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.training.config import TrainConfig
from nanochat.training.schedules import cosine
from nanochat.training.setup import make_loaders, start
from nanochat.training.trainer import Stage, Trainer

PIXELS = 4 * 256 * 256  # pixels of a batch
NOTES = (Lesson("note", 0.0),)
RUNS = ("blind", "forgetting", "recipe")


@dataclass
class Config:
    """Train each of the three runs for a few steps, and plot their validations."""

    out: Path = Path("out/seeing")
    """folder for blind.log, forgetting.log, recipe.log and seeing.svg"""
    steps: int = 160
    """number of steps of each run"""
    deepencoder: str = "models/nano/deepencoder.safetensors"
    """nano's encoder after training on dense labels, for `forgetting` and `recipe`"""


def run(name: str, config: Config) -> None:
    """Train one of the three runs. Its log goes to standard output."""
    recipe = name == "recipe"
    settings = TrainConfig(
        model="nano", optimizer="muon" if recipe else "adamw", lr=1e-3, steps=config.steps, eval_every=10, save_every=0,
        checkpoint_dir=str(config.out / name), tokenizer_dir=str(config.out / name), device="cpu",
    )  # fmt: skip
    setup = start(settings)
    if name != "blind":
        load_deepencoder(setup.model, config.deepencoder)
    levels = LESSONS if recipe else NOTES
    val = LevelSet((levels[0].level,), per_level=64 if recipe else 16, batch_size=16)
    loaders = make_loaders(
        settings, setup, SynthDocuments("train"), SynthDocuments("val"), Curriculum(levels, PIXELS), val
    )
    dense = {"patches": 1.0, "cells": 1.0} if recipe else {}
    stage = Stage(number=1, schedule=cosine(warmup=10), lr=1e-3, dense_weights=dense)
    Trainer(settings, stage, setup, *loaders).run()


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    for name in RUNS:
        log = config.out / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w", encoding="utf-8", buffering=1) as file, redirect_stdout(file):
            run(name, config)
        last = read_log(log)[-1]
        spread = "-" if last.directions is None else f"{last.directions:.1f}"
        print(
            f"{name}: loss {last.loss:.2f}, image gain {last.gain}, similarity {last.similarity}, directions {spread}"
        )
    print(save_svg(plot({name: read_log(config.out / f"{name}.log") for name in RUNS}), config.out / "seeing.svg"))


if __name__ == "__main__":
    main()
