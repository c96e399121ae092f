"""Reading for asyncio programs: concurrent requests are read as one batch, and the event loop is not blocked."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from PIL import Image

from nanochat.image_process import open_image
from nanochat.reading.apart import read_apart
from nanochat.reading.ocr import OCR, PROMPT
from nanochat.reading.page import Page


@dataclass
class _Request:
    """A request for one image."""

    picture: Image.Image
    prompt: str
    max_tokens: int | None
    answer: "asyncio.Future[Page]"


class AsyncOCR:
    """`OCR` for asyncio: `async with AsyncOCR("nano") as ocr: page = await ocr.read("receipt.png")`.

    It takes the arguments of `OCR`. Requests that wait while others are read share the next batch of at most
    `batch_size`; the text of each does not depend on the others. A cancelled task has no effect on later batches.
    """

    def __init__(self, checkpoint: str | Path = "nano", **options: Any) -> None:
        self._checkpoint, self._options = checkpoint, options
        self._requests: asyncio.Queue[_Request] = asyncio.Queue()
        self._answers: set[asyncio.Future[Page]] = set()

    async def __aenter__(self) -> "AsyncOCR":
        self._ocr = await asyncio.to_thread(OCR, self._checkpoint, **self._options)
        self._reader = asyncio.create_task(self._read_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        for answer in list(self._answers):
            answer.cancel()

    async def read(
        self, picture: str | Path | bytes | Image.Image, prompt: str = PROMPT, max_tokens: int | None = None
    ) -> Page:
        """Read one image. Raises UserError if it cannot be opened, or unless the prompt has exactly one `<image>`."""
        opened = await asyncio.to_thread(open_image, picture)
        if self._reader.done():
            raise asyncio.CancelledError("the AsyncOCR has been closed")
        answer: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)
        self._requests.put_nowait(_Request(opened, prompt, max_tokens, answer))
        return await answer

    async def _read_on(self) -> None:
        """Read batch after batch while there are requests."""
        kept: list[_Request] = []
        while True:
            waiting = kept or [await self._requests.get()]
            while not self._requests.empty():
                waiting.append(self._requests.get_nowait())
            waiting = [request for request in waiting if not request.answer.done()]
            if not waiting:
                kept = []
                continue
            first = waiting[0]
            alike = [r for r in waiting if (r.prompt, r.max_tokens) == (first.prompt, first.max_tokens)]
            batch = alike[: self._ocr.batch_size]
            kept = [request for request in waiting if not any(request is one for one in batch)]
            await self._read_batch(batch)

    async def _read_batch(self, batch: Sequence[_Request]) -> None:
        """Answer some requests. If reading them together fails, each is read alone, so that one cannot fail others."""
        found = await asyncio.to_thread(read_apart, self._read_many, batch)
        for request, page in zip(batch, found, strict=True):
            if request.answer.done():
                continue
            if isinstance(page, Exception):
                request.answer.set_exception(page)
            else:
                request.answer.set_result(page)

    def _read_many(self, batch: Sequence[_Request]) -> list[Page]:
        pictures = [request.picture for request in batch]
        return list(self._ocr.read_many(pictures, batch[0].prompt, batch[0].max_tokens))
