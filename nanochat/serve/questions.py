"""From a chat request to a prompt for the model: validation, messages, images."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image
from pydantic import BaseModel, Field, field_validator, model_validator

from nanochat.engine import Guard, conversation_tokens
from nanochat.engine.answers import Prompt, Sampling
from nanochat.image_process import MAX_PIXELS, open_image
from nanochat.reading.ocr import OCR, PROMPT
from nanochat.serve.errors import ApiError
from nanochat.tokenizer import IMAGE_PLACEHOLDER

DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)


class ImageUrl(BaseModel):
    url: str


class MessagePart(BaseModel):
    """A part of a message: text or an image."""

    type: Literal["text", "image_url"]
    text: str = ""
    image_url: ImageUrl | None = None


class Message(BaseModel):
    """A message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[MessagePart] = ""

    @field_validator("content", mode="before")
    @classmethod
    def _nothing_said(cls, content: Any) -> Any:
        return "" if content is None else content


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request of the chat protocol.

    It has the fields that the server supports, and those that `check` refuses because ignoring them would be
    misleading.
    """

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(0.0, ge=0, le=2)
    top_k: int | None = Field(None, ge=1)
    seed: int = Field(42, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = None
    n: int = Field(1, ge=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logit_bias: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _null_is_not_given(cls, asked: Any) -> Any:
        """Treat null as not given, as the protocol does."""
        return {name: value for name, value in asked.items() if value is not None} if isinstance(asked, dict) else asked

    def check(self, models: tuple[str, ...], max_rows: int) -> None:
        """Raise ApiError for a model that is not available, or for a field that is not supported.

        `models`: names of the model. `max_rows`: most answers at a time.
        """
        if self.model not in models:
            raise ApiError(
                404, f"no model called {self.model!r}; this server has {models[0]}", "model_not_found", "model"
            )
        if self.n > max_rows:
            raise ApiError(
                400, f"n is {self.n}, but at most {max_rows} answers are possible at a time", "invalid_value", "n"
            )
        text_only = self.response_format is None or self.response_format.get("type") == "text"
        given = {
            "top_p": self.top_p not in (None, 1),
            "frequency_penalty": bool(self.frequency_penalty),
            "presence_penalty": bool(self.presence_penalty),
            "logprobs": bool(self.logprobs),
            "tools": bool(self.tools),
            "functions": bool(self.functions),
            "logit_bias": bool(self.logit_bias),
            "response_format": not text_only,
        }
        for name, is_given in given.items():
            if is_given:
                raise ApiError(400, f"{name} is not supported", "unsupported_parameter", name)
        if len(self.stops) > 4 or "" in self.stops:
            raise ApiError(400, "stop: at most 4 texts, none of them empty", "invalid_value", "stop")

    @property
    def stops(self) -> list[str]:
        """Texts before which the answer ends."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer ends with the number of its tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def most_tokens(self) -> int | None:
        """Length limit of an answer in tokens; None: the context of the model."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


@dataclass
class Question:
    """A conversation and the images of its user messages, in order."""

    messages: list[dict[str, str]]
    images: list[bytes | str]
    """contents of the image file, or its http(s) address"""


def understand(messages: list[Message]) -> Question:
    """Convert messages to the conversation format of the model, with `<image>` and a newline in place of an image.

    If a message contains `<image>` once for each of its images, the images go there. A message with images and no text
    gets the default prompt. Raises ApiError for broken data URLs, or for images in messages that are not the user's.
    """
    turns, images = [], []
    for number, message in enumerate(messages):
        parts = (
            [MessagePart(type="text", text=message.content)] if isinstance(message.content, str) else message.content
        )
        text = "\n".join(part.text for part in parts if part.type == "text")
        pictures = [_picture(part, f"messages.{number}.content") for part in parts if part.type == "image_url"]
        role = "system" if message.role == "developer" else message.role
        if pictures and role != "user":
            raise ApiError(400, f"a message of the {role} contains an image: only user messages can", "invalid_value")
        placed = text.count(IMAGE_PLACEHOLDER) if role == "user" else 0
        if placed not in (0, len(pictures)):
            raise ApiError(
                400, f"the text contains {IMAGE_PLACEHOLDER} {placed} times for {len(pictures)} images", "invalid_value"
            )
        if pictures and not text.strip():
            text = PROMPT.removeprefix(f"{IMAGE_PLACEHOLDER}\n")
        if not placed:
            text = f"{IMAGE_PLACEHOLDER}\n" * len(pictures) + text
        turns.append({"role": role, "content": text})
        images += pictures
    return Question(turns, images)


def _picture(part: MessagePart, param: str) -> bytes | str:
    if part.image_url is None:
        raise ApiError(400, "an image_url part needs image_url.url", "invalid_value", param)
    url = part.image_url.url
    if url.lower().startswith(("http://", "https://")):
        return url
    head = DATA_URL.match(url[:200])
    if head is None:
        raise ApiError(400, "the URL of an image must be data:...;base64,... or http(s)", "invalid_image_url", param)
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"the base64 of the image is invalid ({error})", "invalid_base64", param) from error


def make_prompt(
    ocr: OCR,
    messages: list[dict[str, str]],
    pictures: Sequence[bytes | Image.Image],
    max_tokens: int | None,
    samplings: list[Sampling],
    guard: Guard,
    most_pixels: int = MAX_PIXELS,
) -> Prompt:
    """The prompt for the next answer in a conversation, with its images shown as the model was trained to see pages.

    It decodes the images, which takes time, so call it from a worker thread. Raises UserError if an image cannot be
    decoded or has more than `most_pixels` pixels, if the turns of the conversation are out of order, or if the prompt
    is too long.
    """
    conversation = {"messages": messages, "images": pictures}
    ocr.tokenizer.render_for_completion(conversation)  # rejects an invalid conversation before its images are decoded
    views = []
    for number, picture in enumerate(pictures, start=1):  # one decoded at a time: hundreds would not fit in memory
        image = open_image(picture, f"picture {number}", most_pixels)
        views.append(ocr.view(image))
    tokens = conversation_tokens(ocr.tokenizer, conversation, views)
    return ocr.engine.prompt(tokens, views, max_tokens, samplings, guard)
