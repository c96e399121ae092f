"""An `OCR` that generates with the worker of the server, so that pages of all requests share a batch."""

import copy
import queue
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from nanochat.engine import Guard
from nanochat.engine.answers import Generation, Prompt, Sampling
from nanochat.engine.engine import GREEDY
from nanochat.reading.ocr import OCR
from nanochat.serve.worker import News, Submission, Worker

if TYPE_CHECKING:
    from nanochat.nano_deepseek_ocr import Pixels

OnNews = Callable[[int, News], None]
"""called as (number of the view, counted over the request; change of its answer), in the thread of the request"""
NO_LIMIT = Guard()


class Cancelled(Exception):
    """The client has disconnected."""


class SharedEngine:
    """A `Generator` that submits prompts to the worker of the server, so that all requests share its batch.

    Used in the thread of one request. Since the model belongs to the thread of the worker, this class offers nothing
    else that an `Engine` has.
    """

    def __init__(self, worker: Worker, on_news: OnNews) -> None:
        self.model, self.worker, self.on_news = worker.engine.model, worker, on_news
        self.readings: list[Submission] = []
        self.cancelled = False
        self.views = 0  # number of views so far

    def cancel(self) -> None:
        """Stop all answers in progress and start no more. May be called from any thread."""
        self.cancelled = True
        for reading in self.readings:
            reading.cancel()

    def generate_batch(
        self,
        prompts: list[list[int]],
        pixel_values: "Pixels | None" = None,
        max_tokens: int | None = None,
        sampling: Sampling = GREEDY,
        guard: Guard | Sequence[Guard] = NO_LIMIT,
        at_once: int | None = None,
        again: bool = False,
    ) -> list[Generation]:
        """As `Engine.generate_batch`, except that prompts start in their order.

        While answers grow, `on_news` is called with each change, unless `again` is set. Raises Cancelled after `cancel`
        was called.
        """
        made = enumerate(self.worker.engine.make_prompts(prompts, pixel_values, max_tokens, [sampling], guard))
        news: queue.SimpleQueue[tuple[int, list[News] | BaseException]] = queue.SimpleQueue()
        asked: list[Prompt] = []
        self.readings = []
        left = 0
        while left or len(asked) < len(prompts):
            for i, prompt in islice(made, (at_once or len(prompts)) - left):
                prompt.request = self
                reading = self.worker.submit(prompt, lambda found, i=i: news.put((i, found)))  # type: ignore[misc]
                self.readings.append(reading)
                asked.append(prompt)
                left += 1
            if self.cancelled:
                self.cancel()
            i, found = news.get()
            if isinstance(found, BaseException):
                raise found
            for piece in found:
                if not again:
                    self.on_news(self.views + i, piece)
                left -= piece.finished is not None
            if self.cancelled:
                raise Cancelled
        self.views += len(asked)
        return [prompt.answers[0].generation for prompt in asked]


def shared_ocr(ocr: OCR, worker: Worker, mode: str, on_news: OnNews) -> tuple[OCR, SharedEngine]:
    """A copy of the OCR of the server for one request, with its own mode and callback, and the same model.

    Raises UserError for an unknown mode.
    """
    own, engine = copy.copy(ocr), SharedEngine(worker, on_news)
    own.generator, own.locate_lines = engine, False  # the additional pass would run outside the batch
    own.adapts_threads = False  # computation is in the thread of the worker
    if mode:
        own.mode = own._check_mode(mode)
    return own, engine
