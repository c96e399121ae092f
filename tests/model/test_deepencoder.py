"""The vision encoder: SAM and CLIP agree with `transformers` for the same weights, at any image size."""

import re

import pytest
import torch
import torch.nn.functional as F
from helpers.tiny_model import SMALL_CLIP, SMALL_SAM, assert_close, randomise
from transformers import CLIPVisionConfig, CLIPVisionModel, SamVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from nanochat.deepencoder import CLIP, SAM, CLIPConfig, Projector, SAMConfig
from nanochat.deepencoder.position import interpolate_grid
from nanochat.deepencoder.sam import folded_attention, unfolded_attention


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def sam_truth(sam: SAM) -> SamVisionEncoder:
    """`transformers`' encoder with SAM's weights."""
    config = sam.config
    truth = SamVisionEncoder(
        SamVisionConfig(
            hidden_size=config.width, mlp_dim=4 * config.width, output_channels=config.neck,
            num_hidden_layers=config.n_layer, num_attention_heads=config.n_head, patch_size=config.patch_size,
            image_size=config.grid * config.patch_size, window_size=config.window,
            global_attn_indexes=list(config.global_layers),
        )
    )  # fmt: skip
    names = {"blocks": "layers", "norm": "layer_norm", "patch_embed.proj": "patch_embed.projection"}
    names |= {
        "neck.0": "neck.conv1",
        "neck.1": "neck.layer_norm1",
        "neck.2": "neck.conv2",
        "neck.3": "neck.layer_norm2",
    }
    state = {}
    for name, tensor in sam.state_dict().items():
        if not name.startswith("net_"):
            state[re.sub("|".join(names), lambda found: names[found[0]], name)] = tensor
    truth.load_state_dict(state)
    return truth.eval()


def clip_truth(clip: CLIP) -> CLIPVisionModel:
    """`transformers`' model with CLIP's weights."""
    config = clip.config
    truth = CLIPVisionModel(
        CLIPVisionConfig(
            hidden_size=config.width, intermediate_size=4 * config.width, num_hidden_layers=config.n_layer,
            num_attention_heads=config.n_head, patch_size=config.patch_size,
            image_size=config.grid * config.patch_size, hidden_act="quick_gelu",
        )
    )  # fmt: skip
    state = {name: tensor for name, tensor in truth.state_dict().items() if "post_layernorm" in name}
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in state) else ""
    for name, tensor in clip.state_dict().items():
        name = name.replace("transformer.", "encoder.")
        if "qkv_proj" in name:
            for letter, part in zip("qkv", tensor.chunk(3)):
                state[prefix + name.replace("qkv", letter)] = part
        elif "position_ids" not in name:
            state[prefix + name] = tensor
    truth.load_state_dict(state)
    return truth.eval()


