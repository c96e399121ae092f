"""Measure prefill and decoding, relative to memory bandwidth and to `transformers`."""

import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from dev.bench.rates import copy_rate
from nanochat.engine import NO_GUARD, Engine
from nanochat.engine.answers import Sampling
from nanochat.engine.int8 import Int8Linear, to_int8
from nanochat.gpt import GPT
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.precision import Precision
from nanochat.tokenizer import RustBPETokenizer

REPEATS = 3


@dataclass
class DecodeReport:
    """Tokens per second are for all rows together; times are the shortest of three runs."""

    batch_size: int
    prompt: int
    """tokens of each row's prompt"""
    tokens: int
    """tokens decoded for each row"""
    precision: str
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    bytes_per_step: float
    """bytes read per step: all weights once, and the mean size of the KV cache of all rows"""
    copy_bytes: float
    """bytes per second of a plain copy of the same size"""
    mbu: float
    """bytes moved, relative to a plain copy in the same time"""
    unrecorded_tokens_per_second: float | None
    """of our engine without a recorded CUDA graph; None on a CPU, where there is none"""
    naive_tokens_per_second: float | None
    """of `NanoDeepseekOCR.generate`, which recomputes everything; None if it was not run"""
    equal_to_naive: bool | None
    transformers_tokens_per_second: float | None
    """of `generate` of transformers' NanoChat with our weights, including the prompt; None if not installed"""
    ours_with_prompt_tokens_per_second: float
    equal_to_transformers: float | None
    """share of equal tokens"""
    rechecks: int
    """number of choices that were rechecked (`batching.py`); their time is included"""


