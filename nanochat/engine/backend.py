"""What the engine asks of whatever runs a model: encode pictures, read tokens, take a step, say what is likely.

Above it everything is written once: batching, constraints, loops, near ties, sampling's settings. Features and logits
are arrays of the backend's own kind, which the engine only hands on, indexes by rows and assigns to.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nanochat.image_process import ImageViews
    from nanochat.model_config import ModelConfig

Features = Any
"""of one picture: its tokens, float32 (n_tokens, C)"""
Logits = Any
"""float32 (B, V); row b can be taken and assigned to as `logits[b]`"""


class Cache(Protocol):
    """Keys and values of the tokens that rows hold so far; see `nanochat.gpt.KVCache`."""

    lengths: list[int]

    def join(self, other: Any, sources: Sequence[int] = (0,)) -> None: ...

    def leave(self, row: int) -> None: ...


class Backend(ABC):
    """A model and what runs it. For one thread."""

    config: "ModelConfig"
    device: Any
    """a torch.device, or `cpu`"""
    exact: bool
    """whether rows that are computed together round so little that near ties can be told: float32"""

    def context(self) -> AbstractContextManager:
        """What the calls of one pass run in, and changes of the logits that they gave."""
        return nullcontext()

    @abstractmethod
    def encode(self, images: "Sequence[ImageViews]") -> list[Features]:
        """Each picture's tokens; views of equal size are encoded together."""

    @abstractmethod
    def new_cache(self, rows: int) -> Cache:
        """An empty cache."""

    @abstractmethod
    def read(
        self, rows: Sequence[Sequence[int]], features: Sequence[Features], cache: Cache | None, skip: int = 0
    ) -> Logits:
        """Read tokens of each row after what the cache holds, which they join: the next logits of each row.

        Rows of different lengths are padded meanwhile. `features` fill the image tokens in order, but for the first
        `skip` of their tokens, which were read before. A cache that holds tokens has one row. Without a cache each row
        is read from its beginning, and forgotten.
        """

    @abstractmethod
    def step(self, cache: Cache, tokens: Sequence[int]) -> Logits:
        """Read one token more of each row of the cache: the next logits of each row."""

    @abstractmethod
    def copy(self, logits: Logits) -> Logits:
        """The same logits in memory of their own."""

    @abstractmethod
    def leads(self, logits: Logits) -> list[float]:
        """By how much the likeliest token of each row leads the second; infinite where all possible ones are equal."""

    @abstractmethod
    def likeliest(self, logits: Logits) -> list[int]:
        """The likeliest token of each row."""

    @abstractmethod
    def probabilities(self, logits: Logits, chosen: Sequence[int]) -> list[float]:
        """What each row gives the token that was chosen for it."""

    @abstractmethod
    def random(self, seed: int) -> Any:
        """A source of random numbers, for `draw`."""

    @abstractmethod
    def draw(self, logits: Logits, temperature: float, top_k: int | None, random: Any) -> int:
        """A token drawn from logits (V,), among the `top_k` likeliest where that is given."""


def backend_of(model: Any) -> Backend:
    """The backend of an engine's model: itself, or torch's, where it is a NanoDeepseekOCR."""
    if isinstance(model, Backend):
        return model
    from nanochat.engine.torch_backend import TorchBackend  # only here: ONNX graphs are read without torch

    return TorchBackend(model)
