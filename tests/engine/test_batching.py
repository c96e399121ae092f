"""Continuous batching: answers join and leave between steps, do not depend on the batch, and record why they ended."""

import random
import time

import pytest
import torch
from helpers.tiny_model import pictures, tiny_model

from nanochat.engine import NO_GUARD, Engine, Guard
from nanochat.engine.answers import CHUNK, Answer, Prompt, Sampling
from nanochat.engine.batching import Scheduler
from nanochat.engine.constraints import Forbid
from nanochat.image_process import ImageViews
from nanochat.modes import ImageLayout
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()
BOS, END, IMAGE = (TOKENIZER.encode_special(name) for name in ("<|bos|>", "<|assistant_end|>", "<|image|>"))
GREEDY = [Sampling()]


@pytest.fixture
def engine() -> Engine:
    """An engine whose model ends no answer by itself."""
    model = tiny_model(sequence_len=256)
    with torch.no_grad():
        model.gpt.lm_head.weight[[BOS, END]] = 0
    return Engine(model, TOKENIZER)


def saying(engine: Engine, cycle: list[int], power: float = 20.0) -> None:
    """Make the model repeat `cycle` for any input: the embedding of each token leads to the next one."""
    gpt = engine.model.gpt
    with torch.no_grad():
        for name, weight in gpt.named_parameters():
            if name.endswith("c_proj.weight"):
                weight.zero_()
        axes = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0))).Q
        gpt.lm_head.weight.zero_()
        for place, token in enumerate(cycle):
            gpt.transformer["wte"].weight[token] = axes[place]
            gpt.lm_head.weight[cycle[(place + 1) % len(cycle)]] = axes[place] * power


def picture(number: int, height: int = 128, width: int = 128) -> ImageViews:
    return ImageViews(ImageLayout((height, width)), pictures(1, height, width, seed=number)[0])


def mixed_prompts(n: int) -> list[tuple[list[int], list[ImageViews]]]:
    """Prompts of 2 to 700 tokens with none, one or two images of several sizes."""
    draw, found = random.Random(n), []
    for number in range(n):
        shapes = [(64 * draw.randint(1, 2), 64 * draw.randint(1, 3)) for _ in range(draw.choice([0, 1, 1, 2]))]
        images = [picture(10 * number + i, *shape) for i, shape in enumerate(shapes)]
        places = [token for image in images for token in [IMAGE] * image.layout.n_tokens]
        length = draw.choice([1, 5, 30, 300])
        found.append(([BOS, *places, *draw.choices(range(256), k=length)], images))
    return found


def finish(scheduler: Scheduler, prompts: list[Prompt]) -> list[list[int]]:
    while scheduler.busy:
        scheduler.step()
    return [prompt.answers[0].generation.tokens for prompt in prompts]


def test_tokens_do_not_depend_on_batch_or_order_and_equal_naive_generation(engine: Engine) -> None:
    asked = mixed_prompts(9)

    def prompt(which: int) -> Prompt:
        return engine.prompt(*asked[which], 15, GREEDY, NO_GUARD)

    alone = []
    for which in range(9):
        scheduler, one = engine.scheduler(1), prompt(which)
        scheduler.submit(one)
        alone += finish(scheduler, [one])
    for which, tokens in enumerate(alone):
        ids, images = asked[which]
        plain = engine.model.generate(torch.tensor([ids]), images, max_new_tokens=15)[0, len(ids) :].tolist()
        assert tokens == plain
    for max_rows, seed in ((9, 0), (4, 1), (3, 2)):
        order = random.Random(seed).sample(range(9), 9)
        scheduler, prompts = engine.scheduler(max_rows), [prompt(which) for which in order]
        most = 0
        for one in prompts:
            scheduler.submit(one)
            scheduler.step()
            most = max(most, len(scheduler.rows))
        assert finish(scheduler, prompts) == [alone[which] for which in order]
        assert 2 <= most <= max_rows


def test_near_ties_are_rechecked_from_the_row_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """If two logits differ by less than rounding errors, the pass over the row alone decides."""
    with torch.no_grad():
        head = engine.model.gpt.lm_head.weight
        noise = torch.randn(head[128:256].shape, generator=torch.Generator().manual_seed(3))
        head[128:256] = head[:128] + 1e-7 * noise  # each token has a twin
    asked = mixed_prompts(6)
    plain = [
        engine.model.generate(torch.tensor([ids]), images, max_new_tokens=12)[0, len(ids) :].tolist()
        for ids, images in asked
    ]
    assert any(token >= 128 for tokens in plain for token in tokens) and any(t < 128 for r in plain for t in r)
    scheduler = engine.scheduler(6)
    prompts = [engine.prompt(*one, 12, GREEDY, NO_GUARD) for one in asked]
    hidden = engine.model.gpt.hidden

    def rounding(embeds, cache=None, positions=None):  # simulates larger rounding errors than any real batch
        states = hidden(embeds, cache, positions=positions)
        return states + 1e-5 * torch.randn(states.shape) if len(embeds) > 1 else states

    monkeypatch.setattr(engine.model.gpt, "hidden", rounding)
    for one in prompts:
        scheduler.submit(one)
    assert finish(scheduler, prompts) == plain
    assert scheduler.rechecks > 30


