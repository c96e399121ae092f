"""Evaluation sets: real files in the formats of the benchmarks, and their conversations."""

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shared_data import shared_data
from PIL import Image

from nanochat.errors import UserError
from nanochat.synth import LEVELS, draw_document
from nanochat.tasks import chartqa, fox, omnidocbench
from nanochat.tasks.eval_set import choose
from nanochat.tasks.measured import open_set


def png(colour: str = "red", size=(40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def text_of(item: dict) -> str:
    return item["messages"][1]["content"]


def test_choice_is_deterministic_and_without_repetition():
    assert choose(100, 10) == choose(100, 10) == sorted(set(choose(100, 10)))
    assert len(choose(100, 10)) == 10 and choose(5, 10) == [0, 1, 2, 3, 4]
    assert choose(100, 10)[-1] > 50  # from all of it, not from its beginning


def test_synthetic_set_has_three_tiers_and_every_width():
    found = open_set("synth-val", 4)
    assert found.tiers == ["line"] * 4 + ["note"] * 4 + ["page"] * 4
    assert len(found) == len(set(found.ids)) == 12
    assert [found[i]["images"][0].width for i in range(4)] == [128, 256, 384, 512]
    document = draw_document(LEVELS["note"], 2, "val")
    assert text_of(found[6]) == document.text
    assert np.array_equal(np.asarray(found[6]["images"][0]), document.image)
    assert text_of(open_set("synth-hard", 4)[6]) != document.text
    assert text_of(found[6]).isascii() and not found.accents
    abroad = open_set("synth-latin", 8)
    assert abroad.accents and sum(not text_of(item).isascii() for item in abroad) > 12


def test_empty_images_have_no_text_and_differ():
    found = open_set("empty", 9)
    assert found.tiers == ["blank"] * 3 + ["noise"] * 3 + ["photo"] * 3
    assert {text_of(item) for item in found} == {""}
    assert len({np.asarray(item["images"][0]).tobytes() for item in found}) == 9
    assert np.array_equal(found[8]["images"][0], open_set("empty", 9)[8]["images"][0])


def test_lines_of_receipts_are_cropped_at_their_boxes():
    folder = shared_data("sroie")
    found = open_set("sroie-lines", 30, str(folder))
    assert len(found) == 30 and found.fold_case
    boxes = json.loads((folder / "boxes_and_fields.json").read_text())
    receipts = {record["id"] for record in json.loads((folder / "val.json").read_text())}
    for name, item in zip(found.ids, found):
        receipt, _, number = name.rpartition("-")
        x0, y0, x1, y1, text = boxes[receipt]["boxes"][int(number)]
        assert receipt in receipts and text_of(item) == text
        width, height = item["images"][0].size
        assert x1 - x0 <= width <= (x1 - x0) + 0.3 * (y1 - y0) + 4
        assert y1 - y0 <= height <= 1.3 * (y1 - y0) + 4
        assert np.asarray(item["images"][0]).std() > 5  # there is ink


def test_receipt_without_boxes_is_an_error(tmp_path):
    with pytest.raises(UserError, match="--data"):
        open_set("sroie-lines", 5, str(tmp_path))
    (tmp_path / "val.json").write_text('[{"id": "a", "image": "a.jpg"}]')
    (tmp_path / "boxes_and_fields.json").write_text("{}")
    with pytest.raises(UserError, match="no boxes of a"):
        open_set("sroie-lines", 5, str(tmp_path))


def test_folder_of_images_with_text_files(tmp_path):
    for name in ("b", "a", "lonely"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "a.txt").write_text("Größe 9", encoding="utf-8")
    (tmp_path / "b.txt").write_text("two\nlines")
    found = open_set(f"folder:{tmp_path}", 10)
    assert found.ids == ["a", "b"]
    assert [text_of(item) for item in found] == ["Größe 9", "two\nlines"]
    assert not found.fold_case
    (tmp_path / "a.txt").write_text("GRÖSSE 9", encoding="utf-8")
    (tmp_path / "b.txt").write_text("TWO\nLINES")
    assert open_set(f"folder:{tmp_path}", 10).fold_case, "who writes all in capitals has not kept the case"
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match="UTF-8"):
        open_set(f"folder:{tmp_path}", 10)


def test_folder_with_a_list():
    found = open_set(f"folder:{shared_data('funsd')}", 3)
    assert len(found) == 3 and not found.fold_case and found[0]["messages"][0]["content"] == "<image>\nFree OCR."


def test_folder_without_texts_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"neither val\.json nor"):
        open_set(f"folder:{tmp_path}", 1)


FOX = [
    {"image": f"en_{i}.png", "len": 3, "conversations": [{"from": "human", "value": "<image>\nOCR this image: "},
     {"from": "gpt", "value": f"PAGE {i}"}]}
    for i in range(5)
]  # fmt: skip


@pytest.fixture
def fox_folder(tmp_path):
    folder = tmp_path / "focus_benchmark_test"
    (folder / "en_pdf_png").mkdir(parents=True)
    (folder / "en_page_ocr.json").write_text(json.dumps(FOX))
    for i, record in enumerate(FOX):
        (folder / "en_pdf_png" / str(record["image"])).write_bytes(png(size=(20 + i, 30)))
    return folder


def test_fox_from_folder_archive_and_hub(fox_folder, tmp_path, monkeypatch):
    archive = tmp_path / "focus_benchmark_test.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(fox_folder.rglob("*.*")):
            file.write(path, path.relative_to(tmp_path))
    monkeypatch.setattr(fox, "fetch", lambda repo, name, kind: archive)
    for data in (str(fox_folder), str(tmp_path), str(archive), ""):
        found = open_set("fox", 3, data)
        assert len(found) == 3 and found.tiers == ["page"] * 3
        for name, item in zip(found.ids, found, strict=True):
            number = int(name.removeprefix("en_"))
            assert text_of(item) == f"PAGE {number}" and item["images"][0].width == 20 + number


