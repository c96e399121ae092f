"""A request to read documents: it runs in a thread, reports its progress as events, and stops if the client is gone."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from PIL import Image

from nanochat.errors import PasswordNeeded, UserError
from nanochat.prompts import PROMPTS
from nanochat.reading.answer import Ask
from nanochat.reading.documents import Document, open_document
from nanochat.reading.inline import jpeg_url
from nanochat.reading.layer_check import read_with_layers
from nanochat.reading.markdown import page_markdown
from nanochat.reading.ocr import OCR
from nanochat.reading.options import TextLayerMode
from nanochat.reading.page import Page
from nanochat.reading.shown import Lined
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState
from nanochat.reading.text_layer import load_page
from nanochat.serve.errors import ApiError, in_fields
from nanochat.serve.line_stream import LineStream
from nanochat.serve.service import Service, cancelling
from nanochat.serve.shared import Cancelled, shared_ocr
from nanochat.serve.text import TextStream
from nanochat.serve.worker import News

Event = dict[str, Any]
log = logging.getLogger("nanochat.serve")
PREVIEW_PIXELS = 1200  # longest side of a page in the browser


@dataclass
class Unreadable:
    """An uploaded file that cannot be opened. It counts as one page, which fails."""

    source: Source
    error: UserError
    n_pages: int = 1

    def load(self, number: int, most: int = 0) -> Image.Image:
        """Raises UserError, since there is no page."""
        raise self.error

    def close(self) -> None:
        """Does nothing."""


def open_all(sources: list[Source], dpi: int = 150, password: str = "") -> list[Document | Unreadable]:
    """Open the uploaded files. A file that cannot be opened does not affect the others; it becomes Unreadable.

    Raises UserError if none can be opened, or if one needs a password.
    """
    documents: list[Document | Unreadable] = []
    for source in sources:
        try:
            if not source.data:
                raise UserError(f"{source.name}: the file is empty")
            documents.append(open_document(source, dpi, password))
        except UserError as error:
            documents.append(Unreadable(source, error))
    failed = [document.error for document in documents if isinstance(document, Unreadable)]
    locked = [error for error in failed if isinstance(error, PasswordNeeded)]
    if failed and (locked or len(failed) == len(documents)):
        for document in documents:
            document.close()
        raise locked[0] if locked else UserError("; ".join(map(str, failed)))
    return documents


@dataclass
class ReadRequest:
    """One request: its documents, how they are read, and a queue of events about the progress.

    `run` reads in a thread; `events` is read by the event loop. An event is a dict with the key `event`: `begin`,
    `text`, `page` or `error`.
    """

    service: Service
    documents: list[Document | Unreadable]
    prompt: str
    mode: str
    """reading mode; empty: that of the server"""
    max_tokens: int | None
    """length limit of the answer about one view"""
    selection: Selection
    """which pages of each document are read"""
    n_pages: int
    """number of selected pages of all documents"""
    with_text: bool
    """also send events with the text of a page as it grows"""
    with_preview: bool
    """also send an image of each page, as a data URL"""
    with_lines: bool = False
    """in mode `lines`, also send events with the lines of a page as soon as they are final"""
    text_layer: TextLayerMode = "auto"
    """whether the text layer of a PDF page is used instead of reading its image"""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def __post_init__(self) -> None:
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        ocr, worker = self.service.ready()
        self.ocr, self.engine = shared_ocr(ocr, worker, self.mode, self._on_news)
        self.turn = self.ocr.turn
        self.takes_layers = self.text_layer != "never" and Ask(self.prompt).is_for_text
        self.texts: dict[int, TextStream] = {}
        self.place = (0, 0)  # document and page, from 1
        self.is_checking = False  # whether lines are read only to compare them with a text layer
        self.lock, self.started = threading.Lock(), False

    def let_go(self) -> None:
        """Stop as soon as possible, because the client is gone. May be called from any thread."""
        self.engine.cancel()
        with self.lock:
            if not self.started:
                self._close()

    def _close(self) -> None:
        self.started = True
        for document in self.documents:
            document.close()

    def _tell(self, event: Event | None) -> None:
        try:
            self.loop.call_soon_threadsafe(self.events.put_nowait, event)
        except RuntimeError:  # the event loop has ended
            self.engine.cancelled = True

    def _on_news(self, view: int, news: News) -> None:
        if not self.with_text or self.is_checking:
            return
        text = self.texts.setdefault(view, TextStream(self.ocr.tokenizer.encoding, []))
        piece = text.add(news.tokens, final=news.finished is not None)
        if piece:
            document, page = self.place
            self._tell({"event": "text", "document": document, "page": page, "view": view, "text": piece})

    def _on_lines(self, text: str) -> None:
        document, page = self.place
        self._tell({"event": "lines", "document": document, "page": page, "text": text})

    def run(self) -> None:
        """Read all pages and close the documents. Runs in its own thread. The last event is None."""
        with self.lock:
            if self.started:  # cancelled before it began
                self._tell(None)
                return
            self.started = True
        try:
            for event in self._read():
                self._tell(event)
        except Cancelled:
            pass
        except UserError as error:
            self._tell({"event": "error", "message": in_fields(error)})
        except ApiError as error:
            self._tell({"event": "error", "message": error.message, "status": error.status})
        except Exception as error:
            log.exception("a request to read failed")
            self._tell({"event": "error", "message": f"internal server error ({type(error).__name__})", "status": 500})
        finally:
            self._close()
            self._tell(None)

    def _read(self) -> Iterator[Event]:
        for number, document in enumerate(self.documents, start=1):
            if isinstance(document, Unreadable):
                where = {"document": number, "name": document.source.name, "page": 1}
                yield {"event": "page", **where, "status": PageState.FAILED, "error": in_fields(document.error)}
                continue
            for page in range(1, document.n_pages + 1):
                if page in self.selection:
                    self.place = number, page
                    yield from self._read_page(document, page)

    def _read_page(self, document: Document, page: int) -> Iterator[Event]:
        where = {"document": self.place[0], "name": document.source.name, "page": page}
        why = document.skipped(page)
        if why:
            yield {"event": "page", **where, "status": PageState.SKIPPED, "error": why}
            return
        begin = {"event": "begin", **where, "pages": self.n_pages}
        try:
            picture = load_page(document, page, self.service.settings.most_pixels, self.takes_layers)
            yield {**begin, "preview": jpeg_url(picture, PREVIEW_PIXELS)} if self.with_preview else begin
            read = self._page_of(picture)
        except UserError as error:
            yield {"event": "page", **where, "status": PageState.FAILED, "error": in_fields(error)}
            if self.n_pages == 1:
                raise
            return
        result = read.to_dict()
        yield {"event": "page", **where, **result, "markdown": page_markdown(result)}

    def _page_of(self, picture: Image.Image) -> Page:
        """The text of a page, from its text layer or its image. Only what is read from the image is streamed."""

        def read(pictures: list[Image.Image | Lined]) -> Iterator[Page]:
            self.is_checking = False
            if self.with_lines and self.ocr.mode == "lines":
                self.ocr.turn, self.ocr.on_lines = self.turn, LineStream(self.ocr, picture.size, self._on_lines)
            seconds = self.service.settings.request_timeout
            return self.ocr.read_many(pictures, self.prompt, self.max_tokens, seconds=seconds)

        self.is_checking, self.ocr.on_lines = True, None
        (page,) = read_with_layers(self.ocr, [picture], self.text_layer, read)
        return page


def taught_tasks(ocr: OCR) -> list[str]:
    """The tasks that a checkpoint was trained on, according to its metadata.

    Without this information: `free` for a model that reads lines, otherwise all tasks.
    """
    return ocr.meta.get("tasks") or (["free"] if ocr.own_mode == "lines" else list(PROMPTS))


async def job_events(job: ReadRequest, request: Request, readers: CapacityLimiter) -> AsyncIterator[Event]:
    """Run the job in a thread of `readers` and yield its events, and a last event `done` with the number of tokens."""
    thread = asyncio.create_task(to_thread.run_sync(job.run, limiter=readers))
    tokens = 0
    try:
        async with cancelling(request, job.let_go):
            while (event := await job.events.get()) is not None:
                tokens += event.get("tokens", 0)
                yield event
        request.state.figures["tokens"] = tokens
        yield {"event": "done", "tokens": tokens}
        await thread
    finally:
        job.let_go()
