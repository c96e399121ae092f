"""The decoding step with fixed shapes equals the plain step while rows join and leave; a GPU records it."""

import random

import pytest
import torch
from helpers.tiny_model import tiny_model

import nanochat.kv_cache
from nanochat.engine import NO_GUARD, Engine
from nanochat.engine.answers import Sampling
from nanochat.engine.fixed_step import FixedStep, _with_linears_in
from nanochat.kv_cache import KVCache
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.tokenizer import RustBPETokenizer

START = 259  # the token that starts an answer


def answers(model: NanoDeepseekOCR, fixed: FixedStep | None) -> list[list[int]]:
    """Answers to twelve prompts of many lengths, four at a time, each answer of another length."""
    engine = Engine(model, RustBPETokenizer.characters())
    draw = random.Random(0)
    asked = [([START, *draw.choices(range(256), k=draw.choice([0, 8, 59]))], draw.randint(2, 40)) for _ in range(12)]
    prompts = [engine.prompt(tokens, [], limit, [Sampling()], NO_GUARD) for tokens, limit in asked]
    scheduler = engine.scheduler(4)
    assert scheduler.fixed is None, "a CPU takes the plain step"
    scheduler.fixed = fixed
    for prompt in prompts:
        scheduler.submit(prompt)
    while scheduler.busy:
        scheduler.step()
    return [prompt.answers[0].generation.tokens for prompt in prompts]


@pytest.mark.parametrize("line_stride", [0, 64])
def test_answers_equal_those_of_the_plain_step(line_stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nanochat.kv_cache, "GROWTH", 16)  # the cache is replaced often
    model = tiny_model(sequence_len=256)
    model.gpt.config.line_stride, model.gpt.config.line_tokens = line_stride, (START, 10)
    assert answers(model, FixedStep(model, {})) == answers(model, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_of_unequal_lengths_continue_in_the_cache(dtype: torch.dtype) -> None:
    """Compared with the GPT and the same cache, in float32 and in bfloat16 under autocast."""
    model, step_cache = tiny_model(), KVCache(tiny_model().config.gpt, 3, "cpu", dtype)
    plain_cache, fixed = KVCache(model.config.gpt, 3, "cpu", dtype), FixedStep(model, {})
    ids = torch.randint(0, 256, (3, 12), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        for cache in (step_cache, plain_cache):
            model.gpt.hidden(model.gpt.embed(ids), cache)
            cache.truncate([12, 3, 7])
        for tokens in ([5, 6, 7], [8, 9, 10], [11, 12, 13]):
            hidden = model.gpt.hidden(model.gpt.embed(torch.tensor(tokens)[:, None]), plain_cache)
            expected = model.next_logits(hidden[:, -1])
            found = fixed.logits(step_cache, tokens)
            close = 1e-5 if dtype == torch.float32 else 0.05
            torch.testing.assert_close(found, expected, atol=close, rtol=close)
            assert found[:, model.config.image_token_id].isneginf().all()
    assert step_cache.lengths == plain_cache.lengths == [15, 6, 10]


def test_linear_layers_are_cast_once_as_autocast_does() -> None:
    """The bfloat16 copy gives bitwise the results of autocast with float32 weights."""
    gpt = tiny_model().gpt.eval()
    low = _with_linears_in(gpt, torch.bfloat16)
    assert low.lm_head.weight.dtype == torch.bfloat16 and gpt.lm_head.weight.dtype == torch.float32
    assert low.transformer["wte"] is gpt.transformer["wte"]
    ids = torch.randint(0, 256, (2, 9))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(low(ids), gpt(ids))


def test_failed_recording_gives_the_same_answers_and_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(self: FixedStep) -> None:
        raise RuntimeError("no graphs here")

    model = tiny_model(sequence_len=256)
    monkeypatch.setattr(FixedStep, "_capture", refuse)
    fixed = FixedStep(model, {})
    fixed.records = True
    assert answers(model, fixed) == answers(model, None)
    assert capsys.readouterr().err.count("no graphs here") == 1


def test_recording_is_replayed_until_the_cache_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fake recording that runs the step: recorded once per set of tensors, replayed at every step."""
    made: list[int] = []

    class Replayed:
        def __init__(self, step: FixedStep) -> None:
            self.step = step
            step._logits = step._run()
            made.append(len(step._tokens))

        def replay(self) -> None:  # writes to the same memory, like a graph
            self.step._logits.copy_(self.step._run())

    monkeypatch.setattr(FixedStep, "_capture", lambda self: Replayed(self))
    monkeypatch.setattr(nanochat.kv_cache, "GROWTH", 64)
    model = tiny_model(sequence_len=256)
    fixed = FixedStep(model, {})
    fixed.records = True
    assert answers(model, fixed) == answers(model, None)
    assert 1 <= len(made) <= 8, "not once a step"


def test_gpu_uses_it_with_one_copy_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(tiny_model(), RustBPETokenizer.characters())
    assert engine.scheduler(2).fixed is None
    monkeypatch.setattr(NanoDeepseekOCR, "device", torch.device("cuda"))
    one, two = engine.scheduler(2).fixed, engine.scheduler(3).fixed
    assert one is not None and two is not None and one.records and one is not two
    assert one.copies is two.copies is engine.copies
