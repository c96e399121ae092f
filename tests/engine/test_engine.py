"""The engine generates the tokens of naive generation, for one prompt or many, with their probabilities."""

import pytest
import torch
from helpers.tiny_model import IMAGE, N_TOKENS, pictures, randomise, tiny_model
from PIL import Image

from nanochat.engine import Engine, Guard, Sampling
from nanochat.engine.answers import Answer
from nanochat.engine.batching import Scheduler
from nanochat.errors import UserError
from nanochat.gpt import KVCache
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()
BOS, END = TOKENIZER.get_bos_token_id(), TOKENIZER.encode_special("<|assistant_end|>")
PICTURE = [IMAGE] * N_TOKENS
PROMPTS = [[BOS, *PICTURE, 1, 2, 3], [BOS, 4], [BOS, *PICTURE, 5, *PICTURE, 6, 7, 8, 9], [BOS, 10, 11, 12]]
PICTURES_OF = [slice(0, 1), slice(0, 0), slice(1, 3), slice(0, 0)]  # which of three pictures belong to each prompt


def naive(model: NanoDeepseekOCR, prompt: list[int], pixels: torch.Tensor, n: int, **sampling) -> list[int]:
    return model.generate(torch.tensor([prompt]), pixels, max_new_tokens=n, **sampling)[0, len(prompt) :].tolist()


def ending_at(model: NanoDeepseekOCR, prompt: list[int], pixels: torch.Tensor, n: int, end: int = END) -> list[int]:
    """Swap rows of the output head so that the model generates `end` after its first `n` tokens. Returns these."""
    tokens = naive(model, prompt, pixels, n + 1)
    last = tokens[n]
    assert last not in tokens[:n] and end not in tokens
    with torch.no_grad():
        head = model.gpt.lm_head.weight
        head[[last, end]] = head[[end, last]]
    return tokens[:n]


@pytest.fixture
def engine() -> Engine:
    """An engine whose model ends its answers only if a test makes it."""
    model = tiny_model()
    with torch.no_grad():
        model.gpt.lm_head.weight[[BOS, END]] = 0
    return Engine(model, TOKENIZER)


@pytest.mark.parametrize("row", range(4))
def test_greedy_tokens_equal_naive_generation(engine: Engine, row: int) -> None:
    pixels = pictures(3)[PICTURES_OF[row]]
    expected = naive(engine.model, PROMPTS[row], pixels, 30)
    steps = list(engine.generate(PROMPTS[row], pixels, max_tokens=30, temperature=0.0))
    assert [column for column, _ in steps] == [[token] for token in expected]
    assert all(masks == [1] for _, masks in steps)
    assert len(set(expected)) > 5  # with a single repeated token, the test would prove nothing


def test_batch_of_different_prompts_equals_each_alone(engine: Engine) -> None:
    answers = engine.generate_batch(PROMPTS, pictures(3), max_tokens=30)
    for prompt, which, answer in zip(PROMPTS, PICTURES_OF, answers, strict=True):
        assert answer.tokens == naive(engine.model, prompt, pictures(3)[which], 30)
        assert answer.stopped == "length"


def test_greedy_answers_depend_on_the_image(engine: Engine) -> None:
    right, wrong = engine.generate_batch([PROMPTS[0]] * 2, pictures(2), max_tokens=10)
    assert right.tokens != wrong.tokens


def test_each_row_stops_at_its_end_and_the_others_continue(engine: Engine) -> None:
    first = ending_at(engine.model, PROMPTS[0], pictures(1), 3)
    others = [naive(engine.model, PROMPTS[row], pictures(3)[PICTURES_OF[row]], 12) for row in (1, 2, 3)]
    batches: list[int] = []
    block = engine.model.gpt.get_submodule("transformer.h.0")
    block.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    answers = engine.generate_batch(PROMPTS, pictures(3), max_tokens=12)
    for answer, plain in zip(answers, [[*first, END], *others]):
        expected = plain[: plain.index(END)] if END in plain else plain
        assert answer.tokens == expected
        assert answer.stopped == ("end" if END in plain else "length")
        assert len(answer.probabilities) == len(expected) + (END in plain)
    assert batches[0] == 4 and batches == sorted(batches, reverse=True) and batches[4] < 4  # no work for ended rows


@pytest.mark.parametrize("end", [END, BOS])
def test_stream_ends_with_the_end_token(engine: Engine, end: int) -> None:
    tokens = ending_at(engine.model, PROMPTS[0], pictures(1), 4, end)
    columns = [column for column, _ in engine.generate(PROMPTS[0], pictures(1), max_tokens=20, temperature=0.0)]
    assert columns == [[token] for token in [*tokens, end]]


