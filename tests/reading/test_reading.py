"""Whole inputs: every page gets exactly one result, whatever happens, and the files contain it."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from nanochat.errors import UserError
from nanochat.reading.documents import InputPage
from nanochat.reading.job import Job, Totals, file_names, read_input
from nanochat.reading.ledger import Ledger
from nanochat.reading.page import Page
from nanochat.reading.sources import Selection, find_sources

SETTINGS = {"checkpoint": "none"}
HOW = {  # tens digit of the grey value of a page -> how the fake model ends it
    0: ("end", "ok"),
    1: ("loop", "looped"),
    2: ("length", "cut"),
    3: ("end", "repaired"),
}


class Reader:
    """A fake model: the text of a page is its grey value; pages of 99 cannot be read."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.read = pause, 0

    def read_many(self, pictures: Iterable[Image.Image], prompt: str, max_tokens, seconds) -> Iterator[Page]:
        pages = []
        for picture in pictures:
            grey = picture.convert("L").getpixel((0, 0))
            assert isinstance(grey, int)
            if grey == 99:
                raise UserError("this page takes more room than there is")
            if grey == 98:
                raise torch.OutOfMemoryError("CUDA out of memory")
            if grey == 97:
                raise ZeroDivisionError("nobody thought of that")
            stopped, status = HOW.get(grey // 10, ("end", "ok"))
            pages.append(Page(f"grey {grey}", 7, 9, 3, 0.1, stopped, "base", 1, *picture.size, status))
            self.read += 1
            time.sleep(self.pause)
        yield from pages


def tiff(path: Path, greys: list[int]) -> Path:
    frames = [Image.new("L", (8, 8), grey) for grey in greys]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def run(folder: Path, files: list[Path], reader: Reader, seen: list | None = None, **options) -> Totals:
    flags = {name: options.pop(name) for name in ("resume", "retry_failed") if name in options}
    ledger = Ledger(folder / "ledger.jsonl", SETTINGS, **flags)
    job = Job(find_sources([str(file) for file in files]), "<image>", out=folder, **options)

    def note(page: InputPage, state: str) -> None:
        if seen is not None:
            seen.append((Path(page.source.name).name, page.number, state))

    try:
        return read_input(lambda: reader, job, ledger, note)  # type: ignore[arg-type, return-value]
    finally:
        ledger.close()


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()[1:]]


def test_every_page_has_one_status_and_the_counts_add_up(tmp_path: Path) -> None:
    letter = tmp_path / "letter.png"
    letter.write_text("Dear Sir")
    files = [tiff(tmp_path / "a.tif", [1, 11, 2, 21, 3, 31, 99, 98, 4, 5]), letter, tiff(tmp_path / "b.tif", [6, 7])]
    totals = run(tmp_path / "out", files, Reader(), selection=Selection("1-9"))
    assert totals.states == {"ok": 6, "looped": 1, "cut": 1, "repaired": 1, "failed": 3, "skipped": 1}
    assert str(totals).startswith("13 pages: 6 ok, 1 repaired, 1 looped, 1 cut, 3 failed, 1 skipped; ")
    entries = lines(tmp_path / "out")
    assert len(entries) == 13 == len({(e["source"], e["page"]) for e in entries})
    why = {(Path(e["source"]).name, e["page"]): e["why"] for e in entries}
    assert "repeated itself; what came before is kept" in why["a.tif", 2] and "--max_tokens" in why["a.tif", 4]
    assert "continued without the repetition" in why["a.tif", 6] and why["a.tif", 10] == "not among --pages"
    assert "a.tif, page 7: this page takes more room" in why["a.tif", 7]
    assert "a.tif, page 8: out of memory" in why["a.tif", 8] and "--batch_size" in why["a.tif", 8]
    assert "not a picture" in why["letter.png", 1] and why["b.tif", 1] == ""
    texts = (tmp_path / "out/a.txt").read_text().split("\f")
    assert [text.strip() for text in texts[:7]] == ["grey 1", "grey 11", "grey 2", "grey 21", "grey 3", "grey 31", ""]
    assert (tmp_path / "out/b.txt").read_text() == "grey 6\n\fgrey 7\n" and not (tmp_path / "out/letter.txt").exists()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(0, 1), st.booleans())
