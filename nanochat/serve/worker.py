"""The thread that runs the model: it takes prompts, runs steps, and reports changes of answers to the requests."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from nanochat.engine import Engine
from nanochat.engine.answers import Answer, Generation, Prompt
from nanochat.precision import Precision
from nanochat.serve.errors import ApiError
from nanochat.serve.gate import log
from nanochat.serve.metrics import Metrics
from nanochat.threads import adapt_threads

IDLE_SECONDS = 0.5  # longest sleep of the thread before it checks whether it should end


@dataclass(frozen=True)
class News:
    """A change of one answer."""

    answer: int
    """index of the answer among those to its prompt"""
    tokens: list[int]
    """further final tokens (loop detection will not remove them)"""
    finished: Generation | None
    """the whole answer if it has ended, else None"""


Deliver = Callable[[list[News] | BaseException], None]


class Submission:
    """A prompt that was submitted to a worker.

    `deliver` is called in the thread of the worker, with a list of changes or an exception.
    """

    def __init__(self, prompt: Prompt, deliver: Deliver) -> None:
        self.prompt, self.deliver = prompt, deliver
        self.submitted = time.monotonic()
        self.begun = False
        self.sent = [0] * len(prompt.answers)
        self.told: set[int] = set()

    def cancel(self) -> None:
        """Cancel all answers: their rows leave the batch before the next step."""
        for answer in self.prompt.answers:
            answer.cancelled = True


class Stream:
    """The changes of the answers to one prompt, as an asynchronous iterator for an event loop.

    It ends when all answers have ended.
    """

    def __init__(self, worker: "Worker", prompt: Prompt) -> None:
        self.loop, self.prompt = asyncio.get_running_loop(), prompt
        self.news: asyncio.Queue[list[News] | BaseException] = asyncio.Queue()
        self.left = len(prompt.answers)
        self.reading = worker.submit(prompt, self._deliver)

    def _deliver(self, found: list[News] | BaseException) -> None:
        try:
            self.loop.call_soon_threadsafe(self.news.put_nowait, found)
        except RuntimeError:  # the event loop has ended
            self.reading.cancel()

    def cancel(self) -> None:
        """Cancel all answers."""
        self.reading.cancel()

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> list[News]:
        if not self.left:
            raise StopAsyncIteration
        found = await self.news.get()
        if isinstance(found, BaseException):
            raise found
        self.left -= sum(news.finished is not None for news in found)
        return found


class Worker:
    """Runs a Scheduler in its own thread.

    `precision`: of the computation. `max_rows`: most answers at a time.
    """

    def __init__(self, engine: Engine, precision: Precision, max_rows: int, metrics: Metrics) -> None:
        self.engine, self.precision, self.metrics = engine, precision, metrics
        self.scheduler = engine.scheduler(max_rows)
        self._inbox: list[Submission] = []
        self._readings: dict[Prompt, Submission] = {}
        self._wake = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its current step. Unfinished answers end with an error."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join()

    def submit(self, prompt: Prompt, deliver: Deliver) -> Submission:
        """Queue a prompt.

        `deliver` is called with changes of its answers in the thread of the worker, and must return quickly. Raises
        ApiError 503 after `stop`.
        """
        reading = Submission(prompt, deliver)
        with self._wake:
            if self._ending:
                raise ApiError(503, "the server ends", "shutting_down")
            self._inbox.append(reading)
            self._wake.notify()
        return reading

    @property
    def waiting(self) -> int:
        """Number of prompts that wait for room in the batch."""
        return len(self._inbox) + len(self.scheduler.waiting)

    def _take(self) -> bool:
        """Pass new prompts to the scheduler; wait if there is nothing to do. Returns False if the worker must stop."""
        with self._wake:
            if not self._inbox and not self.scheduler.busy and not self._ending:
                self._wake.wait(IDLE_SECONDS)
            new, self._inbox = self._inbox, []
            ending = self._ending
        for reading in new:
            self._readings[reading.prompt] = reading
            self.scheduler.submit(reading.prompt)
        return not ending

    def _run(self) -> None:
        idle = True
        while self._take():
            if not self.scheduler.busy:
                idle = True
                continue
            if idle:
                adapt_threads()
                idle = False
            started = time.perf_counter()
            try:
                with self.precision.autocast(self.engine.model.device):
                    changed = self.scheduler.step()
            except Exception as error:  # one prompt must not end the server
                self._fail(error)
                continue
            self._report(changed)
            self.metrics.step(time.perf_counter() - started, len(self.scheduler.rows), self.waiting)
        for reading in [*self._readings.values(), *self._inbox]:
            reading.deliver(ApiError(503, "the server ends", "shutting_down"))

    def _report(self, changed: list[Answer]) -> None:
        changes = {id(answer) for answer in changed}
        for prompt, reading in list(self._readings.items()):
            found = [
                self._news(reading, number, answer)
                for number, answer in enumerate(prompt.answers)
                if id(answer) in changes and number not in reading.told
            ]
            found = [news for news in found if news.tokens or news.finished is not None]
            if not found:
                continue
            if not reading.begun:
                reading.begun = True
                self.metrics.first_token(time.monotonic() - reading.submitted)
            reading.deliver(found)
            if len(reading.told) == len(prompt.answers):
                del self._readings[prompt]

    def _news(self, reading: Submission, number: int, answer: Answer) -> News:
        generation, sent = answer.generation, reading.sent[number]
        settled = max(sent, answer.settled)
        reading.sent[number] = settled
        if generation.stopped is not None:
            reading.told.add(number)
            self.metrics.answered(generation)
            return News(number, generation.tokens[sent:], generation)
        return News(number, generation.tokens[sent:settled], None)

    def _fail(self, error: Exception) -> None:
        """After a failed step, report the error to all requests in the batch and start again with an empty one."""
        log.error("a step of the model failed", exc_info=error)
        failed, self._readings = list(self._readings.values()), {}
        self.scheduler = self.engine.scheduler(self.scheduler.most_rows)
        for reading in failed:
            reading.deliver(error)
