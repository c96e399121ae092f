"""Public weights of a GPT: they give the results of `transformers`, with the number of heads they were trained with."""

import json
import math
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from helpers.tiny_model import assert_close, randomise
from transformers import NanoChatConfig, NanoChatForCausalLM

import nanochat.pretrained as pretrained
from nanochat.errors import UserError
from nanochat.gpt import GPT, GPTConfig
from nanochat.pretrained import ENGLISH, check_knows_english, load_gpt
from nanochat.tokenizer import RustBPETokenizer


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def small_gpt(n_head: int = 10, n_embd: int = 160, vocab_size: int = 96, n_layer: int = 3) -> GPT:
    return GPT(GPTConfig(64, vocab_size, n_layer, n_head, n_head, n_embd))


def hub_gpt(folder: Path, n_head: int = 10, width: int = 160, vocab_size: int = 96) -> NanoChatForCausalLM:
    """A random NanoChat of `transformers`, saved in `folder`."""
    config = NanoChatConfig(
        vocab_size=vocab_size, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=3,
        num_attention_heads=n_head, num_key_value_heads=n_head, max_position_embeddings=64,
    )  # fmt: skip
    model = NanoChatForCausalLM(config).eval()
    randomise(model)
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    model.save_pretrained(folder)
    return model


def nanochat_state(model: NanoChatForCausalLM) -> dict[str, torch.Tensor]:
    """A state dict with the names of nanochat."""
    parts = {"q_proj": "c_q", "k_proj": "c_k", "v_proj": "c_v", "o_proj": "c_proj", "fc1": "c_fc", "fc2": "c_proj"}
    state = {"transformer.wte.weight": model.model.embed_tokens.weight, "lm_head.weight": model.lm_head.weight}
    for i, layer in enumerate(model.model.layers):
        for name, weight in layer.named_parameters():
            where, part, _ = name.split(".")
            state[f"transformer.h.{i}.{'attn' if where == 'self_attn' else 'mlp'}.{parts[part]}.weight"] = weight
    return {name: weight.detach() for name, weight in state.items()}


def assert_same_gpt(gpt: GPT, truth: NanoChatForCausalLM) -> None:
    ids = torch.randint(truth.config.vocab_size, (2, 20))
    with torch.no_grad():
        assert_close(gpt(ids)[..., : truth.config.vocab_size], truth(ids).logits)


def test_gpt_of_10_heads_in_a_model_built_with_16(tmp_path: Path):
    truth = hub_gpt(tmp_path)
    gpt = small_gpt(n_head=16)
    with pytest.warns(UserWarning, match="10 heads"):
        load_gpt(gpt, tmp_path)
    assert (gpt.config.n_head, gpt.config.n_kv_head) == (10, 10)
    assert_same_gpt(gpt, truth)


def test_real_width_with_heads_of_128(tmp_path: Path):
    truth = hub_gpt(tmp_path, width=1280, vocab_size=512)
    gpt = small_gpt(n_embd=1280, vocab_size=512)
    load_gpt(gpt, tmp_path / "model.safetensors")
    assert_same_gpt(gpt, truth)


@pytest.mark.slow
def test_d20_at_real_size(tmp_path: Path):
    config = NanoChatConfig(
        vocab_size=65_536, hidden_size=1280, intermediate_size=5120, num_hidden_layers=20, num_attention_heads=10,
        num_key_value_heads=10, max_position_embeddings=2048,
    )  # fmt: skip
    truth = NanoChatForCausalLM(config).eval()
    randomise(truth)
    torch.nn.init.normal_(truth.model.embed_tokens.weight)
    torch.save(nanochat_state(truth), tmp_path / "pytorch_model.bin")
    gpt = GPT(GPTConfig())
    load_gpt(gpt, tmp_path)
    assert_same_gpt(gpt, truth)


@pytest.mark.parametrize("note", ["meta of the same step", "config.json", "rule"])
def test_number_of_heads_of_nanochat_checkpoints(tmp_path: Path, note: str):
    """Names of a compiled model; heads from the newest metadata, a config, or the rule of nanochat."""
    n_head, width = (2, 256) if note == "rule" else (10, 160)
    truth = hub_gpt(tmp_path / "truth", n_head, width)
    for step, factor in (("000100", 3.0), ("000200", 1.0)):
        state = {f"_orig_mod.{name}": factor * weight for name, weight in nanochat_state(truth).items()}
        torch.save(state, tmp_path / f"model_{step}.pt")
    if note == "meta of the same step":
        for step, heads in (("000100", 5), ("000200", 10), ("000300", 5)):
            meta = {"model_config": {"n_head": heads, "n_kv_head": heads}}
            (tmp_path / f"meta_{step}.json").write_text(json.dumps(meta))
    elif note == "config.json":
        (tmp_path / "config.json").write_text(json.dumps({"n_head": 10, "n_kv_head": 10, "n_embd": width}))
    gpt = small_gpt(n_head=8, n_embd=width)
    with pytest.warns(UserWarning, match=f"{n_head} heads"):
        load_gpt(gpt, tmp_path)
    assert_same_gpt(gpt, truth)


