"""The model that a training run starts with."""

import json
from pathlib import Path

import pytest

from nanochat.errors import UserError
from nanochat.model_config import ModelConfig
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.setup import start


def config(folder: Path, line_stride: int) -> TrainConfig:
    tokenizer = RustBPETokenizer.characters()
    tokenizer.save(folder)
    return TrainConfig(model="nano-pages", tokenizer_dir=str(folder), device="cpu", line_stride=line_stride)


def test_positions_are_columns_and_lines_if_lines_are_apart(tmp_path: Path) -> None:
    setup = start(config(tmp_path, 96))
    gpt, tokenizer = setup.model.config.gpt, setup.tokenizer
    assert gpt.line_stride == 96
    assert gpt.line_tokens == (tokenizer.encode_special("<|assistant_start|>"), *tokenizer.encode("\n"))
    assert setup.model.gpt.config is gpt
    restored = ModelConfig.from_dict(json.loads(json.dumps(setup.model.config.to_dict())))
    assert restored == setup.model.config


def test_lines_cannot_go_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--line-stride -1"):
        start(config(tmp_path, -1))
