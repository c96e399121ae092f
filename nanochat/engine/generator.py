"""What reading a page asks of whoever runs the model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nanochat.engine.batching import Generation

if TYPE_CHECKING:
    from nanochat.engine.engine import Guard
    from nanochat.nano_deepseek_ocr import Pixels


class Generator(Protocol):
    """Answers prompts about pictures: an `Engine`, or the server's worker, whose batch all requests share."""

    model: Any
    """the model that answers, for a further look at what it attended to"""

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
