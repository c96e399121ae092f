"""Predicted memory, compared with torch's record of allocations, and with arithmetic for d20."""

from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import tiny_config

from dev.bench.peak import step_peak
from dev.bench.train import filled_trainer
from nanochat.errors import UserError
from nanochat.nano_deepseek_ocr import ModelConfig, nano_config
from nanochat.training.config import TrainConfig
from nanochat.training.memory import StepShape, fitting_batch, largest_batch, predict
from nanochat.training.trainer import Stage


@pytest.mark.parametrize(
    "shape",
    [
        StepShape(1, 6, 48, 128, "muon", "float32", dense=True),
        StepShape(2, 2, 100, 128, "adamw", "float32"),
        StepShape(1, 4, 64, 128, "adamw", "float32", recompute="all"),
    ],
    ids=lambda shape: f"stage{shape.stage}-{shape.optimizer}-{shape.precision}-{shape.recompute}",
)
def test_predicted_memory_equals_that_of_a_step(shape: StepShape):
    config = TrainConfig(
        model="nano", image_size=shape.image_size, batch_size=shape.batch_size, seq_len=shape.seq_len,
        optimizer=shape.optimizer, precision=shape.precision, recompute=shape.recompute, steps=1,
    )  # fmt: skip
    weights = {"patches": 1.0, "cells": 1.0} if shape.dense else {}
    stage = Stage(shape.stage, lambda step, steps: 1.0, 1e-3, dense_weights=weights)
    measured = step_peak(filled_trainer(config, stage, torch.device("cpu")))
    predicted = predict(nano_config(), shape, "cpu")
    assert predicted.peak == pytest.approx(measured, rel=0.03)  # workspaces of convolutions are not counted


def test_predicted_weights_and_optimizer_state_of_d20():
    """16 bytes per trainable parameter: weight, gradient and two averages of AdamW, float32."""
    parts = predict(ModelConfig(), StepShape(2, 1, 512), "cuda").parts
    trained = 866_191_616
    assert parts["gradients"] == 4 * trained
    assert parts["optimizer"] == pytest.approx(8 * trained, rel=1e-3)  # and a step counter each
    assert parts["weights"] == pytest.approx(4 * 962_362_880, rel=0.01)  # and tables of positions


def test_recomputation_reduces_stored_activations():
    """Of activations, that is: autocast's copy of the weights in bfloat16 is there in both, hence the large batch."""
    whole = predict(nano_config(), StepShape(1, 16, 512, 256), "cuda")
    again = predict(nano_config(), StepShape(1, 16, 512, 256, recompute="all"), "cuda")
    assert again.parts["GPT"] < 0.3 * whole.parts["GPT"]
    assert again.parts["encoder"] < 0.35 * whole.parts["encoder"]


def test_largest_batch_fits_and_the_next_does_not():
    shape, capacity = StepShape(1, 1, 64, 128), 1e7
    batch = largest_batch(tiny_config(), shape, capacity)
    assert batch > 1
    assert predict(tiny_config(), replace(shape, batch_size=batch), "cuda").fits(capacity)
    assert not predict(tiny_config(), replace(shape, batch_size=batch + 1), "cuda").fits(capacity)
    with pytest.raises(UserError, match="not even one sample"):
        largest_batch(tiny_config(), shape, 1e6)


def test_chosen_batch_size_divides_the_step():
    config, capacity = TrainConfig(seq_len=64, precision="float32"), 1e7
    model = tiny_config()
    model.vision.image_size = 128
    alone = fitting_batch(config, model, 1, capacity, 1)
    assert predict(model, StepShape(1, alone, 64, 128, precision="float32"), "cuda").fits(capacity)
    config.total_batch_size = 2 * (alone + 1)  # over two processes: one more than fits
    shared = fitting_batch(config, model, 1, capacity, 2)
    assert 1 <= shared < alone + 1 and (alone + 1) % shared == 0
    config.total_batch_size = 2
    assert fitting_batch(config, model, 1, capacity, 2) == 1
    with pytest.raises(UserError, match="not a multiple of 4 processes"):
        fitting_batch(config, model, 1, capacity, 4)
    config.total_batch_size = 0
    assert fitting_batch(config, model, 1, capacity, 1, dense=True) < alone  # the head needs memory too