def test_no_page_is_lost_or_duplicated_when_killed_at_any_byte(tmp_path: Path, where: float, json_out: bool) -> None:
    """A kill can truncate the ledger anywhere; resuming gives the same result as an uninterrupted run."""
    files = [tmp_path / "a.tif", tmp_path / "b.tif"]
    kind = "json" if json_out else "txt"
    whole, folder = tmp_path / kind, tmp_path / "cut"
    if not files[0].exists():
        tiff(files[0], [*range(40, 60)])
        tiff(files[1], [*range(70, 75)])
    if not whole.exists():
        run(whole, files, Reader(), format=kind, workers=0)
    ledger = (whole / "ledger.jsonl").read_bytes()
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "ledger.jsonl").write_bytes(ledger[: round(where * len(ledger))])
    before = ledger[: round(where * len(ledger))].count(b"\n") - 1
    reader = Reader()
    totals = run(folder, files, reader, resume=True, format=kind, workers=0)
    assert totals.states == {"ok": 25} and reader.read == 25 - max(0, before)
    assert (folder / "ledger.jsonl").read_bytes() == ledger
    for name in (f"a.{kind}", f"b.{kind}"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_killed_process_can_be_resumed(tmp_path: Path) -> None:
    files, folder = [tiff(tmp_path / "a.tif", [*range(40, 90)])], tmp_path / "out"
    child = multiprocessing.get_context("fork").Process(target=run, args=(folder, files, Reader(pause=0.01)))
    child.start()
    until = time.monotonic() + 30
    while time.monotonic() < until and not ((folder / "ledger.jsonl").exists() and len(lines_so_far(folder)) > 9):
        time.sleep(0.005)
    assert child.pid is not None
    workers = children(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert workers or sys.platform != "linux"
    while time.monotonic() < until and any(map(is_running, workers)):
        time.sleep(0.02)
    assert not any(map(is_running, workers)), "what opened pages outlives who read them"
    done = len(lines_so_far(folder)) - 1
    assert 9 <= done < 50 and not (folder / "a.txt").exists()
    reader = Reader()
    assert run(folder, files, reader, resume=True).states == {"ok": 50} and reader.read == 50 - done
    assert [entry["page"] for entry in lines(folder)] == [*range(1, 51)]
    assert (folder / "a.txt").read_text() == "\f".join(f"grey {grey}\n" for grey in range(40, 90))


def children(pid: int) -> list[int]:
    """The child processes of a process; none without /proc."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def lines_so_far(folder: Path) -> list[bytes]:
    return [line for line in (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_retry_failed_repeats_only_failed_pages(tmp_path: Path) -> None:
    files, folder = [tiff(tmp_path / "a.tif", [1, 11, 21, 31, 99, 2])], tmp_path / "out"
    run(folder, files, Reader())
    seen: list[tuple[str, int, str]] = []
    assert run(folder, files, Reader(), seen, resume=True).states["failed"] == 1
    assert [state for _, _, state in seen] == ["done"] * 6
    seen = []
    totals = run(folder, files, Reader(), seen, retry_failed=True)
    again = [number for _, number, state in seen if state != "done"]
    assert again == [2, 3, 5] and sum(totals.states.values()) == 6


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    file, folder = tiff(tmp_path / "a.tif", [1, 2, 3]), tmp_path / "out"
    run(folder, [file], Reader())
    tiff(file, [4, 5])
    os.utime(file, ns=(1, 1))
    assert run(folder, [file], Reader(), resume=True).states == {"ok": 2}
    assert (folder / "a.txt").read_text() == "grey 4\n\fgrey 5\n"


def test_bug_fails_only_one_page(tmp_path: Path) -> None:
    files = [tiff(tmp_path / "a.tif", [1, 97, 2]), tiff(tmp_path / "b.tif", [3])]
    assert run(tmp_path / "out", files, Reader()).states == {"ok": 3, "failed": 1}
    assert lines(tmp_path / "out")[1]["why"].endswith("a.tif, page 2: ZeroDivisionError: nobody thought of that")


def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    file, folder = tiff(tmp_path / os.fsdecode(b"caf\xe9.tif"), [1]), tmp_path / "out"
    for resume in (False, True):
        assert run(folder, [file], Reader(), resume=resume, format="json").states == {"ok": 1}
    (written,) = folder.glob("*.json")
    assert json.loads(written.read_text())["source"] == str(file)


def test_files_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    first, second = tiff(tmp_path / "one/a.tif", [1]), tiff(tmp_path / "two/a.tif", [2])
    run(tmp_path / "out", [first], Reader())
    with pytest.raises(UserError, match=r"a\.txt already exists and is not from .*two"):
        run(tmp_path / "out", [second], Reader(), resume=True)
    assert (tmp_path / "out/a.txt").read_text() == "grey 1\n"


def test_ctrl_c_keeps_finished_pages(tmp_path: Path) -> None:
    files, folder = [tiff(tmp_path / "a.tif", [*range(40, 60)])], tmp_path / "out"

    class Interrupted(Reader):
        def read_many(self, *arguments) -> Iterator[Page]:
            if self.read:
                raise KeyboardInterrupt
            return super().read_many(*arguments)

    with pytest.raises(KeyboardInterrupt):
        run(folder, files, Interrupted())
    assert (folder / "a.txt").read_text() == "\f".join(f"grey {grey}\n" for grey in range(40, 48))
    assert run(folder, files, Reader(), resume=True).states == {"ok": 20}
    assert (folder / "a.txt").read_text().count("\f") == 19


def test_existing_output_is_not_overwritten(tmp_path: Path) -> None:
    file, folder = tiff(tmp_path / "a.tif", [1]), tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").write_text("mine")
    with pytest.raises(UserError, match=r"a\.txt already exists"):
        run(folder, [file], Reader())
    assert (folder / "a.txt").read_text() == "mine"
    (folder / "a.txt").unlink()
    run(folder, [file], Reader())
    with pytest.raises(UserError, match="is from an earlier run: continue with --resume"):
        run(folder, [file], Reader())
    with pytest.raises(UserError, match=r"with other settings \(checkpoint\): choose another"):
        Ledger(folder / "ledger.jsonl", {"checkpoint": "other"}, resume=True)
    with pytest.raises(UserError, match=r"cannot write to .*mine"):
        (tmp_path / "mine").touch()
        Ledger(tmp_path / "mine/out/ledger.jsonl", SETTINGS)


def test_every_source_has_its_own_output_file() -> None:
    names = file_names(find_sources([f"data:text/plain,{i}" for i in range(3)]))
    assert len(set(names.values())) == 3
    from nanochat.reading.sources import Source

    paths = ["a/x.png", "b/x.png", "b/x.pdf", "y.png", "x.png-2"]
    assert len(set(file_names([Source(path) for path in paths]).values())) == len(paths)
    assert file_names([Source("in/report.pdf")]) == {"in/report.pdf": "report"}
    alike = ["/in/a/1.png", "/in/b/1.png", "/in/b/2.png", "/in/b/2.pdf"]
    assert [*file_names([Source(path) for path in alike]).values()] == ["a-1.png", "b-1.png", "2.png", "2.pdf"]
