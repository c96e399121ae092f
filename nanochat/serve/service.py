"""What all routes share: the model when it is loaded, its worker, the settings, the figures."""

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
    """One model and everything around it."""

    settings: ServeSettings
    name: str
    """of the model, as clients call it"""
    metrics: Metrics = field(default_factory=Metrics)
    ocr: OCR | None = None
    worker: Worker | None = None

    def __post_init__(self) -> None:
        self.admission = Admission(self.settings)
        self.readers = CapacityLimiter(self.settings.max_concurrency)  # threads that read whole pages

    def start(self, ocr: OCR) -> None:
        """Begin to answer, with this model."""
        worker = Worker(ocr.engine, ocr.precision, self.settings.max_concurrency, self.metrics)
        worker.start()
        self.ocr, self.worker = ocr, worker

    def stop(self) -> None:
        """Answer no more."""
        if self.worker is not None:
            self.worker.stop()
        self.ocr = self.worker = None

    def ready(self) -> tuple[OCR, Worker]:
        """The model and its worker. Raises ApiError 503 while it is being loaded."""
        if self.ocr is None or self.worker is None:
            raise ApiError(503, "the model is being loaded", "not_ready", headers={"Retry-After": "2"})
        return self.ocr, self.worker

    def guard(self) -> Guard:
        return Guard(seconds=self.settings.request_timeout)


@asynccontextmanager
async def cancelling(request: Request, cancel: Callable[[], None]) -> AsyncIterator[None]:
    """Call `cancel` as soon as the client hangs up while the block runs."""

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
    """A streamed answer that lets go of what it holds however it ends, even before its first piece."""

    def __init__(self, content: AsyncIterator[str], media_type: str, holds: ExitStack) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-store"})
        self.holds = holds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.holds:
            await super().__call__(scope, receive, send)
