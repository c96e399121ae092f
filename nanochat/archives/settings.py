"""Settings of `nano-ocr batch`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nanochat.errors import UserError


@dataclass(frozen=True)
class BatchSettings:
    """What is read how, by how many. Raises UserError for what contradicts itself."""

    out: Path
    """folder for the results and ledger.jsonl"""
    format: Literal["parquet", "jsonl"] = "parquet"
    """pages.parquet or pages.jsonl: a row for each page, with its source"""
    resume: bool = False
    """go on with what --out holds: pages that were read are not read again"""
    retry_failed: bool = False
    """as --resume, and try pages again that failed, looped or were cut"""
    model_workers: int | None = None
    """processes with a model each; by default one for each GPU, or for each CPU core but one"""
    gpus: float | None = None
    """GPUs of each model worker, such as 0.5; by default 1 where there are any"""
    address: str = ""
    """a Ray cluster that this machine belongs to: auto, or HOST:6379 of its head; by default this machine alone"""
    estimate: bool = False
    """read a sample only, and say how many pages, tokens and hours the whole will take, and what it costs"""
    price: float = 0.0
    """what one model worker costs in an hour, for the cost of a million pages"""
    max_vision_tokens: int | None = None
    """most tokens that a picture may take in mode native"""
    task: str = "free"
    """what is asked, by name: free, markdown, ocr, figure, describe, or locate:TEXT"""
    prompt: str = ""
    """what is asked in your own words instead; <image> stands for the picture"""
    pages: str = ""
    """pages of each document, such as 1-3,7; by default all"""
    dpi: int = 150
    """dots per inch at which PDFs are drawn"""
    password: str = ""
    """of encrypted PDFs"""
    max_tokens: int | None = None
    """longest answer in tokens, for each view"""
    seconds: float | None = None
    """longest time for an answer"""

    def __post_init__(self) -> None:
        if self.dpi < 1 or (self.model_workers is not None and self.model_workers < 1):
            raise UserError("--dpi and --model_workers: give at least 1")
        if self.price < 0 or (self.gpus is not None and self.gpus < 0):
            raise UserError("--price and --gpus: give 0 or more")