def test_equal_logits_are_not_rechecked(engine: Engine) -> None:
    with torch.no_grad():
        engine.model.gpt.lm_head.weight.zero_()
    scheduler, one = engine.scheduler(1), engine.prompt([BOS], [], 20, GREEDY, NO_GUARD)
    scheduler.submit(one)
    assert finish(scheduler, [one]) == [[0] * 20]
    assert scheduler.rechecks == 0


def test_long_prompts_are_processed_in_chunks_between_decoding_steps(engine: Engine) -> None:
    short, long = (engine.prompt([BOS] * n, [], 30, GREEDY, NO_GUARD) for n in (3, 3 * CHUNK + 10))
    alone = engine.generate_batch([long.tokens], max_tokens=30, guard=NO_GUARD)[0].tokens
    widest = 0

    def look(_, inputs: tuple) -> None:
        nonlocal widest
        widest = max(widest, inputs[0].size(1))

    hook = engine.model.gpt.get_submodule("transformer.h.0").register_forward_pre_hook(look)
    scheduler = engine.scheduler(2)
    scheduler.submit(short)
    scheduler.submit(long)
    steps_until_joined = 0
    while not long.answers[0].generation.tokens:
        scheduler.step()
        steps_until_joined += 1
    assert widest == CHUNK
    assert len(short.answers[0].generation.tokens) >= steps_until_joined - 1 >= 4  # it continued meanwhile
    hook.remove()
    assert finish(scheduler, [short, long])[1] == alone


def test_cancelled_answer_leaves_at_once_in_any_state(engine: Engine) -> None:
    scheduler = engine.scheduler(2)
    running, reading, waiting, last = (engine.prompt([BOS] * n, [], 40, GREEDY, NO_GUARD) for n in (3, CHUNK * 2, 4, 5))
    for prompt in (running, reading, waiting, last):
        scheduler.submit(prompt)
    scheduler.step()
    scheduler.step()
    for prompt in (running, reading, waiting):
        prompt.answers[0].cancelled = True
    scheduler.step()
    scheduler.step()
    scheduler.step()
    assert [p.answers[0].generation.stopped for p in (running, reading, waiting)] == ["cancelled"] * 3
    assert [prompt for prompt, _ in scheduler.rows] == [last]
    assert len(finish(scheduler, [last])[0]) == 40


def test_time_limit_is_reported_as_the_reason(engine: Engine) -> None:
    late = engine.prompt([BOS], [], 200, GREEDY, Guard(seconds=3600))
    late.answers[0].deadline = time.monotonic() - 1
    scheduler = engine.scheduler(1)
    scheduler.submit(late)
    finish(scheduler, [late])
    assert (late.answers[0].generation.stopped, late.answers[0].generation.tokens) == ("time", [])
    [answer] = engine.generate_batch([[BOS]], max_tokens=100_000, guard=Guard(stop_loops=False, seconds=0.2))
    assert answer.stopped == "time" and 0 < len(answer.tokens) < 2400  # what was read so far is kept


def test_short_prompts_are_processed_together_and_long_ones_alone(engine: Engine) -> None:
    asked = [([BOS, *range(n), *[n % 50] * (3 * n)], []) for n in (3, 9, 5, 120, 4)]
    alone = [engine.generate_batch([ids], max_tokens=10, guard=NO_GUARD)[0].tokens for ids, _ in asked]
    scheduler = engine.scheduler(5)
    prompts = [engine.prompt(ids, images, 10, GREEDY, NO_GUARD) for ids, images in asked]
    for one in prompts:
        scheduler.submit(one)
    read = [len([answer for answer in scheduler.fill() if answer.generation.tokens]) for _ in range(3)]
    assert read == [3, 1, 1]
    assert finish(scheduler, prompts) == alone


def test_requests_take_turns(engine: Engine) -> None:
    scheduler = engine.scheduler(2)
    submitted = [Prompt([BOS], [], [Answer((1, "length"))], request) for request in ("page", "page", "page", "other")]
    for one in [*submitted, Prompt([BOS], [], [Answer((1, "length"))]), Prompt([BOS], [], [Answer((1, "length"))])]:
        scheduler.submit(one)
    turns = [one.request if isinstance(one.request, str) else "its own" for one in scheduler.waiting]
    assert turns == ["page", "other", "its own", "its own", "page", "page"]
    scheduler.submit(Prompt([BOS], [], [Answer((1, "length"))], "other"))
    assert [one.request for one in scheduler.waiting][-3:] == ["page", "other", "page"]
    while scheduler.busy:
        scheduler.step()
    assert all(one.answers[0].generation.stopped == "length" for one in submitted)


