"""Continuous batching: prompts are read a piece at a time, answers grow together, rows come and go between steps.

The same text, always. Rows that are computed together round otherwise than a row by itself, by about 1e-5 of a logit
in float32. So wherever the two likeliest tokens lie closer than MARGIN, the greedy choice is made again from a pass
over the row's pictures and whole text by itself, without a cache: what decides then depends on nothing but the row. As
long as rounding stays under half the margin, an answer at temperature 0 has the same tokens in any company and any
order, and they are those of `NanoDeepseekOCR.generate`. In bfloat16 and with weights at 8 bits rounding is more, and
no choice is made again.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nanochat.engine.backend import Backend, Cache, Features, Logits, backend_of
from nanochat.engine.constraints import Constraint, Forbid, NoRepeatNgram
from nanochat.engine.loops import LoopWatch
from nanochat.errors import UserError
from nanochat.image_process import ImageViews

if TYPE_CHECKING:
    from nanochat.engine.fixed_step import FixedStep

CHUNK = 512  # tokens of prompts that are read between two steps of the answers
PIXELS = 512 * 512  # of pictures, likewise, where there are several
MARGIN = 1e-3  # of two logits in float32; bfloat16, and weights at 8 bits, round too much for a promise


@dataclass
class Generation:
    """What the model answered to one prompt; grows while it is streamed."""

    tokens: list[int] = field(default_factory=list)
    """the answer, without the token that ended it; of a loop, its first copy"""
    probabilities: list[float] = field(default_factory=list)
    """what the model gave each choice, whatever the temperature; one more than `tokens` when the model ended it"""
    stopped: str | None = None
    """None while it grows; `end`: the model ended it; `length`: it has max_tokens; `context`: there is no more room;
    `loop`: it repeated itself; `time`: its time was over; `cancelled`: nobody wants it any more"""
    dropped: int = 0
    """tokens of loops that were said after `tokens` and taken away"""
    repaired: bool = False
    """it repeated itself once, went on from the text before the loop, and did not do it again"""

    @property
    def mean_probability(self) -> float:
        """How sure the model was on average of its choices, the ending included; 1 before the first."""
        return sum(self.probabilities) / len(self.probabilities) if self.probabilities else 1.0

    @property
    def min_probability(self) -> float:
        """How sure the model was of its least sure choice; 1 before the first."""
        return min(self.probabilities, default=1.0)


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises UserError for values that have no meaning."""

    temperature: float = 0.0
    """0: the likeliest token; above: drawn, the flatter the higher"""
    top_k: int | None = None
    """draw among this many likeliest tokens"""
    seed: int = 42
    """equal seeds draw equal tokens from equal probabilities"""

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature {self.temperature}: must be 0 (greedy) or a positive number")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k {self.top_k}: must be at least 1, or none to sample from all tokens")


