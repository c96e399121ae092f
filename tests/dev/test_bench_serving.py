"""Measurements of the server from outside, with known figures, on a server of the tiny model."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.tiny_server import noise, tiny_checkpoint, tiny_server

from dev.bench import serving
from nanochat.errors import UserError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    own: Any = SimpleNamespace(pid=os.getpid())
    with tiny_server(tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"), 200)) as running:
        yield serving.Server(running.url, own)


def test_concurrent_streams_are_compared_with_sequential_ones(server: serving.Server, tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for i, file in enumerate(files):
        noise(i).save(file)
    one, three = serving.measure_streams(server, files, (1, 3), requests=6)
    assert (one.streams, three.streams, one.gain, one.equal, three.equal) == (1, 3, 1.0, 6, 6)
    assert three.gain == one.seconds / three.seconds
    assert 0 < three.first <= three.first_slow <= three.seconds


def test_memory_is_reported_after_numbers_of_requests(server: serving.Server) -> None:
    found = serving.measure_memory(server, "tiny", (2, 9))
    assert [n for n, _ in found] == [2, 9] and all(100 < mb < 100_000 for _, mb in found)


def test_malformed_requests_are_rejected_and_all_differ(server: serving.Server) -> None:
    chance = random.Random(5)
    sent = [serving.malformed("tiny", chance) for _ in range(40)]
    assert len({str(one) for one in sent}) == 40 and {path for path, _ in sent} == {"/v1/read", "/v1/chat/completions"}
    found = serving.measure_malformed(server, "tiny", 80, seed=3)
    assert sum(found.statuses.values()) == 80 and set(found.statuses) <= {"200", "400", "404", "413"}
    assert found.statuses["400"] > 40


def test_server_that_does_not_start_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run nano-ocr serve to see why"), serving.serving(str(tmp_path / "no.pt")):
        pass
