"""`Generator`: the interface through which pages are read, implemented by `Engine` and by the worker of the server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nanochat.engine.answers import Generation

if TYPE_CHECKING:
    from nanochat.engine.engine import Guard
    from nanochat.nano_deepseek_ocr import Pixels


class Generator(Protocol):
    """Answers prompts with images: an `Engine`, or the server's worker, which batches the prompts of all requests."""

    model: Any
    """the model that answers; its attention shows where on the page a line is"""

    def generate_batch(
        self,
        prompts: list[list[int]],
        pixel_values: "Pixels | None" = None,
        max_tokens: int | None = None,
        *,
        guard: "Guard | Sequence[Guard]",
        at_once: int | None = None,
        again: bool = False,
    ) -> list[Generation]:
        """The finished answer to each prompt, in order; the parameters are those of `Engine.generate_batch`."""
        ...
