"""Parts of the server: growing text, rejected addresses, malformed requests."""

import asyncio
import base64
import http.server
import json
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from helpers.drawn_files import write_pdf
from helpers.tiny_server import about, await_ready, noise, png, tiny_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nanochat.engine import Engine, Guard
from nanochat.engine.answers import Sampling
from nanochat.errors import UserError
from nanochat.image_process import open_image
from nanochat.reading.ocr import OCR
from nanochat.serve import remote
from nanochat.serve.app import create_app, serve
from nanochat.serve.errors import ApiError
from nanochat.serve.gate import Gate
from nanochat.serve.metrics import Metrics
from nanochat.serve.questions import make_prompt
from nanochat.serve.service import Streaming
from nanochat.serve.settings import ServeSettings
from nanochat.serve.shared import SharedEngine
from nanochat.serve.text import TextStream
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()


@given(st.lists(st.integers(0, 265), max_size=60), st.lists(st.integers(1, 9), max_size=60))
def test_pieces_of_text_add_up_to_the_whole(tokens: list[int], sizes: list[int]) -> None:
    stream, text, place = TextStream(TOKENIZER.encoding, []), "", 0
    for size in sizes:
        text += stream.add(tokens[place : place + size])
        place += size
        assert TOKENIZER.decode(tokens[:place]).startswith(text)
    text += stream.add(tokens[place:], final=True)
    assert text == stream.text == TOKENIZER.decode(tokens)


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.integers(1, 5))
def test_answer_ends_before_a_stop_text(text: str, stops: list[str], size: int) -> None:
    stream = TextStream(TOKENIZER.encoding, stops)
    tokens, shown = TOKENIZER.encode(text), ""
    for place in range(0, len(tokens), size):
        shown += stream.add(tokens[place : place + size])
    shown += stream.add([], final=True)
    found = [text.find(stop) for stop in stops if stop in text]
    # if a piece completes two stop texts, the one that begins first counts; token by token, the first complete one
    if not found:
        assert shown == text and not stream.stopped
    else:
        assert stream.stopped and text.startswith(shown) and not any(stop in shown for stop in stops)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "10.1.2.3", "192.168.0.9", "169.254.169.254", "172.16.0.1", "100.64.0.1",
     "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "224.0.0.1", "2130706433", "0x7f000001", "no.such.host.invalid"],
)  # fmt: skip
def test_private_addresses_are_rejected(host: str) -> None:
    with pytest.raises(ApiError, match=r"is not public|is unknown"):
        remote.check_address(host, 80)
    assert remote.check_address("93.184.216.34", 80) == "93.184.216.34"


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Redirects to the path; has an image at /a.png, a large file at /large, and an endless response at /slow."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
            return
        if self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x")
                    time.sleep(0.05)
        data = {"/a.png": png(noise(1)), "/large": b"x" * 3000}.get(self.path)
        self.send_response(200 if data else 404)
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Another web server, whose name `public.test` counts as a public address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check = remote.check_address
    monkeypatch.setattr(
        remote, "check_address", lambda host, port: "127.0.0.1" if host == "public.test" else check(host, port)
    )
    yield f"http://public.test:{server.server_port}"
    server.shutdown()


def test_remote_images_have_limits_and_redirects_are_checked(elsewhere: str) -> None:
    assert remote.fetch(f"{elsewhere}/a.png", 10**6, 30) == png(noise(1))
    assert remote.fetch(f"{elsewhere}/to/{elsewhere}/a.png", 10**6, 30) == png(noise(1))
    with pytest.raises(ApiError, match="took too long"):
        remote.fetch(f"{elsewhere}/slow", 10**6, 0.5)
    port = elsewhere.rpartition(":")[2]
    for path, most, message in (
        (f"/to/http://127.0.0.1:{port}/a.png", 10**6, "is not public"),
        (f"/to/http://localhost:{port}/a.png", 10**6, "is not public"),
        ("/to/file:///etc/passwd", 10**6, "must be"),
        ("/to/" * 5 + "a.png", 10**6, "redirects too often"),
        ("/missing", 10**6, "404"),
        ("/large", 1000, "too large"),
    ):
        if path.startswith("/to//to/"):
            path = "/to/" + f"{elsewhere}/to/" * 5 + "a.png"
        with pytest.raises(ApiError, match=message):
            remote.fetch(elsewhere + path, most, 30)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "x"])},
    optional={"text": st.text(max_size=9), "image_url": st.fixed_dictionaries({"url": st.text(max_size=30)}) | VALUES},
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=9) | st.lists(PARTS)}
    )
    | VALUES,
    max_size=3,
)
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["tiny", "other"]), "messages": MESSAGES | VALUES},
    optional={name: VALUES for name in ("temperature", "n", "stop", "seed", "stream", "top_k", "top_p", "tools")}
    | {"max_tokens": st.integers(-2, 3) | VALUES, "max_completion_tokens": st.integers(1, 3)},
)


