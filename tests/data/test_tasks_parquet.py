"""Tasks from parquet files: every turn and image of a row, columns by name, bounded memory."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shared_data import shared_data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from nanochat.errors import UserError
from nanochat.tasks import finevision, parquet_rows
from nanochat.tasks.common import BadSample
from nanochat.tasks.finevision import FineVision
from nanochat.tasks.parquet_rows import ParquetRows
from nanochat.tasks.smoltalk import SmolTalk
from nanochat.tokenizer import RustBPETokenizer


def write_rows(path: Path, rows: list[dict], row_group_size: int = 2, schema: pa.Schema | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=row_group_size)
    return path


# ---- ParquetRows


@given(st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=3))
def test_rows_by_index_across_files_and_row_groups(tmp_path_factory, layout: list[list[int]]):
    folder = tmp_path_factory.mktemp("rows")
    expected, paths = [], []
    for number, groups in enumerate(layout):
        path = folder / f"{number}.parquet"
        paths.append(path)
        with pq.ParquetWriter(path, pa.schema([("unread", pa.int64()), ("text", pa.string())])) as writer:
            row = 0
            for size in groups:
                texts = [f"{number}-{row + i}" for i in range(size)]
                writer.write_table(pa.table({"unread": [0] * size, "text": texts}), row_group_size=size)
                expected += [(text, f"{path}: row {row + i}") for i, text in enumerate(texts)]
                row += size
    rows = ParquetRows(paths, ["text"])
    assert [(rows[i], rows.name(i)) for i in range(len(rows))] == [({"text": text}, name) for text, name in expected]
    for outside in (-1, len(expected)):
        with pytest.raises(IndexError):
            rows[outside]


def test_memory_is_bounded_while_all_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    n_groups, megabyte = 24, 2**20
    rows = [{"text": chr(97 + i) * (megabyte // 4)} for i in range(n_groups)] * 4
    rows.sort(key=lambda row: row["text"][0])
    path = write_rows(tmp_path / "large.parquet", rows, row_group_size=4)
    monkeypatch.setattr(parquet_rows, "CACHE_BYTES", 4 * megabyte)
    reader = ParquetRows([path], ["text"])
    before = pa.total_allocated_bytes()
    most = 0
    for i in range(len(reader)):
        assert reader[i]["text"] == rows[i]["text"]
        most = max(most, pa.total_allocated_bytes() - before)
    assert megabyte < most < 8 * megabyte


def test_cached_row_group_is_not_read_again(tmp_path: Path):
    path = write_rows(tmp_path / "one.parquet", [{"text": "a"}, {"text": "b"}])
    reader = ParquetRows([path], ["text"])
    assert reader[0] == {"text": "a"}
    path.unlink()
    assert reader[1] == {"text": "b"}


@pytest.mark.parametrize("damage", ["text", "empty", "truncated"])
def test_file_that_is_not_parquet_is_named_by_the_constructor(tmp_path: Path, damage: str):
    path = write_rows(tmp_path / "one.parquet", [{"text": "a" * 50}] * 9)
    whole = path.read_bytes()
    path.write_bytes({"text": b"<html>", "empty": b"", "truncated": whole[: len(whole) // 2]}[damage])
    with pytest.raises(UserError, match=r"one\.parquet is not a parquet file") as caught:
        ParquetRows([path], ["text"])
    assert "\n" not in str(caught.value)


def test_damaged_row_group_raises_bad_sample(tmp_path: Path):
    path = write_rows(tmp_path / "one.parquet", [{"text": f"{i} some text"} for i in range(8)])
    data = bytearray(path.read_bytes())
    data[4:40] = b"\xff" * 36
    path.write_bytes(data)
    rows = ParquetRows([path], ["text"])
    with pytest.raises(BadSample, match=r"one\.parquet: row group 0"):
        rows[0]
    assert rows[7] == {"text": "7 some text"}


def test_missing_column_is_reported_with_the_existing_ones(tmp_path: Path):
    path = write_rows(tmp_path / "one.parquet", [{"text": "a", "id": 1}])
    with pytest.raises(UserError, match=r"no column messages: it has text, id"):
        ParquetRows([path], ["messages"])


# ---- FineVision


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> dict:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return {"path": None, "bytes": buffer.getvalue()}


RED, BLUE = (255, 0, 0), (0, 0, 255)
# as in some subsets: `assistant` before `user`, `texts` before `images`, ratings in between
SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("texts", pa.list_(pa.struct([("assistant", pa.string()), ("user", pa.string())]))),
        ("relevance_ratings", pa.list_(pa.int64())),
        ("images", pa.list_(pa.struct([("path", pa.string()), ("bytes", pa.binary())]))),
    ]
)


def finevision_row(images: list | None, *turns: tuple[str | None, str | None]) -> dict:
    return {"images": images, "texts": [{"user": user, "assistant": assistant} for user, assistant in turns]}


def finevision_of(path: Path, *rows: dict) -> FineVision:
    return FineVision(write_rows(path / "rows.parquet", list(rows), schema=SCHEMA))


def test_all_turns_and_images_of_a_row_in_order(tmp_path: Path):
    row = finevision_row([picture(RED), picture(BLUE)], ("What?", "This"), ("And <image>?", "That"))
    sample = finevision_of(tmp_path, row)[0]
    assert [(m["role"], m["content"]) for m in sample["messages"]] == [
        ("user", "<image>\n<image>\nWhat?"),
        ("assistant", "This"),
        ("user", "And <image>?"),
        ("assistant", "That"),
    ]
    assert [image.getpixel((0, 0)) for image in sample["images"]] == [RED, BLUE]
    tokenizer = RustBPETokenizer.characters()
    ids, _ = tokenizer.render_conversation(sample)
    assert ids.count(tokenizer.encode_special("<|image|>")) == 2


def test_null_values_are_tolerated(tmp_path: Path):
    task = finevision_of(
        tmp_path,
        finevision_row(None, ("Hello?", "Hi")),
        finevision_row([picture(RED)], (None, "A red square"), ("And?", None), ("More?", " ")),
    )
    assert task[0] == {
        "messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hi"}],
        "images": [],
    }
    assert [m["content"] for m in task[1]["messages"]] == ["<image>\n", "A red square"]


def test_unusable_row_is_named(tmp_path: Path):
    whole = picture(RED, size=(64, 64))
    task = finevision_of(
        tmp_path,
        finevision_row([whole], ("a", "b")),
        finevision_row([whole, {"path": None, "bytes": whole["bytes"][:-30]}], ("a", "b")),
        finevision_row([{"path": "x.png", "bytes": None}], ("a", "b")),
        finevision_row([whole], ("a", None)),
        {"images": [whole], "texts": None},
    )
    complaints = [
        r"row 1: picture 1: broken or truncated",
        "row 2: picture 0 is empty",
        "row 3: there is no answer",
        "row 4: there",
    ]
    for number, complaint in enumerate(complaints, start=1):
        with pytest.raises(BadSample, match=rf"rows\.parquet: {complaint}"):
            task[number]
    assert len(task[0]["images"]) == 1


def test_train_and_val_partition_the_rows(tmp_path: Path):
    rows = [finevision_row(None, (f"{i}", "a")) for i in range(25)]
    path = write_rows(tmp_path / "rows.parquet", rows, schema=SCHEMA)
    train, val = (
        [sample["messages"][0]["content"] for sample in FineVision(path, split=split)] for split in ("train", "val")
    )
    assert len(val) == 2
    assert train + val == [str(i) for i in range(25)]
    assert len(FineVision(path, start=3, stop=20, step=5)) == 4
    with pytest.raises(UserError, match="train and val, not 'test'"):
        FineVision(path, split="test")


def test_real_subset_agrees_with_its_source():
    folder = shared_data("finevision/chartqa")
    source = {(r["prompt"], r["answer"]) for r in json.loads((folder.parents[1] / "chartqa/train.json").read_text())}
    task = FineVision(folder)
    assert len(task) == 180 and len(FineVision(folder, split="val")) == 20
    for index in (0, 57, -1):
        messages = task[index]["messages"]
        assert (messages[0]["content"], messages[1]["content"]) in source
        assert [image.mode for image in task[index]["images"]] == ["RGB"]


def test_forked_loader_processes_read_the_same_rows(tmp_path: Path):
    task = finevision_of(tmp_path, *[finevision_row([picture(RED)], (f"{i}", "a")) for i in range(8)])
    assert task[3]["messages"][0]["content"] == "<image>\n3"  # the parent has read before it forks
    loader: DataLoader = DataLoader(
        task,  # type: ignore[arg-type]
        num_workers=2,
        batch_size=2,
        collate_fn=list,
        multiprocessing_context="fork",
        timeout=60,
    )
    questions = [sample["messages"][0]["content"] for batch in loader for sample in batch]
    assert questions == [f"<image>\n{i}" for i in range(8)]


def test_name_without_slash_is_a_subset_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_rows(tmp_path / "hub" / "0.parquet", [finevision_row(None, ("a", "b"))], schema=SCHEMA)
    asked = []

    def fetch_matching(*arguments: str) -> list[Path]:
        asked.append(arguments)
        return [path]

    monkeypatch.setattr(finevision, "fetch_matching", fetch_matching)
    (tmp_path / "chartqa").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of that name must not be used instead of the subset
    assert len(FineVision("chartqa")) == 1
    assert asked == [("HuggingFaceM4/FineVision", "chartqa/*.parquet", "dataset")]


def test_folder_without_parquet_is_reported(tmp_path: Path):
    with pytest.raises(UserError, match=r"no parquet file: .*nothing"):
        FineVision(f"{tmp_path}/nothing")


# ---- SmolTalk


def test_only_answers_of_real_conversations_are_supervised():
    folder = shared_data("text/smoltalk")
    lines = (folder.parent / "smoltalk_style.jsonl").read_text().splitlines()
    expected = [json.loads(line)["messages"] for line in lines]
    train, test = SmolTalk("train", source=folder), SmolTalk("test", source=folder)
    assert (len(train), len(test)) == (387, 40)
    assert len(SmolTalk("train", source=folder, stop=10)) == 10
    found = [sample["messages"] for task in (train, test) for sample in task]
    assert sorted(map(str, found)) == sorted(
        str([{"role": m["role"], "content": m["content"]} for m in ms]) for ms in expected
    )
    tokenizer = RustBPETokenizer.characters()
    ids, mask = tokenizer.render_conversation(train[0])
    learnt = tokenizer.decode([i for i, on in zip(ids, mask) if on])
    assert learnt == train[0]["messages"][1]["content"] + "<|assistant_end|>"
    assert train[0]["images"] == []


def test_system_message_many_turns_and_empty_message(tmp_path: Path):
    def row(*messages: tuple[str, str | None]) -> dict:
        return {"messages": [{"content": content, "role": role} for role, content in messages], "source": "s"}

    long = (("system", "Be brief"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    rows = [row(*long), row(("user", "a"), ("assistant", None)), {"messages": None, "source": "s"}]
    write_rows(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    task = SmolTalk("train", source=tmp_path)
    assert [(m["role"], m["content"]) for m in task[0]["messages"]] == list(long)
    for index in (1, 2):
        with pytest.raises(BadSample, match=rf"row {index}: an empty"):
            task[index]
    with pytest.raises(UserError, match=r"no parquet file: .*test\*\.parquet"):
        SmolTalk("test", source=tmp_path)


def test_unreachable_hub_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_, **__):
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(UserError, match=r"data/test-\*\.parquet of the hub's dataset HuggingFaceTB/smol") as caught:
        SmolTalk("test")
    assert "\n" not in str(caught.value)
