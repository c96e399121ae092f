"""Options of reading that several commands share: their names, defaults and help are said here once."""

from dataclasses import dataclass
from typing import Any, Literal

from nanochat.errors import UserError
from nanochat.onnx_files import BackendName as BackendName
from nanochat.prompts import asked
from nanochat.reading.sources import Selection

Format = Literal["txt", "md", "json", "html", "hocr", "pdf"]
ReadingMode = Literal[
    "", "tiny", "small", "base", "large", "gundam", "gundam-master", "native", "lines", "blocks", "auto"
]


TextLayerMode = Literal["auto", "only", "never"]


def check_least(least: int, **options: float | None) -> None:
    """Raise UserError for the first option that is given and under `least`."""
    for name, value in options.items():
        if value is not None and value < least:
            raise UserError(f"--{name} {value:g}: give at least {least}")


@dataclass(frozen=True, kw_only=True)
class CheckpointOption:
    """Which model reads."""

    checkpoint: str = "nano"
    """step_N.pt of a trained model, an exported folder, or nano: the model that comes with the project"""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(CheckpointOption):
    """Which model reads, and how pages are shown to it."""

    mode: ReadingMode = ""
    """how pages are shown: one of the paper's modes, native (its own shape), lines (cut into lines of text), blocks
    (cut into paragraphs and columns), auto (another where the first is in doubt); by default what the model was
    trained for"""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What is read of each document, and how; the texts depend on these options. Raises UserError for bad values."""

    max_vision_tokens: int | None = None
    """most tokens that a picture may take in mode native"""
    task: str = ""
    """what is asked, by name: free, markdown, ocr, figure, describe, or locate:TEXT; by default free"""
    prompt: str = ""
    """what is asked in your own words instead; <image> stands for the picture"""
    pages: str = ""
    """pages of each document, such as 1-3,7; by default all"""
    dpi: int = 150
    """dots per inch at which PDFs are drawn"""
    password: str = ""
    """of encrypted PDFs"""
    text_layer: TextLayerMode = "auto"
    """a PDF page's own text: auto takes it where it agrees with what is seen, else the picture is read; only; never"""
    max_tokens: int | None = None
    """longest answer in tokens, for each view"""
    seconds: float | None = None
    """longest time for an answer"""
    resume: bool = False
    """go on with what --out holds: pages that were read are not read again"""
    retry_failed: bool = False
    """as --resume, and try pages again that failed, looped or were cut"""

    def __post_init__(self) -> None:
        asked(self.task or "free", self.prompt)
        Selection(self.pages)
        check_least(1, dpi=self.dpi, max_tokens=self.max_tokens)
        if self.seconds is not None and self.seconds <= 0:
            raise UserError(f"--seconds {self.seconds:g}: give more than 0")

    def texts_depend_on(self, checkpoint: str, mode: str, prompt: str) -> dict[str, Any]:
        """What a ledger keeps of a run: it is resumed only with the same."""
        names = ("max_vision_tokens", "pages", "dpi", "text_layer", "max_tokens", "seconds")
        own = {name: getattr(self, name) for name in names}
        return {"checkpoint": checkpoint, "mode": mode, "prompt": prompt, **own}
