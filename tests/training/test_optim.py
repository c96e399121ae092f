"""Muon, compared with the singular value decomposition, and the parameters that it is used for."""

import sys

import pytest
import torch
from helpers.tiny_model import tiny_model

from nanochat.errors import UserError
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, nano_config
from nanochat.training.optim import MUON_LR_RATIO, Muon, build_optimizers, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 40), (2, 16, 64), (1, 64, 16)])
def test_orthogonalise_keeps_singular_vectors_and_equalises_singular_values(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 7
    result = orthogonalise(matrices)
    for before, after in zip(matrices, result, strict=True):
        u, s, vh = torch.linalg.svd(before, full_matrices=False)
        in_its_axes = u.T @ after @ vh.T  # diagonal when the singular vectors are the same
        levelled = in_its_axes.diagonal()
        assert (in_its_axes - levelled.diag()).abs().max() < 1e-3
        assert (levelled[s > 0.2 * s.max()] - 1).abs().max() < 0.35  # five steps of the quintic: within 0.7 to 1.2


def test_fused_projection_is_three_matrices():
    weight = torch.nn.Parameter(torch.zeros(24, 8))
    weight.grad = torch.randn(24, 8, generator=torch.Generator().manual_seed(1))
    muon = Muon([torch.nn.Parameter(torch.zeros(1, 1))], lr=1.0)
    muon.add_param_group({"params": [weight], "matrices": 3})
    muon.step()
    parts = [orthogonalise(part[None])[0] for part in weight.grad.chunk(3)]  # the scale of the gradient does not matter
    assert torch.allclose(weight.detach(), -torch.cat(parts) * 0.2 * 8**0.5, atol=1e-4)


@pytest.mark.parametrize("kind", ["adamw", "adamw8bit", "muon"])
def test_every_trained_parameter_is_in_one_group(kind):
    model = NanoDeepseekOCR(nano_config())
    model.freeze_sam()
    optimizers = build_optimizers(model, kind, lr=1e-3)
    taken = [id(p) for o in optimizers for g in o.param_groups for p in g["params"]]
    assert len(taken) == len(set(taken))
    assert set(taken) == {id(p) for p in model.parameters() if p.requires_grad}


def test_missing_library_is_reported_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UserError, match=r"nano-deepseek-ocr\[low-memory\]"):
        build_optimizers(tiny_model(), "adamw8bit", lr=1e-3)


def test_muon_is_used_for_inner_matrices_only():
    model = tiny_model()
    adamw, muon = build_optimizers(model, "muon", lr=1e-3)
    names = {id(p): name for name, p in model.named_parameters()}
    inner = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert {"gpt.transformer.h.0.attn.c_q.weight", "sam_model.net_2.weight", "projector.layers.weight"} <= inner
    outer = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    for word in ("wte", "lm_head", "pos_embed", "position_embedding", "rel_pos", "patch_embed", "norm", "bias"):
        assert not any(word in name for name in inner)
        assert any(word in name for name in outer)
    assert muon.param_groups[0]["initial_lr"] == pytest.approx(MUON_LR_RATIO * 1e-3)


def test_muon_in_bfloat16_agrees_with_float32():
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(96, 8, generator=generator) @ torch.randn(8, 64, generator=generator) * 1e-6
    updates = []
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.nn.Parameter(torch.zeros(96, 64))
        weight.grad = gradient.clone()
        Muon([weight], lr=1.0, dtype=dtype).step()
        assert weight.dtype == torch.float32
        updates.append(weight.detach().flatten())
    assert torch.nn.functional.cosine_similarity(updates[0], updates[1], dim=0) > 0.98
