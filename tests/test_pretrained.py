"""Public weights: files that `transformers` itself saved compute the same in our modules; nothing is lost unsaid."""

import json
import math
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import randomise
from transformers import CLIPConfig as HubCLIPConfig
from transformers import CLIPModel, NanoChatConfig, NanoChatForCausalLM, SamConfig, SamModel

import nanochat.pretrained as pretrained
from nanochat.checkpoint import export_model
from nanochat.common import UserError
from nanochat.deepencoder import CLIP, SAM, CLIPConfig, SAMConfig, VisionConfig
from nanochat.gpt import GPT, GPTConfig
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, build_nano_deepseek_ocr
from nanochat.pretrained import ENGLISH, check_knows_english, load_clip, load_deepencoder, load_gpt, load_sam
from nanochat.tokenizer import RustBPETokenizer

SMALL_SAM = SAMConfig(
    grid=8, width=32, n_layer=3, n_head=2, global_layers=(2,), window=5, neck=16, out_channels=(8, 12)
)
SMALL_CLIP = CLIPConfig(grid=4, width=32, n_layer=2, n_head=2, patch_size=14)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert theirs.std() > 0.1  # else closeness says nothing
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def same_state(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.fixture
def hub_sam(tmp_path: Path) -> SamModel:
    """A whole segmenter like facebook/sam-vit-base, small and random, saved in tmp_path/sam."""
    vision: dict[str, Any] = dict(
        hidden_size=32, mlp_dim=128, output_channels=16, num_hidden_layers=3, num_attention_heads=2, image_size=128,
        window_size=5, global_attn_indexes=[2],
    )  # fmt: skip
    prompt = dict(hidden_size=16, image_size=128, patch_size=16)
    decoder = dict(hidden_size=16, mlp_dim=16, num_attention_heads=2, iou_head_hidden_dim=16)
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)
    model = SamModel(config).eval()
    randomise(model)
    model.save_pretrained(tmp_path / "sam")
    return model


def test_sam_from_a_saved_segmenter(hub_sam: SamModel, tmp_path: Path):
    sam = SAM(SMALL_SAM)
    compressor = sam.net_2.weight.clone(), sam.net_3.weight.clone()
    load_sam(sam, tmp_path / "sam")
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        neck = hub_sam.vision_encoder(pixels).last_hidden_state
        assert_close(sam(pixels), sam.net_3(sam.net_2(neck)))
    assert torch.equal(sam.net_2.weight, compressor[0]) and torch.equal(sam.net_3.weight, compressor[1])

    other = SAM(SMALL_SAM)
    torch.save(hub_sam.state_dict(), tmp_path / "pytorch_model.bin")
    load_sam(other, str(tmp_path / "pytorch_model.bin"))
    with torch.no_grad():
        assert torch.equal(other.neck(torch.ones(1, 32, 2, 2)), sam.neck(torch.ones(1, 32, 2, 2)))


