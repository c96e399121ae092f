"""The ledger of a batch and the results written from it, also on a full disk."""

import json
import resource
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.drawn_archive import stored

from nanochat.archives.results import SCHEMA, write_results
from nanochat.errors import UserError
from nanochat.reading.grounding import GroundedBlock
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.state import PageState


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_results_are_the_latest_entries_of_the_ledger(tmp_path: Path, model: Path, kind: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    page = OCR(model).read(stored(1), max_tokens=30)
    ledger.record("a.png", 1, "failed", "no network")
    ledger.record("b.png", 1, "failed", "not a picture", last=True)
    ledger.record("a.png", 1, "cut", "", "", page.to_dict())
    path = write_results(ledger, tmp_path, kind)
    if kind == "jsonl":
        a, b = (json.loads(line) for line in path.read_text().splitlines())
    else:
        a, b = pq.read_table(path).to_pylist()
        assert a["lines"][0]["text"] == page.lines[0].text
    assert (a["source"], a["state"], a["text"], a["tokens"]) == ("a.png", "cut", page.text, page.tokens)
    assert (b["source"], b["state"], b["why"]) == ("b.png", "failed", "not a picture")


def test_pages_removed_from_a_file_are_not_in_the_results(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    for page in (1, 2, 3):
        ledger.record("a.pdf", page, "skipped", "before", "old", last=page == 3)
    ledger.record("a.pdf", 1, "skipped", "now", "new", last=True)
    ledger.close()
    again = Ledger(tmp_path / "ledger.jsonl", {}, resume=True)
    for one in (ledger, again):
        assert list(one.pages()) == [("a.pdf", 1, "new")] and one.counts().total() == 1


def test_parquet_and_json_lines_have_the_same_content(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    line = TextLine(
        "a b", (1, 2, 30, 4), 0.5, 0.25, (0, 0, 64, 64), [Part("a", (1, 2, 3, 4)), Part("b", (5, 2, 30, 4))]
    )
    block = GroundedBlock("title", ((1, 2, 3, 4),), "a")
    page = Page(
        "a b",
        5,
        6,
        7,
        0.5,
        "length",
        "lines",
        2,
        30,
        40,
        PageState.CUT,
        0.5,
        0.25,
        "missing",
        9,
        3,
        90,
        [line],
        [block],
    )
    ledger.record("a.png", 1, PageState.CUT, "", "", page.to_dict())
    ledger.record("b.png", 1, PageState.FAILED, "not a picture", last=True)
    flat = [json.loads(text) for text in write_results(ledger, tmp_path, "jsonl").read_text().splitlines()]
    assert pq.read_table(write_results(ledger, tmp_path, "parquet")).to_pylist() == flat
    assert set(flat[0]) == set(flat[1]) == set(SCHEMA.names) >= set(page.to_dict())
    assert json.loads(json.dumps(page.to_dict())).items() <= flat[0].items()


def test_source_is_finished_when_all_its_pages_are(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    ledger.record("a.pdf", 2, "ok", "", "then", {}, last=True)
    assert not ledger.finished("a.pdf", "then")
    ledger.record("a.pdf", 1, "failed", "broken", "then")
    ledger.close()
    assert Ledger(tmp_path / "ledger.jsonl", {}, resume=True).finished("a.pdf", "then")
    assert not Ledger(tmp_path / "ledger.jsonl", {}, resume=True).finished("a.pdf", "now")
    assert not Ledger(tmp_path / "ledger.jsonl", {}, retry_failed=True).finished("a.pdf", "then")


def test_full_disk_is_reported_in_one_line_and_keeps_finished_pages(tmp_path: Path) -> None:
    """Files are limited to 4 KB for a while, so that a write fails in the middle as on a full disk."""
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write .*ledger\.jsonl"):
            for page in range(1, 100):
                ledger.record("a.pdf", page, "ok", result={"text": "x" * 200})
        ledger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    going_on = Ledger(tmp_path / "ledger.jsonl", {}, resume=True)
    assert [number for _, number, _ in going_on.pages()] == list(range(1, page))
    going_on.record("a.pdf", page, "ok", result={"text": "again"})
    assert going_on.entry("a.pdf", page)["result"] == {"text": "again"}


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_full_disk_while_writing_results_is_reported_in_one_line(tmp_path: Path, kind: str) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    for page in range(1, 200):
        ledger.record("a.pdf", page, "failed", f"{page * 7919 % 1000003} is one of many reasons")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=rf"pages\.{kind}") as error:
            write_results(ledger, tmp_path, kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value) and [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]
