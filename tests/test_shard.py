"""Divided among processes, training is what it is in one; a checkpoint goes on with any number of them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from tiny_run import Texts, losses, tiny_trainer, write_documents

from nanochat.checkpoint import load_weights
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.overfit_samples import OverfitSamples

STEPS, SAVED = 5, 3


def mixture(data: str) -> TaskMixture:
    """Most batches have no picture on some rank."""
    return TaskMixture([OverfitSamples(data, "train", stop=2), Texts()])


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


def test_two_processes_four_and_one_give_the_same_losses(tmp_path: Path):
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

    four = run(4, data, tmp_path / "two", "muon", SAVED)  # goes on from what two saved
    assert four["losses"] == pytest.approx(expected[SAVED:], rel=1e-5)
    assert four["share"] == pytest.approx(1 / 4, rel=0.2)
    again = tiny_trainer(
        mixture(str(data)), tmp_path / "two", batch_size=4, steps=STEPS, resume_step=SAVED, optimizer="muon"
    )
    assert losses(again) == pytest.approx(expected[SAVED:], rel=1e-5)


def test_a_killed_rank_brings_the_run_down_and_torchrun_goes_on_by_itself(tmp_path: Path):
    alone = tiny_trainer(Texts(), tmp_path / "alone", batch_size=4, save_every=8)
    alone.run()
    (tmp_path / "two").mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max_restarts=1"]
    script, paths = Path(__file__).with_name("dying_rank.py"), {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [*torchrun, script, tmp_path / "two"], env={**os.environ, **paths}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two" / "died").exists() and "resumed from" in done.stdout
    weights = load_weights(tmp_path / "two" / "step_8.pt")
    for name, value in alone.model.state_dict().items():
        assert torch.allclose(weights[name].float(), value.float(), atol=1e-4), name
