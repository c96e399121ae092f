"""`POST /v1/chat/completions` and `GET /v1/models` of the OpenAI protocol."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from nanochat.engine.answers import Generation, Sampling
from nanochat.serve.chat_pages import answer_pages, is_page_question
from nanochat.serve.errors import ApiError
from nanochat.serve.protocol import LAST_EVENT, Envelope, usage
from nanochat.serve.questions import ChatRequest, Question, make_prompt, understand
from nanochat.serve.remote import fetch_all
from nanochat.serve.service import Service, Streaming, cancelling
from nanochat.serve.text import TextStream
from nanochat.serve.worker import News, Stream


@dataclass
class Choice:
    """One of the answers to a request, converted from tokens to text as it grows."""

    text: TextStream
    stream: Stream
    number: int
    tokens: int = 0
    stopped: str | None = None

    def take(self, news: News) -> str:
        """The further final text after `news`. Sets `stopped` if there will be no more."""
        if self.stopped is not None:
            return ""
        self.tokens += len(news.tokens)
        piece = self.text.add(news.tokens, final=news.finished is not None)
        if self.text.stopped:
            self.stopped = "stop"
            self.stream.prompt.answers[self.number].cancelled = True
        elif news.finished is not None:
            self.stopped = news.finished.stopped
        return piece


@dataclass
class Completion:
    """All answers to one request."""

    envelope: Envelope
    stream: Stream
    choices: list[Choice]

    @property
    def usage(self) -> dict[str, int]:
        return usage(len(self.stream.prompt.tokens), sum(choice.tokens for choice in self.choices))

    @property
    def open(self) -> bool:
        return any(choice.stopped is None for choice in self.choices)

    async def events(self) -> AsyncIterator[str]:
        """The pieces of the answers as server-sent events, in the order in which they are generated."""
        for choice in self.choices:
            yield self.envelope.opening(choice.number)
        async for found in self.stream:
            for news in found:
                choice = self.choices[news.answer]
                was_open, piece = choice.stopped is None, choice.take(news)
                if piece:
                    yield self.envelope.piece(piece, choice.number)
                if was_open and choice.stopped is not None:
                    yield self.envelope.ended(choice.stopped, choice.number)
            if not self.open:
                return

    def whole(self) -> dict[str, Any]:
        """The finished answers as one response of the protocol."""
        return self.envelope.whole([(choice.text.text, choice.stopped) for choice in self.choices], self.usage)


def never_began(generation: Generation) -> bool:
    """Whether the time limit of an answer passed before its prompt was processed."""
    return generation.stopped == "time" and not generation.probabilities


def chat_router(service: Service) -> APIRouter:
    """The routes of the OpenAI protocol."""
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(service.name)]}

    @router.get("/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        if name != service.name:
            raise ApiError(404, f"no model called {name!r}; this server has {service.name}", "model_not_found", "model")
        return _model(name)

    @router.post("/chat/completions")
    async def completions(asked: ChatRequest, request: Request) -> Response:
        asked.check((service.name,), service.settings.max_concurrency)
        question = understand(asked.messages)
        if len(question.images) > service.settings.max_pages:
            raise ApiError(
                400, f"at most {service.settings.max_pages} images are allowed", "too_many_pages", "messages"
            )
        with ExitStack() as holds:
            holds.enter_context(service.admission.enter())
            if is_page_question(service.ready()[0], asked, question):
                return await answer_pages(service, asked, question, request, holds)
            completion = await _begin(service, asked, question)
            holds.callback(completion.stream.cancel)
            request.state.figures["prompt_tokens"] = len(completion.stream.prompt.tokens)
            if not asked.stream:
                return await _answer(completion, request)
            return Streaming(_events(completion, asked, request), "text/event-stream", holds.pop_all())

    return router


async def _begin(service: Service, asked: ChatRequest, question: Question) -> Completion:
    ocr, worker = service.ready()
    pictures = await fetch_all(question.images, service.settings)
    samplings = [Sampling(asked.temperature, asked.top_k, asked.seed + i) for i in range(asked.n)]
    prompt = await to_thread.run_sync(
        make_prompt,
        ocr,
        question.messages,
        pictures,
        asked.most_tokens,
        samplings,
        service.guard(),
        service.settings.most_pixels,
    )
    service.metrics.prompt_tokens.inc(len(prompt.tokens))
    stream = Stream(worker, prompt)
    choices = [Choice(TextStream(ocr.tokenizer.encoding, asked.stops), stream, i) for i in range(asked.n)]
    return Completion(Envelope(service.name), stream, choices)


async def _events(completion: Completion, asked: ChatRequest, request: Request) -> AsyncIterator[str]:
    """The answers as server-sent events, with the usage as the last one if the client asks for it."""
    async with cancelling(request, completion.stream.cancel):
        async for event in completion.events():
            yield event
    request.state.figures["tokens"] = completion.usage["completion_tokens"]
    if asked.wants_usage:
        yield completion.envelope.used(completion.usage)
    yield LAST_EVENT


async def _answer(completion: Completion, request: Request) -> JSONResponse:
    async with cancelling(request, completion.stream.cancel):
        async for _ in completion.events():
            pass
    generations = [answer.generation for answer in completion.stream.prompt.answers]
    if all(never_began(generation) for generation in generations):
        raise ApiError(503, "the request timed out in the queue", "overloaded", headers={"Retry-After": "5"})
    request.state.figures["tokens"] = completion.usage["completion_tokens"]
    return JSONResponse(completion.whole())


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "nano-deepseek-ocr"}
