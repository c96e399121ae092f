"""The line finder's training: a run that was stopped and goes on ends where an unbroken one ends; its weights load."""

from pathlib import Path

import pytest
import torch

from nanochat.line_finder import LineFinder, line_finder
from nanochat.machine import Precision
from scripts import line_train
from scripts.line_train import Config, train


def weights(model: LineFinder) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.parameters()])


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_train, "choose_precision", lambda *_: Precision("float32"))  # it measures, and may waver
    whole = train(Config(out=str(tmp_path / "whole"), steps=5, batch_size=2, save_every=3))
    shown = line_train.batch

    def until(step: int, batch_size: int):
        if step == 4:
            raise KeyboardInterrupt
        return shown(step, batch_size)

    broken = Config(out=str(tmp_path / "broken"), steps=5, batch_size=2, save_every=3, resume="auto")
    monkeypatch.setattr(line_train, "batch", until)
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.setattr(line_train, "batch", shown)
    assert torch.equal(weights(train(broken)), weights(whole))
    shipped = line_finder(tmp_path / "whole" / "model.safetensors")
    torch.testing.assert_close(weights(shipped), weights(whole).detach(), atol=1e-3, rtol=1e-3)
