"""Middleware in front of all routes: API key, size and duration of uploads, number of waiting requests, log."""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from anyio import fail_after
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nanochat.serve.errors import ApiError
from nanochat.serve.metrics import Metrics
from nanochat.serve.settings import LOOPBACK, ServeSettings

log = logging.getLogger("nanochat.serve")
GUARDED = "/v1/"  # routes that need the key


class Gate:
    """ASGI middleware that checks each request, answers those that it refuses, and logs all of them."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, refused, unread = time.perf_counter(), 0, False, False

        async def watched_send(message: Message) -> None:
            nonlocal status, refused, unread
            if body.refusal is not None and not status:  # regardless of the response of the app to an incomplete body
                status, refused = body.refusal.status, True
                await body.refusal.response()(scope, receive, send)
            elif not refused:
                status = message["status"] if message["type"] == "http.response.start" else status
                try:
                    with fail_after(self.settings.request_timeout):
                        await send(message)
                except TimeoutError:  # the client does not read: release its resources
                    unread = True
                    raise

        figures: dict[str, int] = {}
        scope.setdefault("state", {})["figures"] = figures
        body = Body(receive, self.settings)
        try:
            body.refusal = self._refusal(scope)
            if body.refusal is None:
                try:
                    await self.app(scope, body.receive, watched_send)
                except Exception:
                    if body.refusal is None and not unread:
                        raise
            if body.refusal is not None and not status:
                status = body.refusal.status
                await body.refusal.response()(scope, receive, send)
        finally:
            figures |= {"unread": 1} if unread else {}
            self._record(scope, status, time.perf_counter() - started, figures)

    def _record(self, scope: Scope, status: int, seconds: float, figures: dict) -> None:
        # the route of the app, which contains no text of the client
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        entry = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 4), **figures}
        log.info(json.dumps(entry))

    def _refusal(self, scope: Scope) -> ApiError | None:
        """The error to answer a request with, judged by its headers alone; None if it is allowed."""
        headers = dict(scope["headers"])
        if self.settings.is_local and not self._is_for_us(headers.get(b"host", b"").decode("latin-1")):
            message = "this server only accepts requests to localhost: start it with --host to allow other names"
            return ApiError(403, message, "forbidden_host")
        expected = self.settings.required_key.encode()
        if expected and scope["path"].startswith(GUARDED) and scope["method"] != "OPTIONS":
            given = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
            if not hmac.compare_digest(given, expected):
                message = "send the server's API key as a bearer token"
                return ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        too_long = length.isdigit() and int(length) > self.settings.max_upload_mb * 1e6
        return too_large(self.settings) if too_long else None

    def _is_for_us(self, host: str) -> bool:
        """Whether a server on localhost is addressed by a local name.

        This prevents DNS rebinding, where a web site lets its own name resolve to localhost.
        """
        names = [*LOOPBACK, *(urlsplit(origin).hostname for origin in self.settings.allow_origin)]
        try:
            return urlsplit(f"//{host}").hostname in names
        except ValueError:
            return False


def too_large(settings: ServeSettings) -> ApiError:
    return ApiError(413, f"the request is larger than {settings.max_upload_mb:g} MB", "request_too_large")


class Body:
    """The body of a request as it arrives. `refusal` is set if it is too large or arrives too slowly."""

    def __init__(self, receive: Receive, settings: ServeSettings) -> None:
        self._receive, self.settings = receive, settings
        self.deadline = time.monotonic() + settings.request_timeout
        self.received, self.complete = 0, False
        self.refusal: ApiError | None = None

    async def receive(self) -> Message:
        """The next ASGI message. Raises the refusal, an ApiError, if there is one."""
        if self.complete:  # there is no time limit for waiting until the client disconnects
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self.deadline - time.monotonic()))
        except TimeoutError as error:
            self.refusal = ApiError(408, "the request did not arrive in time", "request_timeout")
            raise self.refusal from error
        self.received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self.received > self.settings.max_upload_mb * 1e6:
            self.refusal = too_large(self.settings)
            raise self.refusal
        return message


class Admission:
    """Limits the number of requests that use the model at the same time, running and waiting."""

    def __init__(self, settings: ServeSettings) -> None:
        self.most, self.inside = settings.max_concurrency + settings.max_queue, 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Context manager for the duration of one request. Raises ApiError 429 if too many are inside."""
        if self.inside >= self.most:
            raise ApiError(
                429, "too many requests are waiting: try again later", "queue_full", headers={"Retry-After": "2"}
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