def resize(table: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bicubic, antialiased (C, G, G) -> (C, h, w): each axis by the matrix that F.interpolate makes of an identity."""
    G = table.shape[-1]
    rows, columns = (
        F.interpolate(torch.eye(G)[None, None], size=(n, G), mode="bicubic", antialias=True, align_corners=False)[0, 0]
        for n in size
    )
    return torch.einsum("hg,cgk,wk->chw", rows, table, columns)


def test_parameter_counts_and_keys_at_real_size():
    with torch.device("meta"):
        parts = SAM(SAMConfig()), CLIP(CLIPConfig()), Projector(2048, 1280)
    counts = [sum(weight.numel() for weight in part.parameters()) for part in parts]
    assert counts == [95_569_152, 303_177_728, 2_622_720]
    assert sum(len(part.state_dict()) for part in parts) + 2 == 477  # DeepSeek-OCR's, with newline and separator
    keys = set(parts[0].state_dict()) | set(parts[1].state_dict())
    for key in ("neck.3.bias", "net_3.weight", "embeddings.position_ids", "transformer.layers.23.mlp.fc2.bias"):
        assert key in keys
    tables = [parts[0].state_dict()[f"blocks.{i}.attn.rel_pos_h"].shape for i in (2, 3)]
    assert tables == [(127, 64), (27, 64)]  # a global block's, a window's


SAM_CONFIGS = {
    "windows over the edge": SMALL_SAM,
    "windows that fit": SAMConfig(
        grid=8, width=32, n_layer=3, n_head=2, global_layers=(0, 2), window=4, neck=16, out_channels=(8, 12)
    ),
    "grid smaller than the window": SAMConfig(
        grid=4, width=32, n_layer=2, n_head=2, global_layers=(1,), window=7, neck=16, out_channels=(8, 12)
    ),
    "1,600 positions": SAMConfig(
        grid=40, width=32, n_layer=2, n_head=2, global_layers=(1,), window=14, neck=16, out_channels=(8, 12)
    ),
    "real widths": SAMConfig(grid=32, n_layer=3, global_layers=(2,)),
    "head width of 24": SAMConfig(
        grid=4, width=48, n_layer=2, n_head=2, global_layers=(1,), window=3, neck=16, out_channels=(8, 12)
    ),
}


@pytest.mark.parametrize("config", SAM_CONFIGS.values(), ids=SAM_CONFIGS.keys())
def test_sam_equals_transformers(config: SAMConfig):
    sam = SAM(config)
    randomise(sam)
    pixels = torch.randn(1 if config.width == 768 else 2, 3, 16 * config.grid, 16 * config.grid)
    with torch.no_grad():
        neck = sam_truth(sam)(pixels).last_hidden_state
        assert_close(sam(pixels), sam.net_3(sam.net_2(neck)))


@pytest.mark.slow
def test_sam_equals_transformers_at_real_size():
    sam = SAM(SAMConfig())
    randomise(sam)
    pixels = torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        neck = sam_truth(sam)(pixels).last_hidden_state
        assert_close(sam(pixels), sam.net_3(sam.net_2(neck)))


def sam_truth_at(sam: SAM, pixels: torch.Tensor) -> torch.Tensor:
    """The layers of `transformers`' encoder on an image of another shape, which it rejects, with positions by hand."""
    truth = sam_truth(sam)
    x = truth.patch_embed.projection(pixels)  # (B, C, h, w)
    x = x + resize(sam.pos_embed[0].permute(2, 0, 1), (x.shape[2], x.shape[3]))
    x = x.permute(0, 2, 3, 1)
    for layer in truth.layers:
        output = layer(x)
        x = output[0] if isinstance(output, tuple) else output
    return sam.net_3(sam.net_2(truth.neck(x)))


@pytest.mark.parametrize("size", [(64, 192), (192, 64), (64, 64), (256, 128), (192, 320)])
def test_sam_on_other_shapes_equals_transformers_with_interpolated_positions(size: tuple[int, int]):
    sam = SAM(SMALL_SAM)
    randomise(sam)
    pixels = torch.randn(2, 3, *size)
    with torch.no_grad():
        ours = sam(pixels)
        assert ours.shape == (2, 12, size[0] // 64, size[1] // 64)
        assert_close(ours, sam_truth_at(sam, pixels))


def test_sam_rejects_sides_that_are_not_multiples_of_64():
    with pytest.raises(AssertionError, match="64 x 80"):
        SAM(SMALL_SAM)(torch.zeros(1, 3, 64, 80))


CLIP_CONFIGS = {"small": SMALL_CLIP, "real widths": CLIPConfig(n_layer=3)}


@pytest.mark.parametrize("config", CLIP_CONFIGS.values(), ids=CLIP_CONFIGS.keys())
def test_clip_equals_transformers(config: CLIPConfig):
    clip = CLIP(config)
    randomise(clip)
    truth = clip_truth(clip)
    pixels = torch.randn(2, 3, 14 * config.grid, 14 * config.grid)
    with torch.no_grad():
        features = clip.embeddings.patch_embedding(pixels)  # CLIP's own patch features in place of SAM's features
        assert_close(clip(features), truth(pixels).last_hidden_state[:, 1:])


@pytest.mark.slow
def test_clip_equals_transformers_at_real_size():
    test_clip_equals_transformers(CLIPConfig())


@pytest.mark.parametrize("size", [(1, 3), (3, 1), (2, 2), (6, 5)])
def test_clip_on_other_shapes_equals_transformers_with_interpolated_positions(size: tuple[int, int]):
    clip = CLIP(SMALL_CLIP)
    randomise(clip)
    truth = getattr(clip_truth(clip), "vision_model", None) or clip_truth(clip)
    features = torch.randn(2, 32, *size)
    with torch.no_grad():
        table = clip.embeddings.position_embedding.weight
        x = (features + resize(table[1:].T.reshape(32, 4, 4), size)).flatten(2).transpose(1, 2)
        first = (clip.embeddings.class_embedding + table[0]).expand(2, 1, -1)
        hidden = truth.pre_layrnorm(torch.cat([first, x], dim=1))
        theirs = truth.encoder(inputs_embeds=hidden).last_hidden_state[:, 1:]
        assert_close(clip(features), theirs)


def test_cropped_positions_are_corner_and_middle_of_the_tables():
    config = SAMConfig(**{**vars(SMALL_SAM), "crop_positions": True})
    sam, small = SAM(config), SAM(SAMConfig(**{**vars(SMALL_SAM), "grid": 4}))
    randomise(sam)
    state = sam.state_dict()
    state["pos_embed"] = state["pos_embed"][:, :4, :4]
    for name in ("blocks.2.attn.rel_pos_h", "blocks.2.attn.rel_pos_w"):
        state[name] = state[name][4:-4]  # distances -3 to 3 of -7 to 7
    small.load_state_dict(state)
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert_close(sam(pixels), small.net_3(small.net_2(sam_truth(small)(pixels).last_hidden_state)))


def test_folded_and_unfolded_attention_have_the_same_gradients():
    inputs = [torch.randn(3, 12, 8), torch.randn(3, 20, 8), torch.randn(3, 20, 8)]  # 3 x 4 queries, 4 x 5 keys
    inputs += [torch.randn(3, 3, 4, 4), torch.randn(3, 3, 4, 5)]
    weights = torch.randn(3, 12, 8)
    gradients = []
    for attend in (unfolded_attention, folded_attention):
        leaves = [x.clone().requires_grad_() for x in inputs]
        (attend(*leaves) * weights).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for explicit, folded in zip(*gradients):
        torch.testing.assert_close(folded, explicit, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("build", [lambda: SAM(SMALL_SAM), lambda: CLIP(SMALL_CLIP)], ids=["sam", "clip"])
def test_model_from_the_meta_device_has_the_weights_of_one_built_directly(build):
    with torch.device("meta"):
        late = build()
    late.to_empty(device="cpu")
    for tensor in late.state_dict().values():
        tensor.fill_(77)
    direct = build()
    for model in (late, direct):
        torch.manual_seed(1)
        model.init_weights()
    for name, tensor in direct.state_dict().items():
        assert torch.equal(late.state_dict()[name], tensor), name


def test_new_blocks_are_identities_and_keep_the_scale():
    sam = SAM(SMALL_SAM)
    x = torch.randn(1, 8, 8, 32)
    assert all(torch.equal(block(x), x) for block in sam.blocks)
    clip = CLIP(SMALL_CLIP)
    assert torch.equal(clip.transformer(x.flatten(1, 2)), x.flatten(1, 2))
    assert 0.7 < sam(torch.randn(4, 3, 128, 128)).std() < 1.4


@pytest.mark.parametrize("size", [(6, 5), (3, 2), (1, 3), (3, 1), (1, 1)])
def test_interpolated_positions_and_their_gradients_equal_a_direct_computation(size: tuple[int, int]):
    table = torch.randn(1, 4, 4, 8, requires_grad=True)
    weights = torch.randn(8, *size)
    direct = F.interpolate(table.permute(0, 3, 1, 2), size=size, mode="bicubic", antialias=True, align_corners=False)
    ours = interpolate_grid(table, size)[0].permute(2, 0, 1)
    torch.testing.assert_close(ours, direct[0])
    expected = torch.autograd.grad((resize(table[0].permute(2, 0, 1), size) * weights).sum(), table)[0]
    torch.testing.assert_close(torch.autograd.grad((ours * weights).sum(), table)[0], expected)


def test_positions_are_resized_once_per_size_while_frozen(monkeypatch: pytest.MonkeyPatch):
    sam = SAM(SMALL_SAM).requires_grad_(False)
    randomise(sam)
    calls = []
    real = F.interpolate

    def counted(*args, **kwargs) -> torch.Tensor:
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(F, "interpolate", counted)
    pixels = torch.randn(1, 3, 64, 192)
    with torch.inference_mode():
        first = sam(pixels)
    assert len(calls) == 3  # positions, and rows and columns of the global block
    assert torch.equal(sam(pixels), first) and len(calls) == 3
    sam(torch.randn(1, 3, 64, 64))
    assert len(calls) == 5  # the same height


def test_resized_positions_follow_every_change_of_the_weights():
    sam, other = SAM(SMALL_SAM).requires_grad_(False), SAM(SMALL_SAM)
    randomise(sam)
    randomise(other, seed=1)
    pixels = torch.randn(1, 3, 64, 192)
    with torch.no_grad():
        first = sam(pixels)
        sam.load_state_dict(other.state_dict())
        loaded = sam(pixels)
        assert not torch.equal(loaded, first)
        assert_close(loaded, sam_truth_at(other, pixels))

    sam.pos_embed.requires_grad_(True)
    optimizer = torch.optim.AdamW([sam.pos_embed], lr=0.1, fused=True)
    for _ in range(2):
        sam(pixels).square().sum().backward()
        with torch.no_grad():
            sam(pixels)  # a validation in between
        optimizer.step()
        with torch.no_grad():
            assert_close(sam(pixels), sam_truth_at(sam, pixels))
    sam.requires_grad_(False)
    assert_close(sam(pixels), sam_truth_at(sam, pixels))
    assert sam.double()(pixels.double()).dtype == torch.float64


def test_training_at_another_size_updates_every_used_weight():
    sam, clip = SAM(SMALL_SAM), CLIP(CLIPConfig(grid=4, width=12, n_layer=2, n_head=2, patch_size=14))
    randomise(sam)
    randomise(clip)
    for _ in range(2):  # the second step must not use the graph of the first one
        clip(sam(torch.randn(2, 3, 128, 192))).square().sum().backward()
    without = [name for module in (sam, clip) for name, weight in module.named_parameters() if weight.grad is None]
    assert without == ["embeddings.patch_embedding.weight"]


def test_compressor_stays_channels_last_in_memory():
    sam, seen = SAM(SMALL_SAM), []
    for conv in (sam.neck[0], sam.neck[2], sam.net_2, sam.net_3):
        conv.register_forward_hook(lambda module, args, output: seen.extend([args[0], output]))
    sam(torch.randn(2, 3, 256, 256))
    assert len(seen) == 8 and all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


def test_frozen_sam_gets_and_passes_no_gradients():
    sam, clip = SAM(SMALL_SAM).requires_grad_(False), CLIP(CLIPConfig(grid=2, width=12, n_layer=1, n_head=2))
    features = sam(torch.randn(1, 3, 128, 128))
    assert not features.requires_grad
    clip(features).sum().backward()
    assert all(weight.grad is None for weight in sam.parameters())


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_equals_eager(backend: str):
    config = SAMConfig(grid=4, width=16, n_layer=2, n_head=1, global_layers=(1,), window=3, neck=4, out_channels=(4, 8))
    sam, clip = SAM(config), CLIP(CLIPConfig(grid=1, width=8, n_layer=1, n_head=1))
    randomise(sam)
    randomise(clip)

    def encode(x: torch.Tensor) -> torch.Tensor:
        return clip(sam(x))

    for size, whole in (((64, 64), True), ((64, 192), False)):  # resizing positions stays outside of the graph
        pixels = torch.randn(2, 3, *size)
        gradients = []
        for run in (encode, torch.compile(encode, backend=backend, fullgraph=whole, dynamic=False)):
            sam.zero_grad()
            run(pixels).square().sum().backward()
            gradients.append([weight.grad for weight in sam.parameters()])
        for compiled, eager in zip(gradients[1], gradients[0]):  # fused sums differ by rounding
            torch.testing.assert_close(compiled, eager, rtol=0, atol=1e-4 * eager.abs().max().item())


def test_autocast_to_bfloat16_stays_close():
    sam, clip = SAM(SMALL_SAM), CLIP(CLIPConfig(grid=2, width=12, n_layer=2, n_head=2))
    randomise(sam)
    randomise(clip)
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        exact = clip(sam(pixels))
        with torch.autocast("cpu", torch.bfloat16):
            rough = clip(sam(pixels)).float()
    assert F.cosine_similarity(rough.flatten(), exact.flatten(), dim=0) > 0.97
