"""vision_sample on a tiny checkpoint: its table, its results file, and its errors."""

import json
import shutil
import subprocess
import sys

import pytest
from helpers.tiny_model import tiny_model
from PIL import Image

from nanochat.metrics import character_error_rate, word_overlap
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint, save_deepencoder
from scripts import vision_sample

ANSWERS = {"receipt_000": "TOTAL 9.00", "chart_01": "a b", "textvqa_01": "the shop"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    records = []
    for name, colour in zip(ANSWERS, ("red", "green", "blue")):
        Image.new("RGB", (90, 120), colour).save(folder / f"{name}.png")
        record = {"id": name, "image": f"{name}.png", "prompt": "<image>\nOCR", "answer": ANSWERS[name]}
        records.append({**record, "source": "test", "type": "test"})
    (folder / "val.json").write_text(json.dumps(records))
    (folder / "train.json").write_text(json.dumps(records[:1]))
    model = tiny_model()
    save_checkpoint(folder, 7, model, {}, {"stage": 1})
    save_deepencoder(folder, 7, model)
    RustBPETokenizer.characters().save(folder)
    return folder


def run(monkeypatch, capsys, folder, *flags: str) -> str:
    arguments = [f"--checkpoint={folder}/step_7.pt", f"--data_dir={folder}", "--device=cpu", "--max_tokens=8", *flags]
    monkeypatch.setattr("sys.argv", ["vision_sample", *arguments])
    vision_sample.main()
    return capsys.readouterr().out


def fails(monkeypatch, capsys, *flags: str) -> str:
    monkeypatch.setattr("sys.argv", ["vision_sample", *flags])
    with pytest.raises(SystemExit) as stopped:
        vision_sample.main()
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading ")]
    return line


def test_table_and_results_agree(monkeypatch, capsys, folder):
    lines = run(monkeypatch, capsys, folder).splitlines()
    results = json.loads((folder / "step_7_val.json").read_text())
    assert lines[0].split() == ["ID", "Loss", "Wrong", "Overlap"]
    assert [d["id"] for d in results["documents"]] == list(ANSWERS)
    for line, found in zip(lines[2:5], results["documents"]):
        name, loss, wrong, overlap, mark = line.split()
        assert (name, loss, wrong) == (found["id"], f"{found['loss']:.4f}", f"{found['wrong_loss']:.4f}")
        assert found["expected"] == ANSWERS[name]
        assert found["overlap"] == word_overlap(found["read"], ANSWERS[name])
        assert found["cer"] == character_error_rate(found["read"], ANSWERS[name])
        assert (overlap, mark) == ("100%", "✓") if found["overlap"] == 1 else mark == "✗"
    mean = sum(d["loss"] for d in results["documents"]) / 3
    assert f"Avg loss: {mean:.4f}" in lines
    assert results["summary"]["documents"] == 3


def test_completely_read_document_gets_a_tick(monkeypatch, capsys, folder):
    run(monkeypatch, capsys, folder)
    read = json.loads((folder / "step_7_val.json").read_text())["documents"][0]["read"]
    known = folder / "known"
    known.mkdir()
    shutil.copy(folder / "receipt_000.png", known)
    record = json.loads((folder / "train.json").read_text())[0]
    (known / "val.json").write_text(json.dumps([{**record, "answer": read + "."}, {**record, "answer": read}]))
    rows = run(monkeypatch, capsys, folder, f"--data_dir={known}", f"--json={known}/found.json").splitlines()[2:4]
    found = [d["overlap"] for d in json.loads((known / "found.json").read_text())["documents"]]
    assert found[0] < 1 and rows[0].endswith("✗")
    assert found[1] == 1 and rows[1].endswith("100%  ✓")


def test_limit_split_and_json(monkeypatch, capsys, folder, tmp_path):
    out = run(monkeypatch, capsys, folder, "--limit=2", f"--json={tmp_path}/found.json")
    assert "chart_01" in out and "textvqa_01" not in out
    assert len(json.loads((tmp_path / "found.json").read_text())["documents"]) == 2
    out = run(monkeypatch, capsys, folder, "--split=train")
    assert "wrong picture" not in out  # one document alone
    assert json.loads((folder / "step_7_train.json").read_text())["summary"]["image_gain"] is None


def test_errors_are_reported_in_one_line(monkeypatch, capsys, folder):
    checkpoint, data = f"--checkpoint={folder}/step_7.pt", f"--data_dir={folder}"
    assert "step_9.pt: no such checkpoint" in fails(monkeypatch, capsys, f"--checkpoint={folder}/step_9.pt", data)
    assert "without a GPT" in fails(monkeypatch, capsys, f"--checkpoint={folder}/deepencoder_7.pt", data)
    assert "test.json" in fails(monkeypatch, capsys, checkpoint, data, "--split=test")
    assert "at least one" in fails(monkeypatch, capsys, checkpoint, data, "--limit=0")


def test_broken_image_is_named(monkeypatch, capsys, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chart_01.png").write_bytes((folder / "chart_01.png").read_bytes()[:60])
    line = fails(monkeypatch, capsys, f"--checkpoint={folder}/step_7.pt", f"--data_dir={tmp_path}", "--device=cpu")
    assert "chart_01" in line


def test_untrained_model_shows_progress_and_ends(monkeypatch, capsys, folder, tmp_path):
    """Without --max_tokens an answer is at most twice the longest text, 10 letters here, and 50 tokens long."""
    arguments = [f"--checkpoint={folder}/step_7.pt", f"--data_dir={folder}", "--device=cpu", "--batch_size=2"]
    monkeypatch.setattr("sys.argv", ["vision_sample", *arguments, f"--json={tmp_path}/found.json"])
    vision_sample.main()
    assert capsys.readouterr().err.splitlines() == ["reading 1 to 2 of 3", "reading 3 to 3 of 3"]
    read = [d["read"] for d in json.loads((tmp_path / "found.json").read_text())["documents"]]
    assert len(read) == 3 and all(len(text) <= 70 for text in read)


def test_shipped_model_is_evaluated_with_torch_and_a_warning(monkeypatch, capsys, tmp_path):
    """The folder of nano has graphs for ONNX Runtime too, which give no losses."""
    flags = ["--checkpoint=nano", "--limit=1", "--max_tokens=4", f"--json={tmp_path}/found.json"]
    monkeypatch.setattr("sys.argv", ["vision_sample", *flags])
    vision_sample.main()
    captured = capsys.readouterr()
    assert "Avg loss" in captured.out and "warning: this model reads single lines" in captured.err
    assert 0 < json.loads((tmp_path / "found.json").read_text())["summary"]["loss"] < 20


def test_missing_documents_are_reported_before_torch_is_imported(tmp_path):
    code = (
        "import sys; sys.argv = ['vision_sample', '--checkpoint=nano', '--data_dir=nowhere']\n"
        "from scripts.vision_sample import main\n"
        "try: main()\nexcept SystemExit as end: sys.exit(3 if 'torch' in sys.modules else end.code)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 2 and found.stderr.startswith("error: nowhere")
