"""The ASGI application: routes, the middleware in front of them, the browser page, and loading the model."""

import asyncio
import logging
import signal
import socket as tcp
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from nanochat.errors import UserError
from nanochat.reading.ocr import OCR
from nanochat.serve.chat import chat_router
from nanochat.serve.errors import install_error_handlers
from nanochat.serve.gate import Gate
from nanochat.serve.head import Connection
from nanochat.serve.read import read_router
from nanochat.serve.service import Service
from nanochat.serve.settings import ServeSettings

PAGE = Path(__file__).parent / "page"
# The page loads nothing from other hosts and must not be embedded in frames.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class BrowserPage(StaticFiles):
    """The static files of the browser page, with response headers for security and caching."""

    def file_response(self, *args, **kwargs) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update({**HEADERS, "Cache-Control": "no-cache"})
        return response


def create_app(
    settings: ServeSettings, name: str, load: Callable[[], OCR], on_failure: Callable[[BaseException], None]
):
    """The server as an ASGI app.

    `load` loads the model; it runs in a thread after startup. If it raises, the exception is passed to `on_failure`.
    """
    service = Service(settings, name)

    async def start() -> None:
        try:
            service.start(await asyncio.to_thread(load))
        except BaseException as error:
            on_failure(error)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(start())
        yield
        await loading
        await asyncio.to_thread(service.stop)

    # The documentation pages of FastAPI fetch their scripts from another host; /openapi.json stays.
    app = FastAPI(title="nano-ocr", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    install_error_handlers(app)
    app.add_middleware(Gate, settings=settings, metrics=service.metrics)
    if settings.allow_origin:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allow_origin, allow_methods=["*"], allow_headers=["*"]
        )
    app.include_router(chat_router(service))
    app.include_router(read_router(service))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        service.ready()
        return JSONResponse({"status": "ready", "model": name})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.mount("/", BrowserPage(directory=PAGE, html=True))
    return app


def serve(settings: ServeSettings, name: str, load: Callable[[], OCR]) -> None:
    """Run the server until SIGTERM or Ctrl-C. Requests in progress are finished first.

    Raises what `load` raises, and UserError if the port is in use.
    """
    if not settings.is_local and not settings.required_key:
        print(f"warning: other machines can reach {settings.host}, and no API key is set", file=sys.stderr)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("nanochat.serve").setLevel(logging.INFO)
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(settings, name, load, fail), settings.host, settings.port, log_level="warning", access_log=False,
        timeout_graceful_shutdown=int(settings.request_timeout) + 1, limit_concurrency=None, server_header=False,
        http=Connection,
    )  # fmt: skip
    server = uvicorn.Server(config)
    try:
        socket = config.bind_socket()
    except SystemExit as error:
        raise UserError(f"cannot listen on {settings.host}:{settings.port}: choose another --port") from error
    # Linux closes connections whose client does not read, also after we have closed them
    if hasattr(tcp, "TCP_USER_TIMEOUT"):
        socket.setsockopt(tcp.IPPROTO_TCP, tcp.TCP_USER_TIMEOUT, int(1000 * settings.request_timeout))
    print(f"nano-ocr: http://{settings.host}:{socket.getsockname()[1]}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn drains and raises the signal again: a normal exit
    server.run(sockets=[socket])
    if failures:
        raise failures[0]
