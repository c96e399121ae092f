"""The server under load and with difficult clients: equal answers, limits, disconnects, keys, logs."""

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
from helpers.tiny_server import Running, about, noise, png, refused, tiny_server, upload

from nanochat.reading.ocr import OCR


def test_answers_under_load_equal_those_of_single_requests(server: Running, client: openai.OpenAI, ocr: OCR) -> None:
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
    assert counts["+Inf"] > counts["2.0"]  # they were generated together


def test_too_large_body_is_413_with_and_without_content_length(server: Running) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 50_000

    url = f"{server.url}/v1/chat/completions"
    refused(httpx.post(url, content=b"x" * 1_100_000), 413, "request_too_large")
    refused(httpx.post(url, content=pieces(), headers={"content-type": "application/json"}), 413, "request_too_large")
    refused(upload(server, b"x" * 1_200_000), 413, "request_too_large")


def test_disconnected_client_stops_its_request(server: Running, client: openai.OpenAI) -> None:
    ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 2300}
    before = server.service.metrics.stopped.labels("cancelled")._value.get()
    stream = client.chat.completions.create(**ask, stream=True)  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    with pytest.raises(httpx.ReadTimeout):  # not a stream, disconnected by the client
        httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=0.4)
    with pytest.raises(httpx.ReadTimeout):
        upload_slowly = {"files": png(noise(2))}
        httpx.post(f"{server.url}/v1/read", files=upload_slowly, data={"max_tokens": "2300"}, timeout=0.4)
    server.wait_idle(5)
    assert server.service.metrics.stopped.labels("cancelled")._value.get() == before + 3


def test_client_that_never_reads_does_not_block_others(server: Running, client: openai.OpenAI) -> None:
    ask = json.dumps({"model": "tiny", "messages": about(noise(1)), "max_tokens": 400, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(ask)}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as mute:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        mute.sendall(head.encode() + ask)
        done = client.chat.completions.create(model="tiny", messages=about(noise(2)), max_tokens=10, timeout=30)
        assert done.choices[0].finish_reason == "length"
    server.wait_idle()


def test_prompts_and_texts_are_not_logged(server: Running, caplog: pytest.LogCaptureFixture, ocr: OCR) -> None:
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


def test_health_ready_metrics_and_web_page(server: Running) -> None:
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


def test_local_server_answers_to_local_host_names_only(server: Running) -> None:
    """Otherwise any web site could use it by resolving its own name to this machine."""
    for host in ("evil.example", "evil.example:8000", "", "[x", "127.0.0.1.evil.example"):
        refused(httpx.get(f"{server.url}/v1/models", headers={"Host": host}), 403, "forbidden_host")
    for host in ("localhost:1", "127.0.0.1", "[::1]:99"):
        assert httpx.get(f"{server.url}/v1/models", headers={"Host": host}).status_code == 200


def test_next_request_is_answered_after_an_internal_error(
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


def test_api_keys_queue_limits_and_timeouts(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
            if answer.status_code == 503:  # its time limit passed while it waited
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


def test_server_reports_that_the_model_is_loading(checkpoint: Path) -> None:
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
