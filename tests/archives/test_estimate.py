"""Cost estimates of a batch from a sample, compared with the actual cost."""

import json
import time
from pathlib import Path

import pytest
from helpers.drawn_archive import draw_archive

from nanochat.archives.batch import Tally
from nanochat.archives.estimate import Clock, CostEstimate, choose_sample, estimate, read_estimate
from nanochat.archives.files import File, find_files
from nanochat.archives.pages import count_pages
from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import Opening
from nanochat.errors import UserError
from nanochat.reading.documents import InputPage
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState


def row(spent: float, tokens: int | None, call: float = 0.0) -> dict:
    """A row as a worker returns it; None: nothing was read."""
    result = None if tokens is None else {"tokens": tokens, "seconds": 0.001}
    return {"result": json.dumps(result), "spent": spent, "call": call}


def test_estimate_ignores_unselected_pages(tmp_path: Path) -> None:
    draw_archive(tmp_path / "in")
    (file,) = find_files([str(tmp_path / "in/a.pdf")])  # of four pages
    assert count_pages(file, Selection("3-"), 72, "") == 2
    asked = {"address": [file.address], "fingerprint": [""], "done": ["[]"]}
    states = [row["state"][0] for row in Opening(Selection("3-"), 72, "", most=1)(asked)]
    assert states == ["skipped", "skipped", "page"]
    tally = Tally()
    for state in states:
        tally.add(InputPage(Source("a.pdf"), 1, state), None)
    assert tally.pages == 1


def test_estimate_scales_up_the_sample(tmp_path: Path) -> None:
    """100 files of 3 pages, 50 tokens and 2 seconds per page, 4 workers at 0.9 per hour."""
    files = [File(f"{i}.pdf", "") for i in range(100)]
    sample = choose_sample(files)
    assert len(set(sample)) == 16 and {int(f.address[:-4]) // 25 for f in sample} == {0, 1, 2, 3}
    rows = [row(2.0, 50), row(2.0, None)]
    found = estimate(files, lambda some: 3 * len(some), lambda *_: iter(rows), 4, 0.9, tmp_path, Clock())
    assert found == CostEstimate(300, 15_000, 300 * 2 / 4 / 3600, 4, 0.9) == read_estimate(tmp_path)
    assert str(found).endswith("a million pages: 556 worker-hours or 500.00 in cost")
    with pytest.raises(UserError, match="no page in a sample of 16 files could be read"):
        estimate(files, len, lambda *_: iter([row(1.0, None)]), 1, 0.0, tmp_path, Clock())


def test_many_hours_are_whole_numbers() -> None:
    assert "0.024 hours with 1 worker; a million pages: 6,000 w" in str(CostEstimate(4, 572, 0.024, 1, 0.0))
    assert ", 1,234 hours with 8 workers;" in str(CostEstimate(9_000_000, 1, 1234.4, 8, 0.0))


def test_estimate_includes_start_up_and_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 seconds until the first page, then 3 seconds per page, a thousandth of it in the model: 12 pages take 96
    seconds, estimated and actual, and a million pages with one start 833 hours."""
    now = 1000.0
    monkeypatch.setattr("nanochat.archives.estimate.time.monotonic", lambda: now)

    def rows():
        nonlocal now
        now += 60
        for _ in range(12):
            now += 3
            yield row(3.0, 10, call=3.0)

    files = [File(f"{i}.png", "") for i in range(12)]
    said = estimate(files, len, lambda *_: rows(), 1, 0.0, tmp_path, Clock())
    tally = Tally()
    for number, one in enumerate(rows(), 1):
        tally.clock.saw(one)
        tally.add(InputPage(Source("a.png"), number, PageState.OK), json.loads(one["result"]))
    was = tally.figures(tally.clock.seconds() / 3600, 0.0)
    assert 3600 * said.hours == pytest.approx(96) == 3600 * was.hours and said.tokens == was.tokens == 120
    assert 3600 * said.starting == pytest.approx(60) == 3600 * was.starting
    assert str(was).endswith("a million pages: 833 worker-hours")


def test_summary_of_a_finished_job(tmp_path: Path) -> None:
    settings = BatchSettings(tmp_path, price=2.0)
    rows = iter([row(1.0, 7)])
    estimate([File("a.pdf", "")], lambda some: 4, lambda *_: rows, 1, 2.0, tmp_path, Clock())
    tally = Tally()
    tally.clock.started = time.monotonic() - 60
    for page, state in enumerate((PageState.OK, PageState.REPAIRED, PageState.LOOPED), 1):
        tally.add(InputPage(Source("a.pdf"), page, state), {"tokens": 10})
    for name in ("b.pdf", "c.pdf"):
        why = f"{name}: it is encrypted: give its --password"
        tally.add(InputPage(Source(name), 1, PageState.FAILED, why), None)
    tally.add(InputPage(Source("c.pdf"), 7, PageState.FAILED, "c.pdf, page 7: broken (bad xref)"), None)
    first, encrypted, broken, expected, was = tally.report(settings).splitlines()
    assert first == "6.0 pages per minute, 2 loops stopped"
    assert (encrypted, broken) == ("2 failed: it is encrypted: give its --password", "1 failed: broken")
    assert expected.startswith("expected: 4 pages, 28 tokens") and was.startswith("actual: 6 pages, 30 tokens")
