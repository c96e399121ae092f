"""What tests need that is not in the repository: real documents in a folder beside it, programs of the system."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"


def absent(reason: str) -> NoReturn:
    """Leave the test out, or fail where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def shared_data(relative: str) -> Path:
    """A file or folder of the real documents; `absent` without it."""
    path = SHARED / relative
    if not path.exists():
        absent(f"the real documents are not there: {path}")
    return path


def need_program(name: str, package: str) -> None:
    """`absent` without a program of the system."""
    if shutil.which(name) is None:
        absent(f"no {name} here: apt-get install {package}")
