"""Uploads: the files on the hub are enough to rebuild the model, and repositories are private by default."""

import sys
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import torch
from huggingface_hub import HfApi
from transformers import AutoModelForImageTextToText

from nanochat.checkpoint import load_into, load_weights, read_meta
from nanochat.errors import UserError
from nanochat.hf.export import export_hf
from nanochat.nano_deepseek_ocr import ModelConfig, NanoDeepseekOCR, preset
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint, save_deepencoder
from scripts import upload as script
from scripts.upload import UploadConfig, upload


@pytest.fixture(scope="module")
def model() -> NanoDeepseekOCR:
    torch.manual_seed(0)
    return NanoDeepseekOCR(preset("nano"))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, model: NanoDeepseekOCR) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    save_checkpoint(folder, 30, model, {"optimizers": [], "random": []}, {"stage": 2})
    save_deepencoder(folder, 12, model)
    RustBPETokenizer.characters().save(folder)
    return folder


def fake_hub():
    """A fake HfApi that records its calls and checks their arguments against the real one."""
    api = create_autospec(HfApi, instance=True)
    api.endpoint = "https://hub.example"
    return api


def received(api, folder: Path) -> Path:
    """The files that the fake hub received."""
    (_, operations), _ = api.create_commit.call_args
    for operation in operations:
        with operation.as_file() as content:
            (folder / operation.path_in_repo).write_bytes(content.read())
    return folder


def n_parameters(model: torch.nn.Module, without: str = "none") -> int:
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(without))


def test_transformers_loads_an_uploaded_folder(tmp_path: Path, checkpoints: Path, model):
    export_hf(tmp_path / "exported", model, RustBPETokenizer.characters(), {"step": 30})
    upload(UploadConfig("someone/reader", tmp_path / "exported"), api := fake_hub())
    (tmp_path / "hub").mkdir()
    folder = received(api, tmp_path / "hub")
    card = (folder / "README.md").read_text()
    assert "library_name: transformers\n---\n# reader" in card and f"{n_parameters(model):,}" in card
    assert 'pipeline("image-text-to-text", model="someone/reader"' in card and "| training step | 30 |" in card
    theirs = AutoModelForImageTextToText.from_pretrained(folder)
    assert theirs.num_parameters() == n_parameters(model)
    assert torch.equal(theirs.model.image_newline, model.image_newline.half().float())


def test_uploaded_model_can_be_rebuilt_from_its_repository(tmp_path: Path, checkpoints: Path, model):
    api = fake_hub()
    address = upload(UploadConfig("someone/reader", checkpoints / "step_30.pt"), api)
    assert address == "https://hub.example/someone/reader"
    api.create_repo.assert_called_once_with("someone/reader", repo_type="model", private=True, exist_ok=True)
    folder = received(api, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"model.pt", "meta_model.json", "tokenizer.pkl", "README.md"}
    meta = read_meta(folder / "model.pt")
    rebuilt = NanoDeepseekOCR(ModelConfig.from_dict(meta["model"]))
    load_into(rebuilt, load_weights(folder / "model.pt"), "model.pt")
    assert (meta["step"], RustBPETokenizer.from_directory(folder).get_vocab_size()) == (30, 648)
    for name, value in model.named_parameters():
        assert torch.equal(rebuilt.get_parameter(name), value), name
    card = (folder / "README.md").read_text()
    assert f"| parameters | {n_parameters(model):,} |" in card
    assert "| training step | 30 |" in card and card.startswith("---\n") and "# reader" in card


def test_uploaded_encoder_is_one_file_and_its_card(tmp_path: Path, checkpoints: Path, model):
    api = fake_hub()
    upload(UploadConfig("someone/encoder", checkpoints / "deepencoder_12.pt", public=True), api)
    assert api.create_repo.call_args.kwargs["private"] is False
    folder = received(api, tmp_path)
    assert {path.name for path in folder.iterdir()} == {"deepencoder.pt", "README.md"}
    expected = {name for name in model.state_dict() if not name.startswith("gpt.")}
    assert set(load_weights(folder / "deepencoder.pt")) == expected
    card = (folder / "README.md").read_text()
    assert f"| parameters | {n_parameters(model, without='gpt.'):,} |" in card
    assert "--resume_from_deepencoder=deepencoder.pt" in card


@pytest.mark.parametrize("removed", ["meta_30.json", "tokenizer.pkl", "step_30.pt"])
def test_incomplete_model_is_not_uploaded(tmp_path: Path, checkpoints: Path, removed: str):
    for name in {"step_30.pt", "meta_30.json", "tokenizer.pkl"} - {removed}:
        (tmp_path / name).symlink_to(checkpoints / name)
    api = fake_hub()
    with pytest.raises(UserError, match=removed.replace(".", r"\.")):
        upload(UploadConfig("someone/reader", tmp_path / "step_30.pt"), api)
    assert api.method_calls == []


def test_other_files_are_rejected(tmp_path: Path, checkpoints: Path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    for file in (checkpoints / "optim_30.pt", tmp_path / "other.pt"):
        with pytest.raises(UserError, match="neither a model nor an encoder"):
            upload(UploadConfig("someone/reader", file), fake_hub())


def test_unreachable_hub_is_reported_in_one_line(checkpoints: Path):
    api = HfApi(endpoint="http://127.0.0.1:9", token="hf_none")
    with pytest.raises(UserError, match=r"cannot upload .*deepencoder_12\.pt to someone/encoder \(") as caught:
        upload(UploadConfig("someone/encoder", checkpoints / "deepencoder_12.pt"), api)
    assert "\n" not in str(caught.value) and "network" in str(caught.value)


def test_missing_token_is_reported_with_advice(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(script, "get_token", lambda: None)
    monkeypatch.setattr(sys, "argv", ["upload", "--repo=someone/encoder", "--file=deepencoder_12.pt"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and "hf auth login" in errors[0] and "HF_TOKEN" in errors[0]
