"""Errors in the format of the OpenAI protocol: `{"error": {"message", "type", "param", "code"}}`."""

import re
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from nanochat.errors import PasswordNeeded, UserError


class ApiError(Exception):
    """A response that reports an error.

    `status`: HTTP status. `message`: a sentence for people. `code`: a word for programs. `param`: the field that caused
    it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.headers = status, message, code, param, headers

    def body(self) -> dict:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        if self.status == 401:
            kind = "authentication_error"
        if self.status == 429:
            kind = "rate_limit_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def of_user(error: UserError) -> ApiError:
    """The ApiError for an error in the input, such as a broken image or a prompt that is too long."""
    if isinstance(error, PasswordNeeded):
        return ApiError(400, f"{in_fields(error)} (a field of /v1/read)", "password_required", "password")
    code = "context_length_exceeded" if "shorten it" in str(error) else "invalid_input"
    return ApiError(400, in_fields(error), code)


def in_fields(error: UserError) -> str:
    """The message of an error, with command-line flags replaced by the request fields of the same name.

    The fields are `password`, `dpi` and `pages`.
    """
    return re.sub(r"--([a-z_]+)", r"`\1`", str(error))


def install_error_handlers(app: FastAPI) -> None:
    """Return all errors of `app` in the format of the protocol, without details of internal errors."""

    @app.exception_handler(ApiError)
    async def _(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(UserError)
    async def _(request: Request, error: UserError) -> JSONResponse:
        return of_user(error).response()

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"] if step != "body")
        message = f"{where}: {first['msg']}" if where else str(first["msg"])
        return ApiError(400, message, "invalid_value", where or None).response()

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        message = str(error.detail or HTTPStatus(error.status_code).phrase)
        code = "invalid_value" if error.status_code == 400 else None  # the body is not text
        return ApiError(error.status_code, message, code, headers=headers).response()

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> JSONResponse:
        return ApiError(500, "internal server error; see the server's log", "internal_error").response()
