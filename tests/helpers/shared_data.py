"""Requirements outside of the repository: real documents in a folder next to it, and programs of the system."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it if CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def shared_data(relative: str) -> Path:
    """A file or folder of the real documents; calls `absent` if it does not exist."""
    path = SHARED / relative
    if not path.exists():
        absent(f"the real documents are not there: {path}")
    return path


def need_program(name: str, package: str) -> None:
    """Calls `absent` if a program is not installed."""
    if shutil.which(name) is None:
        absent(f"no {name} here: apt-get install {package}")
