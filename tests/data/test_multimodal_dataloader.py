"""Batches: supervision, truncation, distribution over ranks, resuming, and samples that are skipped."""

import json

import numpy as np
import pytest
import torch
from helpers.shared_data import shared_data
from helpers.tiny_run import Texts, documents, write_documents
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import (
    MultimodalLoader,
    Prepared,
    Sample,
    collate,
    create_multimodal_loader,
    truncate,
)
from nanochat.plans import ShuffledBatches
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()
IMAGE = TOKENIZER.encode_special("<|image|>")
NATIVE = get_mode("native")


def loader(task, **options) -> MultimodalLoader:
    return create_multimodal_loader(task, TOKENIZER, 2, 512, NATIVE, **options)


def conversation(*sides: int, text: str = "some words") -> dict:
    pictures = [Image.new("RGB", (side, 64), (i * 40, 0, 0)) for i, side in enumerate(sides)]
    ask = {"role": "user", "content": "<image>" * len(sides) + "What is it?"}
    return {"messages": [ask, {"role": "assistant", "content": text}], "images": pictures}


def test_only_the_answer_and_its_end_token_are_targets():
    items = [conversation(64, 128, text="two pictures"), conversation(text="none")]
    inputs, targets, _ = collate([Prepared(items, TOKENIZER, NATIVE, 512)[i] for i in range(2)], pad_id=0)
    for row, text in enumerate(("two pictures", "none")):
        supervised = targets[row][targets[row] != -1].tolist()
        assert TOKENIZER.decode(supervised[:-1]) == text
        assert supervised[-1] == TOKENIZER.encode_special("<|assistant_end|>")
    assert not (targets == IMAGE).any()
    assert (inputs[0] == IMAGE).sum() == 3 + 4  # 1 x 1 and 1 x 2 vision tokens, a row end and a separator each
    after = (targets[0] != -1).nonzero()[0]
    assert inputs[0, after] == TOKENIZER.encode_special("<|assistant_start|>")  # each target follows its input


def test_noise_changes_what_the_decoder_sees_but_no_target_and_no_line_break():
    items = [conversation(64, text="first line\nsecond line\nthird")]
    (plain,), (noisy,) = ([Prepared(items, TOKENIZER, NATIVE, 512, noise)[0]] for noise in (0.0, 0.5))
    assert noisy.ids == plain.ids and noisy.shown is not None and plain.shown is None
    changed = [i for i, (shown, true) in enumerate(zip(noisy.shown, noisy.ids)) if shown != true]
    assert 5 <= len(changed) <= 20 and all(noisy.mask[i] for i in changed)
    assert [i for i, token in enumerate(noisy.shown) if token == 10] == [i for i, t in enumerate(plain.ids) if t == 10]