def test_invalid_numbers_of_heads_are_rejected(tmp_path: Path):
    hub_gpt(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 7}))
    with pytest.warns(UserWarning, match="7 heads"), pytest.raises(UserError, match="7 heads"):
        load_gpt(small_gpt(), tmp_path)


def test_new_tokens_get_small_seeded_embeddings(tmp_path: Path):
    truth = hub_gpt(tmp_path)
    first, second, other = (small_gpt(vocab_size=196) for _ in range(3))
    load_gpt(first, tmp_path)
    load_gpt(second, tmp_path)
    load_gpt(other, tmp_path, seed=1)
    assert_same_gpt(first, truth)
    rows = {name: [gpt.state_dict()[name][96:] for gpt in (first, second, other)] for name in pretrained.VOCABULARY}
    for new, again, elsewhere in rows.values():
        assert new.shape == (100, 160) and 0.018 < new.std() < 0.022
        assert torch.equal(new, again) and not torch.equal(new, elsewhere)
    assert not torch.equal(*(new for new, _, _ in rows.values()))


def test_larger_vocabulary_than_that_of_the_model_is_rejected(tmp_path: Path):
    hub_gpt(tmp_path)
    with pytest.raises(UserError, match=r"lm_head.weight \(96, 160\) instead of \(90, 160\)"):
        load_gpt(small_gpt(vocab_size=90), tmp_path)


def test_unreachable_hub_is_not_taken_for_a_missing_file(monkeypatch: pytest.MonkeyPatch):
    tried = []

    def unreachable(repo_id: str, filename: str) -> Path:
        tried.append(filename)
        raise UserError(f"cannot fetch {filename} of {repo_id}") from ConnectionError()

    monkeypatch.setattr(pretrained, "fetch", unreachable)
    with pytest.raises(UserError, match=r"cannot fetch pytorch_model\.bin of nanochat-students/base-d20"):
        load_gpt(small_gpt(), "nanochat-students/base-d20")
    assert tried == ["pytorch_model.bin"]


def test_gpt_from_the_hub_with_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the layout of nanochat-students/base-d20: pytorch_model.bin with the names of nanochat, and config.json."""
    truth = hub_gpt(tmp_path / "hub")
    (tmp_path / "hub" / "model.safetensors").unlink()
    torch.save(nanochat_state(truth), tmp_path / "hub" / "pytorch_model.bin")

    def fetch(repo_id: str, filename: str) -> Path:
        assert repo_id == "nanochat-students/base-d20"
        if not (tmp_path / "hub" / filename).exists():
            raise UserError("no such file")
        return Path(shutil.copy(tmp_path / "hub" / filename, tmp_path / f"cache-{filename}"))

    monkeypatch.setattr(pretrained, "fetch", fetch)
    gpt = small_gpt(n_head=16)
    with pytest.warns(UserWarning, match="10 heads"):
        load_gpt(gpt, "nanochat-students/base-d20")
    assert_same_gpt(gpt, truth)


def test_check_of_english():
    tokenizer = RustBPETokenizer.characters()
    gpt = GPT(GPTConfig(sequence_len=1024, vocab_size=323, n_layer=1, n_head=1, n_kv_head=1, n_embd=64))
    with pytest.warns(UserWarning, match="does not know English"):
        loss, random_loss = check_knows_english(gpt, tokenizer)
    assert loss == pytest.approx(math.log(323), abs=1e-3) and random_loss == pytest.approx(math.log(323))

    ids = torch.tensor([tokenizer.encode(ENGLISH, prepend="<|bos|>")])
    optimizer = torch.optim.Adam(gpt.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        gpt(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss, _ = check_knows_english(gpt, tokenizer)
    assert loss < random_loss / 2


def test_tokenizer_with_more_tokens_than_the_gpt_is_rejected():
    with pytest.raises(UserError, match="do not belong together"):
        check_knows_english(small_gpt(vocab_size=96), RustBPETokenizer.characters())
