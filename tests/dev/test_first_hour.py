"""The comparison of two states of the repository: download sizes, and the table."""

from pathlib import Path

import numpy
import pytest
from packaging.tags import sys_tags

from dev.bench_first_hour import State, download_mb, folder_mb, table

ROOT = Path(__file__).parents[2]


def test_download_size_counts_the_matching_wheels_of_installed_packages() -> None:
    tag = next(sys_tags())
    lock = f"""
[[package]]
name = "one"
version = "1.0"
sdist = {{ url = "https://x/one-1.0.tar.gz", size = 70000000 }}
wheels = [
    {{ url = "https://x/one-1.0-cp27-cp27m-win32.whl", size = 9000000 }},
    {{ url = "https://x/one-1.0-py3-none-any.whl", size = 5000000 }},
    {{ url = "https://x/one-1.0-{tag}.whl", size = 3000000 }},
]

[[package]]
name = "source-only"
version = "2.0"
sdist = {{ url = "https://x/source_only-2.0.tar.gz", size = 500000 }}

[[package]]
name = "another"
version = "1.0"
wheels = [{{ url = "https://x/another-1.0-py3-none-any.whl", size = 80000000 }}]
"""
    installed = [("one", "1.0"), ("source-only", "2.0"), ("not-in-the-lock", "3.0")]
    assert download_mb(lock, installed) == pytest.approx(3.5)


def test_download_size_of_numpy_from_uv_lock() -> None:
    """The wheel of NumPy in the lock file has between 5 and 30 MB on every system."""
    assert 5 < download_mb((ROOT / "uv.lock").read_text(encoding="utf-8"), [("numpy", numpy.__version__)]) < 30


def test_failed_figure_is_marked_in_the_table(tmp_path: Path) -> None:
    before, after = State("before", tmp_path / "a"), State("after", tmp_path / "b")
    for seconds in (3.0, 1.0, 2.0):
        after.note("uvx to first text, s", seconds)
    before.note("wheel, MB", 70.0)
    after.note("wheel, MB", 22.0)
    assert table([before, after]).splitlines()[2:] == [
        "| wheel, MB | 70.0 | 22.0 |",
        "| uvx to first text, s | failed | 2.0 |",
    ]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(bytes(2_000_000))
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a" / "b" / "file")
    assert folder_mb(tmp_path) == pytest.approx(2.0, abs=0.01)
