"""Options of reading that several commands share, with their defaults and help texts."""

from dataclasses import dataclass
from typing import Any, Literal

from nanochat.errors import UserError
from nanochat.onnx_files import BackendName
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
            raise UserError(f"--{name} {value:g}: must be at least {least}")


@dataclass(frozen=True, kw_only=True)
class CheckpointOption:
    """The model to read with."""

    checkpoint: str = "nano"
    """step_N.pt of a trained model, an exported folder, or nano: the model that comes with the project"""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(CheckpointOption):
    """The model to read with, and how pages are shown to it."""

    mode: ReadingMode = ""
    """how pages are shown to the model:
    native: one view with the page's aspect ratio;
    lines: cut into lines;
    blocks: cut into paragraphs and columns;
    auto: another mode if the first is in doubt;
    tiny to gundam-master: the modes of DeepSeek-OCR;
    by default, the mode that the model was trained for"""


@dataclass(frozen=True, kw_only=True)
class DeviceOption:
    """The device that the model runs on."""

    device: str = ""
    """cuda, mps or cpu; by default the best available"""


@dataclass(frozen=True, kw_only=True)
class BackendOption(DeviceOption):
    """The device that the model runs on, and the library that runs it."""

    backend: BackendName = "auto"
    """torch; onnx: ONNX Runtime on the CPU; auto: torch on a GPU, else onnx if the model has ONNX graphs"""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What is read of each document, and how. The texts depend on these options. Raises UserError for bad values."""

    max_vision_tokens: int | None = None
    """maximum number of vision tokens per image in mode native"""
    task: str = ""
    """prompt by name: free (the default), markdown, ocr, figure, describe, or locate:TEXT"""
    prompt: str = ""
    """your own prompt instead, with <image> where the image goes"""
    pages: str = ""
    """pages to read of each document, such as 1-3,7; by default all"""
    dpi: int = 150
    """resolution at which PDFs are rendered, in dots per inch"""
    password: str = ""
    """password of encrypted PDFs"""
    text_layer: TextLayerMode = "auto"
    """use the text layer of a PDF page: auto (if it agrees with the image, else read the image), only, or never"""
    max_tokens: int | None = None
    """maximum length of the answer to a view, in tokens"""
    seconds: float | None = None
    """time limit for an answer"""
    resume: bool = False
    """continue an interrupted run in --out: pages that were read are not read again"""
    retry_failed: bool = False
    """like --resume, and also retry pages that failed, looped or were cut"""

    def __post_init__(self) -> None:
        asked(self.task or "free", self.prompt)
        Selection(self.pages)
        check_least(1, dpi=self.dpi, max_tokens=self.max_tokens)
        if self.seconds is not None and self.seconds <= 0:
            raise UserError(f"--seconds {self.seconds:g}: must be more than 0")

    def texts_depend_on(self, checkpoint: str, mode: str, prompt: str) -> dict[str, Any]:
        """The settings that a ledger records: a run is resumed only with the same ones."""
        names = ("max_vision_tokens", "pages", "dpi", "text_layer", "max_tokens", "seconds")
        own = {name: getattr(self, name) for name in names}
        return {"checkpoint": checkpoint, "mode": mode, "prompt": prompt, **own}
