"""8-bit weights: the difference from float32 is within the rounding error."""

import pytest
import torch
import torch.nn as nn
from helpers.tiny_model import pictures, tiny_model

from dev.bench.decode import bytes_per_step
from nanochat.engine import NO_GUARD, Engine
from nanochat.engine.answers import Sampling
from nanochat.engine.int8 import BAND, FEW_ROWS, Int8Linear, to_int8
from nanochat.errors import UserError
from nanochat.precision import Precision
from nanochat.reading.ocr import OCR
from nanochat.tokenizer import RustBPETokenizer


@pytest.mark.parametrize("n_rows", [1, FEW_ROWS, FEW_ROWS + 1])
@pytest.mark.parametrize("n_out", [48, 2 * BAND + 1])
def test_product_is_within_the_rounding_of_weights_and_activations(n_rows: int, n_out: int):
    torch.manual_seed(0)
    linear = nn.Linear(64, n_out, bias=False)
    linear.weight.data[3] = 0
    x = torch.randn(2, n_rows, 64)[:1]
    found, exact = Int8Linear(linear)(x), linear(x)
    size = x.abs() @ linear.weight.abs().T  # bound of the change if every factor is rounded by a share of itself
    step = linear.weight.abs().amax(1) / 127 * (1 + 2**-8)  # its scale, which is rounded to bfloat16
    weights = x.abs().sum(-1, keepdim=True) * step / 2  # each entry is off by half a step at most
    activations = 2**-8 * (size + weights)  # 8 bits of bfloat16; once on the way in, once on the way out
    assert ((found - exact).abs() <= weights + 2 * activations + 1e-5).all()
    assert (found[..., 3] == 0).all() and (found != exact).any()


def test_exactly_the_linear_layers_of_the_language_model_become_8_bit():
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


def test_equal_8_bit_logits_are_not_rechecked():
    """The logits of the kernel are bfloat16, so the two largest are often equal, and rechecks would be expensive."""
    model = tiny_model().eval()
    to_int8(model.gpt)
    head = model.gpt.lm_head
    assert isinstance(head, Int8Linear)
    head.int8[128:256], head.scale[128:256] = head.int8[:128], head.scale[:128]  # each token has a twin
    engine = Engine(model, RustBPETokenizer.characters())
    engine.end_tokens = set()
    scheduler, prompt = engine.scheduler(1), engine.prompt([3, 5], [], 20, [Sampling()], NO_GUARD)
    scheduler.submit(prompt)
    while scheduler.busy:
        scheduler.step()
    assert len(prompt.answers[0].generation.tokens) == 20 and scheduler.rechecks == 0


def test_int8_is_rejected_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nanochat.common.choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(UserError, match="on a CPU, not on cuda"):
        OCR("nano", int8=True)
