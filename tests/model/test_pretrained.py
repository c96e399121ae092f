"""Public weights: files saved by `transformers` give the same results here, and missing tensors are reported."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_model import SMALL_CLIP, SMALL_SAM, assert_close, randomise
from safetensors.torch import save_file
from transformers import CLIPConfig as HubCLIPConfig
from transformers import CLIPModel, SamConfig, SamModel

import nanochat.pretrained as pretrained
from nanochat.checkpoint import export_model
from nanochat.deepencoder import CLIP, SAM, CLIPConfig, VisionConfig
from nanochat.errors import UserError
from nanochat.gpt import GPT, GPTConfig
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, build_nano_deepseek_ocr, preset
from nanochat.pretrained import load_clip, load_deepencoder, load_gpt, load_sam, spread_positions
from nanochat.tokenizer import RustBPETokenizer


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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


def test_sam_from_a_saved_segmentation_model(hub_sam: SamModel, tmp_path: Path):
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


def test_random_source_keeps_the_initial_weights():
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


def test_incomplete_clip_layer_is_named(hub_clip: CLIPModel, tmp_path: Path):
    state = hub_clip.state_dict()
    del state["vision_model.encoder.layers.1.self_attn.v_proj.bias"]
    torch.save(state, tmp_path / "half.bin")
    with pytest.raises(UserError, match=r"q_proj.bias but not transformer.layers.1.self_attn.v_proj.bias"):
        load_clip(CLIP(SMALL_CLIP), tmp_path / "half.bin")


class Evil:
    """A pickle that runs code."""

    def __reduce__(self):
        return Path.touch, (Path("evil-was-here"),)


def test_unreadable_sources_are_reported_in_one_line(
    hub_sam: SamModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
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
        load_gpt(GPT(GPTConfig(64, 96, 1, 1, 1, 64)), "broken")
    assert not Path("evil-was-here").exists()


def test_weights_that_are_not_a_gpt_are_rejected(hub_clip: CLIPModel, tmp_path: Path):
    with pytest.raises(UserError, match="is not a nanochat GPT"):
        load_gpt(GPT(GPTConfig(64, 96, 1, 1, 1, 64)), tmp_path / "clip")


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


def test_only_vision_shards_of_deepseek_ocr_are_downloaded(
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


def test_missing_shard_is_named(deepseek: NanoDeepseekOCR, tmp_path: Path):
    (tmp_path / "deepseek" / "model-00002-of-00004.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-00002-of-00004\.safetensors, which .*deepseek does not have"):
        load_deepencoder(small_model(seed=0), tmp_path / "deepseek")


def test_deepencoder_file_is_loaded_and_whole_checkpoint_rejected(deepseek: NanoDeepseekOCR, tmp_path: Path):
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


def test_positions_are_interpolated_for_half_height_tokens():
    whole, half = NanoDeepseekOCR(preset("nano")), NanoDeepseekOCR(preset("nano-pages"))
    table = whole.vision_model.embeddings.position_embedding.weight.detach()
    own = half.vision_model.embeddings.position_embedding.weight.detach()
    spread = spread_positions(table, own, half.config.vision.token_size)
    grid, finer = table[1:].view(8, 8, -1), spread[1:].view(16, 16, -1)
    assert spread[0].equal(table[0]) and finer[::2, :8].equal(grid)  # every second row has the position of an old row
    assert finer[1:15:2, :8].allclose((grid[:-1] + grid[1:]) / 2, atol=1e-6)
    assert finer[:, 8:].equal(own[1:].view(16, 16, -1)[:, 8:])


def test_encoder_is_loaded_from_an_exported_folder(deepseek: NanoDeepseekOCR, tmp_path: Path):
    export_model(tmp_path, deepseek, RustBPETokenizer.characters(), {})
    model = small_model(seed=0)
    gpt = {name: weight.clone() for name, weight in model.gpt.named_parameters()}
    load_deepencoder(model, tmp_path)
    for name, weight in model.named_parameters():
        expected = gpt[name[4:]] if name.startswith("gpt.") else deepseek.get_parameter(name).half().float()
        assert torch.equal(weight, expected), name
