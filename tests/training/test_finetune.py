"""Fine-tuning on your own scans: training lines, held-out scans, and the model that is kept."""

import json
import re
from pathlib import Path

import pytest
from helpers.drawn_page import draw_page, sentence

from nanochat.checkpoint import load_model
from nanochat.errors import UserError
from nanochat.reading.ocr import OCR
from nanochat.synth import STRIPS
from nanochat.training.finetune import OWN, FinetuneConfig, HalfOwn, finetune, line_error_rate, split_scans


def test_a_fifth_of_the_scans_is_held_out() -> None:
    train, held = split_scans(20, seed=1)
    assert len(held) == 4 and sorted(train + held) == list(range(20))
    assert split_scans(20, seed=1) == (train, held) != split_scans(20, seed=2)
    assert [len(part) for part in split_scans(2, seed=1)] == [1, 1]
    with pytest.raises(UserError, match="at least two scans"):
        split_scans(1, seed=1)


def test_batches_are_half_own_and_half_synthetic_lines() -> None:
    plan = HalfOwn(n_own=6, batch_size=8, seed=3)
    keys = [key for k in range(6) for key in plan.batch(k, 0, 1)]
    own = [i for part, i in keys if part == OWN]
    drawn = [i for part, i in keys if part == STRIPS]
    assert len(own) == len(drawn) == 24 and len(set(drawn)) == 24
    assert all(sorted(own[start : start + 6]) == list(range(6)) for start in range(0, 24, 6))


def draw_scans(folder: Path) -> None:
    """Three scans with their transcripts; two of these have a line that is not on the page."""
    folder.mkdir()
    for i in range(3):
        texts = [sentence(10 * i + k, 4) for k in range(3)]
        draw_page(texts)[0].save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("\n".join(texts) + ("\nnot on this page" if i else ""), encoding="utf-8")


def test_nothing_is_trained_if_the_held_out_scans_are_read_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanochat.training.finetune.DRAWN", 1)
    monkeypatch.setattr("nanochat.training.finetune.line_error_rate", lambda *lines: 0.0)
    draw_scans(tmp_path / "scans")
    with pytest.raises(UserError, match="reads the 3 held-out lines without an error"):
        finetune(FinetuneConfig(str(tmp_path / "scans"), str(tmp_path / "model"), steps=2))
    assert not (tmp_path / "model/checkpoints").exists()


def test_fine_tuning_from_scans_to_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanochat.training.finetune.DRAWN", 8)
    monkeypatch.setattr("nanochat.training.finetune.line_error_rate", lambda *lines: line_error_rate(*lines) or 0.01)
    folder, out = tmp_path / "scans", tmp_path / "model"
    draw_scans(folder)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("lost")
    try:
        figures = finetune(FinetuneConfig(str(folder), str(out), steps=2, batch_size=4, eval_every=1, lr=1e-6))
    except UserError as error:  # two tiny steps may not improve the model
        assert "no model was written" in str(error)
    else:
        assert figures["after"] < figures["before"]
        assert OCR(out, "cpu").mode == "lines" and load_model(out)[2]["finetuned"] is True
    history = json.loads((out / "finetune.json").read_text())
    assert [found["step"] for found in history] == [0, 1, 2]
    said = capsys.readouterr().out
    assert "3 of 3 pieces of lines" in said and "step 2/2 | character error rate" in said
    loss = re.search(r"Validation loss: ([\d.]+)", said)
    assert loss and float(loss[1]) < 1, (
        "the held-out lines are read, so each must have been validated with its own image"
    )
    assert "broken.png: " in (out / "left_out.txt").read_text()


def test_invalid_settings_and_folders_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        finetune(FinetuneConfig(str(tmp_path), steps=0))
    with pytest.raises(UserError, match="no picture has a transcript"):
        finetune(FinetuneConfig(str(tmp_path)))