def bytes_per_step(gpt: GPT, precision: Precision, batch: int, mean_length: float) -> float:
    """Bytes that one decoding step must read: every weight of blocks and head once, and the cache [definition]."""
    item = precision.dtype().itemsize
    weights = sum(item * part.weight.numel() for part in gpt.modules() if isinstance(part, nn.Linear))
    weights += sum(part.int8.numel() for part in gpt.modules() if isinstance(part, Int8Linear))
    config = gpt.config
    cache = 2 * config.n_layer * config.n_kv_head * (config.n_embd // config.n_head) * mean_length * batch
    return weights + item * cache


def to_transformers(gpt: GPT, device: torch.device, dtype: torch.dtype):
    """NanoChat of `transformers` with the weights of this GPT; None if it is not available."""
    if importlib.util.find_spec("transformers") is None:
        return None
    try:
        from transformers import NanoChatConfig, NanoChatForCausalLM
    except ImportError:
        return None
    c = gpt.config
    config = NanoChatConfig(
        vocab_size=c.vocab_size, hidden_size=c.n_embd, intermediate_size=4 * c.n_embd, num_hidden_layers=c.n_layer,
        num_attention_heads=c.n_head, num_key_value_heads=c.n_kv_head, max_position_embeddings=c.reach,
    )  # fmt: skip
    theirs = NanoChatForCausalLM(config).eval()
    names = {"c_q": "self_attn.q_proj", "c_k": "self_attn.k_proj", "c_v": "self_attn.v_proj"}
    state = {}
    for name, weight in gpt.named_parameters():
        if not name.startswith("transformer.h."):
            state["lm_head.weight" if "lm_head" in name else "model.embed_tokens.weight"] = weight
            continue
        _, _, layer, where, part, _ = name.split(".")
        ours = f"{where}.{part}"
        mlp_or_out = {"attn.c_proj": "self_attn.o_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
        state[f"model.layers.{layer}.{mlp_or_out.get(ours) or names[part]}.weight"] = weight
    theirs.load_state_dict(state)
    return theirs.to(device, dtype)


def _take_turns(runs: dict[str, Callable[[], Any]], device: torch.device) -> tuple[dict[str, float], dict[str, Any]]:
    """Shortest time and last result of each. They take turns, so that other programs slow all of them equally."""
    seconds, results = dict.fromkeys(runs, math.inf), dict[str, Any]()
    for _ in range(REPEATS):
        for name, run in runs.items():
            if device.type == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            results[name] = run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds, results


def _answer(engine: Engine, ids: Tensor, n: int, recorded: bool) -> tuple[Tensor, int]:
    """(the first `n` tokens of each answer to prompts `ids` (rows, tokens), number of choices rechecked).

    `recorded`: on a GPU, decode with the CUDA graph.
    """
    scheduler = engine.scheduler(len(ids))
    if not recorded:
        scheduler.fixed = None
    prompts = [engine.prompt(row, [], n, [Sampling()], NO_GUARD) for row in ids.tolist()]
    for one in prompts:
        scheduler.submit(one)
    while scheduler.reading:
        scheduler.fill()
    while scheduler.busy:
        scheduler.decode()
    return torch.tensor([one.answers[0].generation.tokens for one in prompts]), scheduler.rechecks


def measure_decode(
    model: NanoDeepseekOCR, precision: Precision, batch: int, prompt: int, tokens: int, naive: bool, int8: bool = False
) -> DecodeReport:
    """Decode `tokens` tokens after random prompts, greedily; the output layers of the model must not be zero.

    `int8`: use 8-bit weights on our side, but not in `transformers`.
    """
    device, gpt = model.device, model.gpt.eval()
    engine = Engine(model, RustBPETokenizer.characters())
    engine.end_tokens = set()  # with random weights, an answer could end early
    ids = torch.randint(0, 256, (batch, prompt), generator=torch.Generator().manual_seed(0))

    def answer(n: int, recorded: bool = True) -> tuple[Tensor, int]:
        with precision.autocast(device):
            return _answer(engine, ids, n, recorded)

    def again_and_again() -> Tensor:
        with precision.autocast(device):
            return model.generate(ids.to(device), max_new_tokens=tokens + 1)[:, prompt:].cpu()

    runs: dict[str, Callable[[], Any]] = {"first": lambda: answer(1), "ours": lambda: answer(tokens + 1)}
    if device.type == "cuda":
        runs |= {"first unrecorded": lambda: answer(1, False), "unrecorded": lambda: answer(tokens + 1, False)}
    if naive:
        runs["naive"] = again_and_again
    theirs = _transformers(gpt, precision, ids, tokens + 1, model.config.image_token_id)
    if theirs is not None:
        runs["theirs"] = theirs
        theirs()  # warm-up
    if int8:
        to_int8(gpt)
    answer(4)
    seconds, found = _take_turns(runs, device)
    ours, rechecks = found["ours"]
    n, decoding = batch * (tokens + 1), seconds["ours"] - seconds["first"]
    unrecorded = seconds["unrecorded"] - seconds["first unrecorded"] if "unrecorded" in seconds else None
    moved = bytes_per_step(gpt, precision, batch, prompt + tokens / 2)
    rate = max(copy_rate(int(moved), device), copy_rate(2**28, device))
    return DecodeReport(
        batch_size=batch, prompt=prompt, tokens=tokens, precision="int8" if int8 else precision.name,
        prefill_tokens_per_second=batch * prompt / seconds["first"],
        decode_tokens_per_second=batch * tokens / decoding,
        bytes_per_step=moved, copy_bytes=rate, mbu=moved * tokens / decoding / rate,
        unrecorded_tokens_per_second=batch * tokens / unrecorded if unrecorded else None,
        naive_tokens_per_second=n / seconds["naive"] if naive else None,
        equal_to_naive=torch.equal(found["naive"], ours) if naive else None,
        transformers_tokens_per_second=n / seconds["theirs"] if theirs else None,
        ours_with_prompt_tokens_per_second=n / seconds["ours"],
        equal_to_transformers=float((found["theirs"] == ours).float().mean()) if theirs else None,
        rechecks=rechecks,
    )  # fmt: skip


def _transformers(
    gpt: GPT, precision: Precision, ids: Tensor, tokens: int, image_token_id: int
) -> Callable[[], Tensor] | None:
    """A function that returns their greedy answers to the prompts, (rows, tokens); None if not installed."""
    device = gpt.lm_head.weight.device
    theirs = to_transformers(gpt, device, precision.dtype())
    if theirs is None:
        return None
    banned = [image_token_id]  # our engine never generates it
    options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None, "suppress_tokens": banned}

    @torch.inference_mode()
    def generate() -> Tensor:
        where = ids.to(device)
        found = theirs.generate(
            where, attention_mask=torch.ones_like(where), min_new_tokens=tokens, max_new_tokens=tokens, **options
        )
        return found[:, ids.size(1) :].cpu()

    return generate