def test_prompt_with_several_answers_is_processed_once(engine: Engine) -> None:
    samplings = [Sampling(0.9, 20, seed) for seed in (1, 2, 1)]
    prompt = engine.prompt(*mixed_prompts(3)[1], 15, samplings, NO_GUARD)
    reads = []
    engine.model.sam_model.register_forward_pre_hook(lambda *_: reads.append(1))
    scheduler = engine.scheduler(3)
    scheduler.submit(prompt)
    finish(scheduler, [prompt])
    first, second, third = (answer.generation.tokens for answer in prompt.answers)
    assert first == third != second and len(reads) == len(mixed_prompts(3)[1][1])


@pytest.mark.parametrize("period", [1, 7, 31])
def test_loop_is_stopped_and_its_first_copy_kept(engine: Engine, period: int) -> None:
    cycle = [*range(65, 64 + period), 10]
    saying(engine, cycle)
    [answer] = engine.generate_batch([[BOS, 10]], max_tokens=900, guard=Guard(rows=5))
    assert (answer.stopped, answer.tokens) == ("loop", cycle)
    assert 4 * period < answer.dropped < 6 * period + 8 and len(answer.probabilities) == period
    [cut] = engine.generate_batch([[BOS, 10]], max_tokens=140)
    assert (cut.stopped, cut.tokens) == ("loop", cycle)
    [raw] = engine.generate_batch([[BOS, 10]], max_tokens=140, guard=NO_GUARD)
    assert raw.stopped == "length" and len(raw.tokens) == 140


def test_answer_can_continue_after_one_loop(engine: Engine) -> None:
    """The model repeats a cycle. When the cycle is banned, it takes the second most likely token, which ends."""
    cycle = [*range(65, 74), 10]
    saying(engine, cycle)
    head = engine.model.gpt.lm_head.weight
    with torch.no_grad():
        head[END] = 0.5 * head[cycle[0]]  # after the last token of the cycle, the end token is second
    company = [BOS, 70, 71]
    guard = Guard(rows=5, retry=True)
    answer, other = engine.generate_batch([[BOS, 10], company], max_tokens=90, guard=guard)
    assert (answer.stopped, answer.tokens, answer.repaired) == ("end", cycle, True)
    assert answer.dropped > 40 and len(answer.probabilities) == len(cycle) + 1
    assert other.tokens[:4] == [72, 73, 10, 65]


def test_second_loop_is_reported(engine: Engine) -> None:
    """A unit longer than the window of `NoRepeatNgram` repeats again."""
    before, unit = [*range(48, 58)], random.Random(0).choices(range(97, 123), k=95)
    answer = Answer((10_000, "length"), watch=engine.loops.watch(), retry=True)
    said = iter(before + unit * 20)
    while not answer.extend(next(said), 0.5, {END}):
        assert answer.generation.stopped is None
    once = before + unit
    assert answer.generation.tokens == once and answer.last == once[-1] and answer.generation.repaired
    assert [set(constraint.banned(once)) for constraint in answer.constraints] == [{unit[0]}, set()]
    said = iter([32, *unit * 20])
    while answer.generation.stopped is None:
        assert not answer.extend(next(said), 0.5, {END})
    generation = answer.generation
    assert (generation.stopped, generation.repaired) == ("loop", False)
    assert generation.tokens == [*once, 32, *unit] and generation.dropped > 600
    assert len(generation.probabilities) == len(generation.tokens)


def test_constraints_hold_and_probabilities_are_unconstrained(engine: Engine) -> None:
    prompt = [BOS, 5, 6]
    [free] = engine.generate_batch([prompt], max_tokens=10, guard=NO_GUARD)
    never = tuple(Forbid(free.tokens[0], place) for place in range(10))
    [bound] = engine.generate_batch([prompt], max_tokens=10, guard=Guard(never))
    assert free.tokens[0] not in bound.tokens and bound.probabilities[0] < free.probabilities[0]
    with torch.no_grad():
        logits = engine.model(torch.tensor([prompt]))[0, -1]
    logits[IMAGE] = -torch.inf
    assert bound.probabilities[0] == pytest.approx(torch.softmax(logits, 0)[bound.tokens[0]].item(), abs=1e-5)


def test_settled_tokens_are_never_removed(engine: Engine) -> None:
    saying(engine, [*range(65, 84), 10])
    prompt = engine.prompt([BOS, 10], [], 900, GREEDY, Guard(rows=6))
    scheduler, shown = engine.scheduler(1), 0
    scheduler.submit(prompt)
    answer: Answer = prompt.answers[0]
    while scheduler.busy:
        scheduler.step()
        shown = max(shown, answer.settled)
        assert answer.generation.stopped or shown <= 20
    assert shown == len(answer.generation.tokens) == 20
