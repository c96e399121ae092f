"""Clients beside one another: one that sends its head slowly, one that sends much, and one with a small question."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from drawn_page import draw_page, sentence
from test_serve import png
from tiny_server import Running, tiny_checkpoint, tiny_server

from nanochat.serve import head

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with tiny_server(tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))) as running:
        yield running


def seconds_until_closed(client: socket.socket) -> float:
    """While it is sent a byte every tenth of a second."""
    started = time.monotonic()
    client.settimeout(0.1)
    while time.monotonic() - started < 30:
        try:
            client.sendall(b"x")
            if not client.recv(1000):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - started


def healthy(client: socket.socket) -> bool:
    """Whether the answer is that of /health, in however many pieces it comes."""
    found = b""
    while not found.endswith(b"}") and (piece := client.recv(1000)):
        found += piece
    return found.startswith(b"HTTP/1.1 200") and found.endswith(b'{"status":"ok"}')


def test_a_head_that_comes_slowly_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "HEAD_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        assert 0.5 < seconds_until_closed(slow) < 10
    with socket.create_connection(("127.0.0.1", server.port)) as second:  # its first request comes in time
        second.sendall(HEAD + b"\r\n")
        assert healthy(second)
        time.sleep(1.2)
        second.sendall(HEAD + b"\r\n")
        assert healthy(second)
        second.sendall(HEAD + b"X: ")
        assert 0.5 < seconds_until_closed(second) < 10


def test_a_small_question_does_not_wait_for_a_long_page(server: Running) -> None:
    lines = [sentence(i) for i in range(60)]
    ended: dict[str, float] = {}

    def ask(name: str, page: bytes) -> None:
        form = {"mode": "lines", "max_tokens": "12"}
        answer = httpx.post(f"{server.url}/v1/read", files={"files": ("a.png", page)}, data=form, timeout=120)
        ended[name] = time.monotonic()
        assert answer.status_code == 200

    long, short = (png(draw_page(lines[:n], 20, width=300)[0]) for n in (60, 1))
    ask("alone", short)  # what begins with the first page is not counted
    with ThreadPoolExecutor() as pool:
        big = [pool.submit(ask, f"big {i}", long) for i in range(3)]
        until = time.monotonic() + 60
        while not server.service.worker.scheduler.rows and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(2)  # all three are at their lines
        begun = time.monotonic()
        small = [pool.submit(ask, "small", short)]
        for future in [*big, *small]:
            future.result()
    assert ended["small"] - begun < (max(ended.values()) - begun) / 4