def test_ended_rows_repeat_their_end_token(engine: Engine) -> None:
    with torch.no_grad():
        engine.model.gpt.lm_head.weight[END] = 3 * engine.model.gpt.lm_head.weight[7]  # likely, sooner or later
    steps = list(engine.generate(PROMPTS[1], num_samples=4, max_tokens=60, temperature=1.5, seed=1))
    lengths = set()
    for row in range(4):
        tokens, masks = [column[row] for column, _ in steps], [masks[row] for _, masks in steps]
        n = sum(masks)
        lengths.add(n)
        assert masks == [1] * n + [0] * (len(steps) - n)
        ends = [token in (END, BOS) for token in tokens]
        assert not any(ends[: n - 1]) and (all(ends[n - 1 :]) or n == 60)
    assert len(steps) == max(lengths) and len(lengths) > 1


def test_samples_follow_the_distribution_of_the_model(engine: Engine) -> None:
    """Each row samples its own first token, with the probabilities of the softmax at this temperature."""
    n = 4000
    [(column, _)] = engine.generate(PROMPTS[0], pictures(1), num_samples=n, max_tokens=1, temperature=0.7)
    with torch.no_grad():
        logits = engine.model(torch.tensor([PROMPTS[0]]), pixel_values=pictures(1))[0, -1]
    logits[IMAGE] = -torch.inf
    expected = torch.softmax(logits / 0.7, 0)
    found = torch.bincount(torch.tensor(column), minlength=323) / n
    assert (found - expected).abs().max() < 4 * (0.25 / n) ** 0.5  # four standard deviations at most
    assert 2 < (expected > 0.01).sum() < 100


def test_equal_seeds_repeat_and_others_differ(engine: Engine) -> None:
    def sample(seed: int) -> list[list[int]]:
        stream = engine.generate(PROMPTS[0], pictures(1), num_samples=3, max_tokens=10, top_k=20, seed=seed)
        return [column for column, _ in stream]

    assert sample(1) == sample(1) != sample(2)
    assert len({tuple(column[row] for column in sample(1)) for row in range(3)}) == 3


def test_single_sample_equals_naive_generation(engine: Engine) -> None:
    expected = naive(engine.model, PROMPTS[0], pictures(1), 20, temperature=0.8, top_k=10, seed=5)
    stream = engine.generate(PROMPTS[0], pictures(1), max_tokens=20, temperature=0.8, top_k=10, seed=5)
    assert [column[0] for column, _ in stream] == expected


def test_top_k_keeps_the_most_likely_tokens(engine: Engine) -> None:
    [(greedy, _)] = engine.generate(PROMPTS[1], max_tokens=1, temperature=0.0)
    [(one, _)] = engine.generate(PROMPTS[1], num_samples=50, max_tokens=1, temperature=9.0, top_k=1)
    [(five, _)] = engine.generate(PROMPTS[1], num_samples=500, max_tokens=1, temperature=9.0, top_k=5)
    [(many, _)] = engine.generate(PROMPTS[1], num_samples=50, max_tokens=1, temperature=9.0, top_k=10_000)
    with torch.no_grad():
        likeliest = engine.model(torch.tensor([PROMPTS[1]]))[0, -1].argsort(descending=True).tolist()
    likeliest.remove(IMAGE)
    assert set(one) == set(greedy) == {likeliest[0]}
    assert set(five) == set(likeliest[:5])
    assert len(set(many)) > 5


def test_image_tokens_are_never_generated(engine: Engine) -> None:
    model, prompt = engine.model, torch.tensor([PROMPTS[0]])
    with torch.no_grad():
        hidden = model.gpt.hidden(model.embed(prompt, pictures(1), None))[0, -1]
        model.gpt.lm_head.weight[IMAGE] = hidden  # makes it the most likely token
        assert model(prompt, pixel_values=pictures(1))[0, -1].argmax() == IMAGE
    assert IMAGE not in engine.generate_batch([PROMPTS[0]], pictures(1), max_tokens=20)[0].tokens
    drawn = engine.generate(PROMPTS[0], pictures(1), num_samples=20, max_tokens=20, temperature=2.0)
    assert all(IMAGE not in column for column, _ in drawn)
    assert IMAGE not in naive(model, PROMPTS[0], pictures(1), 20)


def test_probabilities_are_those_of_the_model_at_temperature_1(engine: Engine) -> None:
    """Probabilities are at temperature 1, regardless of the temperature of sampling."""
    [answer] = engine.generate_batch([PROMPTS[0]], pictures(1), max_tokens=8, sampling=Sampling(0.5, 50, 3))
    ids = torch.tensor([PROMPTS[0] + answer.tokens])
    with torch.no_grad():
        logits = engine.model(ids, pixel_values=pictures(1))[0, len(PROMPTS[0]) - 1 : -1]
    logits[:, IMAGE] = -torch.inf
    expected = torch.softmax(logits, -1).gather(1, torch.tensor(answer.tokens)[:, None])[:, 0]
    assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer.mean_probability == pytest.approx(expected.mean().item(), abs=1e-5)


