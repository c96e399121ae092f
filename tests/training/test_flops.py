"""Floating-point operations, compared with torch's counter on the real modules and with the parameters of d20."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from nanochat.deepencoder import VisionConfig
from nanochat.gpt import GPTConfig
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, nano_config
from nanochat.training.flops import clip_forward_flops, gpt_forward_flops, sam_forward_flops, step_flops


def counted(function, *args) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*args)
    return counter.get_total_flops()


def test_flops_of_the_encoder_agree_with_torch():
    model = NanoDeepseekOCR(nano_config()).eval()
    vision, pixels = model.config.vision, torch.zeros(1, 3, 256, 256)
    assert sam_forward_flops(vision, 256, 256) == pytest.approx(counted(model.sam_model, pixels), rel=0.02)
    whole = sam_forward_flops(vision, 256, 256) + clip_forward_flops(vision, 256, 256, 256)
    assert whole == pytest.approx(counted(model.encode_views, pixels), rel=0.02)


def test_flops_of_the_gpt_agree_with_torch():
    model = NanoDeepseekOCR(nano_config()).eval().gpt
    ids = torch.zeros(2, 96, dtype=torch.long)
    ours = gpt_forward_flops(model.config, [96, 96], 2 * 96)
    assert ours == pytest.approx(counted(model, ids), rel=0.05)  # the counter counts masked attention too


def test_d20_needs_two_operations_per_parameter_and_token():
    gpt = gpt_forward_flops(GPTConfig(), [1] * 1000, 1000)
    assert gpt == pytest.approx(2 * 1000 * (560_990_720 - 65_537 * 1280), rel=0.01)  # all except the embedding


def test_frozen_sam_needs_a_third_of_the_operations():
    vision, gpt = VisionConfig(), GPTConfig()
    sizes, lengths = [(1024, 1024)], [300]
    trained, frozen = (step_flops(vision, gpt, sizes, lengths, 20, sam_trains=t) for t in (True, False))
    assert trained - frozen == pytest.approx(2 * sam_forward_flops(vision, 1024, 1024))
