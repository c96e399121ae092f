"""Settings of `nano-ocr batch`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nanochat.errors import UserError
from nanochat.reading.options import ReadOptions, check_least


@dataclass(frozen=True)
class BatchSettings(ReadOptions):
    """Options of reading, and the number and resources of workers. Raises UserError for contradictory values."""

    out: Path
    """folder for the results and ledger.jsonl"""
    format: Literal["parquet", "jsonl"] = "parquet"
    """pages.parquet or pages.jsonl: a row for each page, with its source"""
    model_workers: int | None = None
    """number of processes with a model; by default one per GPU, or one per CPU core except one"""
    gpus: float | None = None
    """GPUs per model worker, such as 0.5; by default 1 if there are any"""
    address: str = ""
    """a Ray cluster that this machine belongs to: auto, or HOST:6379 of its head node; by default, this machine only"""
    estimate: bool = False
    """read only a sample, and estimate the pages, tokens, hours and cost of the whole job"""
    price: float = 0.0
    """price of one model worker per hour, to compute the cost of a million pages"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(1, model_workers=self.model_workers)
        if self.price < 0 or (self.gpus is not None and self.gpus < 0):
            raise UserError("--price and --gpus must be 0 or more")
