"""Checkpoints: they are loaded as they were saved, describe themselves, and other files are rejected."""

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import tiktoken
import torch
from helpers.tiny_model import pictures, randomise, tiny_config, tiny_model

from nanochat.checkpoint import average_into, export_model, load_into, load_model, load_weights
from nanochat.errors import UserError
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, nano_config
from nanochat.pretrained import load_deepencoder
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import newest_step, save_checkpoint, save_deepencoder
from scripts import export


@pytest.fixture
def folder(tmp_path):
    """A run's folder with steps 1 and 2 of a tiny model."""
    for step in (1, 2):
        save_checkpoint(tmp_path, step, tiny_model(seed=step), {"optimizers": []}, {"stage": 1})
    save_deepencoder(tmp_path, 2, tiny_model(seed=2))
    RustBPETokenizer.characters().save(tmp_path)
    return tmp_path


def test_checkpoint_alone_rebuilds_the_model(folder):
    model, tokenizer, meta = load_model(folder / "step_2.pt")
    assert meta["step"] == 2 and tokenizer.get_vocab_size() == 648
    ids = torch.tensor([[265] * 7 + [72, 105]])
    assert torch.equal(model(ids, pixel_values=pictures(1)), tiny_model(seed=2)(ids, pixel_values=pictures(1)))
    assert model.config == tiny_model().config


def test_checkpoint_is_a_plain_state_dict(folder):
    state = torch.load(folder / "step_1.pt", weights_only=True)
    assert {name.split(".")[0] for name in state} == {
        "sam_model", "vision_model", "projector", "image_newline", "view_separator", "gpt",
    }  # fmt: skip
    encoder = torch.load(folder / "deepencoder_2.pt", weights_only=True)
    assert {name for name in state if not name.startswith("gpt.")} == set(encoder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("step_9.pt", r"step_9\.pt: no such checkpoint \(there: deepencoder_2\.pt, step_1\.pt, step_2\.pt\)"),
        ("deepencoder_2.pt", "an encoder without a GPT"),
    ],
)
def test_files_that_are_not_checkpoints_are_named(folder, name, says):
    with pytest.raises(UserError, match=says):
        load_model(folder / name)


def test_encoder_and_whole_model_are_distinguished(folder):
    with pytest.raises(UserError, match="without a GPT"):
        load_into(tiny_model(), load_weights(folder / "deepencoder_2.pt"), "deepencoder_2.pt")
    with pytest.raises(UserError, match="whole checkpoint"):
        load_deepencoder(tiny_model(), folder / "step_2.pt")


def test_weights_of_another_size_are_rejected(folder):
    with pytest.raises(UserError, match="another size"):
        load_into(NanoDeepseekOCR(nano_config()), load_weights(folder / "step_1.pt"), "step_1.pt")


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_truncated_file_is_rejected(folder, kept):
    path = folder / "step_1.pt"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(UserError, match="truncated"):
        load_model(path)


def test_code_in_a_checkpoint_is_not_executed(folder):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(folder / "attacked"),)

    torch.save({"gpt.x": Attack()}, folder / "step_1.pt")
    with pytest.raises(UserError):
        load_model(folder / "step_1.pt")
    (folder / "step_1.pt").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(UserError):
        load_model(folder / "step_1.pt")
    assert not (folder / "attacked").exists()


def test_resuming_finds_the_newest_complete_checkpoint_of_its_stage(folder):
    assert (newest_step(folder, stage=1), newest_step(folder, stage=2)) == (2, -1)
    (folder / "meta_2.json").unlink()  # as if writing step 2 was interrupted before its last file
    (folder / "meta_model.json").write_text('{"step": 9, "stage": 1}')  # the name on the hub, not a step of this run
    assert newest_step(folder, stage=1) == 1
    assert newest_step(folder / "empty", stage=1) == -1
    (folder / "meta_1.json").write_text('{"step": 1,')
    with pytest.raises(UserError, match=r"meta_1\.json cannot be read as JSON"):
        newest_step(folder, stage=1)


def test_broken_metadata_is_named(folder):
    (folder / "meta_1.json").write_text("{")
    with pytest.raises(UserError, match=r"meta_1\.json"):
        load_model(folder / "step_1.pt")


