"""Commands: flags in every spelling, and bad input that ends in one clear line and exit code 2."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.tiny_model import tiny_model
from helpers.tiny_run import write_documents
from safetensors.torch import save_file

from nanochat import cli
from nanochat.checkpoint import load_weights
from nanochat.command import entry_point
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, nano_config, preset
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint, save_deepencoder
from scripts import vis_mid_train, vis_tok_train

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data/, the working directory of commands."""
    monkeypatch.chdir(tmp_path)
    write_documents(tmp_path / "data", n=2, side=64)
    return tmp_path


def run(main, monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command."""
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def nano_checkpoint(folder, step: int = 5) -> NanoDeepseekOCR:
    model = NanoDeepseekOCR(nano_config())
    meta = {"stage": 1, "position": 5, "world_size": 1, "plan": {}, "best": 1.0, "total_flops": 0.0}
    save_checkpoint(folder, step, model, {"optimizers": [], "random": [torch.get_rng_state()]}, meta)
    save_deepencoder(folder, step, model)
    RustBPETokenizer.characters().save(folder)
    return model


NANO = ("--model=nano", "--steps=1", "--batch-size=1")


def one_line(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


def test_flags_accept_every_spelling(place, monkeypatch, capsys):
    spellings = ("--model=nano", "--batch_size", "1", "--eval-every=0", "--steps", "1", "--lr=1", "--save_every=1")
    code, out, err = run(vis_tok_train.main, monkeypatch, capsys, *spellings)
    assert code == 0, err
    assert "step 00000/1 | loss: 6.473" in out and "lr: 5.00e-02" in out
    assert (place / "checkpoints" / "step_1.pt").is_file() and (place / "checkpoints" / "deepencoder_1.pt").is_file()
    stage_two = ("--resume_from_deepencoder=checkpoints/deepencoder_1.pt", "--checkpoint-dir=two")
    code, out, err = run(vis_mid_train.main, monkeypatch, capsys, *NANO, *stage_two)
    assert code == 0, err
    assert "Freezing SAM encoder..." in out and "6,129,792 trainable / 10,716,096 total" in out
    code, out, err = run(
        cli.main, monkeypatch, capsys, "read", "data/images/0.png", "--checkpoint", "two/step_1.pt", "--max-tokens=3"
    )
    assert code == 0, err


@pytest.mark.parametrize("module", ["nanochat.cli", "scripts.export", "dev.structure"])
def test_help_shows_the_command_as_typed(module: str) -> None:
    """Not its path, which is in a cache folder if `uvx` installed it."""
    said = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, cwd=ROOT).stdout
    assert said.startswith(f"usage: python -m {module} [-h]")
    console = Path(sys.executable).with_name("nano-ocr")
    said = subprocess.run([console, "read", "--help"], capture_output=True, text=True, cwd=ROOT).stdout
    assert said.startswith("usage: nano-ocr read [-h]")


def test_d20_without_a_tokenizer(place, monkeypatch, capsys):
    one_line(run(vis_tok_train.main, monkeypatch, capsys), "tokenizer")


def test_d20_with_nanos_tokenizer(place, monkeypatch, capsys):
    RustBPETokenizer.characters().save("tokenizer")
    one_line(run(vis_tok_train.main, monkeypatch, capsys), "648", "65,537")


def test_no_training_data(place, monkeypatch, capsys):
    (place / "data" / "train.json").unlink()
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *NANO), "data/train.json")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [("answer", " ", "doc_1"), ("prompt", "Read.", "<image>"), ("image", "images/none.png", "none.png")],
)
def test_invalid_sample(place, monkeypatch, capsys, field, value, says):
    records = json.loads((place / "data" / "train.json").read_text())
    records[1][field] = value
    (place / "data" / "train.json").write_text(json.dumps(records))
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *NANO, "--batch-size=2"), "doc_1", says)


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_file_that_is_not_an_image(place, monkeypatch, capsys, content):
    (place / "data" / "images" / "1.png").write_bytes(content)
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *NANO, "--batch-size=2"), "doc_1", "1.png")
    one_line(run(cli.main, monkeypatch, capsys, "read", "data/images/1.png", "--checkpoint=none.pt"), "1.png")


def test_resuming_from_a_missing_checkpoint(place, monkeypatch, capsys):
    nano_checkpoint(place / "checkpoints")
    flags = (*NANO, "--steps=6")
    result = run(vis_tok_train.main, monkeypatch, capsys, *flags, "--resume_step=7")
    one_line(result, "step_7.pt: no such checkpoint", "step_5.pt")
    path = place / "checkpoints" / "step_5.pt"
    path.write_bytes(path.read_bytes()[:1000])
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *flags, "--resume_step=5"), "step_5.pt", "truncated")
    save_checkpoint(place / "checkpoints", 5, tiny_model(), {}, {"stage": 1})
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *flags, "--resume_step=5"), "step_5.pt", "another size")


def test_an_encoder_for_a_model_and_a_model_for_an_encoder(place, monkeypatch, capsys):
    nano_checkpoint(place / "checkpoints")
    picture, encoder = "data/images/0.png", "checkpoints/deepencoder_5.pt"
    one_line(run(cli.main, monkeypatch, capsys, "read", picture, "--checkpoint", encoder), encoder, "encoder")
    whole = "--resume_from_deepencoder=checkpoints/step_5.pt"
    one_line(run(vis_mid_train.main, monkeypatch, capsys, *NANO, whole), "step_5.pt", "whole checkpoint")
    one_line(run(vis_mid_train.main, monkeypatch, capsys, *NANO), "--resume-from-deepencoder")


def release(folder: Path) -> dict[str, torch.Tensor]:
    """DeepSeek-OCR as published, in nano's size: bfloat16, its names, two shards of which one has no vision weights."""
    state = NanoDeepseekOCR(nano_config()).state_dict()
    encoder = {name: value for name, value in state.items() if not name.startswith("gpt.")}
    half = {n: v.bfloat16() if v.is_floating_point() else v.clone() for n, v in encoder.items()}
    vision = {f"model.{name}".replace("view_separator", "view_seperator"): value for name, value in half.items()}
    vision["model.layers.0.self_attn.q_proj.weight"] = torch.ones(4, 4)
    language = {"model.embed_tokens.weight": torch.ones(4, 4), "lm_head.weight": torch.ones(4, 4)}
    weight_map = {}
    for number, shard in enumerate((language, vision), 1):
        name = f"model-{number:05}-of-00002.safetensors"
        save_file(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return {name: value.float() for name, value in half.items()}


@pytest.mark.parametrize(("script", "stage"), [(vis_tok_train, 1), (vis_mid_train, 2)])
def test_both_stages_start_from_the_released_encoder(place, monkeypatch, capsys, tmp_path, script, stage):
    encoder, fetched = release(tmp_path), []

    def fetch(repo_id: str, filename: str) -> Path:
        fetched.append(filename)
        return tmp_path / filename

    monkeypatch.setattr("nanochat.pretrained.fetch", fetch)
    flags = ("--deepencoder=deepseek-ai/DeepSeek-OCR", "--gpt=random", "--lr=1e-12", "--optimizer=adamw")
    code, _, err = run(script.main, monkeypatch, capsys, *NANO, *flags)
    assert code == 0, err
    assert fetched == ["model.safetensors.index.json", "model-00002-of-00002.safetensors"]
    state = load_weights("checkpoints/step_1.pt")
    for name, value in encoder.items():
        assert torch.allclose(state[name].float(), value.float(), atol=1e-6), name


def test_released_encoder_has_the_widths_of_d20():
    with torch.device("meta"):
        model = NanoDeepseekOCR(preset("d20"))
    assert len([name for name in model.state_dict() if not name.startswith("gpt.")]) == 477
    assert model.projector.layers.weight.shape == (1280, 2048)


def test_tokenizer_that_runs_code(place, monkeypatch, capsys):
    (place / "tokenizer").mkdir()
    attack = b"cposix\nsystem\n(S'touch attacked'\ntR."
    (place / "tokenizer" / "tokenizer.pkl").write_bytes(attack)
    one_line(run(vis_tok_train.main, monkeypatch, capsys), "tokenizer.pkl")
    assert not (place / "attacked").exists()


def test_unreachable_hub(place, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = run(vis_tok_train.main, monkeypatch, capsys, *NANO, "--sam=facebook/sam-vit-base-that-is-not-cached")
    one_line(result, "facebook/sam-vit-base-that-is-not-cached", "local")


def test_batch_too_large_for_memory(monkeypatch, capsys):
    def main() -> None:
        torch.empty(10**15)

    one_line(run(entry_point(main), monkeypatch, capsys), "out of memory", "--batch-size")


def test_checkpoint_of_the_other_stage(place, monkeypatch, capsys):
    nano_checkpoint(place / "checkpoints")
    one_line(run(vis_mid_train.main, monkeypatch, capsys, *NANO, "--resume_step=5"), "but this is stage 2")


def test_stage_two_without_an_encoder(place, monkeypatch, capsys):
    for flags in ((), ("--resume=auto",)):  # no encoder: a random SAM would be frozen
        one_line(run(vis_mid_train.main, monkeypatch, capsys, *NANO, *flags), "--resume-from-deepencoder")
    nano_checkpoint(place / "checkpoints")
    one_line(run(vis_mid_train.main, monkeypatch, capsys, *NANO, "--resume=auto"), "--resume-from-deepencoder")


@pytest.mark.parametrize(
    ("main", "flags", "named"),
    [
        (vis_tok_train.main, ("--dense-steps=1",), "--dense-steps"),
        (vis_tok_train.main, ("--synth", "--dense-steps=1", "--dense-weight=0"), "--dense-steps"),
        (vis_tok_train.main, ("--batch-size=0",), "--batch-size"),
        (vis_tok_train.main, ("--resume=auto", "--resume_step=3"), "--resume_step=3"),
        (vis_mid_train.main, ("--resume=auto", "--resume_step=3"), "--resume_step=3"),
        (vis_mid_train.main, ("--lr-decay-step=0", "--deepencoder=deepencoder_5.pt"), "--lr-decay-step"),
    ],
)
def test_unusable_settings(place, monkeypatch, capsys, main, flags, named):
    one_line(run(main, monkeypatch, capsys, "--model=nano", "--steps=1", *flags), named)


def test_synthetic_documents_need_a_number_of_steps(place, monkeypatch, capsys):
    one_line(run(vis_tok_train.main, monkeypatch, capsys, "--model=nano", "--synth=True"), "--steps")


def test_unknown_names(place, monkeypatch, capsys):
    one_line(run(vis_tok_train.main, monkeypatch, capsys, "--model=d21"), "d21", "d20, nano")
    code, _, err = run(vis_tok_train.main, monkeypatch, capsys, "--stepz=3")
    assert code == 2 and "--stepz" in err
    one_line(run(vis_tok_train.main, monkeypatch, capsys, *NANO, "--image-size=100"), "100")


def test_demo_without_documents(place, monkeypatch, capfd):
    shutil.rmtree(place / "data")
    one_line(run(cli.main, monkeypatch, capfd, "demo"), "data/train.json")
    assert not (place / "out").exists()
