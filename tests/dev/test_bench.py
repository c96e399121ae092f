"""The benchmark: parts that add up to the real step, agreement with other code, and JSON on the last line."""

import json
from itertools import islice

import pytest
import torch
from helpers.tiny_model import tiny_config

from dev.bench import __main__ as bench
from dev.bench.checks import run_checks
from dev.bench.decode import bytes_per_step, measure_decode
from dev.bench.parity import measure_parity
from dev.bench.train import FilledPages, filled_trainer, gradient_error, wake
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.precision import Precision
from nanochat.training.config import TrainConfig
from nanochat.training.trainer import Stage

CPU = torch.device("cpu")


@pytest.mark.parametrize("number", [1, 2])
def test_parts_of_a_step_add_up_to_the_step(number):
    config = TrainConfig(model="nano", image_size=128, batch_size=3, seq_len=40, steps=1, recompute="sam")
    weights = {"patches": 1.0, "cells": 0.5} if number == 1 else {}
    trainer = filled_trainer(config, Stage(number, lambda step, steps: 1.0, 1e-3, dense_weights=weights), CPU)
    batch = next(iter(trainer.train_loader))
    assert gradient_error(trainer, batch) < 1e-5
    trainer.learner.dense_weights = {what: 2 * w for what, w in weights.items()}
    (moved,) = [p for name, p in trainer.model.named_parameters() if name == "projector.layers.bias"]
    before = moved.detach().clone()
    trainer.train_step([batch])
    assert not torch.equal(before, moved)


@pytest.mark.parametrize(("size", "seq_len"), [(128, 64), (256, 300), (64, 20)])
def test_filled_pages_fill_the_sequence(size, seq_len):
    config = TrainConfig(model="nano", image_size=size, batch_size=2, seq_len=seq_len, steps=1)
    trainer = filled_trainer(config, Stage(1, lambda step, steps: 1.0, 1e-3), CPU)
    batches = list(islice(iter(trainer.train_loader), 2))
    assert len(batches) == 2
    for inputs, targets, media in batches:
        assert inputs.shape == (2, seq_len) and media.view_sizes == [(size, size)] * 2
        assert (targets != -1).sum() == 2 * (FilledPages(trainer.model.config.vision, seq_len).n_chars + 1)


def test_decoding_agrees_with_naive_generation_and_transformers():
    model = NanoDeepseekOCR(tiny_config(256)).eval()
    wake(model)
    report = measure_decode(model, Precision("float32"), batch=3, prompt=20, tokens=12, naive=True)
    assert report.equal_to_naive is True and report.equal_to_transformers == 1.0
    gpt = model.gpt
    weights = 4 * sum(p.numel() for name, p in gpt.named_parameters() if "wte" not in name)
    cache = 4 * 2 * 2 * 2 * 8 * 30 * 5  # float32, keys and values, layers, heads, width, tokens, rows
    assert bytes_per_step(gpt, Precision("float32"), 5, 30) == weights + cache


def test_fast_paths_agree_with_plain_ones():
    errors = {check.name: check.error for check in run_checks("nano", CPU)}
    assert len(errors) == 4
    assert all(error < (0.05 if "bfloat16" in name else 1e-4) for name, error in errors.items())


def test_device_is_compared_with_a_cpu():
    report = measure_parity("nano", CPU, tokens=6)
    assert report.loss["float32"] == report.gradients["float32"] == 0 and report.equal_tokens == 1
    assert report.updates == {"adamw": 0, "muon": 0}
    assert all(found[way] < 1e-5 for found in (report.loss, report.gradients) for way in ("packed", "recomputed"))
    assert 1e-4 < report.gradients["bfloat16"] < 0.05  # rounding errors exist, and are not larger than expected


def test_last_line_of_output_is_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    flags = ["memory", "--model=nano", "--stage=2", "--batch_size=2", "--seq_len=64", "--image_size=128"]
    monkeypatch.setattr("sys.argv", ["bench", *flags, "--device=cuda"])
    monkeypatch.setattr("dev.bench.__main__.autodetect_device_type", lambda: "cpu")
    bench.main()
    shown = capsys.readouterr().out
    (found,) = json.loads(shown.splitlines()[-1])["memory"]
    assert (found["stage"], found["batch_size"], found["seq_len"]) == (2, 2, 64)
    assert f"{found['peak'] / 1e9:.2f}" in shown  # the table and the JSON agree
