"""nano-deepseek-ocr: a small model that reads documents, and everything needed to train it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanochat.ocr import OCR as OCR


def __getattr__(name: str) -> Any:
    if name == "OCR":  # on demand: whoever imports another part does not wait for this one
        from nanochat.ocr import OCR

        return OCR
    raise AttributeError(f"module 'nanochat' has no attribute {name!r}")
