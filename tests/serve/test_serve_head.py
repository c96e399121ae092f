"""Clients that send the headers of a request slowly or at normal speed."""

import socket
import time
from collections.abc import Iterator

import pytest
from helpers.tiny_server import Running, tiny_checkpoint, tiny_server

from nanochat.serve import head

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with tiny_server(tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))) as running:
        yield running


def seconds_until_closed(client: socket.socket) -> float:
    """Seconds until the connection closes while a byte is sent every tenth of a second."""
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
    """Whether the response is that of /health, in any number of pieces."""
    found = b""
    while not found.endswith(b"}") and (piece := client.recv(1000)):
        found += piece
    return found.startswith(b"HTTP/1.1 200") and found.endswith(b'{"status":"ok"}')


def test_slow_request_head_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "HEAD_SECONDS", 1.0)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        assert 0.5 < seconds_until_closed(slow) < 10
    with socket.create_connection(("127.0.0.1", server.port)) as second:  # its first request arrives in time
        second.sendall(HEAD + b"\r\n")
        assert healthy(second)
        time.sleep(1.2)
        second.sendall(HEAD + b"\r\n")
        assert healthy(second)
        second.sendall(HEAD + b"X: ")
        assert 0.5 < seconds_until_closed(second) < 10
