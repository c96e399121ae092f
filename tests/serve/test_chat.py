"""Chats over the OpenAI protocol: answers equal to those of `OCR.read`, and clear errors."""

import asyncio
import base64

import httpx
import openai
import pytest
from helpers.tiny_server import Running, about, noise, png, refused

from nanochat.reading.ocr import OCR


def test_openai_client_gets_the_text_of_read(server: Running, client: openai.OpenAI, ocr: OCR) -> None:
    expected = ocr.read(noise(1), max_tokens=40)
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 40}
    whole = client.chat.completions.create(**ask)
    assert whole.choices[0].message.content == expected.text and len(expected.text) == 40
    assert (whole.choices[0].finish_reason, whole.choices[0].stopped) == ("length", "length")
    assert whole.usage is not None and whole.usage.completion_tokens == 40
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == expected.text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage and len(chunks) > 10

    async def later() -> str | None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as waiting:
            return (await waiting.chat.completions.create(**ask)).choices[0].message.content

    assert asyncio.run(later()) == expected.text
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_several_answers_stop_texts_and_seeds(client: openai.OpenAI) -> None:
    ask = {"model": "tiny", "messages": about(noise(2)), "max_tokens": 30}
    free = client.chat.completions.create(**ask).choices[0].message.content
    assert free is not None
    stop = free[7:9]
    cut = client.chat.completions.create(**ask, stop=[stop, "nowhere"]).choices[0]
    assert (cut.message.content, cut.finish_reason) == (free[: free.index(stop)], "stop")
    streamed = client.chat.completions.create(**ask, stop=stop, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == cut.message.content
    drawn = client.chat.completions.create(**ask, n=3, temperature=1.2, seed=7)
    texts = [choice.message.content for choice in drawn.choices]
    assert len(set(texts)) == 3
    again = client.chat.completions.create(**ask, n=2, temperature=1.2, seed=8)
    assert [choice.message.content for choice in again.choices] == texts[1:]  # sample i has seed + i


def test_images_are_at_their_placeholders(server: Running, client: openai.OpenAI) -> None:
    def say(messages: list) -> str | None:
        done = client.chat.completions.create(model="tiny", messages=messages, max_tokens=20)
        return done.choices[0].message.content

    two = about(noise(3), noise(4), text="Read.")
    placed = about(noise(3), noise(4), text="<image>\n<image>\nRead.")
    assert say(two) == say(placed) != say(about(noise(4), noise(3), text="Read."))
    alone = [{"role": "user", "content": two[0]["content"][:1]}]
    assert say(alone) == say(about(noise(3)))  # the default prompt


BAD_CHATS = {
    "an unknown model": ({"model": "other"}, 404, "model_not_found"),
    "a negative number": ({"max_tokens": -1}, 400, "invalid_value"),
    "too many answers": ({"n": 7}, 400, "invalid_value"),
    "a hot temperature": ({"temperature": 3}, 400, "invalid_value"),
    "tools": ({"tools": [{"type": "function"}]}, 400, "unsupported_parameter"),
    "a biased token": ({"logit_bias": {"5": 100}}, 400, "unsupported_parameter"),
    "no messages": ({"messages": []}, 400, "invalid_value"),
    "an unknown role": ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value"),
    "an empty stop": ({"stop": ""}, 400, "invalid_value"),
    "too long a text": ({"messages": [{"role": "user", "content": "x" * 3000}]}, 400, "context_length_exceeded"),
    "the assistant first": ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "invalid_input"),
}


BAD_URLS = {
    "broken base64": ("data:image/png;base64,@@@@", "invalid_base64"),
    "not an image": ("data:image/png;base64," + base64.b64encode(b"hello").decode(), "invalid_input"),
    "a truncated image": ("data:image/png;base64," + base64.b64encode(png(noise(1))[:400]).decode(), "invalid_input"),
    "a remote image": ("http://example.org/a.png", "invalid_image_url"),
    "a file": ("file:///etc/passwd", "invalid_image_url"),
    "nothing": ("data:image/png;base64,", "invalid_input"),
}


@pytest.mark.parametrize("what", BAD_CHATS)
def test_bad_requests_get_a_clear_error(server: Running, what: str) -> None:
    change, status, code = BAD_CHATS[what]
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 5} | change
    refused(httpx.post(f"{server.url}/v1/chat/completions", json=ask), status, code)


@pytest.mark.parametrize("what", BAD_URLS)
def test_bad_images_get_a_clear_error(server: Running, what: str) -> None:
    url, code = BAD_URLS[what]
    content = [{"type": "image_url", "image_url": {"url": url}}]
    ask = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    refused(httpx.post(f"{server.url}/v1/chat/completions", json=ask), 400, code)


def test_bodies_that_are_not_json_and_unknown_routes(server: Running) -> None:
    for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": 1e999}', b'{"messages": ' + b"[" * 5000):
        answer = httpx.post(
            f"{server.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
        refused(answer, 400, "invalid_value")
    refused(httpx.get(f"{server.url}/v1/nothing"), 404, None)


def test_max_tokens_beyond_the_context_is_limited(client: openai.OpenAI) -> None:
    million, many = [
        client.chat.completions.create(model="tiny", messages=about(noise(1)), max_tokens=limit).choices[0]
        for limit in (10**6, 10**18)
    ]
    assert million == many and million.finish_reason == "length" and million.stopped in ("context", "loop")
