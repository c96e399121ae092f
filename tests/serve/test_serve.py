"""The server as real clients meet it: equal answers under load, clear errors, limits, hang-ups."""

import asyncio
import base64
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest
from helpers.drawn_files import LOCKED
from helpers.tiny_server import Running, about, noise, png, refused, tiny_checkpoint, tiny_server

from nanochat.reading.ocr import OCR


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[Running]:
    with tiny_server(checkpoint, max_upload_mb=1.0, max_pages=5, max_concurrency=6) as running:
        yield running


@pytest.fixture(scope="module")
def ocr(checkpoint: Path) -> OCR:
    return OCR(checkpoint, "cpu")


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_the_openai_client_gets_what_read_gives(server: Running, client: openai.OpenAI, ocr: OCR) -> None:
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


def test_under_load_every_answer_is_that_of_the_page_alone(server: Running, client: openai.OpenAI, ocr: OCR) -> None:
    pages = [noise(seed, 60 + 30 * (seed % 5), 50 + 40 * (seed % 3)) for seed in range(18)]
    alone = [ocr.read(page, max_tokens=10 + 5 * (i % 4)).text for i, page in enumerate(pages)]

    def ask(which: int) -> str | None:
        page, limit = pages[which], 10 + 5 * (which % 4)
        if which % 3 == 0:
            form = {"max_tokens": str(limit), "format": "json"}
            answer = httpx.post(f"{server.url}/v1/read", files={"files": png(page)}, data=form, timeout=60)
            return answer.json()["pages"][0]["text"]
        done = client.chat.completions.create(
            model="tiny", messages=about(page), max_tokens=limit, stream=which % 3 == 1
        )  # type: ignore[call-overload]
        if which % 3 == 1:
            return "".join(chunk.choices[0].delta.content or "" for chunk in done)
        return done.choices[0].message.content

    with ThreadPoolExecutor(18) as pool:
        assert list(pool.map(ask, range(18))) == alone
    assert len(set(alone)) > 9
    rows = [line for line in httpx.get(f"{server.url}/metrics").text.splitlines() if "batch_rows_bucket" in line]
    counts = {line.partition('"')[2].partition('"')[0]: float(line.split()[-1]) for line in rows}
    assert counts["+Inf"] > counts["2.0"]  # they did grow together


def test_several_answers_texts_that_stop_and_seeds(client: openai.OpenAI) -> None:
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


def test_pictures_stand_where_the_text_says(server: Running, client: openai.OpenAI) -> None:
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
def test_bad_requests_get_a_clear_answer(server: Running, what: str) -> None:
    change, status, code = BAD_CHATS[what]
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 5} | change
    refused(httpx.post(f"{server.url}/v1/chat/completions", json=ask), status, code)


@pytest.mark.parametrize("what", BAD_URLS)
def test_bad_pictures_get_a_clear_answer(server: Running, what: str) -> None:
    url, code = BAD_URLS[what]
    content = [{"type": "image_url", "image_url": {"url": url}}]
    ask = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    refused(httpx.post(f"{server.url}/v1/chat/completions", json=ask), 400, code)


