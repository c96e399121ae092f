"""Sharded training equals training in one process, and any number of processes can resume from its checkpoint."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from helpers.tiny_run import Texts, losses, tiny_trainer, write_documents

from nanochat.checkpoint import load_weights
from nanochat.errors import UserError
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.training.schedules import decay_to_zero
from nanochat.training.shard import save_parts
from nanochat.training.trainer import Stage

STEPS, SAVED = 5, 3


def mixture(data: str) -> TaskMixture:
    """Most batches have no image on some rank."""
    return TaskMixture([FolderOfPairs(data, "train", stop=2), Texts()])


def rank_main(rank: int, port: int, data: str, out: str, world_size: int, optimizer: str, resume_step: int) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    trainer = tiny_trainer(
        mixture(data), Path(out), batch_size=4 // world_size, steps=STEPS, save_every=SAVED, shard=True,
        optimizer=optimizer, resume_step=resume_step, recompute="all",
    )  # fmt: skip
    found = losses(trainer)
    n_here = sum(p.to_local().numel() for p in trainer.learner.objective.parameters())
    whole = sum(p.numel() for p in trainer.learner.objective.parameters())
    if rank == 0:
        figures = {"losses": found, "validation": trainer.last.loss, "share": n_here / whole}
        (Path(out) / "found.json").write_text(json.dumps(figures))
    torch.distributed.destroy_process_group()


def run(world_size: int, data: Path, out: Path, optimizer: str, resume_step: int = -1) -> dict:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    out.mkdir(exist_ok=True)
    mp.spawn(rank_main, (port, str(data), str(out), world_size, optimizer, resume_step), nprocs=world_size)
    return json.loads((out / "found.json").read_text())


def test_losses_do_not_depend_on_the_number_of_processes(tmp_path: Path):
    data = write_documents(tmp_path / "data")
    alone = tiny_trainer(
        mixture(str(data)), tmp_path / "one", batch_size=4, steps=STEPS, save_every=SAVED, optimizer="muon"
    )
    expected = losses(alone)
    two = run(2, data, tmp_path / "two", "muon")
    assert two["losses"] == pytest.approx(expected, rel=1e-5)
    assert two["validation"] == pytest.approx(alone.last.loss, rel=1e-5)
    assert two["share"] == pytest.approx(1 / 2, rel=0.1)
    weights = load_weights(tmp_path / "two" / f"step_{STEPS}.pt")
    for name, value in alone.model.state_dict().items():
        assert torch.allclose(weights[name].float(), value.float(), atol=1e-4), name

    saved = tmp_path / "two" / f"optim_{SAVED}"  # one file per process
    assert len(list(saved.glob("*.safetensors"))) == 2 and not saved.with_suffix(".pt").exists()
    four = run(4, data, tmp_path / "two", "muon", SAVED)  # resumes from the checkpoint of two
    assert four["losses"] == pytest.approx(expected[SAVED:], rel=1e-5)
    assert four["share"] == pytest.approx(1 / 4, rel=0.2)
    again = tiny_trainer(
        mixture(str(data)), tmp_path / "two", batch_size=4, steps=STEPS, resume_step=SAVED, optimizer="muon"
    )
    assert losses(again) == pytest.approx(expected[SAVED:], rel=1e-5)
    assert (tmp_path / "two" / f"optim_{STEPS}.pt").exists() and not (tmp_path / "two" / f"optim_{STEPS}").exists()
    divided = run(2, data, tmp_path / "one", "muon", SAVED)  # and two from the checkpoint of one
    assert divided["losses"] == pytest.approx(expected[SAVED:], rel=1e-5)
    assert not (tmp_path / "one" / f"optim_{STEPS}.pt").exists()


def test_parts_contain_the_whole_state_and_missing_ones_are_rejected(tmp_path: Path):
    stage = Stage(1, decay_to_zero(2, 0.5), lr=3e-3, dense_weights={"patches": 1.0, "cells": 1.0})
    first, second = (tiny_trainer(Texts(), tmp_path, stage, optimizer="muon", steps=2).learner for _ in range(2))
    for optimizer in first.optimizers:
        for group in optimizer.param_groups:
            for p in group["params"][::2]:  # some never had a gradient, and so have no state
                p.grad = torch.randn_like(p)
        optimizer.step()
    save_parts(first.state_dict(), tmp_path / "optim_1")
    second.load_parts(tmp_path / "optim_1", 1)
    torch.testing.assert_close(second.state_dict(), first.state_dict(), rtol=0, atol=0)

    with pytest.raises(UserError, match="1 processes instead of 2"):
        second.load_parts(tmp_path / "optim_1", 2)
    (part,) = (tmp_path / "optim_1").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(UserError, match="truncated or broken"):
        second.load_parts(tmp_path / "optim_1", 1)


def test_unwritable_parts_are_reported(tmp_path: Path):
    program = textwrap.dedent("""
        import resource, signal, sys
        from pathlib import Path
        import torch
        from nanochat.command import entry_point
        from nanochat.training.shard import save_parts
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file can grow past 20 kB: a disk that is full
        entry_point(lambda: save_parts({"x": torch.zeros(10_000)}, Path(sys.argv[1])))()
    """)
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "optim_1"], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "error: cannot write" in done.stderr and "File too large" in done.stderr


def test_torchrun_restarts_after_a_killed_rank(tmp_path: Path):
    alone = tiny_trainer(Texts(), tmp_path / "alone", batch_size=4, save_every=8)
    alone.run()
    (tmp_path / "two").mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max_restarts=1"]
    tests = Path(__file__).parents[1]
    script, paths = tests / "helpers/dying_rank.py", {"PYTHONPATH": f"{tests.parent}:{tests}"}
    done = subprocess.run(
        [*torchrun, script, tmp_path / "two"], env={**os.environ, **paths}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two" / "died").exists() and "resumed from" in done.stdout
    weights = load_weights(tmp_path / "two" / "step_8.pt")
    for name, value in alone.model.state_dict().items():
        assert torch.allclose(weights[name].float(), value.float(), atol=1e-4), name
