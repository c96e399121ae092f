"""`POST /v1/read`: pictures and PDFs as an upload, read as `nano-ocr read` does, whole or page by page."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from nanochat.common import UserError
from nanochat.ocr import READING_MODES
from nanochat.prompts import prompt_for
from nanochat.serve.documents import Document
from nanochat.serve.errors import ApiError
from nanochat.serve.service import Service, Streaming, cancelling
from nanochat.serve.shared import Cancelled, shared_ocr
from nanochat.serve.text import TextStream
from nanochat.serve.worker import News

Event = dict[str, Any]


@dataclass
class Job:
    """One request: its documents, how they are read, and what has become of them, told event by event."""

    service: Service
    documents: list[Document]
    prompt: str
    mode: str
    max_tokens: int | None
    with_text: bool
    """tell the text as it grows, not only whole pages"""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def __post_init__(self) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        ocr, worker = self.service.ready()
        self.ocr, self.engine = shared_ocr(ocr, worker, self.mode, self._on_news)
        self.texts: dict[int, TextStream] = {}
        self.place = (0, 0)  # document and page, from 1

    def cancel(self) -> None:
        self.engine.cancel()

    def _tell(self, event: Event | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:  # the event loop has ended
            self.engine.cancelled = True

    def _on_news(self, view: int, news: News) -> None:
        if not self.with_text:
            return
        text = self.texts.setdefault(view, TextStream(self.ocr.tokenizer.encoding, []))
        piece = text.add(news.tokens, final=news.finished is not None)
        if piece:
            document, page = self.place
            self._tell({"event": "text", "document": document, "page": page, "view": view, "text": piece})

    def run(self) -> None:
        """Read everything; for a thread of its own. The last event is None."""
        try:
            for event in self._read():
                self._tell(event)
        except Cancelled:
            pass
        except UserError as error:
            self._tell({"event": "error", "message": str(error)})
        except ApiError as error:
            self._tell({"event": "error", "message": error.message, "status": error.status})
        except Exception as error:
            self._tell(
                {"event": "error", "message": f"the server made a mistake ({type(error).__name__})", "status": 500}
            )
        finally:
            self._tell(None)

    def _read(self) -> Iterator[Event]:
        for number, document in enumerate(self.documents, start=1):
            pages = document.pages()
            for page in range(1, document.count() + 1):
                self.place = number, page
                where = {"document": number, "name": document.name, "page": page}
                yield {"event": "begin", **where}
                try:
                    picture = next(pages)
                    (read,) = self.ocr.read_many(
                        [picture], self.prompt, self.max_tokens, seconds=self.service.settings.request_timeout
                    )
                except UserError as error:
                    yield {"event": "page", **where, "status": "failed", "error": str(error)}
                    if len(self.documents) == 1 and page == 1 and document.count() == 1:
                        raise
                    continue
                yield {"event": "page", **where, **read.to_dict()}


def read_router(service: Service) -> APIRouter:
    """The upload's route."""
    router = APIRouter(prefix="/v1")
    readers = CapacityLimiter(service.settings.max_concurrency)

    @router.get("/modes")
    async def modes() -> dict[str, Any]:
        ocr, _ = service.ready()
        return {"modes": list(READING_MODES), "default": ocr.mode, "model": service.name}

    @router.post("/read")
    async def read(
        request: Request,
        files: list[UploadFile],
        task: Annotated[str, Form()] = "free",
        prompt: Annotated[str, Form()] = "",
        mode: Annotated[str, Form()] = "",
        format: Annotated[Literal["json", "txt", "md"], Form()] = "json",
        stream: Annotated[Literal["", "pages", "text"], Form()] = "",
        max_tokens: Annotated[int | None, Form(ge=1)] = None,
    ) -> Response:
        with ExitStack() as holds:
            holds.enter_context(service.admission.enter())
            documents = [Document(file.filename or "upload", await file.read()) for file in files]
            asked = f"<image>\n{prompt}" if prompt and "<image>" not in prompt else prompt or prompt_for(task)
            counts = await to_thread.run_sync(lambda: [document.count() for document in documents])
            request.state.figures["pages"] = sum(counts)
            if sum(counts) > service.settings.max_pages:
                most = service.settings.max_pages
                raise ApiError(400, f"{sum(counts)} pages: at most {most} at a time", "too_many_pages", "files")
            job = Job(service, documents, asked, mode, max_tokens, stream == "text")
            holds.callback(job.cancel)
            events = _events(job, request, readers)
            if stream:
                lines = (json.dumps(event, ensure_ascii=False) + "\n" async for event in events)
                return Streaming(lines, "application/x-ndjson", holds.pop_all())
            return await _whole(events, format)

    return router


async def _events(job: Job, request: Request, readers: CapacityLimiter) -> AsyncIterator[Event]:
    """What the job's thread tells, and a last event of sums."""
    thread = asyncio.create_task(to_thread.run_sync(job.run, limiter=readers))
    tokens = 0
    try:
        async with cancelling(request, job.cancel):
            while (event := await job.events.get()) is not None:
                tokens += event.get("tokens", 0)
                yield event
        request.state.figures["tokens"] = tokens
        yield {"event": "done", "tokens": tokens}
        await thread
    finally:
        job.cancel()


async def _whole(events: AsyncIterator[Event], format: str) -> Response:
    pages = []
    async for event in events:
        if event["event"] == "error":
            raise ApiError(event.get("status", 400), event["message"], "invalid_input")
        if event["event"] == "page":
            pages.append({name: value for name, value in event.items() if name != "event"})
    if format == "json":
        return JSONResponse({"pages": pages})
    texts = [page.get("text", f"[{page.get('error')}]") for page in pages]
    kind = "text/markdown" if format == "md" else "text/plain"
    return PlainTextResponse("\n\n".join(texts) + "\n", media_type=f"{kind}; charset=utf-8")