def test_fox_errors(fox_folder, tmp_path):
    (fox_folder / "en_pdf_png" / "en_0.png").unlink()
    with pytest.raises(UserError, match=r"en_0\.png: no such file"):
        list(open_set("fox", 5, str(fox_folder)))
    (fox_folder / "en_page_ocr.json").write_text('[{"image": "a"}]')
    with pytest.raises(UserError, match="not a list of pages"):
        open_set("fox", 5, str(fox_folder))
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    with pytest.raises(UserError, match="broken archive"):
        open_set("fox", 5, str(tmp_path / "broken.zip"))
    with pytest.raises(UserError, match="has no en_page_ocr"):
        open_set("fox", 5, str(tmp_path / "nowhere"))


def block(category: str, text: str | None, order: int | None, **more) -> dict:
    found = {"category_type": category, "poly": [0, 0, 9, 0, 9, 9, 0, 9], "ignore": False, "order": order, **more}
    return found if text is None else {**found, "text": text}


def omnidocbench_page(name: str, blocks: list[dict]) -> dict:
    info = {"page_attribute": {"language": "english", "layout": "1andmore_column"}, "page_no": 1, "image_path": name}
    return {"layout_dets": blocks, "extra": {"relation": []}, "page_info": info}


def test_omnidocbench_text_is_in_reading_order(tmp_path, monkeypatch):
    blocks = [
        block("footer", "the foot", None),
        block("text_block", "second", 9),
        block("title", "first", 2),
        block("abandon", None, None),
        block("table", None, 5, html="<table></table>"),
        block("equation_isolated", None, 6, latex="x"),
        block("text_block", "unreadable", 3, ignore=True),
    ]
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(png())
    pages = [omnidocbench_page("x.png", blocks), omnidocbench_page("y.png", [block("table", None, 1, html="")])]
    (tmp_path / "OmniDocBench.json").write_text(json.dumps(pages))
    monkeypatch.setattr(omnidocbench, "fetch", lambda repo, name, kind: tmp_path / name)
    for data in (str(tmp_path), ""):
        found = open_set("omnidocbench", 5, data)
        assert found.ids == ["x"] and found.tiers == ["english"]
        assert text_of(found[0]) == "first\n\nsecond\n\nthe foot"
        assert found[0]["images"][0].size == (40, 30)


def test_omnidocbench_of_another_format_is_rejected(tmp_path):
    (tmp_path / "OmniDocBench.json").write_text('[{"page_info": {}}]')
    with pytest.raises(UserError, match="not a list of pages"):
        open_set("omnidocbench", 5, str(tmp_path))
    (tmp_path / "OmniDocBench.json").write_text("[")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        open_set("omnidocbench", 5, str(tmp_path))


def test_chartqa_parquet(tmp_path, monkeypatch):
    rows = [
        {"image": {"bytes": png(size=(20 + i, 30)), "path": None}, "query": f"How many {i}?", "label": [str(i)],
         "human_or_machine": i % 2} for i in range(6)
    ]  # fmt: skip
    path = tmp_path / "data" / "test-00000-of-00001-e2.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    monkeypatch.setattr(chartqa, "fetch_matching", lambda repo, pattern, kind: [path])
    for data in (str(tmp_path), str(path), ""):
        found = open_set("chartqa", 4, data)
        assert len(found) == 4 and found.questions
        for name, tier, item in zip(found.ids, found.tiers, found, strict=True):
            number = int(name.removeprefix("test-"))
            assert tier == ("human", "machine")[number % 2]
            assert item["messages"][0]["content"] == f"<image>\nHow many {number}?"
            assert text_of(item) == str(number) and item["images"][0].width == 20 + number


def test_broken_rows_of_chartqa(tmp_path):
    rows = [{"image": {"bytes": b"no picture"}, "query": "?", "label": ["1"], "human_or_machine": 0}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-0.parquet")
    with pytest.raises(UserError, match=r"test-0\.parquet: row 0"):
        open_set("chartqa", 1, str(tmp_path))[0]
    rows[0]["label"] = []
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test-0.parquet")
    with pytest.raises(UserError, match="without a picture or an answer"):
        open_set("chartqa", 1, str(tmp_path))[0]


def test_chartqa_from_a_folder_with_a_list():
    found = open_set("chartqa", 5, str(shared_data("chartqa")))
    assert len(found) == 5 and found.questions
    item = found[0]
    assert item["messages"][0]["content"].startswith("<image>\n") and item["messages"][1]["content"]


@pytest.mark.parametrize("name", ["synth-train", "synt-val", "folder:", "folder", ""])
def test_unknown_sets_are_rejected(name):
    with pytest.raises(UserError, match=r"choose one of|no set"):
        open_set(name, 3)


def test_at_least_one_image_is_required():
    with pytest.raises(UserError, match="at least one"):
        open_set("empty", 0)


def test_central_set_has_a_tier_for_each_language():
    found = open_set("synth-central", 4)
    assert found.accents and len(found) == len(set(found.ids)) == 44
    assert found.tiers[:8] == ["Polish"] * 4 + ["Czech"] * 4
    texts = {
        name: "".join(text_of(item) for item, tier in zip(found, found.tiers) if tier == name) for name in found.tiers
    }
    assert sum(not text.isascii() for text in texts.values()) > 8
