"""`POST /v1/read`: uploaded images and PDFs, read as `nano-ocr read` does, returned together or page by page."""

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from nanochat.errors import UserError
from nanochat.prompts import PROMPTS, asked
from nanochat.reading.options import TextLayerMode
from nanochat.reading.sources import Selection, Source
from nanochat.serve.errors import ApiError
from nanochat.serve.job import Event, ReadRequest, job_events, open_all, taught_tasks
from nanochat.serve.searchable import parse_results, searchable_pdf
from nanochat.serve.service import Service, Streaming

PDF_TYPE = "application/pdf"


@dataclass
class ReadForm:
    """The fields of a request to read uploaded files (docs/serving.md)."""

    files: list[UploadFile]
    task: Annotated[str, Form()] = "free"
    prompt: Annotated[str, Form()] = ""
    mode: Annotated[str, Form()] = ""
    pages: Annotated[str, Form()] = ""
    dpi: Annotated[int, Form(ge=18, le=600)] = 150
    password: Annotated[str, Form()] = ""
    text_layer: Annotated[TextLayerMode, Form()] = "auto"
    format: Annotated[Literal["json", "txt", "md", "pdf"], Form()] = "json"
    results: UploadFile | None = None
    stream: Annotated[Literal["", "pages", "text"], Form()] = ""
    preview: Annotated[bool, Form()] = False
    max_tokens: Annotated[int | None, Form(ge=1)] = None

    async def sources(self) -> list[Source]:
        """The uploaded files with their contents."""
        return [Source(file.filename or "upload", await file.read()) for file in self.files]


def read_router(service: Service) -> APIRouter:
    """The routes for uploads."""
    router = APIRouter(prefix="/v1")

    @router.get("/modes")
    async def modes() -> dict[str, Any]:
        ocr, _ = service.ready()
        modes = list(dict.fromkeys([ocr.mode, *ocr.learnt_modes]))
        return {"modes": modes, "default": ocr.mode, "tasks": taught_tasks(ocr), "model": service.name}

    @router.post("/read")
    async def read(request: Request, form: Annotated[ReadForm, Depends()]) -> Response:
        for name, value in request.query_params.items():
            message = f"?{name}={value}: options are fields of the form, as in curl -F {name}={value}"
            raise ApiError(400, message, "invalid_value", name)
        with ExitStack() as holds:
            holds.enter_context(service.admission.enter())
            selection = Selection(form.pages)
            _check_task(service, form)
            sources = await form.sources()
            pdf = partial(_make_pdf, sources, form.dpi, form.password, service.settings.most_pixels)
            if form.results is not None:  # already read: only make the PDF
                found = await to_thread.run_sync(parse_results, await form.results.read())
                return Response(await to_thread.run_sync(pdf, found), media_type=PDF_TYPE)
            job = await _start(service, request, form, selection, sources, holds)
            events = job_events(job, request, service.readers)
            if form.stream:
                lines = (json.dumps(event, ensure_ascii=False) + "\n" async for event in events)
                return Streaming(lines, "application/x-ndjson", holds.pop_all())
            found = await _whole(events)
            if form.format == "pdf":
                return Response(await to_thread.run_sync(pdf, found), media_type=PDF_TYPE, headers=_ended(found))
            return JSONResponse({"pages": found}) if form.format == "json" else _text(found, form.format)

    return router


def _check_task(service: Service, form: ReadForm) -> None:
    """Raise ApiError for a task that the model was not trained on."""
    if form.prompt or form.task not in PROMPTS:
        return
    taught = taught_tasks(service.ready()[0])
    if form.task not in taught:
        message = f"this model was trained on {', '.join(taught)}, not {form.task}"
        raise ApiError(400, message, "unsupported_task", "task")


async def _start(
    service: Service, request: Request, form: ReadForm, selection: Selection, sources: list[Source], holds: ExitStack
) -> ReadRequest:
    """Create the request to read the selected pages; it ends with `holds`. Raises UserError or ApiError."""
    question = asked(form.task, form.prompt)
    documents = await to_thread.run_sync(open_all, sources, form.dpi, form.password)
    n_pages = sum(page in selection for one in documents for page in range(1, one.n_pages + 1))
    request.state.figures["pages"] = n_pages
    if not n_pages:
        raise UserError(selection.missing(max(one.n_pages for one in documents)))
    job = ReadRequest(
        service, documents, question, form.mode, form.max_tokens, selection, n_pages, form.stream == "text",
        form.preview, text_layer=form.text_layer,
    )  # fmt: skip
    holds.callback(job.let_go)
    most = service.settings.max_pages
    if n_pages > most:
        raise ApiError(400, f"{n_pages} pages: at most {most} are allowed at a time", "too_many_pages", "files")
    return job


async def _whole(events: AsyncIterator[Event]) -> list[Event]:
    """All pages, after they have been read. Raises ApiError if the job ended with an error."""
    pages = []
    async for event in events:
        if event["event"] == "error":
            status = event.get("status", 400)
            raise ApiError(status, event["message"], "invalid_input" if status == 400 else "internal_error")
        if event["event"] == "page":
            pages.append({name: value for name, value in event.items() if name != "event"})
    return pages


def _make_pdf(sources: list[Source], dpi: int, password: str, most_pixels: int, results: list[dict[str, Any]]) -> bytes:
    """The uploaded files as one searchable PDF, with the text of earlier results of this route."""
    documents = open_all(sources, dpi, password)
    try:
        return searchable_pdf(documents, results, dpi, most_pixels)
    finally:
        for document in documents:
            document.close()


def _text(pages: list[Event], format: str) -> PlainTextResponse:
    between = "\n---\n\n" if format == "md" else "\f"
    text = between.join(page.get("markdown" if format == "md" else "text", "") + "\n" for page in pages)
    kind = "text/markdown" if format == "md" else "text/plain"
    return PlainTextResponse(text, media_type=f"{kind}; charset=utf-8", headers=_ended(pages))


def _ended(pages: list[Event]) -> dict[str, str]:
    """Response headers with the status of each page, which its text does not contain."""
    return {
        "X-Nano-Ocr-Status": ",".join(page["status"] for page in pages),
        "X-Nano-Ocr-Readable": ",".join(str(page.get("readable", False)).lower() for page in pages),
    }
