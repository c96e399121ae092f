"""nano-deepseek-ocr: a small model that reads documents, and everything needed to train it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from nanochat.reading.async_ocr import AsyncOCR as AsyncOCR
    from nanochat.reading.ocr import OCR as OCR


def __getattr__(name: str) -> Any:
    if name == "OCR":  # imported on demand, so that importing another part does not load these
        from nanochat.reading.ocr import OCR

        return OCR
    if name == "AsyncOCR":
        from nanochat.reading.async_ocr import AsyncOCR

        return AsyncOCR
    if name == "__version__":  # pyproject.toml has it
        from importlib.metadata import version

        return version("nano-deepseek-ocr")
    raise AttributeError(f"module 'nanochat' has no attribute {name!r}")