@pytest.fixture(scope="module")
def app_client(checkpoint: Path) -> Iterator[TestClient]:
    app = create_app(ServeSettings(max_upload_mb=1), "tiny", lambda: OCR(checkpoint, "cpu"), lambda error: None)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        while client.get("/ready").status_code != 200:
            time.sleep(0.05)
        yield client


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(BODIES | VALUES)
def test_no_request_causes_an_internal_error(app_client: TestClient, body: object) -> None:
    if isinstance(body, dict) and body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
        body["max_tokens"] = 2
    answer = app_client.post("/v1/chat/completions", content=json.dumps(body))
    assert answer.status_code in (200, 400, 404), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_upload_causes_an_internal_error(app_client: TestClient, data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from([png(noise(1, 40, 40)), png(noise(1, 40, 40), "PDF"), png(noise(1), "JPEG"), b""])
    )
    kept = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3)) if kept else 0):
        kept[data.draw(st.integers(0, len(kept) - 1))] = data.draw(st.integers(0, 255))
    form = {"max_tokens": "2", "task": data.draw(st.sampled_from(["free", "locate:x", "locate:", ""]))}
    answer = app_client.post("/v1/read", files={"files": ("a", bytes(kept))}, data=form)
    assert answer.status_code in (200, 400), answer.text


def test_client_that_does_not_read_is_disconnected() -> None:
    """If the client does not read in time, the resources of a response are released, and this is logged."""
    released: list[bool] = []

    async def pieces() -> AsyncIterator[str]:
        while True:
            yield "a piece"

    async def app(scope, receive, send) -> None:
        holds = ExitStack()
        holds.callback(released.append, True)
        await Streaming(pieces(), "text/plain", holds)(scope, receive, send)

    async def receive() -> dict:
        await asyncio.Event().wait()  # it sends nothing more and does not disconnect
        return {}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    metrics = Metrics()
    gate = Gate(app, ServeSettings(request_timeout=0.1), metrics)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(asyncio.wait_for(gate(scope, receive, send), 30))
    assert released == [True] and 'nano_ocr_requests_total{route="other",status="200"} 1.0' in metrics.page().decode()


@pytest.mark.parametrize(
    "change", [{"max_concurrency": 0}, {"max_queue": -1}, {"request_timeout": 0.0}, {"max_pages": -3}, {"port": 99999}]
)
def test_invalid_settings_are_rejected(change: dict) -> None:
    with pytest.raises(UserError, match=next(iter(change))):
        ServeSettings(**change)


def test_line_model_answers_chats_like_read(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Image.new("RGB", (400, 300), "white")
    for row in range(5):
        ImageDraw.Draw(page).text((20, 20 + 50 * row), f"A line of text, number {row}", fill="black", font_size=24)
    monkeypatch.setattr("nanochat.reading.ocr.learnt_modes", lambda meta, vision: ("lines",))
    monkeypatch.setattr("nanochat.reading.assemble.LEAST_SURE", 0.0)  # random weights have low probabilities
    expected = OCR(checkpoint, "cpu").read(page)
    assert expected.views >= 5 and len(expected.text) > 100
    with tiny_server(checkpoint) as server:
        for stream in (False, True):
            ask = {"model": "tiny", "messages": about(page), "stream": stream}
            answer = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=60)
            if stream:
                chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
                text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
            else:
                text = answer.json()["choices"][0]["message"]["content"]
            assert text == expected.text
        ask = {"model": "tiny", "messages": about(page), "max_tokens": 50}  # of the whole answer; a token is a letter
        cut = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=60).json()
        assert cut["choices"][0]["message"]["content"] == expected.text[:50] and cut["usage"]["completion_tokens"] == 50
        assert (cut["choices"][0]["finish_reason"], cut["choices"][0]["stopped"]) == ("length", "length")
        for more in ({"temperature": 0.7}, {"messages": [{"role": "system", "content": "Hello."}, *about(page)]},
                     {"messages": about(page, text="What stands on this receipt?")}):  # it can but read  # fmt: skip
            ask = {"model": "tiny", "messages": about(page), **more}
            answer = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=60)
            assert answer.json()["choices"][0]["message"]["content"] == expected.text
        refused = httpx.post(f"{server.url}/v1/read", files={"files": png(page)}, data={"task": "markdown"}, timeout=60)
        assert refused.status_code == 400 and "was trained on free, not markdown" in refused.json()["error"]["message"]
        plain = httpx.post(f"{server.url}/v1/read", files={"files": png(page)}, data={"format": "txt"}, timeout=60)
        assert plain.headers["x-nano-ocr-status"] == expected.status and plain.text == expected.text + "\n"
        read = httpx.post(f"{server.url}/v1/read", files={"files": png(page)}, timeout=60)
        (found,) = read.json()["pages"]
        assert found["text"] == expected.text and [line["text"] for line in found["lines"]] == expected.text.split("\n")


