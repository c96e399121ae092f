"""Tasks: slices and mixtures have the right examples, and invalid samples are named."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers.drawn_files import bomb
from helpers.shared_data import shared_data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.tasks.common import BadSample, Task, TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.overfit_samples import OverfitSamples
from nanochat.tokenizer import RustBPETokenizer

BOUND = st.none() | st.integers(-12, 12)


class Letters(Task):
    """A task whose examples contain their own index."""

    def __init__(self, letter: str, n: int, start=None, stop=None, step=None):
        super().__init__(start, stop, step)
        self.letter, self.n = letter, n

    def num_examples(self) -> int:
        return self.n

    def get_example(self, index: int) -> dict:
        assert 0 <= index < self.n
        return {"text": f"{self.letter}{index}", "images": []}


def names(task: Task) -> list[str]:
    return [task[i]["text"] for i in range(len(task))]


# ---- Task and TaskMixture


@given(st.integers(0, 10), BOUND, BOUND, BOUND.filter(lambda step: step != 0))
def test_slice_of_a_task_equals_slice_of_a_list(n: int, start: int | None, stop: int | None, step: int | None):
    assert names(Letters("a", n, start, stop, step)) == [f"a{i}" for i in range(n)][start:stop:step]


def test_negative_and_out_of_range_indices():
    task = Letters("a", 10, start=2, stop=8, step=2)
    assert (task[-1]["text"], task[-3]["text"]) == ("a6", "a2")
    for index in (3, -4):
        with pytest.raises(IndexError):
            task[index]
    assert [example["text"] for example in task] == ["a2", "a4", "a6"]


def test_mixture_has_every_example_once_per_mention_of_its_task():
    a, b = Letters("a", 7), Letters("b", 5, start=1)
    mixture = TaskMixture([a, b, Letters("c", 0), a])
    assert len(mixture) == 18
    assert Counter(names(mixture)) == Counter(names(a) * 2 + names(b))


def test_order_of_a_mixture_depends_on_the_seed_only():
    def order(seed: int) -> list[str]:
        return names(TaskMixture([Letters("a", 30), Letters("b", 30)], seed=seed))

    assert order(1) == order(1) != order(2)
    assert order(1) != sorted(order(1))
    assert {name[0] for name in order(1)[:15]} == {"a", "b"}


def test_empty_mixture():
    assert len(TaskMixture([])) == 0
    with pytest.raises(IndexError):
        TaskMixture([])[0]


# ---- FolderOfPairs


def make_folder(folder: Path, **changes) -> Path:
    """A data folder with one sample. `changes` are applied to its record; None removes a field."""
    (folder / "images").mkdir(exist_ok=True)
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, :20] = (255, 0, 0)
    Image.fromarray(pixels).save(folder / "images" / "one.png")
    record = {"id": "receipt_000", "image": "images/one.png", "prompt": "<image>\nFree OCR.", "answer": "TOTAL 9"}
    record = {key: value for key, value in {**record, **changes}.items() if value is not None}
    (folder / "train.json").write_text(json.dumps([record]))
    return folder


def test_sample_becomes_a_conversation_with_its_image(tmp_path: Path):
    task = FolderOfPairs(data_dir=make_folder(tmp_path))
    sample = task[0]
    assert sample["messages"] == [
        {"role": "user", "content": "<image>\nFree OCR."},
        {"role": "assistant", "content": "TOTAL 9"},
    ]
    (image,) = sample["images"]
    assert (image.mode, image.size, image.getpixel((5, 5)), image.getpixel((35, 5))) == (
        "RGB",
        (40, 30),
        (255, 0, 0),
        (0, 0, 0),
    )
    assert task.samples[0]["id"] == "receipt_000"


def test_ten_samples_in_data_are_read_and_rendered(tmp_path: Path):
    source = shared_data("overfit10")
    (tmp_path / "images").symlink_to(source / "images")
    records = json.loads((source / "overfit_dataset.json").read_text())
    (tmp_path / "val.json").write_text(json.dumps(records))
    task = OverfitSamples(tmp_path, split="val")  # the name in the recipe
    tokenizer = RustBPETokenizer.characters()
    assert len(task) == 10
    for sample, record in zip(task, records):
        with Image.open(source / record["image"]) as original:
            assert sample["images"][0].size == original.size
        ids, mask = tokenizer.render_conversation(sample)
        learnt = [token for token, on in zip(ids, mask) if on]
        assert tokenizer.decode(learnt) == record["answer"] + "<|assistant_end|>"
        assert ids.count(tokenizer.encode_special("<|image|>")) == 1


def test_missing_file_is_reported_with_the_command_to_create_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"train\.json: no such file; make it with `cp .*overfit_dataset\.json .*`"):
        FolderOfPairs(tmp_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"answer": ""}, "'receipt_000' has no answer, or an empty one"),
        ({"answer": " \n"}, "'receipt_000' has no answer, or an empty one"),
        ({"answer": None}, "'receipt_000' has no answer"),
        ({"answer": 9}, "'receipt_000' has no answer"),
        ({"prompt": "Free OCR."}, "'receipt_000' has a prompt without <image>"),
        ({"image": None}, "'receipt_000' has no image"),
        ({"id": None}, "'number 0' has no id"),
    ],
)
def test_invalid_record_is_named_by_the_constructor(tmp_path: Path, changes: dict, complaint: str):
    make_folder(tmp_path, **changes)
    with pytest.raises(UserError, match=complaint) as caught:
        FolderOfPairs(tmp_path)
    assert str(tmp_path / "train.json") in str(caught.value)


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", '["a"]', "\xff\xfe"])
def test_file_without_a_list_of_samples_is_reported(tmp_path: Path, text: str):
    (tmp_path / "train.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"train\.json") as caught:
        FolderOfPairs(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "empty", "bomb", "folder"])
def test_broken_image_is_named_when_its_sample_is_read(tmp_path: Path, damage: str):
    path = make_folder(tmp_path) / "images" / "one.png"
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "bomb":
        bomb(path)
    elif damage != "missing":
        path.write_bytes({"truncated": whole[:-40], "text": b"hello", "empty": b""}[damage])
    task = FolderOfPairs(tmp_path)
    with pytest.raises(BadSample) as caught:
        task[0]
    message = str(caught.value)
    assert "receipt_000" in message and str(path) in message and str(tmp_path / "train.json") in message
    assert "\n" not in message
    assert ("pixels" in message) == (damage == "bomb")
