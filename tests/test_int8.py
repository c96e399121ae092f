"""Weights at 8 bits: no further from float32 than their rounding allows."""

import pytest
import torch
import torch.nn as nn
from tiny_model import pictures, tiny_model

from nanochat.bench.decode import bytes_per_step
from nanochat.common import UserError
from nanochat.int8 import FEW_ROWS, Int8Linear, to_int8
from nanochat.machine import Precision
from nanochat.ocr import OCR


@pytest.mark.parametrize("n_rows", [1, FEW_ROWS, FEW_ROWS + 1])
def test_a_product_is_within_the_rounding_of_weights_and_activations(n_rows: int):
    torch.manual_seed(0)
    linear = nn.Linear(64, 48, bias=False)
    linear.weight.data[3] = 0
    x = torch.randn(2, n_rows, 64)[:1]
    found, exact = Int8Linear(linear)(x), linear(x)
    size = x.abs() @ linear.weight.abs().T  # what rounding every factor by a share of itself can change
    step = linear.weight.abs().amax(1) / 127 * (1 + 2**-8)  # its scale, which is rounded to bfloat16
    weights = x.abs().sum(-1, keepdim=True) * step / 2  # each entry is off by half a step at most
    activations = 2**-8 * (size + weights)  # 8 bits of bfloat16; once on the way in, once on the way out
    assert ((found - exact).abs() <= weights + 2 * activations + 1e-5).all()
    assert (found[..., 3] == 0).all() and (found != exact).any()


def test_every_linear_of_the_language_model_and_nothing_else_is_put_at_8_bits():
    model = tiny_model().eval()
    ids = torch.arange(12)[None]
    with torch.inference_mode():
        exact, before = model.gpt(ids), bytes_per_step(model.gpt, Precision("float32"), 1, 0)
        to_int8(model.gpt)
        found = model.gpt(ids)
        assert torch.corrcoef(torch.stack([found.flatten(), exact.flatten()]))[0, 1] > 0.999
    assert not any(isinstance(part, nn.Linear) for part in model.gpt.modules())
    assert bytes_per_step(model.gpt, Precision("float32"), 1, 0) == before / 4
    assert any(isinstance(part, nn.Linear) for part in model.vision_model.modules())
    assert model.encode_images(pictures(1))[0].dtype == torch.float32


def test_it_is_for_a_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nanochat.ocr.choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(UserError, match="on a CPU, not on cuda"):
        OCR("nano", int8=True)
