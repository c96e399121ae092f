"""runs/gpu_day.sh: every step is a valid command, and its results become tables and weights."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from helpers.documented_commands import ROOT, check_command
from helpers.tiny_model import tiny_model

from dev import gpu_day
from dev.bench.page import outcome, page, read_steps
from nanochat.checkpoint import load_model
from nanochat.errors import UserError
from nanochat.synth.fonts import find_fonts
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint

# A fake Python that reports a GPU, unpacks, trains at once, and logs its arguments.
PYTHON = """#!/bin/bash
if [ "$1" = -c ]; then echo '{{"gpu": true}}'; exit; fi
if [ "$2" = tarfile ]; then mkdir "${{@: -1}}"; exit; fi
printf '%s\\n' "--" "$@" >> "{log}"
for word in "$@"; do
    case "$word" in
        --checkpoint_dir=*) folder="${{word#*=}}" ;;
        --steps=*) steps="${{word#*=}}" ;;
        --out=*) mkdir "${{word#*=}}" ;;
    esac
done
if [ -n "${{folder:-}}" ]; then mkdir -p "$folder"; echo > "$folder/meta_$steps.json"; fi
echo "step 0 | dt: 0.50s |"
echo "step 1 | dt: 0.25s |"
echo '{{"memory": []}}'
"""


def run(slice_: str, folder: Path, **places: str) -> list[list[str]]:
    """Run a slice with a fake Python. Returns the commands that it ran."""
    python, log = folder / "python", folder / "calls"
    python.write_text(PYTHON.format(log=log))
    python.chmod(0o755)
    log.write_text("")
    places |= {"OUT": str(folder / "out"), "WORK": str(folder / "work"), "PACK": str(folder), "PYTHON": str(python)}
    subprocess.run(["bash", ROOT / "runs/gpu_day.sh", slice_], env={"PATH": "/usr/bin:/bin", **places}, check=True)
    return [call.splitlines() for call in log.read_text().split("--\n")[1:]]


@pytest.mark.parametrize("slice_", ["check", "bench"])
def test_slices_run_existing_commands_and_keep_their_output(slice_: str, tmp_path: Path):
    commands = run(slice_, tmp_path)
    for command in commands:
        check_command(["python", *command])
    steps = read_steps(tmp_path / "out")
    assert len(steps) == 1 + len(commands) and steps[-1]["found"] == {"memory": []}
    assert {step["slice"] for step in steps} == {slice_} and {step["rc"] for step in steps} == {0}


def flag(command: list[str], name: str) -> str:
    (value,) = [word.split("=", 1)[1] for word in command if word.startswith(f"--{name}=")]
    return value


def test_training_continues_from_the_newest_weights_and_fills_its_time(tmp_path: Path):
    trial, leg, *shards = run("train", tmp_path)
    for command in (trial, leg, *shards):
        check_command(["python", *command])
    assert flag(leg, "gpt") == flag(leg, "deepencoder") == "models/nano-pages"
    assert (
        420 / 0.25 <= int(flag(leg, "steps")) <= 440 / 0.25
    )  # 520 seconds minus 60 and a margin, at the speed of the second step
    assert int(flag(leg, "save_every")) == 121  # half a minute
    first = f"{flag(leg, 'checkpoint_dir')}/step_{flag(leg, 'steps')}.pt"
    assert [flag(command, "checkpoint") for command in shards] == [first]
    export, leg2, *_ = run("train", tmp_path)
    assert flag(export, "checkpoint") == first
    assert flag(leg2, "gpt") == flag(export, "out") and flag(leg2, "checkpoint_dir") != flag(leg, "checkpoint_dir")
    assert flag(leg2, "seed") != flag(leg, "seed")


def test_one_call_checks_measures_and_trains_in_time(tmp_path: Path):
    commands = run("all", tmp_path)
    for command in commands:
        check_command(["python", *command])
    modules = [command[command.index("-m") + 1] for command in commands]
    assert modules[0] == "dev.bench" and "scripts.vis_mid_train" in modules and modules[-1] == "dev.gpu_day"
    leg = next(c for c in commands if "vis_tok_train" in c[1] and flag(c, "checkpoint_dir").endswith("leg1"))
    assert flag(leg, "course") == "pages"
    assert 300 / 0.25 <= int(flag(leg, "steps")) <= 460 / 0.25  # in the rest of 520 seconds
    assert [step["slice"] for step in read_steps(tmp_path / "out")][-1] == "train"


def test_slice_that_runs_out_of_time_lists_omitted_steps(tmp_path: Path):
    assert run("check", tmp_path, LIMIT="1") == []
    assert all("not begun" in outcome(step["rc"]) for step in read_steps(tmp_path / "out"))


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[Path]:
    """Two checkpoints of a tiny run."""
    RustBPETokenizer.characters().save(tmp_path / "run")
    models = tiny_model(seed=0), tiny_model(seed=1)
    return [save_checkpoint(tmp_path / "run", 7 + i, model, {}, {"stage": 1}) for i, model in enumerate(models)]


def test_weights_in_small_files_are_joined_to_a_model(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = tiny_model()
    monkeypatch.setattr(gpu_day, "SHARD", 100_000)
    gpu_day.write_shards(checkpoints[0], tmp_path / "results")
    files = list((tmp_path / "results").glob("weights-*"))
    largest = max(p.nbytes // 2 for p in model.parameters())
    assert len(files) > 1 and all(file.stat().st_size < max(100_000, largest) + 20_000 for file in files)
    assert "step 7" in gpu_day.join_shards(tmp_path / "results", tmp_path / "model")
    joined, tokenizer, meta = load_model(tmp_path / "model")
    assert meta["stage"] == 1 and tokenizer.decode(tokenizer.encode("a b")) == "a b"
    for name, p in joined.state_dict().items():
        assert torch.equal(p, model.state_dict()[name].half().float() if p.is_floating_point() else p), name


def test_interrupted_writing_of_weights_keeps_the_older_set(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    results = tmp_path / "results"
    monkeypatch.setattr(gpu_day, "SHARD", 100_000)
    gpu_day.write_shards(checkpoints[0], results)
    older = {path.name: path.read_bytes() for path in results.iterdir()}
    gpu_day.write_shards(checkpoints[1], results)
    assert "step 8" in gpu_day.join_shards(results, tmp_path / "model") and not older.keys() & set(os.listdir(results))
    next(results.glob("weights-8-1.*")).unlink()
    with pytest.raises(UserError, match="no complete set"):
        gpu_day.join_shards(results, tmp_path / "model")
    for name, content in older.items():
        (results / name).write_bytes(content)
    assert "step 7" in gpu_day.join_shards(results, tmp_path / "model")


def test_results_become_tables(tmp_path: Path):
    stage = {"stage": 2, "batch_size": 1, "seq_len": 8192, "step_seconds": 0.5, "tokens_per_second": 16384.0}
    trained = {
        "stages": [{**stage, "pictures_per_second": 2.0, "mfu": 0.41, "parts": {"loss": 0.25, "optimizer": 0.75}}]
    }
    memory = {"stage": 1, "batch_size": 2, "seq_len": 4096, "optimizer": "adamw", "recompute": "none"}
    predicted = {"model": "d20", "memory": [{**memory, "peak": 29.4e9, "measured": None}]}
    steps = [("train d20", 0, 9, {"train": trained}), ("memory", 0, 5, predicted), ("cut", 124, 60, None)]
    lines = [
        json.dumps(dict(zip(("step", "rc", "seconds", "found"), step))) for step in (*steps, ("late", None, 0, None))
    ]
    lines.insert(1, "step 00060/60 | Validation loss: 0.5000 | min: 0.5000")
    (tmp_path / "bench.log").write_text("== train d20\nhalf a li{\n" + "\n".join(lines) + '\n{"step": "torn')
    shown = page(read_steps(tmp_path))
    assert "| train d20 | 2 | 1 x 8192 | 0.500 | 16,384 | 2.0 | 41.0% |" in shown
    assert "| train d20 | optimizer | 750.0 | 75% |" in shown
    assert "| d20 | 1 | 2 x 4096 | adamw | none | 29.4 | - |" in shown
    assert "| bench | memory | ok | 5 | step 00060/60; Validation loss: 0.5000; min: 0.5000 |" in shown
    assert (
        "| bench | cut | time was up | 60 |  |" in shown
        and "| bench | late | not begun: no time left | 0 |  |" in shown
    )


def test_missing_results_are_reported(tmp_path: Path):
    with pytest.raises(UserError, match="holds no"):
        read_steps(tmp_path)


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
        assert {f: [(x.style, x.extras, x.western) for x in v] for f, v in ours.items()} == {
            f: [(x.style, x.extras, x.western) for x in v] for f, v in theirs.items()
        }
    assert sum(face.western for family in after.trained.values() for face in family) > 2