@pytest.fixture
def hub_clip(tmp_path: Path) -> CLIPModel:
    """Both halves of a model like openai/clip-vit-large-patch14, small and random, saved in tmp_path/clip."""
    vision: dict[str, Any] = dict(
        hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14,
        hidden_act="quick_gelu",
    )  # fmt: skip
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50)
    model = CLIPModel(HubCLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()
    randomise(model.vision_model)
    model.save_pretrained(tmp_path / "clip")
    return model


@pytest.mark.parametrize("old_file", [False, True], ids=["without position_ids", "with position_ids"])
def test_clip_from_a_saved_model(hub_clip: CLIPModel, tmp_path: Path, old_file: bool):
    if old_file:
        state = hub_clip.state_dict() | {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
        save_file(state, tmp_path / "clip" / "model.safetensors")
    clip = CLIP(SMALL_CLIP)
    load_clip(clip, tmp_path / "clip")
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        ours = clip(clip.embeddings.patch_embedding(pixels))
        assert_close(ours, hub_clip.vision_model(pixels).last_hidden_state[:, 1:])
    assert clip.embeddings.position_ids.tolist() == [list(range(17))]


def test_random_leaves_everything_as_it_was_built():
    model = build_nano_deepseek_ocr(
        GPTConfig(sequence_len=32, vocab_size=40, n_layer=1, n_head=2, n_kv_head=2, n_embd=32),
        VisionConfig(SMALL_SAM, CLIPConfig(grid=2, width=12, n_layer=1, n_head=2)),
    )
    before = copy_state(model)
    load_sam(model.sam_model, "random")
    load_clip(model.vision_model, "random")
    load_gpt(model.gpt, "random")
    load_deepencoder(model, "random")
    assert same_state(model, before)


def test_missing_unexpected_and_misshaped_tensors_are_named(hub_sam: SamModel, tmp_path: Path):
    state = hub_sam.state_dict()
    state["vision_encoder.surprise.weight"] = state.pop("vision_encoder.layers.1.mlp.lin1.bias")
    state["vision_encoder.pos_embed"] = torch.zeros(1, 4, 4, 32)
    path = tmp_path / "odd.bin"
    torch.save(state, path)
    sam = SAM(SMALL_SAM)
    before = copy_state(sam)
    with pytest.raises(UserError) as caught:
        load_sam(sam, path)
    message = str(caught.value)
    assert "missing: blocks.1.mlp.lin1.bias;" in message and "unexpected: surprise.weight;" in message
    assert "mis-shaped: pos_embed (1, 4, 4, 32) instead of (1, 8, 8, 32)" in message and "odd.bin" in message
    assert "\n" not in message and same_state(sam, before)


def test_half_a_clip_layer_is_named(hub_clip: CLIPModel, tmp_path: Path):
    state = hub_clip.state_dict()
    del state["vision_model.encoder.layers.1.self_attn.v_proj.bias"]
    torch.save(state, tmp_path / "half.bin")
    with pytest.raises(UserError, match=r"q_proj.bias but not transformer.layers.1.self_attn.v_proj.bias"):
        load_clip(CLIP(SMALL_CLIP), tmp_path / "half.bin")


class Evil:
    """What a pickle may not do to us."""

    def __reduce__(self):
        return Path.touch, (Path("evil-was-here"),)


def test_unreadable_sources_end_in_one_line(hub_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    whole = (tmp_path / "sam" / "model.safetensors").read_bytes()
    Path("truncated.safetensors").write_bytes(whole[: len(whole) // 2])
    torch.save(hub_sam.state_dict(), "whole.bin")
    Path("truncated.bin").write_bytes(Path("whole.bin").read_bytes()[:5000])
    Path("evil.bin").write_bytes(pickle.dumps({"vision_encoder.pos_embed": Evil()}))
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/model.safetensors.index.json").write_text('{"weight_map": {')
    for source in ("truncated.safetensors", "truncated.bin", "evil.bin", "empty", "no-such-file.bin"):
        with pytest.raises(UserError) as caught:
            load_sam(SAM(SMALL_SAM), source)
        assert source in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"index\.json"):
        load_gpt(small_gpt(), "broken")
    assert not Path("evil-was-here").exists()


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
    """The names that nanochat itself gives."""
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


def test_a_gpt_of_10_heads_into_a_model_asked_for_16(tmp_path: Path):
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
def test_nanochat_checkpoints_tell_their_heads(tmp_path: Path, note: str):
    """A compiled model's names; heads from the meta of the newest step, from a config, or by nanochat's rule."""
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


def test_head_counts_that_cannot_be_are_refused(tmp_path: Path):
    hub_gpt(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": 7}))
    with pytest.warns(UserWarning, match="7 heads"), pytest.raises(UserError, match="7 heads"):
        load_gpt(small_gpt(), tmp_path)


def test_new_tokens_get_small_seeded_rows(tmp_path: Path):
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


def test_a_larger_vocabulary_than_the_models_is_refused(tmp_path: Path):
    hub_gpt(tmp_path)
    with pytest.raises(UserError, match=r"lm_head.weight \(96, 160\) instead of \(90, 160\)"):
        load_gpt(small_gpt(vocab_size=90), tmp_path)


def test_what_is_no_gpt_is_refused(hub_clip: CLIPModel, tmp_path: Path):
    with pytest.raises(UserError, match="is no nanochat GPT"):
        load_gpt(small_gpt(), tmp_path / "clip")


def small_model(seed: int) -> NanoDeepseekOCR:
    model = build_nano_deepseek_ocr(
        GPTConfig(sequence_len=32, vocab_size=40, n_layer=1, n_head=2, n_kv_head=2, n_embd=32),
        VisionConfig(SMALL_SAM, CLIPConfig(grid=2, width=12, n_layer=1, n_head=2)),
    )
    randomise(model, seed)
    return model


@pytest.fixture
def deepseek(tmp_path: Path) -> NanoDeepseekOCR:
    """A model whose encoder lies in tmp_path/deepseek as DeepSeek-OCR's does: shards, an index, a language model."""
    model, folder = small_model(seed=0), tmp_path / "deepseek"
    folder.mkdir()
    encoder = [name for name in model.state_dict() if not name.startswith("gpt.")]
    names = {name: f"model.{name}".replace("separator", "seperator") for name in encoder}
    state = {names[name]: tensor for name, tensor in model.state_dict().items() if name in names}
    first = {"model.embed_tokens.weight": torch.ones(4, 4), "model.layers.0.mlp.gate.weight": torch.ones(4, 4)}
    third = {"model.norm.weight": torch.ones(4), "model.layers.1.input_layernorm.weight": torch.ones(4)}
    last = {"model.image_newline": state.pop("model.image_newline"), "lm_head.weight": torch.ones(4, 4)}
    weight_map: dict[str, str] = {}
    for number, shard in enumerate((first, state, third, last), start=1):
        name = f"model-{number:05}-of-00004.safetensors"
        save_file(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return model


def test_deepseek_ocr_from_the_hub_downloads_only_the_shards_with_vision(
    deepseek: NanoDeepseekOCR, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fetched = []

    def fetch(repo_id: str, filename: str) -> Path:
        fetched.append((repo_id, filename))
        return tmp_path / "deepseek" / filename

    monkeypatch.setattr(pretrained, "fetch", fetch)
    model = small_model(seed=1)
    gpt = copy_state(model.gpt)
    load_deepencoder(model, "deepseek-ai/DeepSeek-OCR")
    shards = [f"model-0000{number}-of-00004.safetensors" for number in (2, 4)]
    assert fetched == [("deepseek-ai/DeepSeek-OCR", name) for name in ("model.safetensors.index.json", *shards)]
    for name, tensor in deepseek.state_dict().items():
        if not name.startswith("gpt."):
            assert torch.equal(model.state_dict()[name], tensor), name
    assert same_state(model.gpt, gpt)


def test_a_missing_shard_is_named(deepseek: NanoDeepseekOCR, tmp_path: Path):
    (tmp_path / "deepseek" / "model-00002-of-00004.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00004\.safetensors, which .*deepseek does not have"):
        load_deepencoder(small_model(seed=0), tmp_path / "deepseek")


def test_our_own_deepencoder_file_and_a_whole_checkpoint(deepseek: NanoDeepseekOCR, tmp_path: Path):
    state = deepseek.state_dict()
    torch.save({name: tensor for name, tensor in state.items() if "gpt." not in name}, tmp_path / "deepencoder_5.pt")
    torch.save(state, tmp_path / "step_5.pt")
    model = small_model(seed=1)
    with pytest.raises(UserError, match=r"step_5.pt is a whole checkpoint.*deepencoder_N.pt"):
        load_deepencoder(model, tmp_path / "step_5.pt")
    load_deepencoder(model, tmp_path / "deepencoder_5.pt")
    pixels = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        assert torch.equal(model.encode_images(pixels)[0], deepseek.encode_images(pixels)[0])


def test_an_unreachable_hub_is_not_mistaken_for_a_missing_file(monkeypatch: pytest.MonkeyPatch):
    tried = []

    def unreachable(repo_id: str, filename: str) -> Path:
        tried.append(filename)
        raise UserError(f"cannot fetch {filename} of {repo_id}") from ConnectionError()

    monkeypatch.setattr(pretrained, "fetch", unreachable)
    with pytest.raises(UserError, match=r"cannot fetch pytorch_model\.bin of nanochat-students/base-d20"):
        load_gpt(small_gpt(), "nanochat-students/base-d20")
    assert tried == ["pytorch_model.bin"]


def test_a_gpt_from_the_hub_with_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Laid out as nanochat-students/base-d20: pytorch_model.bin with nanochat's names beside a config.json."""
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


def test_a_gpt_that_knows_english_and_ones_that_do_not():
    tokenizer = RustBPETokenizer.byte_level()
    gpt = GPT(GPTConfig(sequence_len=1024, vocab_size=266, n_layer=1, n_head=1, n_kv_head=1, n_embd=64))
    with pytest.warns(UserWarning, match="does not know English"):
        loss, random_loss = check_knows_english(gpt, tokenizer)
    assert loss == pytest.approx(math.log(266), abs=1e-3) and random_loss == pytest.approx(math.log(266))

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


def test_a_tokenizer_with_more_tokens_than_the_gpt_is_refused():
    with pytest.raises(UserError, match="do not belong together"):
        check_knows_english(small_gpt(vocab_size=96), RustBPETokenizer.byte_level())


def test_an_exported_folder_gives_its_encoder(deepseek: NanoDeepseekOCR, tmp_path: Path):
    export_model(tmp_path, deepseek, RustBPETokenizer.byte_level(), {})
    model = small_model(seed=0)
    gpt = {name: weight.clone() for name, weight in model.gpt.named_parameters()}
    load_deepencoder(model, tmp_path)
    for name, weight in model.named_parameters():
        expected = gpt[name[4:]] if name.startswith("gpt.") else deepseek.get_parameter(name).half().float()
        assert torch.equal(weight, expected), name
