"""Continuous batching: prompts are processed in pieces, and rows join and leave the batch between decoding steps.

The output does not depend on the batch. In float32, the logits of a row that is computed together with others differ
from those of the row alone by about 1e-5. So if the two most likely tokens of a row are closer than MARGIN, the greedy
choice is *rechecked*: made from a pass over the images and the whole text of that row alone, without a cache. As long
as rounding errors stay below half the margin, an answer at temperature 0 has the same tokens whatever else is in the
batch, and they are those of `NanoDeepseekOCR.generate`. In bfloat16 and with 8-bit weights rounding errors are larger
than any useful margin. There no choice is rechecked, and the output may vary with the batch.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nanochat.engine.backend import Backend, Cache, Features, Logits
from nanochat.engine.constraints import Constraint, Forbid, NoRepeatNgram
from nanochat.engine.loops import LoopWatch
from nanochat.errors import UserError
from nanochat.image_process import ImageViews

if TYPE_CHECKING:
    from nanochat.engine.fixed_step import FixedStep

CHUNK = 512  # most prompt tokens processed between two decoding steps
PIXELS = 512 * 512  # most pixels of several prompts' images that are encoded between two decoding steps
MARGIN = 1e-3  # difference of the two largest logits of a row, in float32, below which the choice is rechecked


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

    @property
    def min_probability(self) -> float:
        """The smallest of `probabilities`; 1 if there are none yet."""
        return min(self.probabilities, default=1.0)


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

    def __post_init__(self) -> None:
        self.request = self.request or self
        self.features: list[Features] = []  # vision tokens of each image, encoded alone
        self.cache: Cache | None = None

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


class Scheduler:
    """Processes prompts and generates up to `max_rows` answers at a time, in one batch. Not thread-safe.

    `end_tokens`: ids that end an answer. `fixed`: if given, decoding steps run through it (a recorded CUDA graph)
    instead of the backend.
    """

    def __init__(self, backend: Backend, end_tokens: set[int], max_rows: int, fixed: "FixedStep | None" = None) -> None:
        self.backend, self.end_tokens, self.max_rows, self.fixed = backend, end_tokens, max_rows, fixed
        self.waiting: deque[Prompt] = deque()
        self.rows: list[tuple[Prompt, Answer]] = []
        self.rechecks = 0
        """number of greedy choices so far that were rechecked"""
        self._reading: list[Prompt] = []
        self._cache: Cache | None = None

    def submit(self, prompt: Prompt) -> None:
        """Queue a prompt. Requests take turns: the first waiting prompt of each request, then the second, and so on."""
        assert 0 < len(prompt.answers) <= self.max_rows
        turns: Counter[object] = Counter()  # how many prompts of each request come before `place`
        own = sum(other.request is prompt.request for other in self.waiting)
        place = 0
        for other in self.waiting:
            if turns[other.request] > own:
                break
            turns[other.request] += 1
            place += 1
        self.waiting.insert(place, prompt)

    @property
    def reading(self) -> bool:
        """Whether a prompt is waiting or being processed."""
        return bool(self.waiting or self._reading)

    @property
    def busy(self) -> bool:
        """Whether any prompt or answer is unfinished."""
        return bool(self.reading or self.rows)

    def step(self) -> list[Answer]:
        """`decode`, then `fill`: one token for every row, then a piece of the next prompt. Returns changed answers."""
        changed = self.decode()
        return changed + self.fill()

    def fill(self) -> list[Answer]:
        """Process a piece of the next prompts, if there is room for them in the batch.

        After the last piece their answers join the batch with their first tokens. Returns the answers that changed.
        """
        with self.backend.context():
            return self._fill()

    def _fill(self) -> list[Answer]:
        if gone := self._forget():
            return gone
        self._reading = self._reading or self._next_prompts()
        if not self._reading:
            return []
        prompts = self._reading
        if len(prompts) > 1:
            cache, logits = self._read_together(prompts)
        else:
            logits = prompts[0].read_piece(self.backend)
            if logits is None or prompts[0].cache is None:
                return []
            cache, prompts[0].cache = prompts[0].cache, None
        self._reading, first, sources = [], len(self.rows), []
        self._cache = self._cache or self.backend.new_cache(0)
        for source, prompt in enumerate(prompts):
            for answer in prompt.answers:
                if answer.generation.stopped is None:
                    self.rows.append((prompt, answer))
                    sources.append(source)
        self._cache.join(cache, sources)
        if sources:
            self._choose(logits[sources], first)
        return [answer for prompt in prompts for answer in prompt.answers]

    def _read_together(self, prompts: list[Prompt]) -> tuple[Cache, Logits]:
        """Process short prompts in one pass. Returns a cache with one row each, and their next logits (B, V)."""
        features = self.backend.encode([image for prompt in prompts for image in prompt.images])
        cache = self.backend.new_cache(len(prompts))
        return cache, self.backend.read([prompt.tokens for prompt in prompts], features, cache)

    def _forget(self) -> list[Answer]:
        """Remove prompts all of whose answers have been cancelled or have timed out. Returns those answers."""
        gone = [
            prompt
            for prompt in [*self._reading, *self.waiting]
            if all([answer.check_clock() for answer in prompt.answers])
        ]
        if gone:
            self._reading = [prompt for prompt in self._reading if prompt not in gone]
            self.waiting = deque(prompt for prompt in self.waiting if prompt not in gone)
        return [answer for prompt in gone for answer in prompt.answers]

    def _next_prompts(self) -> list[Prompt]:
        """Take the next waiting prompt, if its answers fit the batch, and those behind it that fit the same pass."""
        taken: list[Prompt] = []
        room, pixels, longest = self.max_rows - len(self.rows), PIXELS, 0
        while self.waiting:
            prompt = self.waiting[0]
            room, pixels, longest = room - len(prompt.answers), pixels - prompt.pixels, max(longest, len(prompt.tokens))
            together = pixels >= 0 and longest * (len(taken) + 1) <= CHUNK
            if room < 0 or (taken and not together):
                break
            taken.append(self.waiting.popleft())
        return taken

    def decode(self) -> list[Answer]:
        """Generate one token for every row, and remove rows that have ended. Returns the answers that changed."""
        answers = [answer for _, answer in self.rows]
        self._drop([answer.check_clock() for answer in answers])
        if self.rows:
            assert self._cache is not None
            last = [answer.last for _, answer in self.rows]
            with self.backend.context():
                if self.fixed is not None:
                    self._choose(self.fixed.logits(self._cache, last), 0)  # type: ignore[arg-type]
                else:
                    self._choose(self.backend.step(self._cache, last), 0)
        return answers

    def _choose(self, logits: Logits, first: int) -> None:
        """Choose the next token of each row from index `first` on, given their logits (B, V). Removes rows that end."""
        rows, cache, backend = self.rows[first:], self._cache, self.backend
        assert cache is not None
        unconstrained = backend.copy(logits) if any(answer.constraints for _, answer in rows) else logits
        for row, (_, answer) in enumerate(rows):
            self._ban(logits[row], answer)
        chosen, leads = backend.likeliest(logits), backend.leads(logits)
        for row, (prompt, answer) in enumerate(rows):
            if answer.sampling.temperature:
                chosen[row] = self._draw(logits[row], answer)
            elif backend.exact and leads[row] < MARGIN:
                alone = self._logits_alone(prompt, answer)
                unconstrained[row] = alone
                self._ban(alone, answer)
                chosen[row] = int(alone.argmax())
        probabilities = backend.probabilities(unconstrained, chosen)
        for row, (token, probability) in enumerate(zip(chosen, probabilities), start=first):
            prompt, answer = self.rows[row]
            if answer.extend(token, probability, self.end_tokens):
                cache.lengths[row] = len(prompt.tokens) + len(answer.generation.tokens) - 1
        self._drop([answer.generation.stopped is not None for _, answer in self.rows])

    def _ban(self, logits: Logits, answer: Answer) -> None:
        """Set the logits (V,) of tokens that the constraints of the answer ban to -inf, in place."""
        for constraint in answer.constraints:
            banned = constraint.banned(answer.generation.tokens)
            if banned:
                logits[list(banned)] = -math.inf

    def _draw(self, logits: Logits, answer: Answer) -> int:
        sampling = answer.sampling
        if answer.random is None:
            answer.random = self.backend.random(sampling.seed)
        return self.backend.draw(logits, sampling.temperature, sampling.top_k, answer.random)

    def _logits_alone(self, prompt: Prompt, answer: Answer) -> Logits:
        """For a recheck: the next logits (V,) of one row, from a pass over its images and whole text alone."""
        self.rechecks += 1
        tokens = [*prompt.tokens, *answer.generation.tokens]
        return self.backend.read([tokens], prompt.own_features(self.backend), None)[0]

    def _drop(self, ended: list[bool]) -> None:
        """Remove the rows whose flag in `ended` is set. The last row moves to the index of a removed one."""
        assert self._cache is not None or not self.rows
        for row in reversed([row for row, has_ended in enumerate(ended) if has_ended]):
            assert self._cache is not None
            self._cache.leave(row)
            self.rows[row] = self.rows[-1]
            del self.rows[-1]