def test_answer_that_ends_at_once_is_empty_but_not_unsure(engine: Engine) -> None:
    assert ending_at(engine.model, PROMPTS[0], pictures(1), 0) == []
    [answer] = engine.generate_batch([PROMPTS[0]], pictures(1), max_tokens=5)
    assert answer.tokens == [] and answer.stopped == "end"
    assert len(answer.probabilities) == 1 and 0 < answer.mean_probability < 1


def test_rows_stop_at_the_end_of_the_context() -> None:
    """Without max_tokens at sequence_len; with it at the end of the rotary tables, ten times as far."""
    engine = Engine(tiny_model(sequence_len=6), TOKENIZER)
    short, longer = engine.generate_batch([[1, 2], [1, 2, 3, 4]])
    assert (len(short.tokens), short.stopped, len(longer.tokens), longer.stopped) == (4, "context", 2, "context")
    short, longer = engine.generate_batch([[1, 2], [1] * 55], max_tokens=8)
    assert (len(short.tokens), short.stopped, len(longer.tokens), longer.stopped) == (8, "length", 5, "context")
    assert longer.tokens == naive(engine.model, [1] * 55, pictures(0), 5)


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ([], {"max_tokens": 3}, "empty prompt"),
        ([1] * 6, {}, "6 tokens, but the model supports 6"),
        ([1] * 60, {"max_tokens": 3}, "60 tokens, but the model supports 60"),
        ([1], {"max_tokens": 0}, "max_tokens 0"),
        ([IMAGE], {}, "1 image tokens, its pictures take 0"),
    ],
)
def test_prompts_without_room_for_an_answer_are_rejected(prompt: list[int], options: dict, message: str) -> None:
    engine = Engine(tiny_model(sequence_len=6), TOKENIZER)
    with pytest.raises(UserError, match=message):
        engine.generate_batch([[1], prompt], **options)
    with pytest.raises(UserError, match=message):
        next(engine.generate(prompt, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature -1"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_k": 0}, "top_k 0"),
    ],
)
def test_invalid_sampling_is_rejected(engine: Engine, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Sampling(**options)
    with pytest.raises(UserError, match=message):
        next(engine.generate([1], **options))


def test_no_prompts_give_no_answers(engine: Engine) -> None:
    assert engine.generate_batch([]) == []


def test_number_of_concurrent_answers_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """When an answer ends, the next begins, so the batch stays full; each text equals that of the prompt alone."""
    lengths = [60, 20, 62, 30, 61, 10, 40, 55, 63]
    prompts = [[BOS, *PICTURE, *range(n - 1 - N_TOKENS)] for n in lengths]  # each ends at 64 tokens, its prompt counted
    alone = [engine.generate_batch([ids], pictures(9)[i : i + 1])[0].tokens for i, ids in enumerate(prompts)]
    rows, decode = [], Scheduler.decode

    def watched(scheduler: Scheduler) -> list[Answer]:
        rows.append(len(scheduler.rows))
        return decode(scheduler)

    monkeypatch.setattr(Scheduler, "decode", watched)
    answers = engine.generate_batch(prompts, pictures(9), at_once=3)
    assert [answer.tokens for answer in answers] == alone
    assert [len(tokens) for tokens in alone] == [64 - n for n in lengths]
    assert max(rows) == 3 and sum(rows) / len(rows) > 2  # fixed groups of three would have 1.4


def test_time_limit_starts_with_the_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, decode = [0.0], Scheduler.decode

    def second(scheduler: Scheduler) -> list[Answer]:
        clock[0] += 1
        return decode(scheduler)

    monkeypatch.setattr(Scheduler, "decode", second)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    guard = Guard(stop_loops=False, seconds=6.5)
    for n, why in ((5, "length"), (20, "time")):
        answers = engine.generate_batch([[1, 2], [3], [4, 5]], max_tokens=n, guard=guard, at_once=1)
        assert [answer.stopped for answer in answers] == [why] * 3


def test_only_last_positions_reach_the_output_head(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    engine.model.gpt.lm_head.register_forward_pre_hook(lambda head, inputs: shapes.append(tuple(inputs[0].shape)))
    engine.generate_batch(PROMPTS, pictures(3), max_tokens=3)
    assert shapes == [(4, 32)] * 3


@pytest.mark.parametrize("cast", [False, True])
def test_cache_has_the_dtype_of_the_computation(engine: Engine, cast: bool) -> None:
    """bfloat16 under autocast, and if the weights are bfloat16; the pixels stay float32."""
    kinds: set[torch.dtype] = set()

    def look(block: torch.nn.Module, inputs: tuple) -> None:
        kinds.update(given.k[0].dtype for given in inputs if isinstance(given, KVCache))

    engine.model.gpt.get_submodule("transformer.h.0").register_forward_pre_hook(look)
    if cast:
        engine.model.bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=not cast):
        [answer] = engine.generate_batch([PROMPTS[0]], pictures(1), max_tokens=4)
        assert answer.tokens[:1] == naive(engine.model, PROMPTS[0], pictures(1), 1)  # later ones may differ by rounding
    assert kinds == {torch.bfloat16}


def test_model_can_be_trained_after_generation(engine: Engine) -> None:
    engine.generate_batch(PROMPTS, pictures(3), max_tokens=3)
    ids = torch.tensor([PROMPTS[0]])
    engine.model(ids, ids.where(ids != IMAGE, -1), pictures(1)).backward()
    assert engine.model.gpt.lm_head.weight.grad is not None


ENGINE_TEST = """
import time, torch
from pathlib import Path
from contextlib import nullcontext
from PIL import Image
from nanochat.common import compute_init, autodetect_device_type
from nanochat.tokenizer import RustBPETokenizer
from nanochat.gpt import GPTConfig
from nanochat.nano_deepseek_ocr import build_nano_deepseek_ocr
from nanochat.image_process import process_image, count_vision_tokens, expand_image_tokens
from nanochat.engine import Engine

ddp, ddp_rank, ddp_local_rank, ddp_world_size, device = compute_init()
autocast_ctx = nullcontext()

tokenizer = RustBPETokenizer.from_directory("tokenizer")
image_token_id = tokenizer.encode_special("<|image|>")

ckpt_path = str(max(Path("checkpoints").glob("step_*.pt"), key=lambda p: int(p.stem.split("_")[1])))
print(f"Loading {ckpt_path}")

gpt_config = GPTConfig(sequence_len=1024, vocab_size=tokenizer.get_vocab_size(),
                       n_layer=4, n_head=16, n_kv_head=16, n_embd=256)
model = build_nano_deepseek_ocr(gpt_config=gpt_config, vision_config=vision_config)
model.set_image_token_id(image_token_id)
model.load_state_dict(torch.load(ckpt_path, map_location="cpu", weights_only=False))
model = model.eval().to(device)

pixel_values = process_image(Image.open("data/images/chart_01.png").convert("RGB"), base_size=256)
pixel_values = pixel_values.unsqueeze(0).to(device)

n_img_tokens = count_vision_tokens(base_size=256)
prompt_ids = [image_token_id] + tokenizer.encode("Describe:")
expanded_ids = expand_image_tokens(prompt_ids, image_token_id, n_img_tokens)

# Naive
input_ids = torch.tensor([expanded_ids], dtype=torch.long, device=device)
t0 = time.time()
with autocast_ctx:
    output = model.generate(input_ids, pixel_values=pixel_values, max_new_tokens=32, temperature=0.0)
naive_tokens = output[0, len(expanded_ids):].tolist()
naive_time = time.time() - t0

# Engine
engine = Engine(model, tokenizer)
engine_tokens = []
t0 = time.time()
with autocast_ctx:
    for tok, _ in engine.generate(expanded_ids, pixel_values=pixel_values, num_samples=1,
                                  max_tokens=32, temperature=0.0):
        engine_tokens.append(tok[0])
engine_time = time.time() - t0

print(f"Naive: {tokenizer.decode(naive_tokens)[:50]}... ({naive_time:.2f}s)")
print(f"Engine: {tokenizer.decode(engine_tokens)[:50]}... ({engine_time:.2f}s)")
print(f"Match: {naive_tokens[:len(engine_tokens)] == engine_tokens}")
print(f"Speedup: {naive_time/engine_time:.1f}x")
"""


def test_engine_test_of_the_recipe_runs_unchanged(tmp_path, monkeypatch, capsys) -> None:
    """Its code is that of the recipe except for sizes and device: 16 heads, while the weights have 8."""
    trained = NanoDeepseekOCR(preset("nano"))
    randomise(trained)
    monkeypatch.chdir(tmp_path)
    for folder in ("checkpoints", "data/images"):
        (tmp_path / folder).mkdir(parents=True)
    torch.save(trained.state_dict(), "checkpoints/step_20.pt")
    torch.save({}, "checkpoints/step_3.pt")
    TOKENIZER.save("tokenizer")
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 20).save("data/images/chart_01.png")
    names: dict = {"vision_config": preset("nano").vision}
    with pytest.warns(UserWarning, match="trained with 8 heads"):
        exec(ENGINE_TEST, names)
    printed = capsys.readouterr().out
    assert "Loading checkpoints/step_20.pt" in printed and "Match: True" in printed
    assert len(set(names["naive_tokens"])) > 3
    assert names["model"].config.gpt.n_head == 8
