"""`POST /v1/chat/completions` and `GET /v1/models` of the OpenAI protocol."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from nanochat.engine.answers import Generation, Sampling
from nanochat.serve.chat_pages import answer_pages, is_page_question
from nanochat.serve.errors import ApiError
from nanochat.serve.questions import ChatRequest, Question, make_prompt, understand
from nanochat.serve.remote import fetch_all
from nanochat.serve.service import Service, Streaming, cancelling
from nanochat.serve.text import TextStream
from nanochat.serve.worker import News, Stream

FINISH = {"end": "stop", "stop": "stop"}  # for all other reasons the text is incomplete: `length`


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

    def ending(self) -> dict[str, Any]:
        """Why the answer ended: `finish_reason` of the protocol, and our own, more detailed reason."""
        return {"finish_reason": FINISH.get(self.stopped or "", "length"), "stopped": self.stopped}


@dataclass
class Completion:
    """All answers to one request."""

    model: str
    stream: Stream
    choices: list[Choice]
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def frame(self, kind: str, choices: list[dict]) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    @property
    def usage(self) -> dict[str, int]:
        read, written = len(self.stream.prompt.tokens), sum(choice.tokens for choice in self.choices)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    @property
    def open(self) -> bool:
        return any(choice.stopped is None for choice in self.choices)

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The pieces of the answers as chunks of the protocol, in the order in which they are generated."""
        kind = "chat.completion.chunk"
        for choice in self.choices:
            delta = {"role": "assistant", "content": ""}
            yield self.frame(kind, [{"index": choice.number, "delta": delta, "finish_reason": None}])
        async for found in self.stream:
            for news in found:
                choice = self.choices[news.answer]
                was_open, piece = choice.stopped is None, choice.take(news)
                if piece:
                    delta = {"content": piece}
                    yield self.frame(kind, [{"index": choice.number, "delta": delta, "finish_reason": None}])
                if was_open and choice.stopped is not None:
                    yield self.frame(kind, [{"index": choice.number, "delta": {}, **choice.ending()}])
            if not self.open:
                return

    def whole(self) -> dict[str, Any]:
        """The finished answers as one response of the protocol."""
        choices = [
            {"index": c.number, "message": {"role": "assistant", "content": c.text.text}, **c.ending()}
            for c in self.choices
        ]
        return {**self.frame("chat.completion", choices), "usage": self.usage}


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
    return Completion(service.name, stream, choices)


async def _events(completion: Completion, asked: ChatRequest, request: Request) -> AsyncIterator[str]:
    """The chunks as server-sent events, with the usage as the last one if the client asks for it."""
    async with cancelling(request, completion.stream.cancel):
        async for chunk in completion.chunks():
            yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    request.state.figures["tokens"] = completion.usage["completion_tokens"]
    if asked.stream_options is not None and asked.stream_options.include_usage:
        last = {**completion.frame("chat.completion.chunk", []), "usage": completion.usage}
        yield f"data: {json.dumps(last)}\n\n"
    yield "data: [DONE]\n\n"


async def _answer(completion: Completion, request: Request) -> JSONResponse:
    async with cancelling(request, completion.stream.cancel):
        async for _ in completion.chunks():
            pass
    generations = [answer.generation for answer in completion.stream.prompt.answers]
    if all(never_began(generation) for generation in generations):
        raise ApiError(503, "the request timed out in the queue", "overloaded", headers={"Retry-After": "5"})
    request.state.figures["tokens"] = completion.usage["completion_tokens"]
    return JSONResponse(completion.whole())


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "nano-deepseek-ocr"}
