"""The precision of matrix products, by name. torch is imported only when it is used."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Precision:
    """Precision of products: `float32`; `medium`, float32 whose products may use bfloat16 internally; `bfloat16`."""

    name: str

    def autocast(self, device: Any) -> AbstractContextManager:
        """The context in which forward passes on a torch.device run; no context for float32, on any device."""
        if self.name != "bfloat16":
            return nullcontext()
        import torch

        return torch.autocast(device.type, torch.bfloat16)

    def dtype(self) -> "torch.dtype":
        """The dtype in which activations, and so keys and values, are kept."""
        import torch

        return torch.bfloat16 if self.name == "bfloat16" else torch.float32
