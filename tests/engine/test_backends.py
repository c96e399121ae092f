"""Both backends agree: logits to 1e-4, and equal answers in any batch; invalid graphs are named."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.tiny_model import IMAGE, assert_close, pictures, randomise, tiny_config

from nanochat.checkpoint import export_model
from nanochat.engine import NO_GUARD, Engine, Sampling
from nanochat.engine.backend import Backend
from nanochat.engine.loading import load_reader
from nanochat.engine.onnx_backend import OnnxBackend
from nanochat.engine.torch_backend import TorchBackend
from nanochat.errors import UserError
from nanochat.image_process import ImageViews
from nanochat.model_config import ModelConfig
from nanochat.modes import ImageLayout
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.onnx_export import export_onnx
from nanochat.onnx_files import UNSIGNED, sign
from nanochat.tokenizer import RustBPETokenizer

ANSWER, NEWLINE = 259, 10  # the tokens that start an answer and a line
SIZES = [(128, 128), (64, 128), (128, 64), (64, 64)]


def small_model(seed: int = 0, token_height: int = 64, line_stride: int = 0) -> NanoDeepseekOCR:
    """The tiny model with cropped position tables, like nano, and weights that are exact in half precision."""
    config = tiny_config(sequence_len=256)
    config.vision.sam, config.vision.clip = (
        replace(part, crop_positions=True) for part in (config.vision.sam, config.vision.clip)
    )
    config.gpt = replace(config.gpt, n_embd=64)  # the graphs need head widths that are multiples of 16
    config.gpt = replace(config.gpt, line_stride=line_stride, line_tokens=(ANSWER, NEWLINE))
    config.vision.sam.last_stride = (token_height // 32, 2)
    config.vision.clip.grid *= 64 // token_height
    model = NanoDeepseekOCR(config).eval()
    randomise(model, seed)
    model = model.half().float()
    model.gpt.init_rotary()  # the tables are not rounded
    return model


def view(number: int, height: int, width: int) -> ImageViews:
    return ImageViews(ImageLayout((height, width)), pictures(1, height, width, seed=number)[0])


def tiled(number: int) -> ImageViews:
    layout = ImageLayout((64, 128), (1, 2), 64)
    return ImageViews(layout, pictures(1, 64, 128, seed=number)[0], pictures(2, 64, 64, seed=number + 100))


@pytest.fixture(scope="module", params=[0, 32], ids=["positions are indices", "positions are columns and lines"])
def model(request: pytest.FixtureRequest) -> NanoDeepseekOCR:
    return small_model(line_stride=request.param)


@pytest.fixture(scope="module")
def folder(model: NanoDeepseekOCR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(folder, model, RustBPETokenizer.characters(), {})
    return folder


@pytest.fixture(scope="module")
def backends(model: NanoDeepseekOCR, folder: Path) -> tuple[Backend, Backend]:
    return TorchBackend(model), OnnxBackend(folder, model.config)


def test_features_of_half_height_tokens(tmp_path: Path) -> None:
    flat = small_model(token_height=32)
    export_onnx(tmp_path, flat, RustBPETokenizer.characters(), {})
    views = [ImageViews(ImageLayout((64, 128), token_size=(32, 64)), pictures(1, 64, 128, seed=n)[0]) for n in (0, 1)]
    expected, found = (backend.encode(views) for backend in (TorchBackend(flat), OnnxBackend(tmp_path, flat.config)))
    for want, have in zip(expected, found, strict=True):
        assert len(have) == views[0].layout.n_tokens == 7
        assert_close(torch.as_tensor(have), torch.as_tensor(want))


def test_features_of_views_of_every_size_and_of_tiles(backends: tuple[Backend, Backend]) -> None:
    images = [view(i, *size) for i, size in enumerate(SIZES * 2)] + [tiled(20)]
    with torch.no_grad():
        theirs, ours = (backend.encode(images) for backend in backends)
    for one, other, image in zip(ours, theirs, images, strict=True):
        assert one.shape == other.shape and len(one) == image.layout.n_tokens
        assert_close(torch.from_numpy(one), other)


def test_logits_of_prompts_chunks_and_steps_with_unequal_rows(backends: tuple[Backend, Backend]) -> None:
    images = [view(1, 64, 128), view(2, 128, 64)]
    rows = [[1, *[IMAGE] * 4, ANSWER, 6, 7], [2, *[IMAGE] * 5, 3], [9, ANSWER, 8, NEWLINE, 7]]
    found = []
    with torch.no_grad():
        by_torch = backends[0].encode(images)  # the same for both: random weights amplify every rounding
    for backend, features in zip(backends, (by_torch, [some.numpy() for some in by_torch])):
        with torch.no_grad():
            cache = backend.new_cache(3)
            said = [backend.read(rows, features, cache)]
            said += [backend.copy(backend.step(cache, [7, 8, 9 + step])) for step in range(2)]
            cache.leave(0)
            alone = backend.new_cache(1)
            said.append(backend.read([[1, IMAGE, IMAGE]], features, alone))
            said.append(backend.read([[IMAGE, IMAGE, 4]], features, alone, 2))  # a prompt in two pieces
            cache.join(alone)
            said += [backend.copy(backend.step(cache, [10 + step, 11, 12])) for step in range(70)]
            assert cache.lengths == [7 + 70, 9 + 70, 6 + 70]
            said.append(backend.read([[1, *[IMAGE] * 4, 5]], features[:1], None))
        found.append([torch.as_tensor(logits) for logits in said])
    for theirs, ours in zip(*found, strict=True):
        assert (ours[:, IMAGE] == -torch.inf).all() and (theirs[:, IMAGE] == -torch.inf).all()
        rest = [token for token in range(ours.size(1)) if token != IMAGE]
        assert_close(ours[:, rest], theirs[:, rest])


def test_answers_do_not_depend_on_the_batch_or_backend(
    model: NanoDeepseekOCR, backends: tuple[Backend, Backend]
) -> None:
    images = [view(i, *SIZES[i % 4]) for i in range(8)]
    prompts = [
        [256, 257, *[IMAGE] * image.layout.n_tokens, ANSWER, *range(8, 10 + i)] for i, image in enumerate(images)
    ]
    tokenizer = RustBPETokenizer.characters()
    by_torch = Engine(model, tokenizer).generate_batch(prompts, images, 30, guard=NO_GUARD)
    engine = Engine(backends[1], tokenizer)
    for at_once in (None, 1, 3):
        found = engine.generate_batch(prompts, images, 30, guard=NO_GUARD, at_once=at_once)
        assert [answer.tokens for answer in found] == [answer.tokens for answer in by_torch]
        for ours, theirs in zip(found, by_torch):
            assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-4)
    assert len({tuple(answer.tokens) for answer in by_torch}) == 8, "the answers depend on the pictures"


def test_sampled_tokens_follow_the_seed_and_the_probabilities(backends: tuple[Backend, Backend]) -> None:
    onnx_backend = backends[1]
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    random = onnx_backend.random(0)
    drawn = [onnx_backend.draw(logits, 1.0, None, random) for _ in range(4000)]
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    again = onnx_backend.random(0)
    assert drawn[:50] == [onnx_backend.draw(logits, 1.0, None, again) for _ in range(50)]
    two = [onnx_backend.draw(logits, 2.0, 2, random) for _ in range(4000)]
    flat = 0.5**0.5 / (0.5**0.5 + 0.3**0.5)
    assert np.bincount(two, minlength=4) / 4000 == pytest.approx([flat, 1 - flat, 0, 0], abs=0.03)


@pytest.mark.parametrize("which", [0, 1])
def test_leads_and_probabilities_by_hand(backends: tuple[Backend, Backend], which: int) -> None:
    rows = np.array([[0.0, 2.0, 1.5, -np.inf], [1.0, 1.0, 1.0, -np.inf], [3.0, 3.0, 0.0, 1.0]], np.float32)
    logits = torch.from_numpy(rows) if which == 0 else rows
    assert backends[which].leads(logits) == [0.5, np.inf, 0.0]
    weights = np.exp(rows[0].astype(float))
    found = backends[which].probabilities(logits, [1, 0, 0])
    assert found[0] == pytest.approx(weights[1] / weights.sum(), rel=1e-5) and found[1] == pytest.approx(1 / 3)


def test_8_bit_graphs_stay_close(model: NanoDeepseekOCR, tmp_path: Path) -> None:
    export_onnx(tmp_path, model, RustBPETokenizer.characters(), {}, int8=True)
    exact, rounded = (OnnxBackend(tmp_path, model.config, int8) for int8 in (False, True))
    assert exact.exact and not rounded.exact
    logits = [b.read([[1, *[IMAGE] * 4, 5, 6]], b.encode([view(1, 64, 128)]), None)[0] for b in (exact, rounded)]
    rest = np.isfinite(logits[0])
    difference = np.abs(logits[0] - logits[1])[rest].max()
    assert 1e-5 < difference < 0.25 * logits[0][rest].std()


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_graphs_of_other_files_are_rejected(model: NanoDeepseekOCR, folder: Path, tmp_path: Path) -> None:
    own = copy_of(folder, tmp_path)
    other = ModelConfig.from_dict({**model.config.to_dict(), "image_token_id": 3})
    with pytest.raises(UserError, match=r"encoder\.onnx is of another model than config\.json"):
        OnnxBackend(own, other)
    content = bytearray((own / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (own / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"encoder\.onnx and model\.safetensors do not belong together"):
        OnnxBackend(own, model.config)
    with pytest.raises(UserError, match=r"decoder\.onnx and model\.safetensors do not belong together"):
        load_reader(own, "cpu", "torch")  # PyTorch would read with a flipped bit
    (own / "model.safetensors").write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"encoder\.onnx and model\.safetensors do not belong together"):
        OnnxBackend(own, model.config)
    shutil.copy(folder / "model.safetensors", own)
    tokenizer = bytearray((own / "tokenizer.pkl").read_bytes())
    tokenizer[len(tokenizer) // 2] ^= 1
    (own / "tokenizer.pkl").write_bytes(tokenizer)
    with pytest.raises(UserError, match=r"encoder\.onnx and tokenizer\.pkl do not belong together"):
        OnnxBackend(own, model.config)
    (own / "tokenizer.pkl").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.pkl is not there"):
        OnnxBackend(own, model.config)
    (own / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors is not there"):
        OnnxBackend(own, model.config)


def test_graphs_of_earlier_weights_do_not_remain_in_a_folder(
    model: NanoDeepseekOCR, folder: Path, tmp_path: Path
) -> None:
    own = copy_of(folder, tmp_path)
    export_model(own, small_model(seed=1), RustBPETokenizer.characters(), {})
    assert load_reader(own, "cpu").by_torch


def test_damaged_graph_or_one_of_another_version_is_named(model: NanoDeepseekOCR, folder: Path, tmp_path: Path) -> None:
    own = copy_of(folder, tmp_path)
    whole = (own / "decoder.onnx").read_bytes()
    (own / "decoder.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"decoder\.onnx: damaged"):
        OnnxBackend(own, model.config)
    for place in np.random.default_rng(0).integers(len(whole), size=40):  # ONNX Runtime would run a few of these
        content = bytearray(whole)
        content[place] ^= 1 << int(place) % 8
        (own / "decoder.onnx").write_bytes(content)
        with pytest.raises(UserError, match=r"decoder\.onnx: damaged"):
            OnnxBackend(own, model.config)
    graph = onnx.load(folder / "decoder.onnx", load_external_data=False)
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    onnx.helper.set_model_props(graph, {**properties, "version": "0", "checksum": UNSIGNED})
    (own / "decoder.onnx").write_bytes(sign(graph.SerializeToString()))
    with pytest.raises(UserError, match=r"decoder\.onnx is of version 0, this program reads 2"):
        OnnxBackend(own, model.config)


def test_view_too_large_for_the_graph_is_rejected(backends: tuple[Backend, Backend]) -> None:
    with pytest.raises(UserError, match="a view of 192 x 64 pixels: exported models read views of up to 128 x 128"):
        backends[1].encode([view(1, 64, 192)])


class LittleMemory:
    """A graph that runs out of memory over more than `most` views."""

    def __init__(self, graph, most: int) -> None:
        self.graph, self.most = graph, most

    def run(self, inputs):
        if len(inputs["views"]) > self.most:
            raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc")
        return self.graph.run(inputs)


def test_batch_is_halved_when_memory_runs_out(
    model: NanoDeepseekOCR, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, images = OnnxBackend(folder, model.config), [view(i, 64, 64) for i in range(8)]
    expected = backend.encode(images)
    graph = backend._encoder
    monkeypatch.setattr(backend, "_encoder", LittleMemory(graph, 3))
    with pytest.warns(UserWarning, match="not enough memory for 4 views at a time: continuing with 2"):
        found = backend.encode(images)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    monkeypatch.setattr(backend, "_encoder", LittleMemory(graph, 0))
    with pytest.raises(UserError, match="not enough memory for a view of 64 x 64 pixels"):
        backend.encode(images)


def test_models_that_cannot_be_exported_are_rejected(tmp_path: Path) -> None:
    model = NanoDeepseekOCR(tiny_config())
    with pytest.raises(UserError, match="crop_positions"):
        export_onnx(tmp_path, model, RustBPETokenizer.characters(), {})
    config = small_model().config
    config.gpt = replace(config.gpt, n_embd=32)
    with pytest.raises(UserError, match="heads of this model are 8 wide"):
        export_onnx(tmp_path, NanoDeepseekOCR(config), RustBPETokenizer.characters(), {})


def test_sampling_with_top_k_1_is_greedy(backends: tuple[Backend, Backend]) -> None:
    """With `top_k` 1, the sampled token is the most likely one."""
    engine = Engine(backends[1], RustBPETokenizer.characters())
    greedy = engine.generate_batch([[1, 2]], max_tokens=9, guard=NO_GUARD)[0].tokens
    prompt = engine.prompt([1, 2], [], 9, [Sampling(0.7, 1)], NO_GUARD)
    scheduler = engine.scheduler(1)
    scheduler.submit(prompt)
    while scheduler.busy:
        scheduler.step()
    assert prompt.answers[0].generation.tokens == greedy


NO_MEMORY = {
    "onnx": RuntimeError("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 1048576"),
    "torch on a CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "torch on a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "a KV cache that grows": MemoryError(),
}


def hold(monkeypatch: pytest.MonkeyPatch, backend: Backend, most: int, error: Exception) -> list[int]:
    """Let memory run out over more than `most` rows. Returns a list to which the rows of each pass are added."""
    widths = []

    def limited(compute, n_rows):
        def run(*args):
            if n_rows(*args) > most:
                raise error
            widths.append(n_rows(*args))
            return compute(*args)

        return run

    monkeypatch.setattr(backend, "read", limited(backend.read, lambda rows, *_: len(rows)))
    monkeypatch.setattr(backend, "step", limited(backend.step, lambda cache, tokens: len(tokens)))
    return widths


@pytest.mark.parametrize("which", NO_MEMORY)
@pytest.mark.parametrize("most", [1, 3])
def test_answers_are_halved_when_memory_runs_out_and_stay_the_same(
    backends: tuple[Backend, Backend], which: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backends["onnx" in which]
    engine = Engine(backend, RustBPETokenizer.characters())
    images = [view(i, *SIZES[i % 4]) for i in range(9)]
    prompts = [[i + 1, *[IMAGE] * images[i].layout.n_tokens, 5] for i in range(9)]
    expected = engine.generate_batch(prompts, images, 12, guard=NO_GUARD)
    widths = hold(monkeypatch, backend, most, NO_MEMORY[which])
    with pytest.warns(UserWarning, match="not enough memory for 6 answers at a time: continuing with 3"):
        found = engine.generate_batch(prompts, images, 12, guard=NO_GUARD, at_once=6)
    assert [answer.tokens for answer in found] == [answer.tokens for answer in expected]
    assert [answer.stopped for answer in found] == [answer.stopped for answer in expected]
    for ours, theirs in zip(found, expected):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    assert max(widths) == most


@pytest.mark.parametrize("at", [0, 1], ids=["torch", "onnx"])
def test_memory_that_runs_out_while_answers_grow(
    backends: tuple[Backend, Backend], at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to several prompts, and several answers to one prompt, go on where they were when a step fails."""
    backend = backends[at]
    engine = Engine(backend, RustBPETokenizer.characters())
    images = [view(1, 64, 64), view(2, 128, 64)]
    prompts = [[3, *[IMAGE] * image.layout.n_tokens] for image in images]
    expected = engine.generate_batch(prompts, images, 10, guard=NO_GUARD)
    drawn = [engine.generate([1, 2], None, n, 8, 1.0) for n in (1, 4)]
    expected_rows = [list(zip(*(tokens for tokens, _ in steps))) for steps in drawn]
    step, left = backend.step, [4, 1]

    def fail_now_and_then(cache, tokens):
        left[0] -= 1
        if left[0] == 0 and len(tokens) > 1:
            left[0] = left[1]
            raise MemoryError
        return step(cache, tokens)

    monkeypatch.setattr(backend, "step", fail_now_and_then)
    with pytest.warns(UserWarning, match="not enough memory for 2 answers at a time: continuing with 1"):
        found = engine.generate_batch(prompts, images, 10, guard=NO_GUARD)
    assert [answer.tokens for answer in found] == [answer.tokens for answer in expected]
    left[:] = 3, 100
    with pytest.warns(UserWarning, match="not enough memory for 4 answers at a time: continuing with 2"):
        steps = list(engine.generate([1, 2], None, 4, 8, 1.0))
    rows = [[tokens[row] for tokens, new in steps if new[row]] for row in range(4)]
    assert [len(row) for row in rows] == [8] * 4
    assert rows[0] == list(expected_rows[0][0]) and rows == [list(row) for row in expected_rows[1]]


def test_too_little_memory_for_one_answer_is_one_line(
    backends: tuple[Backend, Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    for backend in backends:
        hold(monkeypatch, backend, 0, MemoryError())
        engine = Engine(backend, RustBPETokenizer.characters())
        with pytest.warns(UserWarning, match="continuing with 1"):
            with pytest.raises(UserError, match="not enough memory for a single answer, at 3 tokens: use smaller"):
                engine.generate_batch([[1, 2], [1, 2, 3]], None, 5)