@dataclass(eq=False)
class Answer:
    """One row of the batch: an answer that grows, and the rules that it grows by."""

    limit: tuple[int, str]
    """how many tokens at most, and the reason that ends it there"""
    sampling: Sampling = Sampling()
    constraints: tuple[Constraint, ...] = ()
    watch: LoopWatch | None = None
    """notices loops; None: they go on"""
    retry: bool = False
    """after a loop, go on once from the text before it, without repeated runs of 30 tokens"""
    deadline: float | None = None
    """time.monotonic() at which it ends"""
    cancelled: bool = False
    """set it from anywhere: the row leaves before the next step"""
    generation: Generation = field(default_factory=Generation)
    last: int = 0
    """the token chosen last, an ending one included"""

    def __post_init__(self) -> None:
        self.random: Any = None  # the backend's, made when the first token is drawn

    @property
    def settled(self) -> int:
        """How many of its tokens no loop will take away again: what may be shown."""
        tokens, watch = self.generation.tokens, self.watch
        return len(tokens) - watch.repeated if watch is not None and self.generation.stopped is None else len(tokens)

    def check_clock(self) -> bool:
        """Whether it is wanted no more or its time is over, which ends it."""
        if self.generation.stopped is None:
            if self.cancelled:
                self.generation.stopped = "cancelled"
            elif self.deadline is not None and time.monotonic() >= self.deadline:
                self.generation.stopped = "time"
        return self.generation.stopped is not None

    def extend(self, token: int, probability: float, end_tokens: set[int]) -> bool:
        """Take the token that was chosen. Returns whether the row stepped back, to go on from before a loop."""
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
    """A text and its pictures, read once for all of its answers."""

    tokens: list[int]
    images: Sequence[ImageViews]
    answers: list[Answer]
    request: object = None
    """whose it is: those that wait are taken in turn, one of each request"""

    def __post_init__(self) -> None:
        self.request = self.request or self
        self.features: list[Features] = []  # of each picture, encoded by itself
        self.cache: Cache | None = None

    @property
    def pixels(self) -> int:
        """Of all views."""
        layouts = [image.layout for image in self.images]
        return sum(
            layout.view[0] * layout.view[1] + layout.tile_grid[0] * layout.tile_grid[1] * layout.tile_size**2
            for layout in layouts
        )

    def own_features(self, backend: Backend) -> list[Features]:
        """Of each of its pictures, encoded by itself, which no other prompt has touched."""
        while len(self.features) < len(self.images):
            self.features += backend.encode([self.images[len(self.features)]])
        self.images = []
        return self.features

    def read_piece(self, backend: Backend) -> Logits | None:
        """Read one bounded piece: a picture, or a chunk of tokens. Returns the next logits (1, V) at the end."""
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
    """Reads prompts and lets their answers grow, together, as many as `max_rows` at a time. For one thread.

    `model`: a NanoDeepseekOCR, or a backend. With a `fixed` step all rows go through that, else through the backend's.
    """

    def __init__(self, model: Any, end_tokens: set[int], max_rows: int, fixed: "FixedStep | None" = None) -> None:
        self.backend, self.end_tokens, self.max_rows, self.fixed = backend_of(model), end_tokens, max_rows, fixed
        self.waiting: deque[Prompt] = deque()
        self.rows: list[tuple[Prompt, Answer]] = []
        self.second_looks = 0
        """greedy choices so far that were made again from the row by itself"""
        self._reading: list[Prompt] = []
        self._cache: Cache | None = None

    def submit(self, prompt: Prompt) -> None:
        """Queue a prompt, in its request's turn, behind those that wait; its answers join the batch together."""
        assert 0 < len(prompt.answers) <= self.max_rows
        turns: Counter[object] = Counter()  # how many of each request come before a place
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
        """Whether a prompt waits or is being read."""
        return bool(self.waiting or self._reading)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.reading or self.rows)

    def step(self) -> list[Answer]:
        """A piece of the next prompt, if there is room, and a token for the rows that were there: who changed."""
        changed = self.decode()
        return changed + self.fill()

    def fill(self) -> list[Answer]:
        """Read a piece of the next prompts; when it is the last, the answers join. Returns the answers that changed."""
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
        """Read several short prompts at once: a cache with a row of each, and their next logits (B, V)."""
        features = self.backend.encode([image for prompt in prompts for image in prompt.images])
        cache = self.backend.new_cache(len(prompts))
        return cache, self.backend.read([prompt.tokens for prompt in prompts], features, cache)

    def _forget(self) -> list[Answer]:
        """Take out prompts that nobody wants any more or whose time is over; returns their answers."""
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
        """The next that waits and finds room, and those behind it that are short enough to be read together with it."""
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
        """One token more for every row; rows that end leave. Returns the answers that changed."""
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
        """Choose the next tokens of the rows from `first` on, from their logits (B, V); those that end leave."""
        rows, cache, backend = self.rows[first:], self._cache, self.backend
        assert cache is not None
        own = backend.copy(logits) if any(answer.constraints for _, answer in rows) else logits
        for row, (_, answer) in enumerate(rows):
            self._ban(logits[row], answer)
        chosen, leads = backend.likeliest(logits), backend.leads(logits)
        for row, (prompt, answer) in enumerate(rows):
            if answer.sampling.temperature:
                chosen[row] = self._draw(logits[row], answer)
            elif backend.exact and leads[row] < MARGIN:
                own[row] = self._look_again(prompt, answer)
                logits[row] = own[row]
                self._ban(logits[row], answer)
                chosen[row] = int(logits[row].argmax())
        probabilities = backend.probabilities(own, chosen)
        for row, (token, probability) in enumerate(zip(chosen, probabilities), start=first):
            prompt, answer = self.rows[row]
            if answer.extend(token, probability, self.end_tokens):
                cache.lengths[row] = len(prompt.tokens) + len(answer.generation.tokens) - 1
        self._drop([answer.generation.stopped is not None for _, answer in self.rows])

    def _ban(self, logits: Logits, answer: Answer) -> None:
        """Make the tokens (V,) impossible that the answer's constraints forbid."""
        for constraint in answer.constraints:
            banned = constraint.banned(answer.generation.tokens)
            if banned:
                logits[list(banned)] = -math.inf

    def _draw(self, logits: Logits, answer: Answer) -> int:
        sampling = answer.sampling
        if answer.random is None:
            answer.random = self.backend.random(sampling.seed)
        return self.backend.draw(logits, sampling.temperature, sampling.top_k, answer.random)

    def _look_again(self, prompt: Prompt, answer: Answer) -> Logits:
        """The logits (V,) of a row's next token, from its whole text by itself."""
        self.second_looks += 1
        tokens = [*prompt.tokens, *answer.generation.tokens]
        return self.backend.read([tokens], prompt.own_features(self.backend), None)[0]

    def _drop(self, ended: list[bool]) -> None:
        """Take the rows that have ended out of the batch; the last row takes the place of each."""
        assert self._cache is not None or not self.rows
        for row in reversed([row for row, has_ended in enumerate(ended) if has_ended]):
            assert self._cache is not None
            self._cache.leave(row)
            self.rows[row] = self.rows[-1]
            del self.rows[-1]