def test_full_disk_keeps_the_earlier_checkpoint_valid(folder):
    program = textwrap.dedent("""
        import resource, signal, sys
        from nanochat.training.saving import save_checkpoint
        from nanochat.command import entry_point
        from helpers.tiny_model import tiny_model
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # no file can grow past 20 kB: a disk that is full
        entry_point(lambda: save_checkpoint(sys.argv[1], 3, tiny_model(), {}, {"stage": 1}))()
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, env=environment)
    assert run.returncode == 2, run.stderr
    assert run.stderr.count("\n") == 1 and "step_3.pt" in run.stderr
    assert not list(folder.glob("*step_3*")) and not (folder / "meta_3.json").exists()
    load_model(folder / "step_2.pt")
    assert json.loads((folder / "meta_2.json").read_text())["step"] == 2


def test_exported_folder_rebuilds_the_model_from_half_precision(tmp_path):
    model = tiny_model(seed=3)
    export_model(tmp_path, model, RustBPETokenizer.characters(), {"step": 7})
    rebuilt, tokenizer, meta = load_model(tmp_path)
    assert meta["step"] == 7 and tokenizer.get_vocab_size() == 648 and rebuilt.config == model.config
    for name, weight in model.named_parameters():
        found = rebuilt.get_parameter(name)
        assert found.dtype == torch.float32 and torch.equal(found, weight.half().float()), name
    assert (rebuilt.gpt.config.n_head, rebuilt.gpt.config.n_kv_head) == (4, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors", "tokenizer.pkl"]


def test_exported_folder_tells_nothing_about_the_machine(tmp_path):
    training = {"steps": 9, "data_dir": "/home/me/scans", "sam": "facebook/sam-vit-base", "checkpoint_dir": "runs/one"}
    meta = {"step": 7, "started": 1.8e9, "plan": {"now": 3}, "position": 70, "best": 0.5, "training": training}
    export_model(tmp_path, tiny_model(), RustBPETokenizer.characters(), meta)
    found = json.loads((tmp_path / "config.json").read_text())
    assert found.pop("training") == {**training, "data_dir": "scans"}
    assert found.pop("step") == 7 and list(found) == ["model"]
    assert meta["training"] is training and training["data_dir"] == "/home/me/scans"


def test_weights_of_two_runs_are_averaged(tmp_path, monkeypatch):
    first, second = tiny_model(seed=3), tiny_model(seed=4)
    for name, model in (("first", first), ("second", second)):
        export_model(tmp_path / name, model, RustBPETokenizer.characters(), {"step": 7})
    asked = ["export", f"--checkpoint={tmp_path}/second", f"--average_with={tmp_path}/first", f"--out={tmp_path}/mean"]
    monkeypatch.setattr("sys.argv", asked)
    export.main()
    mean, _, meta = load_model(tmp_path / "mean")
    assert meta["step"] == 7
    for name, weight in mean.named_parameters():
        halves = [model.get_parameter(name).half().float() for model in (first, second)]
        torch.testing.assert_close(weight, ((halves[0] + halves[1]) / 2).half().float(), rtol=1e-3, atol=1e-7)
    wider = copy.deepcopy(first)
    wider.config = dataclasses.replace(first.config, image_token_id=3)
    tokenizer = RustBPETokenizer.characters()
    with pytest.raises(UserError, match="have different shapes"):
        average_into(first, tokenizer, wider, tokenizer)


def first_tokens(tokenizer: RustBPETokenizer, n: int) -> RustBPETokenizer:
    """The tokenizer with its first n tokens alone."""
    whole = tokenizer.encoding
    special = {token: whole.encode_single_token(token) for token in whole.special_tokens_set}
    ranks = {whole.decode_single_token_bytes(i): i for i in range(n) if i not in special.values()}
    return RustBPETokenizer(tiktoken.Encoding("first", pat_str=".", mergeable_ranks=ranks, special_tokens=special))


def test_rows_of_tokens_that_were_appended_are_not_averaged():
    tokenizer = RustBPETokenizer.characters()
    config = tiny_config()
    grown = NanoDeepseekOCR(dataclasses.replace(config, gpt=dataclasses.replace(config.gpt, vocab_size=330)))
    randomise(grown, seed=5)
    before, old = copy.deepcopy(grown), tiny_model(seed=6)
    average_into(grown, first_tokens(tokenizer, 330), old, first_tokens(tokenizer, 323))
    for name in ("lm_head.weight", "transformer.wte.weight"):
        mean, mine, its = (model.gpt.get_parameter(name) for model in (grown, before, old))
        torch.testing.assert_close(mean[:323], (mine[:323] + its) / 2)
        assert torch.equal(mean[323:], mine[323:])
    with pytest.raises(UserError, match="have different tokens"):
        average_into(grown, first_tokens(tokenizer, 322), old, first_tokens(tokenizer, 323))


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.pkl"])
def test_incomplete_folder_is_reported_with_the_missing_files(tmp_path, lost):
    export_model(tmp_path, tiny_model(), RustBPETokenizer.characters(), {})
    whole = (tmp_path / lost).read_bytes()
    (tmp_path / lost).unlink()
    with pytest.raises(UserError, match=f"not a complete model: {lost} missing"):
        load_model(tmp_path)
    (tmp_path / lost).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"broken|damaged|cannot be read as JSON"):
        load_model(tmp_path)
