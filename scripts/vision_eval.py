"""Error rates of a model on a set of images, with intervals, and of other OCR systems on the same images.

python -m scripts.vision_eval --task=synth-val --n=100 --peers
python -m scripts.vision_eval --task=folder:scans --model=checkpoints/step_500.pt

Prints a table, and writes results.json, report.html (the worst and the median images) and compression.svg to --out.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.evaluation.compression import plot_compression
from nanochat.evaluation.measure import OURS, Measured, measure, progress_bars, results_table, table_rows, wide_console
from nanochat.evaluation.peers import open_peers
from nanochat.evaluation.score_report import write_score_report
from nanochat.files import write_text
from nanochat.reading.ocr import OCR
from nanochat.tasks.eval_set import EvalSet
from nanochat.tasks.measured import open_set


@dataclass
class Config:
    """Read a set of images whose text is known, and compare."""

    task: str = "synth-val"
    """folder:DIR for your own images, or one of:
    synth-val, synth-unseen, synth-hard, synth-latin, synth-central;
    the same with view- instead of synth-, for --modes native;
    sroie-lines, empty, fox, omnidocbench, chartqa"""
    model: str = "models/nano"
    """a model's folder, or step_N.pt of a run"""
    n: int = 100
    """number of images; for synthetic documents, of each tier"""
    modes: tuple[str, ...] = ()
    """modes to compare, as in `nano-ocr read`; by default the mode that the model was trained for"""
    peers: bool = False
    """also read the same images with Tesseract and RapidOCR"""
    data: str = ""
    """folder with the files of the set; without it, benchmarks are downloaded from the hub"""
    out: str = ""
    """folder for the results; by default out/eval/TASK"""
    batch_size: int = 16
    """number of images read together; 1 to compare times with the other systems, which read one at a time"""
    max_tokens: int | None = None
    """maximum length of the answer in tokens; by default up to the end of the model's context"""
    device: str = ""
    """cuda, mps or cpu; by default the best available"""
    int8: bool = False
    """on a CPU, store the language model's weights in 8 bits"""


def evaluate(config: Config, ocr: OCR, found: EvalSet) -> Measured:
    """Read the set with all readers, with a progress bar."""
    peers = open_peers(found.accents) if config.peers else []
    readers = {OURS: ocr}
    if config.modes:
        readers = {f"{OURS} {mode}": _reader(config, mode) for mode in config.modes}
    with progress_bars() as progress:
        return measure(readers, found, peers, config.max_tokens, progress)


def _reader(config: Config, mode: str = "") -> OCR:
    return OCR(config.model, config.device, mode, batch_size=config.batch_size, int8=config.int8, backend="torch")


def save_results(config: Config, folder: Path, found: EvalSet, measured: Measured, facts: dict[str, str]) -> None:
    """Write results.json, compression.svg and report.html."""
    curve = ""
    if measured.curve:
        title = f"{config.task}: {facts['Model']}"
        curve = plot_compression(measured.curve, title, folder / "compression.svg").read_text(encoding="utf-8")
    headings, rows = table_rows(found, measured)
    results = {"task": config.task, "n": config.n, "facts": facts, **measured.to_dict()}
    write_text(folder / "results.json", json.dumps(results, indent=1, ensure_ascii=False))
    write_score_report(
        folder / "report.html", f"{config.task}: how it was read", measured, headings, rows, facts, curve
    )


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    if config.batch_size < 1:
        raise UserError(f"--batch-size={config.batch_size}: read at least one picture at a time")
    found = open_set(config.task, config.n, config.data)  # check the arguments before loading a model
    ocr = _reader(config)
    measured = evaluate(config, ocr, found)
    facts = {
        "Model": config.model,
        "Step": str(ocr.meta.get("step", "-")),
        "Read on": f"{ocr.device.type}, threads: {torch.get_num_threads()}, {config.batch_size} together",
        "Compared": "white space as one space" + (", case ignored" if found.fold_case else ""),
    }
    folder = Path(config.out or f"out/eval/{config.task.partition(':')[0]}")
    save_results(config, folder, found, measured, facts)
    print_results(config, found, measured, folder)


def print_results(config: Config, found: EvalSet, measured: Measured, folder: Path) -> None:
    """Print the table, the figures of the model, and the folder with the rest."""
    console = wide_console()
    console.print(results_table(config.task, *table_rows(found, measured)))
    summary = measured.summary
    gain = "-" if summary.image_gain is None else f"{summary.image_gain:.2f} nats a token"
    alike = (
        "-" if summary.similarity is None else f"{summary.similarity:.3f} (centred {summary.centred_similarity:.3f})"
    )
    spread = "-" if summary.directions is None else f"{summary.directions:.1f}"
    console.print(f"image gain {gain}, feature similarity {alike}, directions {spread}", highlight=False)
    console.print(f"{folder}/report.html, results.json" + (", compression.svg" if measured.curve else ""))


if __name__ == "__main__":
    main()
