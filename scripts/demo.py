"""A demonstration: train both stages of nano on ten documents, read the documents, and write a report with images.

python -m scripts.demo --out=out/demo --data-dir=data            # the same as nano-ocr demo
"""

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.evaluation.losses import Reading, Summary, format_share, read_documents, summarise
from nanochat.evaluation.report import Curve, write_report
from nanochat.reading.ocr import OCR
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.training.config import TrainConfig
from nanochat.training.trainer import Trainer
from scripts import vis_mid_train, vis_tok_train

STEPS = {1: 120, 2: 120}


@dataclass
class Config:
    """Train nano in both stages on a few documents, read them, and write a report."""

    out: Path = Path("out/demo")
    """folder for checkpoints and report.html"""
    data_dir: Path = Path("data")
    """documents to train on: train.json, val.json and their images"""


def settings(number: int, out: Path, data_dir: Path) -> dict[str, Any]:
    """The flags of a stage: sizes for two CPU cores, and the defaults of the scripts for everything else."""
    flags: dict[str, Any] = {
        "model": "nano",
        "image_size": 256,
        "data_dir": str(data_dir),
        "tokenizer_dir": str(out / "tokenizer"),
        "steps": STEPS[number],
        "batch_size": 5,
        "optimizer": "muon",
        "lr": 2.5e-3,
        "warmup_steps": 10,
        "eval_every": 40,
        "save_every": 0,
    }
    if number == 2:
        flags["resume_from_deepencoder"] = str(out / "stage1" / f"deepencoder_{STEPS[1]}.pt")
        flags |= {"lr_decay_step": 40, "lr_decay_gamma": 0.4}
    return flags


def train_stage(
    number: int, config: TrainConfig, train: Callable[..., Trainer], progress: Progress, log: Path
) -> list[float]:
    """Run one stage with a progress bar; its output goes to `log`. Returns the loss of each step."""
    losses: list[float] = []
    bar = progress.add_task(f"stage {number}", total=config.steps, loss=float("nan"))

    def on_step(step: int, steps: int, figures: dict[str, float]) -> None:
        losses.append(figures["loss"])
        progress.update(bar, completed=step, loss=figures["loss"])

    with open(log, "a") as file, redirect_stdout(file):
        train(config, on_step)
    return losses


def read_back(checkpoint: Path, data_dir: Path) -> tuple[list[Reading], Summary]:
    """Read every training document with a checkpoint."""
    ocr, task = OCR(checkpoint), FolderOfPairs(str(data_dir), "train")
    ids = [s["id"] for s in task.samples]
    readings = list(read_documents(ocr.engine, ocr.tokenizer, task, ids, ocr.vision.mode(), ocr.precision))
    return readings, summarise(readings)


def format_loss(loss: float | None) -> str:
    """The loss with two decimals, or an empty string if there is none."""
    return "" if loss is None else f"{loss:.2f}"


def stages_table(by_stage: dict[int, tuple[list[Reading], Summary]]) -> Table:
    """A table with a row for each document, both stages side by side, and the averages."""
    table = Table(title="Read back", footer_style="bold", show_footer=True)
    rows = by_stage[1][0]
    table.add_column("document", "average")
    for stage, (_, summary) in by_stage.items():
        table.add_column(f"stage {stage}\nloss", f"{summary.loss:.4f}", justify="right")
        table.add_column(
            "wrong\npicture", "" if summary.wrong_loss is None else f"{summary.wrong_loss:.2f}", justify="right"
        )
        table.add_column("overlap", f"{summary.overlap:.1%}", justify="right")
    for i, row in enumerate(rows):
        cells = [row.id]
        for readings, _ in by_stage.values():
            r = readings[i]
            tick = "✓" if r.overlap == 1 else "✗"
            cells += [f"{r.loss:.4f}", format_loss(r.wrong_loss), f"{format_share(r.overlap)} {tick}"]
        table.add_row(*cells)
    return table


def demo(out: Path, data_dir: Path) -> None:
    """Train both stages from scratch, read the documents after each, and write report.html, all in `out`."""
    console = Console()
    if not (data_dir / "train.json").is_file():
        raise UserError(f"{data_dir}/train.json: no such file (give the folder of the documents as --data-dir)")
    out.mkdir(parents=True, exist_ok=True)
    started, log = time.perf_counter(), out / "train.log"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("loss {task.fields[loss]:.3f}"))  # fmt: skip
    console.print(f"Training nano from scratch with {torch.get_num_threads()} threads; full log in {log}")
    losses: dict[int, list[float]] = {}
    results: dict[int, tuple[list[Reading], Summary]] = {}
    with Progress(*columns, console=console) as progress:
        for number, recipe in ((1, vis_tok_train), (2, vis_mid_train)):
            folder = out / f"stage{number}"
            config = recipe.Config(**settings(number, out, data_dir), checkpoint_dir=str(folder))
            losses[number] = train_stage(number, config, recipe.train, progress, log)
            results[number] = read_back(folder / f"step_{STEPS[number]}.pt", data_dir)
    minutes = (time.perf_counter() - started) / 60
    console.print(stages_table(results))
    readings, summary = results[2]
    gain = format_loss(summary.image_gain) or "unknown (one document alone)"
    console.print(
        f"{summary.complete} of {summary.documents} documents complete, image gain {gain} nats, {minutes:.1f} minutes"
    )
    curves = [Curve(f"stage {n}", "training loss", list(enumerate(loss, 1))) for n, loss in losses.items()]
    facts = {"minutes": f"{minutes:.1f}", "threads": str(torch.get_num_threads()), "model": "nano, from nothing"}
    report = write_report(
        out / "report.html", "nano-ocr demo: documents learnt by heart in two stages", readings, curves, facts
    )
    console.print(f"Pictures, expected and read text, loss curves: {report}")


@entry_point
def main() -> None:
    config = parse_args(Config)
    demo(config.out, config.data_dir)


if __name__ == "__main__":
    main()
