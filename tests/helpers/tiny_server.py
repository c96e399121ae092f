"""A real server of the tiny model, on a free port, for tests over the network."""

import base64
import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import torch
import uvicorn
from PIL import Image

from helpers.tiny_model import tiny_model
from nanochat.reading.ocr import OCR
from nanochat.serve.app import create_app
from nanochat.serve.head import Connection
from nanochat.serve.service import Service
from nanochat.serve.settings import ServeSettings
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint


def tiny_checkpoint(folder: Path, sequence_len: int = 256, letters: bool = True) -> Path:
    """A random model that generates capital letters and newlines, and never ends an answer."""
    model = tiny_model(sequence_len)
    with torch.no_grad():
        head = model.gpt.lm_head.weight
        silent = [token for token in range(len(head)) if not (65 <= token < 91 or token == 10)]
        head[silent] = 0
        head[10] = head[65]
    RustBPETokenizer.characters().save(folder)
    return save_checkpoint(folder, 1, model, {}, {"stage": 2})


def noise(seed: int, width: int = 150, height: int = 100) -> Image.Image:
    """A unique image."""
    pixels = torch.randint(0, 256, (height // 10, width // 10, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(pixels.to(torch.uint8).numpy()).resize((width, height), Image.Resampling.NEAREST)


def png(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """An image as the bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def data_url(image: Image.Image) -> str:
    """An image as a data URL, as in chats."""
    return "data:image/png;base64," + base64.b64encode(png(image)).decode()


def about(*images: Image.Image, text: str = "Free OCR.") -> list:
    """The messages of a chat with a question about images."""
    pictures = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]


def refused(response: httpx.Response, status: int, code: str | None) -> str:
    """The message of an error response in the format of the protocol."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert (
        set(error) == {"message", "type", "param", "code"} and error["message"] and "Traceback" not in error["message"]
    )
    return error["message"]


class Running:
    """A running server."""

    def __init__(self, url: str, service: Service) -> None:
        self.url, self.service = url, service
        self.port = int(url.rpartition(":")[2])

    def wait_idle(self, seconds: float = 20.0) -> None:
        """Wait until no answer is running or waiting."""
        worker, until = self.service.worker, time.monotonic() + seconds
        assert worker is not None
        while worker.scheduler.busy or worker.waiting or self.service.admission.inside:
            assert time.monotonic() < until, "answers still grow"
            time.sleep(0.01)


def upload(server: Running, *files: bytes, **form: str) -> httpx.Response:
    """The response of /v1/read to files, named 0.bin, 1.bin, ..."""
    named = [("files", (f"{number}.bin", data)) for number, data in enumerate(files)]
    return httpx.post(f"{server.url}/v1/read", files=named, data=form, timeout=60)


def await_ready(url: str, failures: Sequence[BaseException] = ()) -> None:
    """Wait until a server answers requests, or until it has failed."""
    while not failures:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        time.sleep(0.05)


@contextmanager
def tiny_server(checkpoint: Path, **settings) -> Iterator[Running]:
    """Serve a checkpoint until the block ends."""
    failures: list[BaseException] = []
    app = create_app(ServeSettings(**settings), "tiny", lambda: OCR(checkpoint, "cpu"), failures.append)
    config = uvicorn.Config(
        app, port=0, log_level="error", access_log=False, timeout_graceful_shutdown=5, http=Connection
    )
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        await_ready(url, failures)
        assert not failures
        yield Running(url, app.state.service)
    finally:
        server.should_exit = True
        thread.join()
