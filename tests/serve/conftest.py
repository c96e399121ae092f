"""A server of the tiny model, and an OpenAI client, for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from helpers.tiny_server import Running, tiny_checkpoint, tiny_server

from nanochat.reading.ocr import OCR, find_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[Running]:
    with tiny_server(checkpoint, max_upload_mb=1.0, max_pages=5, max_concurrency=6) as running:
        yield running


@pytest.fixture(scope="module")
def receipts() -> Iterator[Running]:
    """A server of nano."""
    with tiny_server(find_model("nano")) as running:
        yield running


@pytest.fixture(scope="module")
def ocr(checkpoint: Path) -> OCR:
    return OCR(checkpoint, "cpu")


@pytest.fixture
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
