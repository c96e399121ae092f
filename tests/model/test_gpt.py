"""The GPT, compared with its formulas written as plain loops, and its KV cache, compared with no cache."""

import math
import warnings

import pytest
import torch
from helpers.tiny_model import randomise
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nanochat.gpt
import nanochat.kv_cache
from nanochat.gpt import GPT, GPTConfig, KVCache, apply_rotary

VOCAB = 50


ANSWER, NEWLINE = 3, 7


def tiny_gpt(n_head: int = 4, n_kv_head: int = 2, seed: int = 0, line_stride: int = 0) -> GPT:
    config = GPTConfig(16, VOCAB, 2, n_head, n_kv_head, 32, line_stride, line_tokens=(ANSWER, NEWLINE))
    gpt = GPT(config)
    randomise(gpt, seed)
    return gpt


def some_ids(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(0, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def some_text(*shape: int, seed: int = 1) -> Tensor:
    """Random ids, of which every third starts an answer or a line."""
    ids, starts = some_ids(*shape, seed=seed), torch.tensor([ANSWER, NEWLINE, NEWLINE])
    return torch.where(ids % 3 == 0, starts[ids % 5 % 3], ids)


def rms(x: Tensor) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()


def turned(vector: Tensor, position: int | Tensor) -> Tensor:
    """Rotary embedding as complex numbers: halves are real and imaginary parts, turned backwards.

    `position`: one number, or one for each pair of channels.
    """
    half = len(vector) // 2
    angles = position * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    z = torch.complex(vector[:half], vector[half:]) * torch.polar(torch.ones(half, dtype=torch.float64), -angles)
    return torch.cat([z.real, z.imag])


def plain_positions(gpt: GPT, ids: Tensor) -> Tensor:
    """The definition of positions, with a line stride or not: ids (T,) -> one position for each pair, (T, D/2)."""
    width, stride = gpt.config.n_embd // gpt.config.n_head, gpt.config.line_stride
    columns, lines = list(range(len(ids))), list(range(len(ids)))
    if stride and ANSWER in ids:
        start = ids.tolist().index(ANSWER)
        text = ids[start:].tolist()
        for t in range(len(text)):
            before = text[1 : t + 1]  # the present token included
            line = before.count(NEWLINE)
            column = t if not line else before[::-1].index(NEWLINE)
            columns[start + t], lines[start + t] = start + column, start + column + line * stride
    fast = torch.tensor([10_000.0 ** (-pair / (width // 2)) * stride > math.pi for pair in range(width // 2)])
    return torch.where(fast, torch.tensor(columns)[:, None], torch.tensor(lines)[:, None])


def plain_logits(gpt: GPT, ids: Tensor) -> Tensor:
    """The definition, one position and one head at a time, in float64: ids (T,) -> logits (T, V)."""
    positions = plain_positions(gpt, ids)
    n_head, n_kv_head = gpt.config.n_head, gpt.config.n_kv_head
    width = gpt.config.n_embd // n_head
    weights = {name: weight.detach().double() for name, weight in gpt.named_parameters()}
    x = rms(weights["transformer.wte.weight"][ids])
    for layer in range(gpt.config.n_layer):
        w = {n.split(".", 3)[3]: p for n, p in weights.items() if n.startswith(f"transformer.h.{layer}.")}
        h, y = rms(x), torch.zeros_like(x)
        q, k, v = (h @ w[f"attn.c_{name}.weight"].T for name in "qkv")
        for head in range(n_head):
            of_q, of_kv = head * width, head // (n_head // n_kv_head) * width
            for t in range(len(ids)):
                query = rms(turned(q[t, of_q : of_q + width], positions[t]))
                keys = torch.stack([rms(turned(k[s, of_kv : of_kv + width], positions[s])) for s in range(t + 1)])
                share = torch.softmax(keys @ query / math.sqrt(width), 0)
                y[t, of_q : of_q + width] = share @ v[: t + 1, of_kv : of_kv + width]
        x = x + y @ w["attn.c_proj.weight"].T
        x = x + (rms(x) @ w["mlp.c_fc.weight"].T).clamp(min=0) ** 2 @ w["mlp.c_proj.weight"].T
    return 15 * torch.tanh(rms(x) @ weights["lm_head.weight"].T / 15)


@pytest.mark.parametrize(("n_head", "n_kv_head"), [(4, 4), (4, 2), (4, 1), (2, 2)])
def test_logits_follow_the_definition(n_head: int, n_kv_head: int) -> None:
    gpt, ids = tiny_gpt(n_head, n_kv_head), some_ids(2, 9)
    with torch.no_grad():
        logits = gpt(ids)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits[0].double(), plain_logits(gpt, ids[0]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits[1].double(), plain_logits(gpt, ids[1]), atol=1e-4, rtol=1e-4)


def test_rotary_embedding_rotates_backwards_and_preserves_distances() -> None:
    x = torch.randn(6, generator=torch.Generator().manual_seed(0)).double()
    angles = 5 * 10_000.0 ** (-torch.arange(3, dtype=torch.float64) / 3)
    torch.testing.assert_close(apply_rotary(x, angles.cos(), angles.sin()), turned(x, 5))
    torch.testing.assert_close(turned(x, 7) @ turned(x.flip(0), 4), turned(x, 13) @ turned(x.flip(0), 10))


@pytest.mark.parametrize("text", [[5, ANSWER, 9, NEWLINE, 8, 6, NEWLINE, NEWLINE, 1], [NEWLINE, 4, ANSWER, NEWLINE, 2]])
def test_logits_follow_the_definition_with_columns_and_lines(text: list[int]) -> None:
    gpt, ids = tiny_gpt(line_stride=64), torch.tensor(text)  # 64, 6.4, 0.64 and 0.064 radians for each line
    with torch.no_grad():
        logits = gpt(ids[None])[0].double()
        torch.testing.assert_close(logits, plain_logits(gpt, ids), atol=1e-4, rtol=1e-4)
        by_index = tiny_gpt()(ids[None])[0].double()
    assert (logits - by_index)[-1].abs().max() > 1e-2, "lines matter"


def test_a_character_too_many_does_not_move_the_lines_that_follow() -> None:
    gpt, right = tiny_gpt(line_stride=64), [5, 5, ANSWER, 9, 9, NEWLINE, 8, 6, NEWLINE, 1]
    wrong = [*right[:4], 9, 9, *right[4:]]
    first, second = (gpt.positions(torch.tensor([ids])) for ids in (right, wrong))
    assert first is not None and second is not None
    assert first[0, 5:].tolist() == second[0, 7:].tolist() == [[2, 66], [3, 67], [4, 68], [2, 130], [3, 131]]


@pytest.mark.parametrize("tokens", [(-1, 10), (3, VOCAB)])
def test_lines_need_the_tokens_that_start_them(tokens: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="line_tokens"):
        GPTConfig(vocab_size=VOCAB, line_stride=64, line_tokens=tokens)


@pytest.mark.parametrize("chunk", [1024, 3])
def test_loss_and_gradients_equal_the_plain_formula(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nanochat.gpt, "LOSS_CHUNK", chunk)
    gpt, ids, targets = tiny_gpt(), some_ids(2, 8), some_ids(2, 8, seed=2)
    targets[0, :3] = targets[1, 5] = -1
    kept = targets.flatten() != -1

    def plain() -> Tensor:
        capped = 15 * torch.tanh(gpt.lm_head(gpt.hidden(gpt.embed(ids))) / 15).flatten(0, 1)  # (B T, V)
        picked = capped.gather(1, targets.flatten().clamp(min=0)[:, None])[:, 0]
        return torch.where(kept, capped.exp().sum(-1).log() - picked, 0.0)

    expected = plain()
    torch.testing.assert_close(gpt(ids, targets, loss_reduction="none"), expected.view(2, 8))
    torch.testing.assert_close(gpt(ids, targets, loss_reduction="sum"), expected.sum())
    torch.testing.assert_close(gpt(ids, targets), expected.sum() / 12)
    wanted = torch.autograd.grad(expected.sum() / 12, list(gpt.parameters()))
    given = torch.autograd.grad(gpt(ids, targets), list(gpt.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in wanted)
    torch.testing.assert_close(given, wanted)


def test_loss_without_supervised_tokens_is_zero_not_nan() -> None:
    gpt = tiny_gpt()
    loss = gpt(some_ids(2, 4), torch.full((2, 4), -1))
    loss.backward()
    assert loss.item() == 0 and all(not p.grad.isnan().any() for p in gpt.parameters() if p.grad is not None)


def test_initial_weights() -> None:
    """Before training all tokens are equally likely, and linear layers have the standard deviations of nanochat."""
    gpt = GPT(GPTConfig(sequence_len=16, vocab_size=512, n_layer=1, n_head=4, n_kv_head=1, n_embd=256))
    with torch.no_grad():
        loss = gpt(some_ids(1, 8), some_ids(1, 8, seed=2)).item()
    assert loss == pytest.approx(math.log(512), abs=1e-5)
    spreads = {name: weight.std().item() for name, weight in gpt.named_parameters()}
    assert spreads["transformer.wte.weight"] == pytest.approx(1, rel=0.05)
    assert spreads["transformer.h.0.attn.c_q.weight"] == pytest.approx(1 / 16, rel=0.05)
    assert spreads["transformer.h.0.attn.c_k.weight"] == pytest.approx(1 / 32, rel=0.05)  # 64 out of 256: half of it
    assert spreads["transformer.h.0.mlp.c_fc.weight"] == pytest.approx(1 / 16, rel=0.05)  # wider output: no more


def new_cache(gpt: GPT, batch: int) -> KVCache:
    return KVCache(gpt.config, batch, "cpu", torch.float32)


@settings(max_examples=12)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.sampled_from([(4, 4), (4, 2)]), st.sampled_from([0, 64]))
def test_cached_pieces_of_any_size_equal_one_pass(pieces: list[int], heads: tuple[int, int], line_stride: int) -> None:
    gpt, ids = tiny_gpt(*heads, line_stride=line_stride), some_text(3, sum(pieces))
    cache = new_cache(gpt, 3)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(nanochat.kv_cache, "GROWTH", 1)  # the cache grows by one token at a time
        logits = torch.cat([gpt(piece, kv_cache=cache) for piece in ids.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(logits, gpt(ids), atol=1e-4, rtol=1e-4)
    assert cache.lengths == [sum(pieces)] * 3


@settings(max_examples=12)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.sampled_from([0, 64]),
)
def test_rows_of_different_lengths_equal_each_row_alone(
    lengths: list[int], pieces: list[int], line_stride: int
) -> None:
    gpt, rows, new = tiny_gpt(line_stride=line_stride), len(lengths), sum(pieces)
    ids, padded = some_text(rows, 9 + new), some_text(rows, max(lengths), seed=3)  # nonzero padding shows leaks
    for row, length in enumerate(lengths):
        padded[row, :length] = ids[row, :length]
    cache = new_cache(gpt, rows)
    with torch.no_grad():
        gpt(padded, kv_cache=cache)
        cache.truncate(lengths)
        further = torch.stack([ids[row, length : length + new] for row, length in enumerate(lengths)])
        logits = torch.cat([gpt(piece, kv_cache=cache) for piece in further.split(pieces, dim=1)], dim=1)
        for row, length in enumerate(lengths):
            alone = gpt(ids[row : row + 1, : length + new])[0, length:]
            torch.testing.assert_close(logits[row], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("line_stride", [0, 64])
def test_rows_join_and_leave_the_cache(line_stride: int) -> None:
    """Rows of other caches join, one of them twice; the space of removed rows is used again."""
    gpt, ids = tiny_gpt(line_stride=line_stride), some_text(4, 6)
    lengths, joined = [5, 2, 4, 3], new_cache(gpt, 0)
    with torch.no_grad():

        def join(row: int) -> None:
            alone = new_cache(gpt, 1)
            gpt(ids[row : row + 1, : lengths[row]], kv_cache=alone)
            joined.join(alone)

        for row in (0, 1, 0, 2):
            join(row)
        joined.leave(1)  # row 2, the last one, moves to its index
        joined.leave(2)
        join(3)
        assert joined.lengths == [5, 4, 3]
        logits = gpt(ids[[0, 2, 3], 5:], kv_cache=joined)[:, 0]
        for place, (row, length) in enumerate(zip((0, 2, 3), (5, 4, 3))):
            alone = gpt(torch.cat([ids[row, :length], ids[row, 5:]])[None])[0, -1]
            torch.testing.assert_close(logits[place], alone, atol=1e-4, rtol=1e-4)
        for _ in range(3):
            joined.leave(0)
        join(1)
        assert joined.lengths == [2] and joined.k[0].size(0) < 8  # no space is lost


def test_cache_has_the_requested_dtype() -> None:
    gpt, ids = tiny_gpt(), some_ids(2, 8)
    cache = KVCache(gpt.config, 2, "cpu", torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        whole = gpt(ids)
        logits = torch.cat([gpt(piece, kv_cache=cache) for piece in ids.split([5, 1, 2], dim=1)], dim=1)
    assert cache.k[0].dtype == cache.v[1].dtype == torch.bfloat16
    torch.testing.assert_close(logits, whole, atol=0.15, rtol=0.05)


def test_number_of_heads_comes_from_the_weights() -> None:
    """The published d20 has 10 heads: in a model built for 16, nothing would fail, but all results would be wrong."""
    trained, ids = tiny_gpt(4, 4), some_ids(1, 8)
    other = tiny_gpt(8, 8, seed=1)
    with torch.no_grad():
        expected = trained(ids)
        with pytest.warns(UserWarning, match=r"4 heads.*built\s+with 8"):
            other.load_state_dict(trained.state_dict())
        assert (other.config.n_head, other.config.n_kv_head) == (4, 4)
        torch.testing.assert_close(other(ids), expected)
        other.set_heads(8, 8)
        assert (other(ids) - expected).abs().max() > 0.1  # the reason for the warning
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_gpt(4, 4, seed=2).load_state_dict(trained.state_dict())


@pytest.mark.parametrize("heads", [(5, 5), (32, 32), (4, 3)])
def test_number_of_heads_must_divide_the_width(heads: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"divide"):
        GPTConfig(n_head=heads[0], n_kv_head=heads[1], n_embd=32)


@pytest.mark.parametrize("held", [0, 3])
def test_hidden_states_at_selected_positions(held: int) -> None:
    gpt, ids = tiny_gpt(), some_ids(3, 5)
    at = torch.tensor([4, 5, 9, 13])  # counted row by row
    found = []
    for places in (None, at):
        cache = KVCache(gpt.config, 3, "cpu", torch.float32)
        if held:
            gpt(some_ids(3, held, seed=2), kv_cache=cache)
        found.append(gpt.hidden(gpt.embed(ids), cache, at=places))
        assert cache.lengths == [held + 5] * 3
    torch.testing.assert_close(found[1], found[0].flatten(0, 1)[at], atol=1e-6, rtol=1e-5)
