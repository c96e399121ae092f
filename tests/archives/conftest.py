"""A tiny model for the tests of this folder."""

from pathlib import Path

import pytest
from helpers.tiny_server import tiny_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model"), 512)
