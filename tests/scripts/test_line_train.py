"""Training the line detector: a resumed run equals an uninterrupted one, and its weights can be loaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nanochat.lines.finder import line_finder
from nanochat.lines.network import LineFinder
from nanochat.precision import Precision
from nanochat.synth.document import DrawnDocument
from nanochat.synth.line_targets import segments
from scripts import line_train
from scripts.line_train import Config, train


def weights(model: LineFinder) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.parameters()])


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_train, "choose_precision", lambda *_: Precision("float32"))  # it is measured, and may vary
    whole = train(Config(out=str(tmp_path / "whole"), steps=5, batch_size=2, save_every=3))
    shown = line_train.make_batch

    def until(step: int, batch_size: int):
        if step == 4:
            raise KeyboardInterrupt
        return shown(step, batch_size)

    broken = Config(out=str(tmp_path / "broken"), steps=5, batch_size=2, save_every=3, resume="auto")
    monkeypatch.setattr(line_train, "make_batch", until)
    with pytest.raises(KeyboardInterrupt):
        train(broken)
    monkeypatch.setattr(line_train, "make_batch", shown)
    assert torch.equal(weights(train(broken)), weights(whole))
    shipped = line_finder(tmp_path / "whole" / "model.safetensors")
    torch.testing.assert_close(weights(shipped), weights(whole).detach(), atol=1e-3, rtol=1e-3)


def test_bands_of_single_letters_are_lengthened() -> None:
    boxes = np.array([[10, 40, 15, 60], [100, 40, 114, 60], [114, 40, 126, 60]], np.float32)  # a colon, and a word
    centres = np.stack([boxes[:, [0, 2]].mean(1), np.full(3, 51)], 1)
    paper, line_ids = np.full((64, 128), 255, np.uint8), np.array([0, 1, 1], np.int32)
    document = DrawnDocument(paper, ":\nab", ":ab", boxes, centres, line_ids)
    (colon, height), (word, _) = segments(document)
    assert height == 20 and colon[:, 0].mean() == 12, "half a pixel less than its box: of OpenCV's"
    assert np.ptp(colon[:, 0]) == pytest.approx(14), "0.7 of its height, where the colon is 5 px wide"
    assert (word[0, 0], word[-1, 0]) == (99.5, 125.5)
