"""Continuous batching: prompts are processed in pieces, and rows join and leave the batch between decoding steps.

The output does not depend on the batch. In float32, the logits of a row that is computed together with others differ
from those of the row alone by about 1e-5. So if the two most likely tokens of a row are closer than MARGIN, the greedy
choice is *rechecked*: made from a pass over the images and the whole text of that row alone, without a cache. As long
as rounding errors stay below half the margin, an answer at temperature 0 has the same tokens whatever else is in the
batch, and they are those of `NanoDeepseekOCR.generate`. In bfloat16 and with 8-bit weights rounding errors are larger
than any useful margin. There no choice is rechecked, and the output may vary with the batch.

If memory runs out, the KV cache is dropped, half as many answers are generated at a time from then on, and each
unfinished answer is continued from its prompt and its tokens so far. Its text stays the same.
"""

import math
import warnings
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from nanochat.engine.answers import CHUNK, Answer, Prompt
from nanochat.engine.backend import Backend, Cache, Logits
from nanochat.errors import OutOfMemory, is_out_of_memory

if TYPE_CHECKING:
    from nanochat.engine.fixed_step import FixedStep

PIXELS = 512 * 512  # most pixels of several prompts' images that are encoded between two decoding steps
MARGIN = 1e-3  # difference of the two largest logits of a row, in float32, below which the choice is rechecked


class Scheduler:
    """Processes prompts and generates up to `max_rows` answers at a time, in one batch. Not thread-safe.

    `end_tokens`: ids that end an answer. `fixed`: if given, decoding steps run through it (a recorded CUDA graph)
    instead of the backend.
    """

    def __init__(self, backend: Backend, end_tokens: set[int], max_rows: int, fixed: "FixedStep | None" = None) -> None:
        self.backend, self.end_tokens, self.fixed = backend, end_tokens, fixed
        self.most_rows = self.max_rows = max_rows  # `max_rows` becomes smaller if memory runs out
        self.waiting: deque[Prompt] = deque()
        self.rows: list[tuple[Prompt, Answer]] = []
        self.rechecks = 0
        """number of greedy choices so far that were rechecked"""
        self._reading: list[Prompt] = []
        self._cache: Cache | None = None

    def submit(self, prompt: Prompt) -> None:
        """Queue a prompt. Requests take turns: the first waiting prompt of each request, then the second, and so on."""
        assert 0 < len(prompt.answers) <= self.most_rows
        turns: Counter[object] = Counter()  # how many prompts of each request come before `place`
        own = sum(other.request is prompt.request for other in self.waiting)
        place = 0
        for other in self.waiting:
            if turns[other.request] > own:
                break
            turns[other.request] += 1
            place += 1
        for part in reversed(self._fitting(prompt)):
            self.waiting.insert(place, part)

    def _fitting(self, prompt: Prompt) -> list[Prompt]:
        """The prompt, divided into one for each answer if its answers do not fit the batch since memory ran out."""
        if len(prompt.answers) <= self.max_rows:
            return [prompt]
        return [prompt.rest(answer) for answer in prompt.answers]

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
        Raises OutOfMemory if there is not enough memory for a single answer.
        """
        return self._within_memory(self._fill)

    def fill_up(self) -> None:
        """`fill` until no prompt is waiting, or there is no room for the next one."""
        while self._reading or (self.waiting and len(self.rows) + len(self.waiting[0].answers) <= self.max_rows):
            self.fill()

    def _within_memory(self, compute: Callable[[], list[Answer]]) -> list[Answer]:
        """The result of `compute`; if memory runs out, half as many answers are generated at a time from then on."""
        try:
            with self.backend.context():
                return compute()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            unfinished = self._unfinished()
            if len(unfinished) < 2:
                if isinstance(error, OutOfMemory):
                    raise
                length = sum(len(prompt.tokens) for prompt in unfinished)
                told = f"not enough memory for a single answer, at {length} tokens: use smaller pages"
                raise OutOfMemory(told) from error
        self._continue_with(unfinished)  # here, where the exception no longer keeps arrays alive
        return []

    def _unfinished(self) -> list[Prompt]:
        """For each unfinished answer of the batch, and of the prompts being processed, a prompt that continues it."""
        reading = [(prompt, answer) for prompt in self._reading for answer in prompt.answers]
        return [prompt.rest(answer) for prompt, answer in [*self.rows, *reading] if answer.generation.stopped is None]

    def _continue_with(self, unfinished: list[Prompt]) -> None:
        """Empty the batch, and put `unfinished` first in the queue, for half as many answers at a time."""
        self.max_rows = len(unfinished) // 2
        for prompt in self._reading:
            prompt.cache = None
        self.rows, self._reading, self._cache = [], [], None
        if self.fixed is not None:
            self.fixed.forget()
        self.waiting = deque(part for prompt in [*unfinished, *self.waiting] for part in self._fitting(prompt))
        told = f"not enough memory for {len(unfinished)} answers at a time: continuing with {self.max_rows}"
        warnings.warn(told, stacklevel=2)

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
        joining = [
            (source, prompt.whole or prompt, answer)
            for source, prompt in enumerate(prompts)
            for answer in prompt.answers
            if answer.generation.stopped is None
        ]
        sources, first = [source for source, _, _ in joining], len(self.rows)
        self._cache = self._cache or self.backend.new_cache(0)
        self._cache.join(cache, sources)
        self._reading = []
        self.rows += [(prompt, answer) for _, prompt, answer in joining]
        if sources:
            self._choose(logits[sources], first)
        return [answer for prompt in prompts for answer in prompt.answers]

    def _read_together(self, prompts: list[Prompt]) -> tuple[Cache, Logits]:
        """Process short prompts in one pass. Returns a cache with one row each, and their next logits (B, V)."""
        encoded = iter(self.backend.encode([image for prompt in prompts for image in prompt.images]))
        features = [own for prompt in prompts for own in ([next(encoded) for _ in prompt.images] or prompt.features)]
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
        """Generate one token for every row, and remove rows that have ended. Returns the answers that changed.

        Raises OutOfMemory if there is not enough memory for a single row.
        """
        answers = [answer for _, answer in self.rows]
        self._drop([answer.check_clock() for answer in answers])
        if self.rows:
            self._within_memory(self._step)
        return answers

    def _step(self) -> list[Answer]:
        assert self._cache is not None
        last = [answer.last for _, answer in self.rows]
        if self.fixed is not None:
            self._choose(self.fixed.logits(self._cache, last), 0)  # type: ignore[arg-type]
        else:
            self._choose(self.backend.step(self._cache, last), 0)
        return []

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
