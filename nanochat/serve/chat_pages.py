"""Chat requests for the text of a page, to models that read a page in several views.

The answer is the text that `nano-ocr read` gives.
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from anyio import to_thread
from fastapi import Request
from fastapi.responses import JSONResponse, Response

from nanochat.prompts import PROMPTS, TEXT_TASKS
from nanochat.reading.answer import LINE_TOKENS
from nanochat.reading.ocr import CUT, OCR
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState
from nanochat.serve.errors import ApiError
from nanochat.serve.job import ReadRequest, Unreadable, job_events, open_all, taught_tasks
from nanochat.serve.protocol import LAST_EVENT, Envelope, server_event, usage
from nanochat.serve.questions import ChatRequest, Question
from nanochat.serve.remote import fetch_all
from nanochat.serve.service import Service, Streaming
from nanochat.serve.text import StoppedText
from nanochat.tokenizer import RustBPETokenizer

IN_PIECES = (*CUT, "auto")  # modes that read a page as several views


def is_page_question(ocr: OCR, asked: ChatRequest, question: Question) -> bool:
    """Whether a chat request is answered with the text of its images, as pages.

    This is the case if the model reads pages in several views and the request has images, and either the model was
    trained on reading text only, or the request is a single message with one of the prompts for text, at temperature 0.
    """
    if ocr.mode not in IN_PIECES or not question.images:
        return False
    if set(taught_tasks(ocr)) <= set(TEXT_TASKS):
        return True
    return not asked.temperature and len(question.messages) == 1 and _prompt_for_text(question) is not None


def _prompt_for_text(question: Question) -> str | None:
    """The prompt for text that the last message consists of, apart from its images; None if it is another text."""
    text = question.messages[-1]["content"].replace("<image>", "").strip()
    return next((PROMPTS[t] for t in TEXT_TASKS if PROMPTS[t].replace("<image>", "").strip() == text), None)


async def answer_pages(
    service: Service, asked: ChatRequest, question: Question, request: Request, holds: ExitStack
) -> Response:
    """Read the images as pages. The answer is their texts, separated by blank lines; if streamed,
    line by line where the model reads lines, else page by page.

    `holds`: resources to release after the answer. Raises ApiError or UserError if an image cannot be read or has
    several pages.
    """
    pictures = await fetch_all(question.images, service.settings)
    sources = [Source(f"picture {number}", data) for number, data in enumerate(pictures, start=1)]
    documents = await to_thread.run_sync(open_all, sources)
    prompt = _prompt_for_text(question) or PROMPTS["free"]
    # max_tokens limits the whole answer (`_grow`); lines are read completely, so that their text does not depend on it
    most = None if asked.most_tokens is None else max(asked.most_tokens, LINE_TOKENS)
    job = ReadRequest(service, documents, prompt, "", most, Selection("1"), len(documents), False, False, asked.stream)
    holds.callback(job.let_go)
    for document in documents:
        if isinstance(document, Unreadable):
            raise document.error
        if document.n_pages > 1 and not document.skipped(2):
            count = f"{document.source.name} has {document.n_pages} pages"
            raise ApiError(
                400,
                f"{count}: a chat can only read single pages; use POST /v1/read for whole documents",
                "invalid_value",
            )
    answer = _PageAnswer(service.name, asked, service.ready()[0].tokenizer)
    events = job_events(job, request, service.readers)
    if asked.stream:
        return Streaming(answer.stream(events), "text/event-stream", holds.pop_all())
    async for event in events:
        answer.take(event)
    answer.finish()
    return JSONResponse(answer.whole())


class _PageAnswer:
    """The answer as it grows, line by line where the model reads lines, and else by whole pages."""

    def __init__(self, model: str, asked: ChatRequest, tokenizer: RustBPETokenizer) -> None:
        self.envelope, self.asked, self.tokenizer = Envelope(model), asked, tokenizer
        self.growing = StoppedText(asked.stops)
        self.text, self.ended = "", False
        self.n_pages = 0  # pages that have been read
        self.of_page = ""  # the text of the next page so far
        self.read, self.written, self.stopped = 0, 0, "end"

    def take(self, event: dict[str, Any]) -> str:
        """The further text of the answer after an event. Raises ApiError if a page cannot be read."""
        if event["event"] == "error" or event.get("status") in (PageState.FAILED, PageState.SKIPPED):
            message = event.get("message") or event["error"]
            raise ApiError(event["status"] if event["event"] == "error" and "status" in event else 400, message)
        if event["event"] not in ("lines", "page") or (self.ended and not self.of_page):
            return ""
        between = "\n\n" if self.n_pages and not self.of_page else ""
        if event["event"] == "lines":
            self.of_page += event["text"]
            return self._grow(between + event["text"])
        self.read, self.written = self.read + event["vision_tokens"], self.written + event["tokens"]
        if self.asked.most_tokens is not None:
            self.written = min(self.written, self.asked.most_tokens)
        if not self.ended and event["stopped"] != "end":
            self.stopped = event["stopped"]
        assert event["text"].startswith(self.of_page), "a line that was told has changed"
        piece = self._grow(between + event["text"][len(self.of_page) :])
        self.n_pages, self.of_page = self.n_pages + 1, ""
        return piece

    def finish(self) -> str:
        """The text that was held back, after the last event."""
        return self._grow("", final=True)

    def _grow(self, text: str, final: bool = False) -> str:
        """Append text, up to a stop text and the requested number of tokens. Returns the further text that is final.

        The tokens are counted here: the page is read line by line, and its lines know only their own.
        """
        if self.ended:
            return ""
        before, most = self.text, self.asked.most_tokens
        self.text += self.growing.add(text, final)
        if self.growing.stopped:
            self.ended, self.stopped = True, "stop"
        if most is not None and len(tokens := self.tokenizer.encode(self.text)) > most:
            kept = self.tokenizer.decode(tokens[:most]).rstrip("\ufffd")  # drop an incomplete character
            self.text, self.ended, self.stopped = before + kept[len(before) :], True, "length"
        return self.text[len(before) :]

    def whole(self) -> dict[str, Any]:
        """The finished answer as one response of the protocol; a request for several gets the same text in each."""
        return self.envelope.whole([(self.text, self.stopped)] * self.asked.n, usage(self.read, self.written))

    async def stream(self, events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
        """The answer as server-sent events with chunks of the protocol."""
        which = range(self.asked.n)
        yield self.envelope.opening(*which)
        try:
            async for event in events:
                if piece := self.take(event):
                    yield self.envelope.piece(piece, *which)
        except ApiError as error:
            yield server_event(error.body())
            return
        if piece := self.finish():
            yield self.envelope.piece(piece, *which)
        yield self.envelope.ended(self.stopped, *which)
        if self.asked.wants_usage:
            yield self.envelope.used(usage(self.read, self.written))
        yield LAST_EVENT
