"""Prompts and their answers, as the `Scheduler` (`batching.py`) processes and generates them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nanochat.engine.backend import Backend, Cache, Features, Logits
from nanochat.engine.constraints import Constraint, Forbid, NoRepeatNgram
from nanochat.engine.loops import LoopWatch
from nanochat.errors import UserError
from nanochat.image_process import ImageViews

CHUNK = 512  # most prompt tokens processed between two decoding steps


@dataclass
class Generation:
    """The answer to one prompt. While it is streamed, this object grows."""

    tokens: list[int] = field(default_factory=list)
    """ids of the answer, without the token that ended it; of a repetition that was stopped, only the first copy"""
    probabilities: list[float] = field(default_factory=list)
    """probability of each chosen token, at temperature 1 and without constraints; includes the token that ended the
    answer, if there is one"""
    stopped: str | None = None
    """why the answer ended, or None if it has not: `end`: the model ended it; `length`: it reached max_tokens;
    `context`: it reached the end of the model's context; `loop`: it repeated itself; `time`: it reached its time limit;
    `cancelled`: the caller cancelled it"""
    dropped: int = 0
    """how many generated tokens were removed because they only repeated earlier ones"""
    repaired: bool = False
    """whether the answer repeated itself once, was continued from before the repetition, and then did not repeat itself
    again"""

    @property
    def mean_probability(self) -> float:
        """The mean of `probabilities`; 1 if there are none yet."""
        return sum(self.probabilities) / len(self.probabilities) if self.probabilities else 1.0


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises UserError if a value is out of range."""

    temperature: float = 0.0
    """0: always the most likely token; above 0: sampled from softmax(logits / temperature)"""
    top_k: int | None = None
    """sample only among this many most likely tokens; None: among all"""
    seed: int = 42
    """seed of the random number generator of the answer"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature {self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k {self.top_k}: must be at least 1, or none to sample from all tokens")


@dataclass(eq=False)
class Answer:
    """One row of the batch: an answer that is being generated, and its settings."""

    limit: tuple[int, str]
    """(most tokens of the answer, value of `Generation.stopped` when it has that many)"""
    sampling: Sampling = Sampling()
    constraints: tuple[Constraint, ...] = ()
    watch: LoopWatch | None = None
    """detects repetition; None: repetition is not stopped"""
    retry: bool = False
    """continue once from before a repetition, with `NoRepeatNgram` added to the constraints"""
    deadline: float | None = None
    """value of time.monotonic() at which generation stops; None: no time limit"""
    cancelled: bool = False
    """set this, from any thread, to stop the answer before the next step"""
    generation: Generation = field(default_factory=Generation)
    last: int = 0
    """id of the last chosen token, even if it ended the answer"""

    def __post_init__(self) -> None:
        self.random: Any = None  # the backend's random number generator, created when the first token is sampled

    @property
    def settled(self) -> int:
        """How many of the tokens are final: loop detection will not remove them, so they can be shown to the user."""
        tokens, watch = self.generation.tokens, self.watch
        return len(tokens) - watch.repeated if watch is not None and self.generation.stopped is None else len(tokens)

    def check_clock(self) -> bool:
        """End the answer if it was cancelled or its deadline has passed. Returns whether it has ended at all."""
        if self.generation.stopped is None:
            if self.cancelled:
                self.generation.stopped = "cancelled"
            elif self.deadline is not None and time.monotonic() >= self.deadline:
                self.generation.stopped = "time"
        return self.generation.stopped is not None

    def extend(self, token: int, probability: float, end_tokens: set[int]) -> bool:
        """Append a chosen token and its probability, and end the answer if it must end here.

        `end_tokens`: ids that end an answer. Returns True if the answer repeated itself and was reset to the text
        before the repetition, so that the KV cache must be shortened too.
        """
        generation, self.last = self.generation, token
        generation.probabilities.append(probability)
        if token in end_tokens:
            generation.stopped = "end"
            return False
        generation.tokens.append(token)
        full = len(generation.tokens) == self.limit[0]
        if self.watch is not None:
            self.watch.add(token)
            keep = self.watch.loop(at_limit=full)
            if keep is not None:
                return self._end_loop(self.watch, keep)
        if full:
            generation.stopped = self.limit[1]
        return False

    def _end_loop(self, watch: LoopWatch, keep: int) -> bool:
        generation = self.generation
        first_of_copy = generation.tokens[keep]
        generation.dropped += len(generation.tokens) - keep
        del generation.tokens[keep:], generation.probabilities[keep:]
        if not self.retry or generation.repaired:
            generation.stopped, generation.repaired = "loop", False
            return False
        generation.repaired = True
        self.last = generation.tokens[-1]
        self.constraints = (*self.constraints, Forbid(first_of_copy, keep), NoRepeatNgram())
        watch.restart(generation.tokens)
        return True


@dataclass(eq=False)
class Prompt:
    """A prompt with its images, and the answers to generate for it. It is processed once for all answers."""

    tokens: list[int]
    images: Sequence[ImageViews]
    answers: list[Answer]
    request: object = None
    """identifies the request that the prompt belongs to: waiting prompts are taken from the requests in turn"""
    whole: "Prompt | None" = None
    """of a prompt that continues an answer: the prompt that began it"""

    def __post_init__(self) -> None:
        self.request = self.request or self
        self.features: list[Features] = []  # vision tokens of each image, encoded alone
        self.cache: Cache | None = None

    def rest(self, answer: Answer) -> "Prompt":
        """A prompt that continues one of the answers: its tokens are those of the prompt and of the answer so far."""
        whole = self.whole or self
        rest = Prompt([*whole.tokens, *answer.generation.tokens], whole.images, [answer], self.request, whole)
        if not whole.images:
            rest.features = whole.features
        return rest

    @property
    def pixels(self) -> int:
        """Number of pixels of all views of all images."""
        layouts = [image.layout for image in self.images]
        return sum(
            layout.view[0] * layout.view[1] + layout.tile_grid[0] * layout.tile_grid[1] * layout.tile_size**2
            for layout in layouts
        )

    def own_features(self, backend: Backend) -> list[Features]:
        """The vision tokens of each image, encoded alone, so that no other prompt influences their rounding."""
        while len(self.features) < len(self.images):
            self.features += backend.encode([self.images[len(self.features)]])
        self.images = []
        return self.features

    def read_piece(self, backend: Backend) -> Logits | None:
        """Process the next piece of the prompt: encode one image, or run CHUNK tokens through the model.

        Returns the logits (1, V) of the first token of the answer after the last piece, None before.
        """
        if len(self.features) < len(self.images):
            self.features += backend.encode([self.images[len(self.features)]])
            return None
        features = self.own_features(backend)
        if self.cache is None:
            self.cache = backend.new_cache(1)
        (start,) = self.cache.lengths
        skip = self.tokens[:start].count(backend.config.image_token_id)
        logits = backend.read([self.tokens[start : start + CHUNK]], features, self.cache, skip)
        return logits if start + CHUNK >= len(self.tokens) else None
