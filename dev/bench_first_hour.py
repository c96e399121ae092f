"""Compare two states of the repository as a new user meets them: sizes, and the time to the first text.

python -m dev.bench_first_hour ed2a73a HEAD
python -m dev.bench_first_hour ed2a73a HEAD --rounds=1 --pictures=10

Each state is cloned, installed with the versions of its own uv.lock, and used to read. Packages come from uv's cache,
which is filled before the first measured run, so the speed of the network is not measured. States alternate in every
measurement. Prints a Markdown table, then all figures as JSON on the last line.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from tyro.conf import Positional

from dev.bench.threads import busy_processes
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.threads import usable_cores

ROOT = Path(__file__).parents[1]
SAMPLE = "data/images/receipt_000.png"
FIRST_LINE = "JUNIPER & RYE"
MB = 1_000_000


@dataclass
class Config:
    """Compare two states of the repository."""

    before: Positional[str]
    """a commit, branch or tag"""
    after: Positional[str]
    """the other one"""
    rounds: int = 3
    """number of times that each is measured; the median counts"""
    pictures: int = 30
    """number of images in the folder that is read"""


class State:
    """One state of the repository, in a folder of its own, and its figures."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.clone, self.wheel_home = folder / "clone", folder / "wheel"
        self.figures: dict[str, list[float]] = {}
        """the value of each round, by figure; failed measurements are missing"""

    def run(self, *command: str | Path, where: Path | None = None) -> str:
        """The output of a command, on a machine with uv, its cache and Python, and an empty home folder.

        Raises RuntimeError with its error output if it fails.
        """
        kept = {name: value for name, value in os.environ.items() if name.startswith(("SSL_", "UV_", "LANG"))}
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        path = f"{Path(sys.base_prefix) / 'bin'}:{Path(shutil.which('uv') or 'uv').parent}:/usr/bin:/bin"
        environment = {
            "UV_CACHE_DIR": _cache(),
            **kept,
            "HOME": str(home),
            "PATH": path,
            "UV_PYTHON": f"{sys.base_prefix}/bin/python3",
        }
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, env=environment, cwd=where or self.clone
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {command[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout

    def note(self, what: str, figure: float) -> None:
        """Add the value of a round to a figure, and print it to stderr."""
        print(f"{self.name}: {what}: {figure:,.1f}", file=sys.stderr)
        self.figures.setdefault(what, []).append(figure)


@cache
def _cache() -> str:
    """uv's cache folder."""
    return subprocess.run(["uv", "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()


def folder_mb(folder: Path) -> float:
    """Size of all files in a folder, in MB."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir()) / MB


def download_mb(lock: str, installed: Iterable[tuple[str, str]]) -> float:
    """Size in MB of the wheels of these packages for this machine, from the text of a uv.lock.

    `installed`: names and versions. A package without a fitting wheel counts as its source archive.
    """
    tags, total = list(sys_tags()), 0
    best = {tag: i for i, tag in enumerate(tags)}
    known = {(package["name"], package.get("version")): package for package in tomllib.loads(lock)["package"]}
    for key in installed:
        package = known.get(key, {})
        ranked: list[tuple[int, int]] = []
        for wheel in package.get("wheels", []):
            *_, fits = parse_wheel_filename(wheel["url"].rsplit("/", 1)[-1].replace("%2B", "+"))
            ranked += [(best[tag], wheel.get("size", 0)) for tag in fits if tag in best]
        total += min(ranked)[1] if ranked else package.get("sdist", {}).get("size", 0)
    return total / MB


def clone(state: State) -> None:
    """Clone the state with `git clone --depth 1`, and measure it."""
    commit = subprocess.run(["git", "rev-parse", f"{state.name}^{{commit}}"], cwd=ROOT, capture_output=True, text=True)
    if commit.returncode:
        raise UserError(f"{state.name}: no such commit")
    state.clone.mkdir(parents=True)
    for command in (
        ("init", "-q"),
        ("fetch", "-q", "--depth", "1", f"file://{ROOT}", commit.stdout.strip()),
        ("checkout", "-q", "FETCH_HEAD"),
    ):
        state.run("git", *command)
    state.note("clone --depth 1: download, MB", folder_mb(state.clone / ".git" / "objects"))


def reads(text: str) -> None:
    """Raise RuntimeError unless this is the text of the sample."""
    if FIRST_LINE not in text:
        raise RuntimeError(f"read: {text[:200]!r}")


def clone_to_text(state: State) -> None:
    shutil.rmtree(state.clone / ".venv", ignore_errors=True)
    reads(state.run("bash", "runs/read.sh", SAMPLE))


def wheel_to_text(state: State) -> None:
    environment = state.wheel_home / "env"
    shutil.rmtree(environment, ignore_errors=True)
    state.run("uv", "venv", "--quiet", environment)
    pins = ("--constraints", state.folder / "pins.txt")
    state.run("uv", "pip", "install", "--quiet", "--python", environment, *pins, wheel_of(state))
    reads(state.run(environment / "bin/nano-ocr", "read", state.clone / SAMPLE, where=state.wheel_home))


def uvx_to_text(state: State) -> None:
    command = ("uvx", "--isolated", "--quiet", "--constraints", state.folder / "pins.txt", "--from", wheel_of(state))
    reads(state.run(*command, "nano-ocr", "read", state.clone / SAMPLE, where=state.wheel_home))


def wheel_of(state: State) -> Path:
    return next((state.folder / "dist").glob("*.whl"))


def build(state: State) -> None:
    """Build the wheel, and export the versions of uv.lock to install it with."""
    state.wheel_home.mkdir()
    state.run("uv", "build", "--quiet", "--wheel", "--out-dir", state.folder / "dist")
    state.note("wheel, MB", wheel_of(state).stat().st_size / MB)
    pins = state.run("uv", "export", "--quiet", "--frozen", "--all-extras", "--no-emit-project", "--no-hashes")
    (state.folder / "pins.txt").write_text(pins, encoding="utf-8")


def sizes(state: State, python: Path, what: str) -> None:
    """Measure the size of an environment on disk, and of its packages to download."""
    listed = state.run("uv", "pip", "list", "--format=json", "--python", python)
    installed = [(package["name"], package["version"]) for package in json.loads(listed)]
    lock = (state.clone / "uv.lock").read_text(encoding="utf-8")
    state.note(f"{what}: packages to download, MB", download_mb(lock, installed))
    state.note(f"{what}: installed, MB", folder_mb(python.parents[1]))


def read_command(*arguments: str | Path) -> Callable[[State], object]:
    """The `nano-ocr` command of the full environment, for the folder of images and a new output folder."""

    def run(state: State) -> str:
        shutil.rmtree(state.folder / "out", ignore_errors=True)
        return state.run(state.clone / ".venv/bin/nano-ocr", *arguments, "--out", state.folder / "out")

    return run


def measure_states(states: list[State], config: Config, folder: Path) -> None:
    """Measure all figures of all states. Failures are printed to stderr and are missing from the table."""
    pictures = folder / "pictures"
    pictures.mkdir()
    samples = sorted((ROOT / "data/images").glob("*.png"))
    for i in range(config.pictures):
        sample = samples[i % len(samples)]
        shutil.copy(sample, pictures / f"{i:03}_{sample.name}")

    def timed(what: str, run: Callable[[State], object], rounds: int = config.rounds, busy: int = 0) -> None:
        with busy_processes(busy, os.sched_getaffinity(0)) if busy else nullcontext():
            for number in range(rounds):
                for state in states if number % 2 == 0 else states[::-1]:
                    started = time.perf_counter()
                    if attempt(state, run):
                        state.note(f"{what}, s", time.perf_counter() - started)

    def attempt(state: State, run: Callable[[State], object]) -> bool:
        try:
            run(state)
        except (RuntimeError, OSError) as error:
            print(f"failed: {error}", file=sys.stderr)
            return False
        return True

    for state in states:
        clone(state)
        for prepare in (clone_to_text, build, wheel_to_text, uvx_to_text):
            attempt(state, prepare)
        attempt(state, lambda state: sizes(state, state.clone / ".venv/bin/python", "runs/read.sh"))
        attempt(state, lambda state: sizes(state, state.wheel_home / "env/bin/python", "wheel"))
    timed("clone to first text", clone_to_text)
    timed("wheel to first text", wheel_to_text)
    timed("uvx to first text", uvx_to_text)
    for state in states:
        state.run("uv", "sync", "--quiet", "--frozen")
    busy = max(1, int(usable_cores()))
    one, program = ("read", SAMPLE), ".venv/bin/nano-ocr"
    timed("--help", lambda state: state.run(state.clone / program, "--help"))
    timed("one receipt, idle machine", lambda state: state.run(state.clone / program, *one))
    timed(f"one receipt beside {busy} busy", lambda state: state.run(state.clone / program, *one), busy=busy)
    timed(f"read {config.pictures} pictures", read_command("read", pictures), rounds=1)
    timed(f"batch {config.pictures} pictures", read_command("batch", pictures), rounds=1)


def table(states: list[State]) -> str:
    """A Markdown table with a row for each figure."""
    named = dict.fromkeys(what for state in states for what in state.figures)
    rows = [["measured", *(state.name for state in states)], ["---", *("---:" for _ in states)]]
    for what in named:
        found = [state.figures.get(what) for state in states]
        rows.append([what, *("failed" if figures is None else f"{median(figures):,.1f}" for figures in found)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    with tempfile.TemporaryDirectory() as name:
        states = [State(commit, Path(name) / str(i)) for i, commit in enumerate((config.before, config.after))]
        measure_states(states, config, Path(name))
    print(table(states))
    found: dict[str, Any] = {state.name: state.figures for state in states}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
