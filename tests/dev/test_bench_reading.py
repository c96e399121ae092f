"""The figures of dev.bench_reading."""

import json
from pathlib import Path

import pytest
import torch
from helpers.drawn_page import draw_page, sentence
from helpers.tiny_server import tiny_checkpoint

from dev import bench_reading
from dev.bench import reading
from nanochat.modes import get_mode
from nanochat.reading.ocr import OCR
from nanochat.tasks.folder_set import FolderSet


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> OCR:
    return OCR(tiny_checkpoint(tmp_path_factory.mktemp("tiny")), "cpu")


def test_modes_cost_their_tokens_and_operations() -> None:
    tiny, gundam = reading.measure_modes("nano", torch.device("cpu"), ("tiny", "gundam"))
    assert tiny.tokens == 21 and gundam.tokens == get_mode("gundam", 512).layout(*reading.PAGE).n_tokens
    assert gundam.views == "6 of 320 x 320, 512 x 512" and tiny.views == "256 x 256"
    assert gundam.flops > 10 * tiny.flops and gundam.seconds > tiny.seconds > 0 < tiny.share


def test_speed_counts_the_pages_read(reader: OCR, tmp_path: Path) -> None:
    for i in range(5):
        more = [draw_page([sentence(i + k)], 20, width=300)[0] for k in (5, 10)]  # only the first page of each is read
        draw_page([sentence(i)], 20, width=300)[0].save(tmp_path / f"{i}.pdf", save_all=True, append_images=more)
    found = reading.measure_speed(reader, [str(tmp_path)], 3, 1, tmp_path / "out")
    assert found.pages == 3 and found.pages_per_minute > 0
    parts = found.opening, found.finding, found.model, found.rest
    assert min(found.opening, found.finding, found.model) > 0 and sum(parts) == pytest.approx(found.working, rel=0.5)


def test_audit_figures_for_right_and_wrong_texts(tmp_path: Path) -> None:
    texts = [sentence(i, 8) for i in range(8)]
    draw_page(texts, 20, width=900)[0].save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("\n".join(texts))
    draw_page(["short"], 20)[0].save(tmp_path / "b.png")
    (tmp_path / "b.txt").write_text("short")
    found = reading.measure_audit("mine", FolderSet(tmp_path, 9))
    assert (found.pages, found.right, found.half) == (1, 1.0, 1.0)
    assert reading.measure_empty(3)["blank"] == (1, 1.0, 1.0)


def test_intersection_over_union_of_boxes() -> None:
    assert reading.overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert reading.overlap((0, 0, 1, 1), (5, 5, 6, 6)) == 0


def test_memory_is_measured_during_the_run(tmp_path: Path) -> None:
    found = reading.measure_memory("nano", 20, tmp_path, (200, 300))
    pages = [now.page for now in found]
    assert pages == sorted(pages) and pages[0] == 0 and pages[-1] > 10
    assert max(now.own for now in found) > 100 and max(now.workers for now in found) > 1


def test_places_count_only_lines_that_were_read(reader: OCR, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = reading.measure_places(reader, "E", 2, lambda a, b: 0.0)
    assert nothing.lines == 0
    some = reading.measure_places(reader, "E", 2, lambda a, b: 1.0)
    assert some.lines > 0 and 0 <= some.attended <= 1


def test_seconds_of_loop_detection_are_part_of_generation(reader: OCR) -> None:
    guard = reader.engine.loops
    cost = reading.measure_guard(reader, rows=2, rounds=1)
    assert cost.tokens > 0 and 0 < cost.inside < min(cost.guarded, cost.decoding)
    assert reader.engine.loops is guard


def test_command_prints_its_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["bench_reading", "audit", "--pages=2"])
    bench_reading.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["pictures"] for row in found["sets"]] == [
        f"drawn pages, {split}" for split in ("val", "unseen", "hard")
    ]
