"""Packing: packed samples equal separate ones, without padding, and with the same losses and gradients."""

import pytest
import torch
from helpers.tiny_model import SIDE, tiny_model
from helpers.tiny_run import Texts, documents, losses, tiny_trainer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dev.bench.packing import measure_packing
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import MAX_PADDING, Batch, Prepared, Sample, Skipped, collate
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.tasks.common import Task, TaskMixture
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig

TOKENIZER = RustBPETokenizer.characters()


def samples(*items: tuple[int, str]) -> list[Sample | Skipped]:
    """A conversation for each pair (number of images, answer)."""
    conversations = []
    for n_pictures, answer in items:
        ask = {"role": "user", "content": "<image>" * n_pictures + "What?"}
        pictures = [Image.new("RGB", (SIDE, SIDE), (i * 90, len(answer) % 250, 0)) for i in range(n_pictures)]
        messages = [ask, {"role": "assistant", "content": answer}]
        conversations.append({"messages": messages, "images": pictures})
    data = Prepared(conversations, TOKENIZER, get_mode("native"), 2000)
    return [data[i] for i in range(len(items))]


@given(lengths=st.lists(st.integers(2, 40), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_packed_and_padded_batches_have_the_same_content(lengths: list[int]):
    random = torch.Generator().manual_seed(sum(lengths))
    kept = [Sample(torch.randint(1, 200, (n,), generator=random).tolist(), [0] + [1] * (n - 1), []) for n in lengths]
    padded, targets, _ = collate(kept, 0)
    packed, packed_targets, media = collate(kept, 0, pack=True)
    assert 1 - (sum(lengths) - len(lengths)) / padded.numel() > MAX_PADDING or media.documents is None
    if media.documents is None:
        assert torch.equal(packed, padded) and torch.equal(packed_targets, targets)
        return
    assert packed.shape == (1, sum(media.documents)) and (packed != 0).all()
    for row, ours, theirs in zip(range(len(kept)), *(x[0].split(media.documents) for x in (packed, packed_targets))):
        assert torch.equal(ours, padded[row, : len(ours)]) and torch.equal(theirs, targets[row, : len(ours)])


def loss_and_gradients(model: NanoDeepseekOCR, batch: Batch) -> tuple[float, torch.Tensor]:
    inputs, targets, media = batch
    model.zero_grad()
    loss = model(inputs, targets, media.pixel_values, loss_reduction="sum", documents=media.documents)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("line_stride", [0, 64])
def test_packed_samples_have_the_losses_of_separate_ones(line_stride: int):
    model = tiny_model(256)
    model.gpt.config.line_stride, model.gpt.config.line_tokens = line_stride, (259, 10)
    mixed = samples((1, "a\nchart"), (0, "some words\n" * 15), (2, "two"), (0, "yes"))
    packed = collate(mixed, 0, pack=True)
    assert packed[2].documents == [len(sample.ids) - 1 for sample in mixed if isinstance(sample, Sample)]
    loss, gradients = loss_and_gradients(model, packed)
    padded_loss, padded_gradients = loss_and_gradients(model, collate(mixed, 0))
    alone = [loss_and_gradients(model, collate([sample], 0)) for sample in mixed]
    assert loss == pytest.approx(sum(one for one, _ in alone), rel=1e-5)
    assert loss == pytest.approx(padded_loss, rel=1e-5)
    assert (gradients - padded_gradients).norm() < 1e-5 * padded_gradients.norm()
    inputs, targets, media = packed
    each = model(inputs, targets, media.pixel_values, loss_reduction="none", documents=media.documents)
    assert [x.sum().item() for x in each[0].split(media.documents)] == pytest.approx([a for a, _ in alone], rel=1e-5)


def test_packed_run_has_the_losses_of_a_padded_run(tmp_path, monkeypatch):
    monkeypatch.setattr("nanochat.multimodal_dataloader.MAX_PADDING", 0.01)
    task = TaskMixture([documents(tmp_path / "data", n=5), Texts()])
    packed, padded = (
        tiny_trainer(task, tmp_path / str(pack), batch_size=4, steps=5, pack=pack, recompute="all")
        for pack in (True, False)
    )
    shapes = [media.documents is not None for _, (_, _, media) in zip(range(5), packed.train_loader)]
    packed.train_loader.position = 0
    assert any(shapes)
    assert losses(packed) == pytest.approx(losses(padded), rel=1e-5)


def test_packing_benchmark_counts_padding():
    """Alternating answers of 10 and 70 letters, whose padding is computed by hand."""

    class ShortAndLong(Task):
        def num_examples(self) -> int:
            return 2

        def get_example(self, index: int) -> dict:
            answer = {"role": "assistant", "content": "x" * (10 + 60 * index)}
            return {"messages": [{"role": "user", "content": "Go."}, answer], "images": []}

    config = TrainConfig(model="nano", image_size=64, batch_size=2, seq_len=200, steps=1, precision="float32")
    report = measure_packing(config, ShortAndLong(), 2, torch.device("cpu"))
    frame = 7  # bos, two starts, two ends and three letters, minus the last token, which is not an input
    assert report.padding == pytest.approx((60 / (2 * (70 + frame)), 0.0))
    assert report.loss_difference < 1e-5