def test_bodies_that_are_no_json_and_routes_that_are_none(server: Running) -> None:
    for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"model": 1e999}', b'{"messages": ' + b"[" * 5000):
        answer = httpx.post(
            f"{server.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
        refused(answer, 400, "invalid_value")
    refused(httpx.get(f"{server.url}/v1/nothing"), 404, None)


def upload(server: Running, *files: bytes, **form: str) -> httpx.Response:
    named = [("files", (f"{number}.bin", data)) for number, data in enumerate(files)]
    return httpx.post(f"{server.url}/v1/read", files=named, data=form, timeout=60)


def test_uploads_are_read_page_by_page(server: Running, ocr: OCR) -> None:
    frames = [noise(seed) for seed in (5, 6)]
    tiff = png(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    pdf = png(frames[0], "PDF", save_all=True, append_images=frames[1:])
    alone = [ocr.read(frame, max_tokens=12).text for frame in frames]
    pages = upload(server, tiff, png(noise(7)), max_tokens="12").json()["pages"]
    assert [page["text"] for page in pages[:2]] == alone and len(pages) == 3
    assert (pages[1]["page"], pages[1]["name"], pages[1]["stopped"], pages[1]["tokens"]) == (2, "0.bin", "length", 12)
    assert upload(server, tiff, max_tokens="12", format="txt").text == f"{alone[0]}\n\f{alone[1]}\n"
    assert upload(server, tiff, max_tokens="12", format="md").text == f"{alone[0]}\n\n---\n\n{alone[1]}\n"
    assert [page["page"] for page in upload(server, pdf, max_tokens="3", pages="2").json()["pages"]] == [2]
    streamed = upload(server, pdf, max_tokens="12", stream="text", preview="true")
    events = [json.loads(line) for line in streamed.iter_lines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("begin") == kinds.count("page") == 2 and kinds[-1] == "done"
    assert events[0]["preview"].startswith("data:image/jpeg;base64,") and events[0]["pages"] == 2
    for page in (1, 2):
        told = "".join(e["text"] for e in events if e["event"] == "text" and e["page"] == page)
        (result,) = [e for e in events if e["event"] == "page" and e["page"] == page]
        assert told == result["text"]


@pytest.mark.parametrize(
    ("data", "form", "code"),
    [
        (b"", {}, "invalid_input"),
        (b"hello", {}, "invalid_input"),
        (b"\0" * 900_000, {}, "invalid_input"),
        (b"%PDF-1.4 broken", {}, "invalid_input"),
        (png(noise(1)), {"mode": "huge"}, "invalid_input"),
        (png(noise(1)), {"task": "sing"}, "invalid_input"),
        (png(noise(1)), {"prompt": "Read."}, "invalid_input"),
        (png(noise(1)), {"pages": "9"}, "invalid_input"),
        (png(noise(1)), {"max_tokens": "-4"}, "invalid_value"),
        (png(noise(1)), {"pages": "x"}, "invalid_input"),
        (png(noise(1), "TIFF", save_all=True, append_images=[noise(i) for i in range(5)]), {}, "too_many_pages"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "broken PDF",
        "mode",
        "task",
        "prompt",
        "no page 9",
        "negative",
        "pages",
        "too many",
    ],
)
def test_bad_uploads_get_a_clear_answer(server: Running, data: bytes, form: dict[str, str], code: str) -> None:
    refused(upload(server, data, **form), 400, code)


def test_an_upload_without_a_file_and_a_locked_pdf(server: Running) -> None:
    refused(httpx.post(f"{server.url}/v1/read", data={"task": "free"}), 400, "invalid_value")
    locked = LOCKED
    message = refused(upload(server, locked.read_bytes()), 400, "password_required")
    assert "encrypted: give its `password`" in message and "--" not in message
    assert "not right" in refused(upload(server, locked.read_bytes(), password="x"), 400, "password_required")


def test_a_broken_file_is_reported_and_the_others_are_read(server: Running) -> None:
    pages = upload(server, png(noise(1)), b"no picture", png(noise(2)), max_tokens="4").json()["pages"]
    assert [page["status"] for page in pages] == ["cut", "failed", "cut"] and "not a picture" in pages[1]["error"]
    alone = upload(server, png(noise(2)), max_tokens="4").json()["pages"]
    assert pages[2]["text"] == alone[0]["text"] != ""


def test_too_large_is_413_whether_it_says_so_or_not(server: Running) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 50_000

    url = f"{server.url}/v1/chat/completions"
    refused(httpx.post(url, content=b"x" * 1_100_000), 413, "request_too_large")
    refused(httpx.post(url, content=pieces(), headers={"content-type": "application/json"}), 413, "request_too_large")
    refused(upload(server, b"x" * 1_200_000), 413, "request_too_large")


def test_a_hundred_megabytes_of_zeros(server: Running, checkpoint: Path) -> None:
    zeros = b"\0" * 100_000_000
    refused(upload(server, zeros), 413, "request_too_large")
    with tiny_server(checkpoint, max_upload_mb=200.0) as generous:
        assert "not a picture" in refused(upload(generous, zeros), 400, "invalid_input")


def test_more_tokens_than_there_is_room_for_end_where_the_room_does(client: openai.OpenAI) -> None:
    million, many = [
        client.chat.completions.create(model="tiny", messages=about(noise(1)), max_tokens=limit).choices[0]
        for limit in (10**6, 10**18)
    ]
    assert million == many and million.finish_reason == "length" and million.stopped in ("context", "loop")


def test_a_client_that_hangs_up_costs_nothing_more(server: Running, client: openai.OpenAI) -> None:
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 2300}
    before = server.service.metrics.stopped.labels("cancelled")._value.get()
    stream = client.chat.completions.create(**ask, stream=True)  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    with pytest.raises(httpx.ReadTimeout):  # not a stream, and cut by the client
        httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=0.4)
    with pytest.raises(httpx.ReadTimeout):
        upload_slowly = {"files": png(noise(2))}
        httpx.post(f"{server.url}/v1/read", files=upload_slowly, data={"max_tokens": "2300"}, timeout=0.4)
    server.wait_idle(5)
    assert server.service.metrics.stopped.labels("cancelled")._value.get() == before + 3


def test_a_client_that_never_reads_holds_nobody_up(server: Running, client: openai.OpenAI) -> None:
    ask = json.dumps({"model": "tiny", "messages": about(noise(1)), "max_tokens": 400, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(ask)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        mute.sendall(head.encode() + ask)
        done = client.chat.completions.create(model="tiny", messages=about(noise(2)), max_tokens=10, timeout=30)
        assert done.choices[0].finish_reason == "length"
    server.wait_idle()


def test_nothing_of_prompts_and_texts_is_logged(server: Running, caplog: pytest.LogCaptureFixture, ocr: OCR) -> None:
    with caplog.at_level(logging.DEBUG):
        ask = {"model": "tiny", "messages": about(noise(1), text="Where is the SECRET?"), "max_tokens": 30}
        text = httpx.post(f"{server.url}/v1/chat/completions", json=ask).json()["choices"][0]["message"]["content"]
        upload(server, b"broken", task="free", prompt="SECRET")
        httpx.get(f"{server.url}/SECRET?a=SECRET")
        server.wait_idle()
    logged = [json.loads(record.message) for record in caplog.records if record.name == "nanochat.serve"]
    assert {"method": "POST", "route": "/v1/chat/completions", "status": 200, "tokens": 30} in [
        {key: entry[key] for key in ("method", "route", "status", "tokens") if key in entry} for entry in logged
    ]
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("nanochat"))
    assert "SECRET" not in ours and text[:12] not in ours and "SECRET" not in httpx.get(f"{server.url}/metrics").text


def test_health_ready_metrics_and_the_page(server: Running) -> None:
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready", "model": "tiny"}
    metrics = httpx.get(f"{server.url}/metrics").text
    for name in ("requests_total", "generated_tokens_total", "queue", "first_token_seconds_count", "loops_total"):
        assert f"nano_ocr_{name}" in metrics
    page = httpx.get(server.url)
    assert (
        page.headers["content-type"].startswith("text/html")
        and "default-src 'self'" in page.headers["content-security-policy"]
    )
    for name in ("app.js", "api.js", "pages.js", "style.css", "icon.svg", "sample.png"):
        assert httpx.get(f"{server.url}/{name}").status_code == 200
    assert (
        "access-control-allow-origin" not in httpx.get(f"{server.url}/health", headers={"Origin": "http://a.b"}).headers
    )


def test_a_local_server_answers_to_local_names_alone(server: Running) -> None:
    """Else any web site could read through it, once its own name points to this machine."""
    for host in ("evil.example", "evil.example:8000", "", "[x", "127.0.0.1.evil.example"):
        refused(httpx.get(f"{server.url}/v1/models", headers={"Host": host}), 403, "forbidden_host")
    for host in ("localhost:1", "127.0.0.1", "[::1]:99"):
        assert httpx.get(f"{server.url}/v1/models", headers={"Host": host}).status_code == 200


def test_after_a_mistake_of_ours_the_next_request_is_answered(
    server: Running, monkeypatch: pytest.MonkeyPatch, ocr: OCR
) -> None:
    def fail() -> list:
        monkeypatch.undo()
        raise RuntimeError("out of memory")

    worker = server.service.worker
    assert worker is not None
    monkeypatch.setattr(worker.scheduler, "step", fail)
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 10}
    message = refused(httpx.post(f"{server.url}/v1/chat/completions", json=ask), 500, "internal_error")
    assert "memory" not in message
    monkeypatch.setattr(worker.scheduler, "step", fail)
    refused(upload(server, png(noise(1)), max_tokens="10"), 500, "internal_error")
    done = httpx.post(f"{server.url}/v1/chat/completions", json=ask).json()
    assert done["choices"][0]["message"]["content"] == ocr.read(noise(1), max_tokens=10).text
    server.wait_idle()


def test_keys_queues_and_times(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"api_key": "s3cret", "max_concurrency": 1, "max_queue": 1, "request_timeout": 0.6}
    with tiny_server(checkpoint, **settings) as server:
        usual = server.service.guard  # a fast machine would find the random text's first loop before the time is over
        monkeypatch.setattr(server.service, "guard", lambda: replace(usual(), stop_loops=False))
        chat = f"{server.url}/v1/chat/completions"
        ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 2300}
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer s3cret2"}):
            refused(httpx.post(chat, json=ask, headers=headers), 401, "invalid_api_key")
        key = {"Authorization": "Bearer s3cret"}
        with ThreadPoolExecutor(6) as pool:
            many = list(pool.map(lambda _: httpx.post(chat, json=ask, headers=key, timeout=30), range(6)))
        full = [answer for answer in many if answer.status_code == 429]
        assert len(full) >= 3 and all(answer.headers["retry-after"] for answer in full)
        assert refused(full[0], 429, "queue_full")
        read = [answer.json() for answer in many if answer.status_code == 200]
        first = max(read, key=lambda answer: answer["usage"]["completion_tokens"])["choices"][0]
        assert (first["stopped"], first["finish_reason"]) == ("time", "length") and first["message"]["content"]
        for answer in many:
            if answer.status_code == 503:  # its time ended while it waited
                refused(answer, 503, "overloaded")
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Authorization: Bearer s3cret\r\nContent-Length: 99999\r\n\r\n{"
        )
        slow.settimeout(0.05)
        answer, until = b"", time.monotonic() + 60
        while not answer and time.monotonic() < until:  # a byte at a time, and others are answered meanwhile
            slow.sendall(b" ")
            assert httpx.get(f"{server.url}/health", timeout=30).status_code == 200
            with suppress(TimeoutError):
                answer = slow.recv(100)
        assert b"408" in answer
        slow.close()
        server.wait_idle()


def test_while_the_model_is_being_loaded_it_says_so(checkpoint: Path) -> None:
    from fastapi.testclient import TestClient

    from nanochat.serve.app import create_app
    from nanochat.serve.settings import ServeSettings

    go = threading.Event()

    def load() -> OCR:
        go.wait()
        return OCR(checkpoint, "cpu")

    app = create_app(ServeSettings(), "tiny", load, lambda error: None)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        ask = {"model": "tiny", "messages": [{"role": "user", "content": "x"}]}
        assert client.post("/v1/chat/completions", json=ask).json()["error"]["code"] == "not_ready"
        go.set()
        until = time.monotonic() + 20
        while client.get("/ready").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.02)