@pytest.mark.parametrize("kind", ["native", "square"])
def test_dense_labels_are_at_the_positions_of_the_glyphs(kind):
    picture = Image.new("RGB", (160, 80), "white")
    picture.paste((0, 0, 0), (120, 40, 128, 48))
    item = {**conversation(64), "images": [picture], "glyphs": ("A", np.array([[124.0, 44.0]]), np.zeros(1, np.int32))}
    sample = Prepared([item], TOKENIZER, get_mode(kind, 256 if kind == "square" else 64), 512)[0]
    patches = sample.labels["patches"]  # of 16 x 16 pixels
    (patch,) = patches.any(1).nonzero()
    view = sample.images[0].view
    row, column = divmod(int(patch), view.shape[-1] // 16)
    assert view[:, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].min() < -0.8


def test_views_of_equal_size_are_stacked_and_others_listed():
    same = [Prepared([conversation(64), conversation(64)], TOKENIZER, NATIVE, 512)[i] for i in range(2)]
    assert collate(same, 0)[2].pixel_values.shape == (2, 3, 64, 64)
    mixed = [Prepared([conversation(64, 192), conversation()], TOKENIZER, NATIVE, 512)[i] for i in range(2)]
    media = collate(mixed, 0)[2]
    assert [view.view.shape[-1] for view in media.pixel_values] == [64, 192]
    assert media.view_sizes == [(64, 64), (64, 192)]
    text = [Prepared([conversation()], TOKENIZER, NATIVE, 512)[0]]
    assert collate(text, 0)[2].pixel_values is None


@given(sides=st.lists(st.sampled_from([64, 128, 320]), max_size=4), max_tokens=st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_truncation_never_splits_an_image(sides, max_tokens):
    whole = Prepared([conversation(*sides)], TOKENIZER, NATIVE, 512)[0]
    assert isinstance(whole, Sample)
    cut = truncate(whole, IMAGE, max_tokens)
    assert len(cut.ids) <= max_tokens and len(cut.ids) == len(cut.mask)
    assert cut.ids == whole.ids[: len(cut.ids)]
    assert cut.ids.count(IMAGE) == sum(image.layout.n_tokens for image in cut.images)
    if len(cut.ids) < min(max_tokens, len(whole.ids)):  # shorter than necessary only if an image was left out
        assert whole.ids[len(cut.ids)] == IMAGE


@given(n=st.integers(1, 30), batch_size=st.integers(1, 7), world_size=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_each_epoch_has_every_sample_once_over_all_ranks(n, batch_size, world_size, seed):
    plan = ShuffledBatches(n, batch_size, seed)
    per_step = batch_size * world_size
    steps = -(-3 * n // per_step)
    stream = [i for k in range(steps) for rank in range(world_size) for i in plan.batch(k, rank, world_size)]
    for epoch in range(3):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))
    alone = ShuffledBatches(n, per_step, seed)
    assert stream == [i for k in range(steps) for i in alone.batch(k, 0, 1)]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("rank", [0, 1])
def test_resumed_loader_continues_at_the_same_position(tmp_path, rank, num_workers):
    task = documents(tmp_path / "data", n=5)
    options = {"rank": rank, "world_size": 2, "num_workers": num_workers}
    straight = [batch[0] for _, batch in zip(range(7), loader(task, **options))]  # past the end of an epoch
    first = loader(task, **options)
    for _ in zip(range(3), first):
        pass
    again = loader(task, **options)
    again.position = first.position
    resumed = [batch[0] for _, batch in zip(range(4), again)]
    assert (first.position, again.position) == (3, 7)
    assert all(torch.equal(a, b) for a, b in zip(straight[3:], resumed, strict=True))


def test_validation_has_each_sample_once_over_all_ranks(tmp_path):
    task = documents(tmp_path / "data", n=5)
    seen = [
        TOKENIZER.decode(row[row != -1].tolist()[:-1])
        for rank in range(2)
        for _, targets, _ in loader(task, shuffle=False, rank=rank, world_size=2)
        for row in targets
    ]
    assert sorted(seen) == sorted(s["answer"] for s in task.samples)


def test_samples_with_and_without_images_share_a_batch(tmp_path):
    mixture = TaskMixture([documents(tmp_path / "data", n=4), Texts()])
    kinds = {(len(media.layouts), len(inputs)) for _, (inputs, _, media) in zip(range(30), loader(mixture))}
    assert kinds == {(0, 2), (1, 2), (2, 2)}


def broken_folder(tmp_path, n: int):
    folder = write_documents(tmp_path / "data", n=1)
    record = json.loads((folder / "train.json").read_text())[0]
    (folder / "images" / "broken.png").write_bytes((folder / "images" / "0.png").read_bytes()[:60])
    records = [{**record, "id": f"doc_{i}"} for i in range(n)]
    records[3]["image"] = "images/broken.png"
    (folder / "train.json").write_text(json.dumps(records))
    return FolderOfPairs(folder, "train")


def test_rare_unreadable_sample_is_skipped_counted_and_named(tmp_path, capsys):
    reader = loader(broken_folder(tmp_path, 200), shuffle=False)
    assert sum(len(inputs) for inputs, _, _ in reader) == 199
    assert (
        len(reader.skipped) == 1 and "doc_3" in next(iter(reader.skipped)) and "broken.png" in capsys.readouterr().out
    )


def test_too_many_unreadable_samples_stop_the_run(tmp_path):
    with pytest.raises(UserError, match=r"doc_3.*broken\.png.*1 of 10"):
        list(loader(broken_folder(tmp_path, 10), shuffle=False))


def test_prompt_longer_than_the_sequence_is_skipped(capsys):
    tall = conversation(64)
    tall["images"] = [Image.new("RGB", (64, 64 * 40))]
    some = create_multimodal_loader([tall, conversation(text="x")], TOKENIZER, 2, 32, NATIVE, shuffle=False)
    assert [len(inputs) for inputs, _, _ in some] == [1]
    assert "sample 0: nothing to learn" in capsys.readouterr().out
    none = create_multimodal_loader([tall] * 3, TOKENIZER, 2, 32, NATIVE, shuffle=False)
    with pytest.raises(UserError, match="nothing to learn within 32 tokens; none of 3"):
        list(none)


def test_unusable_samples_with_the_same_error_are_counted(tmp_path):
    wrong = conversation(64)
    wrong["messages"][0]["role"] = "human"
    items = [wrong] * 3 + [conversation(64)] * 200
    with pytest.raises(UserError, match=r"sample 2: .*\(3 of 203 samples could not be used"):
        list(loader(items, shuffle=False))


def test_batches_of_the_ten_documents_in_data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    source = shared_data("overfit10")
    (folder / "train.json").write_text((source / "overfit_dataset.json").read_text())
    (folder / "images").symlink_to(source / "images")
    task = FolderOfPairs(folder, "train")
    reader = create_multimodal_loader(task, TOKENIZER, 5, 4096, get_mode("square", 128), shuffle=False)
    batches = list(reader)
    assert [inputs.size(0) for inputs, _, _ in batches] == [5, 5]
    assert all(media.pixel_values.shape == (5, 3, 128, 128) for _, _, media in batches)
    assert not reader.skipped
