"""`Service`: what all routes share, such as the model after it is loaded, its worker, settings and metrics."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from nanochat.engine import Guard
from nanochat.reading.ocr import OCR
from nanochat.serve.errors import ApiError
from nanochat.serve.gate import Admission
from nanochat.serve.metrics import Metrics
from nanochat.serve.settings import ServeSettings
from nanochat.serve.worker import Worker


@dataclass
class Service:
    """One model with its worker, settings and metrics."""

    settings: ServeSettings
    name: str
    """name of the model in the protocol"""
    metrics: Metrics = field(default_factory=Metrics)
    ocr: OCR | None = None
    worker: Worker | None = None

    def __post_init__(self) -> None:
        self.admission = Admission(self.settings)
        self.readers = CapacityLimiter(self.settings.max_concurrency)  # threads that read whole pages

    def start(self, ocr: OCR) -> None:
        """Start answering requests with this model."""
        worker = Worker(ocr.engine, ocr.precision, self.settings.max_concurrency, self.metrics)
        worker.start()
        self.ocr, self.worker = ocr, worker

    def stop(self) -> None:
        """Stop the worker."""
        if self.worker is not None:
            self.worker.stop()
        self.ocr = self.worker = None

    def ready(self) -> tuple[OCR, Worker]:
        """The model and its worker. Raises ApiError 503 while the model is being loaded."""
        if self.ocr is None or self.worker is None:
            raise ApiError(503, "the model is being loaded", "not_ready", headers={"Retry-After": "2"})
        return self.ocr, self.worker

    def guard(self) -> Guard:
        """The limits of an answer: the time limit of the settings."""
        return Guard(seconds=self.settings.request_timeout)


@asynccontextmanager
async def cancelling(request: Request, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """Context manager that calls `cancel` as soon as the client disconnects."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


class Streaming(StreamingResponse):
    """A streamed response that releases the resources in `holds` at its end, even if it ends before the first piece."""

    def __init__(self, content: AsyncIterator[str], media_type: str, holds: ExitStack) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-store"})
        self.holds = holds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.holds:
            await super().__call__(scope, receive, send)
