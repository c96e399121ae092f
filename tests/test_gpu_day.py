"""The day with a GPU: every step is a command that exists, and what comes back becomes tables and whole weights."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from documented_commands import ROOT, check_command
from tiny_model import tiny_model

from nanochat.checkpoint import load_model, save_checkpoint
from nanochat.common import UserError
from nanochat.synth.fonts import find_fonts
from nanochat.tokenizer import RustBPETokenizer
from scripts import gpu_day

# A Python that says what it was asked for, and that there is a GPU.
PYTHON = """#!/bin/bash
if [ "$1" = -c ]; then echo 1; exit; fi
printf '%s\\n' "--" "$@" >> "{log}"
echo '{{"memory": []}}'
"""


def run(slice_: str, folder: Path) -> list[list[str]]:
    """Run a slice with a stand-in for Python: the commands that it gave."""
    python, log = folder / "python", folder / "calls"
    python.write_text(PYTHON.format(log=log))
    python.chmod(0o755)
    places = {"OUT": str(folder / "out"), "WORK": str(folder / "work"), "PACK": str(folder), "PYTHON": str(python)}
    subprocess.run(["bash", ROOT / "runs/gpu_day.sh", slice_], env={"PATH": "/usr/bin:/bin", **places}, check=True)
    return [call.splitlines() for call in log.read_text().split("--\n")[1:]]


@pytest.mark.parametrize("slice_", ["check", "bench"])
def test_slices_run_commands_that_exist_and_keep_what_they_print(slice_: str, tmp_path: Path):
    commands = run(slice_, tmp_path)
    for command in commands:
        check_command(["python", *command])
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{slice_}.jsonl").read_text().splitlines()]
    assert len(lines) == 1 + len(commands) and lines[-1]["found"] == {"memory": []}


def test_weights_come_back_in_small_files_and_become_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = tiny_model()
    RustBPETokenizer.byte_level().save(tmp_path / "run")
    path = save_checkpoint(tmp_path / "run", 7, model, {}, {"stage": 1})
    monkeypatch.setattr(gpu_day, "SHARD", 100_000)
    gpu_day.write_shards(path, tmp_path / "results")
    files = list((tmp_path / "results").glob("weights-*"))
    largest = max(p.nbytes // 2 for p in model.parameters())
    assert len(files) > 1 and all(file.stat().st_size < max(100_000, largest) + 20_000 for file in files)
    assert "step 7" in gpu_day.join_shards(tmp_path / "results", tmp_path / "model")
    joined, _, meta = load_model(tmp_path / "model")
    assert meta["stage"] == 1
    for name, p in joined.state_dict().items():
        assert torch.equal(p, model.state_dict()[name].half().float() if p.is_floating_point() else p), name


def test_figures_become_tables():
    stage = {"stage": 2, "batch_size": 1, "seq_len": 8192, "step_seconds": 0.5, "tokens_per_second": 16384.0}
    found = {"train": {"stages": [{**stage, "pictures_per_second": 2.0, "mfu": 0.41}]}}
    memory = {"stage": 1, "batch_size": 2, "seq_len": 4096, "optimizer": "adamw", "recompute": "none"}
    steps = [
        {"step": "train d20", "rc": 0, "seconds": 9, "found": found},
        {
            "step": "memory",
            "rc": 0,
            "seconds": 5,
            "found": {"model": "d20", "memory": [{**memory, "peak": 29.4e9, "measured": None}]},
        },
        {"step": "cut", "rc": 124, "seconds": 60, "found": None},
    ]
    page = gpu_day.tables(steps)
    assert "| train d20 | 2 | 1 x 8192 | 0.500 | 16,384 | 2.0 | 41.0% |" in page
    assert "| d20 | 1 | 2 x 4096 | adamw | none | 29.4 | - |" in page and "| cut | failed (124) | 60 |" in page


def test_without_results_it_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="holds no"):
        gpu_day.read_steps(tmp_path)


def test_packed_fonts_are_the_same_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import matplotlib

    monkeypatch.setenv("NANO_FONTS", str(Path(matplotlib.get_data_path()) / "fonts/ttf"))
    find_fonts.cache_clear()
    try:
        before = find_fonts()
        gpu_day.pack_fonts(tmp_path / "fonts")
        monkeypatch.setenv("NANO_FONTS", str(tmp_path / "fonts"))
        find_fonts.cache_clear()
        after = find_fonts()
    finally:
        find_fonts.cache_clear()
    for ours, theirs in ((after.trained, before.trained), (after.held_out, before.held_out)):
        assert {f: [(x.style, x.extras) for x in v] for f, v in ours.items()} == {
            f: [(x.style, x.extras) for x in v] for f, v in theirs.items()
        }
