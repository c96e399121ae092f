"""The training loop: it learns from images, resumes exactly, and two processes equal one."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from helpers.tiny_model import SIDE, tiny_config
from helpers.tiny_run import Texts, documents, losses, tiny_trainer, write_documents

from nanochat.checkpoint import read_meta
from nanochat.errors import UserError
from nanochat.machine import Utilisation, matmul_rate
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import create_multimodal_loader
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.precision import Precision
from nanochat.prompts import PROMPTS, names_of
from nanochat.reading.ocr import learnt_mode
from nanochat.synth.curriculum import Curriculum, Lesson
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.memory import StepShape, predict
from nanochat.training.saving import newest_step
from nanochat.training.schedules import cosine, decay_to_zero, step_decay
from nanochat.training.setup import Setup
from nanochat.training.trainer import Stage, Trainer, taught_modes
from nanochat.training.validate import validate


def test_schedules_at_known_steps():
    assert [cosine(4)(step, 20) for step in (0, 3, 4, 12, 20)] == pytest.approx([0.25, 1, 1, 0.5, 0])
    assert [step_decay(2, 10, 0.1)(step, 99) for step in (0, 1, 9, 10, 25)] == pytest.approx([0.5, 1, 1, 0.1, 0.01])
    assert [decay_to_zero(4, 0.5)(step, 20) for step in (0, 4, 10, 15, 20)] == pytest.approx([0.25, 1, 1, 0.5, 0])


def test_training_learns_from_the_images(tmp_path):
    trainer = tiny_trainer(documents(tmp_path / "data"), tmp_path, steps=200, batch_size=6, optimizer="muon")
    found = losses(trainer)
    assert found[0] == pytest.approx(math.log(323), abs=0.1)  # a new model has learned nothing
    assert trainer.last is not None and trainer.last.loss < 0.1
    assert trainer.last.image_gain is not None and trainer.last.image_gain > 1  # nats per token
    assert trainer.last.similarity is not None and trainer.last.similarity < 0.99


def test_taught_modes_follow_from_the_training_images(tmp_path):
    assert taught_modes("square", Counter(pages=9)) == ["square"] and taught_modes("native", Counter()) == ["native"]
    assert taught_modes("native", Counter(pages=95, lines=5)) == ["native"]
    assert taught_modes("native", Counter(pages=20, lines=80)) == ["lines", "native"]
    write_documents(tmp_path / "data", n=4, side=64)  # as tall as a line
    trainer = tiny_trainer(FolderOfPairs(tmp_path / "data", "train"), tmp_path, steps=2)
    trainer.model.config.vision.view = "native"
    trainer.run()
    meta = read_meta(tmp_path / "step_2.pt")
    assert meta["reading_modes"] == ["lines"] and learnt_mode(meta, trainer.model.config.vision) == "lines"


def test_model_that_ignores_its_images_causes_a_warning(tmp_path, capsys):
    trainer = tiny_trainer(documents(tmp_path / "data"), tmp_path, steps=0)
    trainer.validate()
    assert "does not look" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["adamw", "adamw8bit", "muon"])
def test_resumed_run_is_bitwise_equal_to_an_uninterrupted_one(tmp_path, optimizer):
    task = TaskMixture([documents(tmp_path / "data", n=5), Texts()])
    whole = tiny_trainer(task, tmp_path / "whole", optimizer=optimizer)
    straight = losses(whole)
    tiny_trainer(task, tmp_path / "cut", optimizer=optimizer, steps=8, save_every=3)  # an unstarted run
    first = tiny_trainer(task, tmp_path / "cut", optimizer=optimizer, save_every=3)
    first.steps = 5  # stopped after step 5, with the schedule of 8 steps
    first.stage.schedule = lambda step, steps: whole.stage.schedule(step, 8)
    head = losses(first)
    second = tiny_trainer(task, tmp_path / "cut", optimizer=optimizer, resume_step=3)
    tail = losses(second)
    assert head[:3] + tail == straight
    for a, b in zip(whole.model.parameters(), second.model.parameters()):
        assert torch.equal(a, b)
    other = {"adamw": "muon", "adamw8bit": "adamw", "muon": "adamw"}[optimizer]
    with pytest.raises(UserError, match=f"--optimizer={optimizer}, but this run uses {other}"):
        tiny_trainer(task, tmp_path / "cut", optimizer=other, resume_step=3).run()


def killed_at(trainer: Trainer, last: int) -> list[float]:
    """The losses of the steps up to `last`, after which the run is killed."""
    found: list[float] = []

    def on_step(step: int, steps: int, figures: dict[str, float]) -> None:
        found.append(figures["loss"])
        if step == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(on_step)
    return found


def test_last_of_several_runs_in_a_folder_is_resumed(tmp_path):
    task, folder = documents(tmp_path / "data"), tmp_path / "runs"
    tiny_trainer(task, folder, steps=6).run()
    faster = Stage(1, decay_to_zero(2, 0.5), lr=1e-2)
    expected = losses(tiny_trainer(task, tmp_path / "whole", faster, steps=6))
    head = killed_at(tiny_trainer(task, folder, faster, steps=6, save_every=4), 5)
    tail = losses(tiny_trainer(task, folder, faster, steps=6, resume="auto"))
    assert head == expected[:5] and tail == expected[4:]
    back = tiny_trainer(task, folder, faster, steps=6, save_every=1, resume_step=4)  # back from 6 to 4
    killed_at(back, 6)
    assert newest_step(folder, 1) == 5


def test_resumed_run_keeps_the_measured_precision(tmp_path, monkeypatch):
    task = documents(tmp_path / "data")
    rates = {"float32": 5.0, "medium": 5.0, "bfloat16": 9.0}
    monkeypatch.setattr("nanochat.machine.matmul_rate", lambda name, *args, **kwargs: rates[name])
    tiny_trainer(task, tmp_path, steps=2, precision="auto").run()
    found = []
    for rates["float32"] in (12.0, 30.0):  # another, faster machine
        trainer = tiny_trainer(task, tmp_path, steps=4, precision="auto", resume="auto")
        found.append(trainer.learner.precision.name)
    assert found == ["bfloat16", "float32"]


def test_metadata_of_a_checkpoint_is_written_last(tmp_path, monkeypatch):
    trainer = tiny_trainer(documents(tmp_path / "data"), tmp_path, steps=2)
    monkeypatch.setattr("nanochat.training.trainer.save_deepencoder", lambda *args: killed_at_once())
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert newest_step(tmp_path, 1) == -1  # stage 1 is incomplete without its encoder file


def killed_at_once() -> None:
    raise KeyboardInterrupt


def drawn_trainer(folder: Path, **settings) -> Trainer:
    """A tiny trainer whose batches follow a curriculum of synthetic documents."""
    config = TrainConfig(
        **{"model": "tiny", "eval_every": 0, "save_every": 0, "checkpoint_dir": str(folder), **settings}
    )
    model, tokenizer = NanoDeepseekOCR(tiny_config(128)), RustBPETokenizer.characters()
    plan = Curriculum((Lesson("s1", 0.0),), 4 * 64 * 64, dense_steps=2, dense_levels=("w",), last_from=4,
                      last_levels=("line128",))  # fmt: skip
    loader = create_multimodal_loader(
        SynthDocuments(), tokenizer, config.batch_size, config.seq_len, get_mode("native", 128), plan=plan
    )
    stage = Stage(1, decay_to_zero(0, 0.5), lr=1e-3, dense_steps=2, dense_weights={"patches": 1.0, "cells": 1.0})
    return Trainer(config, stage, Setup(torch.device("cpu"), tokenizer, model), loader, lambda: loader)


def test_synthetic_batches_are_one_step_each(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "validate", lambda self: None)
    with pytest.raises(UserError, match="--total-batch-size"):
        drawn_trainer(tmp_path, steps=6, batch_size=2, total_batch_size=4)
    drawn_trainer(tmp_path, steps=3, batch_size=1).run()
    more = drawn_trainer(tmp_path, steps=6, batch_size=2, resume="auto")
    more.run()
    assert more.train_loader.position == more.step == 6
    with pytest.raises(UserError, match="from a run with --synth"):
        tiny_trainer(documents(tmp_path / "data"), tmp_path, steps=8, resume="auto").run()


def test_step_without_samples_is_rejected(tmp_path):
    with pytest.raises(UserError, match="--batch-size=0"):
        tiny_trainer(documents(tmp_path / "data"), tmp_path, batch_size=0)


def test_8_bit_optimizer_state_learns_and_has_the_predicted_size(tmp_path):
    task = documents(tmp_path / "data")
    runs = {kind: tiny_trainer(task, tmp_path / kind, optimizer=kind, steps=40) for kind in ("adamw", "adamw8bit")}
    found = {kind: losses(run) for kind, run in runs.items()}
    assert found["adamw8bit"] != found["adamw"] and found["adamw8bit"][-1] < found["adamw8bit"][0] / 2
    assert found["adamw8bit"][-1] == pytest.approx(found["adamw"][-1], rel=0.2)
    (optimizer,) = runs["adamw8bit"].learner.optimizers
    held = sum(x.nbytes for state in optimizer.state.values() for n, x in state.items() if n[:5] in ("state", "absma"))
    shape = StepShape(1, 2, 32, SIDE, "adamw8bit", "float32")
    assert predict(tiny_config(128), shape, "cpu").parts["optimizer"] == held


def test_8_bit_optimizer_state_cannot_be_sharded(tmp_path):
    with pytest.raises(UserError, match="cannot divide 8-bit optimizer state"):
        tiny_trainer(documents(tmp_path / "data"), tmp_path, optimizer="adamw8bit", shard=True)


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    task = TaskMixture([documents(tmp_path / "data", n=5), Texts()])
    large = tiny_trainer(task, tmp_path / "a", batch_size=4, steps=4)
    small = tiny_trainer(task, tmp_path / "b", batch_size=1, total_batch_size=4, steps=4)
    assert losses(small) == pytest.approx(losses(large), rel=1e-5)
    for a, b in zip(large.model.parameters(), small.model.parameters()):
        assert torch.allclose(a, b, atol=1e-4)


def test_stage_2_trains_everything_except_sam(tmp_path):
    trainer = tiny_trainer(documents(tmp_path / "data"), tmp_path, Stage(2, step_decay(2, 100, 0.1), lr=3e-3), steps=0)
    trainer.model.freeze_sam()
    trainer = tiny_trainer_frozen(trainer)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    losses(trainer)
    for name, p in trainer.model.named_parameters():
        still = name.startswith("sam_model.") or "patch_embedding" in name
        assert torch.equal(p, before[name]) == still, name


def test_checkpoint_records_the_taught_modes_and_prompts(tmp_path):
    records = json.loads((write_documents(tmp_path / "data") / "train.json").read_text())
    for record, prompt in zip(
        records, [PROMPTS["markdown"], PROMPTS["figure"], "<image>\nWhat is the total?", "<image>\n"]
    ):
        record["prompt"] = prompt
    (tmp_path / "data" / "train.json").write_text(json.dumps(records[:4]))
    samples = [FolderOfPairs(tmp_path / "data", "train", start=start, stop=4) for start in (0, 1, 2)]
    for task, expected in (
        (TaskMixture([Texts(), samples[0]]), ["markdown", "figure"]),
        (samples[1], ["figure"]),
        (samples[2], []),
    ):
        trainer = tiny_trainer(task, tmp_path, steps=1)
        trainer.save()
        assert read_meta(tmp_path / "step_0.pt")["tasks"] == expected
    assert names_of(SynthDocuments().prompts) == ["free"]


def tiny_trainer_frozen(trainer):
    """The same trainer with optimizers built after freezing, as the script does."""
    from nanochat.training.optim import build_optimizers

    trainer.learner.optimizers = build_optimizers(trainer.learner.objective, "adamw", trainer.stage.lr)
    trainer.steps = 4
    return trainer


def _rank(rank: int, port: int, data: str, out: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    trainer = tiny_trainer(_mixture(data), Path(out), batch_size=2, steps=5)
    found = losses(trainer)
    if rank == 0:
        figures = {"losses": found, "validation": vars(trainer.last)}
        (Path(out) / "found.json").write_text(json.dumps(figures))
    torch.distributed.destroy_process_group()


def _mixture(data: str) -> TaskMixture:
    from nanochat.tasks.folder_pairs import FolderOfPairs

    return TaskMixture([FolderOfPairs(data, "train", stop=2), Texts()])  # most batches have no image on some rank


def test_two_processes_have_the_losses_of_one(tmp_path):
    write_documents(tmp_path / "data")
    alone = tiny_trainer(_mixture(str(tmp_path / "data")), tmp_path / "one", batch_size=4, steps=5)
    expected = losses(alone)
    (tmp_path / "two").mkdir()
    mp.spawn(_rank, args=(_free_port(), str(tmp_path / "data"), str(tmp_path / "two")), nprocs=2)
    found = json.loads((tmp_path / "two" / "found.json").read_text())
    assert found["losses"] == pytest.approx(expected, rel=1e-5)
    assert found["validation"]["loss"] == pytest.approx(validate_again(alone), rel=1e-5)


def validate_again(trainer) -> float:
    return validate(trainer.model, trainer.val_loader(), trainer.learner.precision).loss


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command(*flags: str, **options) -> subprocess.Popen:
    """Stage 1's script with nano in another process."""
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.vis_tok_train", "--model=nano", "--batch-size=2", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=threads, **options,
    )  # fmt: skip


