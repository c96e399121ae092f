"""The plots of image gain and feature similarity: parsing a training log, and the curves."""

import xml.etree.ElementTree as ElementTree
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dev import seeing_plots, seeing_runs
from dev.seeing_plots import ValidationPoint, plot, read_log
from nanochat.errors import UserError
from nanochat.training.validate import Validation

LOG = """Train samples: 10, Val samples: 10
step 00007/100 | loss: 2.0000 | lr: 1.00e-03 | dt: 1.27s | tok/sec: 2,982 | mfu: 41.71 | left: 2.1 min
step 00008/100 | Validation loss: 5.1639 | min: 5.1639 | image gain: 0.604 | similarity: 0.1759 (centred -0.0205)
Saved checkpoint to step_8.pt
step 00016/100 | Validation loss: 4.0000 | min: 4.0000
step 00024/100 | Validation loss: 9.0000 | min: 4.0000 | image gain: 1.000 | similarity: 0.2000 (centred 0.0000)
resumed from step_16.pt
step 00024/100 | Validation loss: 3.0 | min: 3.0 | image gain: -0.05 | similarity: 0.995 (centred 0.1) | directions: 7.5
WARNING: the model does not look
"""


def test_log_is_read_and_repeated_steps_count_once(tmp_path):
    (tmp_path / "log").write_text(LOG)
    assert read_log(tmp_path / "log") == [
        ValidationPoint(8, 5.1639, 0.604, 0.1759, -0.0205),
        ValidationPoint(16, 4.0, None, None, None),
        ValidationPoint(24, 3.0, -0.05, 0.995, 0.1, 7.5),
    ]


def test_output_of_the_trainer_is_understood(tmp_path, capsys, monkeypatch):
    from nanochat.training import trainer

    found = Validation(2.5, 1.25, 0.5, -0.125, 3.5)
    monkeypatch.setattr(trainer, "validate", lambda *_: found)
    learner = SimpleNamespace(gathered=nullcontext, precision=None)
    fake = type("Run", (), {"model": None, "val_loader": lambda self: None, "learner": learner, "best": 9.0, "step": 40,
                            "steps": 50, "log": lambda *_: None})()  # fmt: skip
    trainer.Trainer.validate(fake)
    found = replace(found, image_gain=None, similarity=None, centred_similarity=None, directions=None)
    fake.step = 50
    trainer.Trainer.validate(fake)
    (tmp_path / "log").write_text(capsys.readouterr().out)
    assert read_log(tmp_path / "log") == [
        ValidationPoint(40, 2.5, 1.25, 0.5, -0.125, 3.5),
        ValidationPoint(50, 2.5, None, None, None),
    ]


def test_plot_has_each_figure_of_each_run():
    points = [
        ValidationPoint(8, 5.0, 0.5, 0.2, -0.1),
        ValidationPoint(16, 4.0, None, None, None),
        ValidationPoint(24, 3.0, 1.0, 0.3, 0.0, 7.0),
    ]
    losses, gains, similarities, spreads = plot({"one": points, "two": points[:1]}).axes
    right, wrong, *_ = losses.lines
    assert list(right.get_ydata()) == [5, 4, 3]
    assert list(wrong.get_xdata()) == [8, 24] and list(wrong.get_ydata()) == [5.5, 4]
    assert list(gains.lines[0].get_ydata()) == [0.5, 1]
    raw, centred, *_ = similarities.lines
    assert list(raw.get_ydata()) == [0.2, 0.3] and list(centred.get_ydata()) == [-0.1, 0]
    assert list(spreads.lines[0].get_xdata()) == [24] and list(spreads.lines[0].get_ydata()) == [7]
    assert losses.get_xscale() == "linear"


def test_command_writes_an_svg(tmp_path, monkeypatch, capsys):
    for name in ("a", "b"):
        (tmp_path / name).write_text(LOG)
    flags = ["--logs", f"blind={tmp_path}/a", f"recipe={tmp_path}/b", f"--out={tmp_path}/out/seeing.svg"]
    monkeypatch.setattr("sys.argv", ["seeing_plots", *flags])
    seeing_plots.main()
    text = "".join(ElementTree.fromstring((tmp_path / "out/seeing.svg").read_text()).itertext())
    for word in ("blind, wrong picture", "recipe, mean subtracted", "Image gain", "step"):
        assert word in text
    assert capsys.readouterr().out.strip() == f"{tmp_path}/out/seeing.svg"


@pytest.mark.parametrize(
    ("log", "said"), [("lonely", "NAME=FILE"), ("a=nowhere", "No such file"), ("a={}/empty", "no validation")]
)
def test_errors_are_reported_in_one_line(tmp_path, monkeypatch, capsys, log, said):
    (tmp_path / "empty").write_text("step 1 | loss: 2.0\n")
    monkeypatch.setattr("sys.argv", ["seeing_plots", "--logs", log.format(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        seeing_plots.main()
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_no_logs_is_an_error(tmp_path):
    with pytest.raises(UserError):
        read_log(tmp_path)


@pytest.mark.slow
def test_the_three_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["seeing_runs", f"--out={tmp_path}", "--steps=1"])
    seeing_runs.main()
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out[:3]] == ["blind", "forgetting", "recipe"]
    forgetting, recipe = read_log(tmp_path / "forgetting.log"), read_log(tmp_path / "recipe.log")
    assert forgetting[0].directions is not None and forgetting[0].directions > 5  # the encoder sees at the start
    assert recipe[0].step == 1 and (tmp_path / "seeing.svg").is_file()
