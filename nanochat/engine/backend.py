"""`Backend`: the interface between the engine and the library that runs the model (PyTorch or ONNX Runtime).

A backend encodes images, runs prompts and decoding steps, and samples tokens. Batching, constraints, loop detection
and the recomputation of near ties are written once, on top of this interface. Features and logits are arrays of the
backend's own type (a torch tensor or a NumPy array). The engine only passes them on, indexes them by row and assigns
to rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from nanochat.image_process import ImageViews
    from nanochat.model_config import ModelConfig

Features = Any
"""the vision tokens of one image, float32 (n_tokens, C)"""
Logits = Any
"""float32 (B, V); `logits[b]` is row b, which can also be assigned to"""


class Cache(Protocol):
    """A KV cache of several rows, such as `nanochat.gpt.KVCache`."""

    lengths: list[int]
    """number of tokens that each row holds"""

    def join(self, other: Any, sources: Sequence[int] = (0,)) -> None:
        """Append the rows `sources` of another cache of the same backend as new last rows."""

    def leave(self, row: int) -> None:
        """Remove a row. The last row moves to its index."""


class Backend(ABC):
    """A model, run by one library on one device. Not thread-safe: all calls must come from one thread."""

    config: "ModelConfig"
    device: Any
    """a torch.device, or `cpu`"""
    exact: bool
    """whether logits are computed in float32 throughout, so that they differ by only about 1e-5 with the batch"""

    def context(self) -> AbstractContextManager:
        """Context manager for the calls of one pass and for changes to the logits that they return."""
        return nullcontext()

    @abstractmethod
    def encode(self, images: "Sequence[ImageViews]") -> list[Features]:
        """Encode images: for each, its vision tokens, float32 (n_tokens, C). Views of one size are encoded together.

        Raises UserError if a view is too large for the model or memory runs out.
        """

    @abstractmethod
    def new_cache(self, rows: int) -> Cache:
        """An empty cache of `rows` rows."""

    @abstractmethod
    def read(
        self, rows: Sequence[Sequence[int]], features: Sequence[Features], cache: Cache | None, skip: int = 0
    ) -> Logits:
        """Run the model on several tokens of each row: the logits (B, V) that follow each row's last token.

        `rows`: token ids, possibly of different lengths (they are padded). With a `cache`, they continue the rows of
        the cache and are appended to it; a cache that already holds tokens has one row. Without a cache, each row is a
        complete sequence and nothing is kept.
        `features`: vision tokens of the images, concatenated in order; after leaving out the first `skip` of them,
        which earlier calls used, they replace the `<|image|>` tokens of `rows`.
        """

    @abstractmethod
    def step(self, cache: Cache, tokens: Sequence[int]) -> Logits:
        """Run one decoding step: append `tokens`, one for each row, to the cache and return the next logits (B, V)."""

    @abstractmethod
    def copy(self, logits: Logits) -> Logits:
        """A copy of the logits that shares no memory with them."""

    @abstractmethod
    def leads(self, logits: Logits) -> list[float]:
        """For each row, the largest logit minus the second largest.

        Infinity for a row whose finite logits are all equal: recomputing it could not decide between them.
        """

    @abstractmethod
    def likeliest(self, logits: Logits) -> list[int]:
        """The id of the token with the largest logit of each row."""

    @abstractmethod
    def probabilities(self, logits: Logits, chosen: Sequence[int]) -> list[float]:
        """For each row, the softmax probability of the token id in `chosen`."""

    @abstractmethod
    def random(self, seed: int) -> Any:
        """A seeded random number generator to pass to `draw`."""

    @abstractmethod
    def draw(self, logits: Logits, temperature: float, top_k: int | None, random: Any) -> int:
        """Sample a token id from softmax(logits / temperature), with logits of shape (V,) and temperature > 0.

        With `top_k`, only that many tokens with the largest logits can be drawn.
        """
