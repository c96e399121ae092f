"""Evaluate a checkpoint: loss and overlap of every document, the loss with a wrong image, and the averages.

python -m scripts.vision_sample --checkpoint=checkpoints/step_500.pt --data_dir=data
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.tasks.folder_pairs import FolderOfPairs

if TYPE_CHECKING:
    from nanochat.evaluation.losses import Reading, Summary


@dataclass
class Config:
    """Read the documents of a folder and compare with their texts; the model is rebuilt from the checkpoint alone."""

    checkpoint: str
    """step_N.pt, with meta_N.json and tokenizer.pkl beside it; an exported folder, or nano"""
    data_dir: str = "data"
    """folder with the images and their texts"""
    split: str = "val"
    """list of documents: {split}.json in data_dir"""
    limit: int | None = None
    """read only the first documents"""
    batch_size: int = 10
    """number of documents read together; lower it if memory runs out"""
    max_tokens: int | None = None
    """maximum length of an answer in tokens; by default twice the longest text of these documents, plus 50"""
    json: str = ""
    """results file; by default step_N_{split}.json beside the checkpoint"""
    device: str = ""
    """cuda, mps or cpu; by default the best available"""


def print_table(readings: "Iterator[Reading]", width: int) -> "list[Reading]":
    """Print a row for each document as it is read; a tick means that every word was found."""
    from nanochat.evaluation.losses import format_share

    print(f"{'ID':<{width}}  {'Loss':>7}  {'Wrong':>7}  {'Overlap':>7}")
    print("=" * (width + 30))
    shown = []
    for r in readings:
        wrong = "-" if r.wrong_loss is None else f"{r.wrong_loss:.4f}"
        mark = "✓" if r.overlap == 1 else "✗"
        print(f"{r.id:<{width}}  {r.loss:7.4f}  {wrong:>7}  {format_share(r.overlap):>7}  {mark}", flush=True)
        shown.append(r)
    print("=" * (width + 30))
    return shown


def print_averages(summary: "Summary") -> None:
    from nanochat.evaluation.losses import format_share

    print(f"Avg loss: {summary.loss:.4f}")
    if summary.wrong_loss is not None:
        print(f"Avg loss with a wrong picture: {summary.wrong_loss:.4f} (image gain {summary.image_gain:.4f} nats)")
    print(f"Avg overlap: {format_share(summary.overlap)} ({summary.complete} of {summary.documents} complete)")
    print(f"Avg character error rate: {100 * summary.cer:.2f}%")


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    if config.limit is not None and config.limit < 1:
        raise UserError(f"--limit={config.limit}: read at least one document")
    if config.batch_size < 1:
        raise UserError(f"--batch-size={config.batch_size}: read at least one document at a time")
    task = FolderOfPairs(config.data_dir, config.split, stop=config.limit)
    ids = [sample["id"] for sample in task.samples[: config.limit]]
    from nanochat.evaluation.losses import read_documents, summarise  # here, because torch takes seconds to import
    from nanochat.reading.ocr import OCR

    ocr = OCR(config.checkpoint, config.device, backend="torch")  # losses need torch
    if ocr.own_mode == "lines":
        told = "this model reads single lines, but here each document is one view: scripts.vision_eval reads its lines"
        print(f"warning: {told}", file=sys.stderr)
    longest = max(len(ocr.tokenizer.encode(sample["answer"])) for sample in task.samples[: config.limit])
    readings = read_documents(
        ocr.engine, ocr.tokenizer, task, ids, ocr.vision.mode(), ocr.precision, config.batch_size,
        config.max_tokens or 2 * longest + 50,
        on_batch=lambda first, last: print(f"reading {first} to {last} of {len(ids)}", file=sys.stderr, flush=True),
    )  # fmt: skip
    shown = print_table(readings, max(map(len, ids)))
    summary = summarise(shown)
    print_averages(summary)

    checkpoint = Path(config.checkpoint)
    path = Path(config.json) if config.json else checkpoint.with_name(f"{checkpoint.stem}_{config.split}.json")
    results = {
        "checkpoint": config.checkpoint,
        "data_dir": config.data_dir,
        "split": config.split,
        "summary": asdict(summary),
        "documents": [reading.to_dict() for reading in shown],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(results, indent=2, ensure_ascii=False), encoding="utf-8")
    print(f"Results: {path}")


if __name__ == "__main__":
    main()
