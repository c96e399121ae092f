"""Check that commands in documents and scripts name existing programs, files and flags."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from nanochat.command import parse_args

ROOT = Path(__file__).parents[2]
# files of a fresh clone
TRACKED = re.compile(r"(?<![\w./-])(?:data|dev|docs|models|nanochat|runs|scripts|tests)/[\w./-]+")


class Parsed(Exception):
    """Raised instead of running a command after its flags were parsed."""


def check_command(words: list[str]) -> None:
    """Fail unless a command, split as in a shell, names existing programs, files and flags."""
    for path in TRACKED.findall(" ".join(words)):
        assert (ROOT / path).exists(), f"{path} of `{' '.join(words)}` does not exist"
    match words:
        case ["uv", "run", *rest]:
            check_command(rest)
        case ["python", "-m", module, *arguments]:
            _check_flags(module, arguments)
        case ["python", "-c", program]:
            ast.parse(program)
        case ["torchrun", *options]:
            at = options.index("-m")
            assert all(re.fullmatch(r"--standalone|--nproc_per_node=\d+", option) for option in options[:at]), options
            _check_flags(options[at + 1], options[at + 2 :])
        case ["nano-ocr", *arguments]:
            _check_nano_ocr(arguments)
        case ["bash", script, *_]:
            assert TRACKED.fullmatch(script), f"{script} is not a script of this project"
        case ["make", target, *_]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"no target {target}"
        case ["uvx", "--from", _, *rest] | ["uvx", _, "--from", _, *rest]:
            check_command(rest)
        case ["pip", "install", *rest] | ["uv", "pip", "install", *rest] | ["uv", "tool", "install", *rest]:
            _check_extras(" ".join(rest))
        case ["curl", *_] | ["ocrmypdf", *_] | ["docker", "compose", *_]:
            pass
        case ["pytest", *_] | ["hf", "download", *_] | ["git", "clone", *_] | ["uv", "build" | "venv", *_]:
            pass
        case ["uv", "sync", *rest]:
            _check_extras(f"[{','.join(after for flag, after in pairwise(rest) if flag == '--extra')}]")
        case ["cd" | "cp" | "set" | "source", *_]:
            pass
        case _:
            pytest.fail(f"what is `{' '.join(words)}`? Teach it to tests/documented_commands.py")


def _check_extras(requirement: str) -> None:
    """Fail unless the extras in square brackets exist."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = [name for found in re.findall(r"\[([\w,-]*)\]", requirement) for name in found.split(",") if name]
    assert set(named) <= set(known), f"{requirement}: the extras are {', '.join(known)}"


def _understand(main: Callable[[], None], name: str, arguments: list[str]) -> None:
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        main()
        pytest.fail(f"{name} ran instead of parsing {arguments}")
    except Parsed:
        pass
    except SystemExit:
        pytest.fail(f"{name} does not understand {' '.join(arguments)}")
    finally:
        sys.argv = before


def _check_flags(name: str, arguments: list[str]) -> None:
    """Parse the flags with the command line of the module, without running it."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):  # a package: what runs is its __main__
        module = importlib.import_module(f"{name}.__main__")

    def parse(config_class: type, description: str | None = None) -> None:
        parse_args(config_class, description)
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "parse_args", parse)
        _understand(module.main, name, arguments)


def _check_nano_ocr(arguments: list[str]) -> None:
    def stop(*options) -> None:
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nanochat.cli.read", stop)
        patch.setattr("nanochat.archives.batch.batch", stop)
        patch.setattr("nanochat.evaluation.score_pdf.PdfPages", stop)
        patch.setattr("nanochat.cli.demo", stop)
        patch.setattr("nanochat.cli.find_sources", stop)
        patch.setattr("nanochat.archives.files.find_files", stop)
        patch.setattr("nanochat.training.finetune.finetune", stop)
        patch.setattr("nanochat.serve.app.serve", stop)
        _understand(importlib.import_module("nanochat.cli").main, "nano-ocr", arguments)
