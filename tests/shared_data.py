"""Where the real documents for tests lie: in a folder beside the repository, and not in it."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


def shared_data(relative: str) -> Path:
    """A file or folder of the real documents. Without it the test is skipped, but fails where CI=true."""
    path = SHARED / relative
    if not path.exists():
        reason = f"the real documents are not there: {path}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