def test_killed_run_resumes_with_the_same_losses(tmp_path):
    flags = [f"--data_dir={write_documents(tmp_path / 'data', side=64)}", "--steps=8", "--save_every=2"]
    flags += [f"--tokenizer-dir={tmp_path}", "--eval-every=0"]
    straight = command(*flags, f"--checkpoint-dir={tmp_path / 'whole'}").communicate()[0]
    killed = command(*flags, f"--checkpoint-dir={tmp_path / 'cut'}")
    while not (tmp_path / "cut" / "meta_4.json").exists() and killed.poll() is None:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    resumed = command(*flags, f"--checkpoint-dir={tmp_path / 'cut'}", "--resume=auto").communicate()[0]
    assert "resumed from" in resumed
    tail = _losses_in(resumed)
    assert 1 <= len(tail) <= 4 and tail == _losses_in(straight)[-len(tail) :]
    states = [torch.load(tmp_path / run / "step_8.pt", weights_only=True) for run in ("whole", "cut")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _losses_in(output: str) -> list[str]:
    return [line.split("loss: ")[1].split(" ")[0] for line in output.splitlines() if "| loss: " in line]


def test_wandb_gets_every_figure(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    tiny_trainer(documents(tmp_path / "data", n=4), tmp_path / "run", run="a run", steps=2, eval_every=1).run()
    run = wandb.run
    try:
        assert (run.project, run.name) == ("nano-deepseek-ocr", "a run")
        train = {f"train/{name}" for name in ("loss", "lr", "dt", "tok_per_sec", "mfu", "total_flops")}
        val = {f"val/{name}" for name in ("loss", "image_gain", "feature_similarity")}
        assert train | val <= set(run.summary.keys())
        assert run.config["batch_size"] == 2 and run.config["stage"] == 1
    finally:
        run.finish()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_measuring_the_machine_does_not_advance_the_random_state():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    matmul_rate("float32", seconds=0.01)
    matmul_rate("bfloat16", seconds=0.01)
    assert torch.equal(torch.rand(4), expected)


def test_implausible_peak_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first measurement got a seventh of the machine, as a later step shows."""
    rates = iter([100.0, 700.0, 650.0])
    monkeypatch.setattr("nanochat.machine.matmul_rate", lambda *args, **kwargs: next(rates))
    utilisation = Utilisation(torch.device("cpu"), Precision("float32"))
    assert utilisation.share(50) == 0.5  # 100 is plausible, so it is not measured again
    assert utilisation.share(676) == pytest.approx(676 / 700)
    assert utilisation.share(350) == 0.5
    assert utilisation.share(1400) == 1.0  # measured again, still too low
