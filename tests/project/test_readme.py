"""Commands in README.md, docs/ and the model cards name existing programs, files, flags and functions."""

import ast
import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.documented_commands import ROOT, check_command
from helpers.tiny_model import tiny_model

from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "models").glob("*/README.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"^(.*?) << 'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)
for_each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(path: Path, language: str) -> Iterator[str]:
    """The fenced blocks of one language."""
    return (text for found, text in FENCE.findall(path.read_text(encoding="utf-8")) if found == language)


def programs(path: Path) -> list[str]:
    """The Python of a document: fenced blocks, and the heredocs of its commands."""
    return [*blocks(path, "python"), *(text for b in blocks(path, "bash") for _, text in HEREDOC.findall(b))]


def commands(path: Path) -> Iterator[list[str]]:
    """The commands of a document, in words; continued lines are joined, `;` separates commands."""
    for block in blocks(path, "bash"):
        for line in HEREDOC.sub("", block).replace("\\\n", " ").splitlines():
            shell = shlex.shlex(line, posix=True, punctuation_chars=";")
            shell.whitespace_split = True
            words = list(shell)
            while words:
                end = words.index(";") if ";" in words else len(words)
                yield words[:end]
                words = words[end + 1 :]


LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_documents_have_commands_programs_and_links():
    """Otherwise the tests below would check nothing."""
    assert sum(len(list(commands(path))) for path in DOCUMENTS) > 100
    assert sum(len(programs(path)) for path in DOCUMENTS) >= 3
    assert sum(len(LINK.findall(path.read_text(encoding="utf-8"))) for path in DOCUMENTS) > 100


@for_each_document
def test_documented_commands_are_valid(path: Path):
    for words in commands(path):
        check_command(words)


def test_readme_begins_with_the_main_commands():
    read = ["bash", "runs/read.sh", "data/images/receipt_000.png"]
    assert list(commands(ROOT / "README.md"))[:2] == [read, ["bash", "runs/test.sh"]]


@for_each_document
def test_output_of_documented_commands_is_ignored_by_git(path: Path):
    """Otherwise `git add .` could commit documents of a user who tried the commands."""
    written = [word.partition("=")[2] or after for words in commands(path) for word, after in pairwise([*words, ""])
               if re.match(r"--(out|checkpoint[_-]dir|tokenizer[_-]dir)\b", word)]  # fmt: skip
    for name in written:
        if not name.startswith(("/", "~", "$")):
            ignored = subprocess.run(["git", "check-ignore", "-q", "--no-index", f"{name}/page.txt"], cwd=ROOT)
            assert ignored.returncode == 0, f"{path.name} writes {name}, which is not in .gitignore"


@for_each_document
def test_documented_programs_import_existing_names(path: Path):
    for program in programs(path):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@for_each_document
def test_documented_links_are_valid(path: Path):
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name} links to {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_documented_engine_test_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """It loads a tiny checkpoint and reports equal tokens."""
    (program,) = [text for text in programs(ROOT / "docs/reproduce.md") if "engine.generate" in text]
    model = tiny_model()
    save_checkpoint(tmp_path / "checkpoints", 3, model, {}, {"stage": 1})
    RustBPETokenizer.characters().save(tmp_path / "checkpoints")
    (tmp_path / "data/images").mkdir(parents=True)
    shutil.copy(ROOT / "data/images/chart_01.png", tmp_path / "data/images")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/reproduce.md", "exec"), {})
    assert "Loading checkpoints/step_3.pt" in (shown := capsys.readouterr().out)
    assert "Equal: True" in shown