def test_chat_about_several_pages_is_rejected(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("nanochat.reading.ocr.learnt_modes", lambda meta, vision: ("lines",))
    url = "data:application/pdf;base64," + base64.b64encode(write_pdf(tmp_path / "a.pdf", 3).read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}]
    with tiny_server(checkpoint) as server:
        ask = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=60)
    assert answer.status_code == 400 and "3 pages" in answer.json()["error"]["message"]


def test_null_values_count_as_missing(checkpoint: Path) -> None:
    with tiny_server(checkpoint) as server:
        ask = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 9}
        nulls = dict.fromkeys(("temperature", "n", "seed", "stream", "stop", "top_p", "tools"))
        answers = [httpx.post(f"{server.url}/v1/chat/completions", json={**ask, **more}) for more in ({}, nulls)]
        said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
        assert said[0] == said[1] != ""
        silent = [*about(noise(1)), {"role": "assistant", "content": None}, {"role": "user", "content": "More."}]
        assert httpx.post(f"{server.url}/v1/chat/completions", json={**ask, "messages": silent}).status_code == 200


def test_decompression_bomb_is_rejected(checkpoint: Path, tmp_path: Path) -> None:
    large, pdf = png(Image.new("1", (1500, 1500))), write_pdf(tmp_path / "a.pdf", 1, (720, 720)).read_bytes()
    with tiny_server(checkpoint, max_megapixels=2) as server:
        for file in (large, pdf):
            answer = httpx.post(f"{server.url}/v1/read", files={"files": file}, data={"dpi": 150}, timeout=60)
            assert answer.status_code == 400 and "over the limit" in answer.json()["error"]["message"]
        ask = {"model": "tiny", "messages": about(Image.new("1", (1500, 1500)))}
        answer = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=60)
        assert answer.status_code == 400 and "over the limit" in answer.json()["error"]["message"]


def test_images_of_a_chat_are_decoded_one_at_a_time(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[weakref.ref] = []
    held: list[int] = []

    def decode(*arguments):
        image = open_image(*arguments)
        held.append(sum(other() is not None for other in decoded))
        decoded.append(weakref.ref(image))
        return image

    monkeypatch.setattr("nanochat.serve.questions.open_image", decode)
    files = [png(Image.new("RGB", (64, 64))) for _ in range(5)]
    messages = [{"role": "user", "content": "<image>" * 5 + "Which?"}]
    prompt = make_prompt(OCR(checkpoint, "cpu"), messages, files, 4, [Sampling()], Guard())
    assert len(prompt.images) == 5 and max(held) <= 1  # hundreds of large ones would not fit in memory


def test_generation_is_only_possible_in_the_worker_thread() -> None:
    ways = [name for name in dir(Engine) if name.startswith(("generate", "stream"))]
    assert {"generate", "generate_batch"} <= set(ways)
    assert [name for name in ways if hasattr(SharedEngine, name)] == ["generate_batch"]
    assert SharedEngine.generate_batch is not Engine.generate_batch


@pytest.fixture
def free_port() -> Iterator[int]:
    before = signal.getsignal(signal.SIGTERM)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port
    signal.signal(signal.SIGTERM, before)


def test_sigterm_lets_answers_finish(checkpoint: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A running stream is finished, new ones are rejected, and the server exits."""
    url, found = f"http://127.0.0.1:{free_port}", {}

    def ask() -> None:
        await_ready(url)
        body = {"model": "tiny", "messages": about(noise(1)), "max_tokens": 300, "stream": True}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(os.getpid(), signal.SIGTERM)
            found["lines"] = [line for line in lines if line]
        try:
            found["after"] = httpx.get(f"{url}/ready").status_code
        except httpx.TransportError:
            found["after"] = "refused"

    client = threading.Thread(target=ask)
    client.start()
    serve(ServeSettings(port=free_port), "tiny", lambda: OCR(checkpoint, "cpu"))
    client.join(20)
    assert found["lines"][-1] == "data: [DONE]" and found["after"] == "refused"
    chunks = [json.loads(line[6:])["choices"][0] for line in found["lines"][:-1]]
    assert len("".join(chunk["delta"].get("content", "") for chunk in chunks)) == 300
    assert url in capsys.readouterr().err


def test_server_exits_if_the_model_cannot_be_loaded(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(UserError, match="no such checkpoint"):
        serve(ServeSettings(port=free_port), "tiny", lambda: OCR(tmp_path / "no.pt"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        with pytest.raises(UserError, match="another --port"):
            serve(ServeSettings(port=free_port), "tiny", lambda: OCR(tmp_path / "no.pt"))
