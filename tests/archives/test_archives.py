"""Archives: every page of every kind of file is one row, whatever is killed in the middle."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from helpers.drawn_archive import draw_archive, stored
from helpers.tiny_server import tiny_checkpoint

from nanochat import cli
from nanochat.archives.alone import pages_that_pay
from nanochat.archives.batch import Tally
from nanochat.archives.cluster import _cause, ray_running
from nanochat.archives.estimate import Clock, CostEstimate, choose_sample, estimate, read_estimate
from nanochat.archives.files import File, documents_in, find_files
from nanochat.archives.pages import count_pages, pages_in
from nanochat.archives.results import SCHEMA, write_results
from nanochat.archives.settings import BatchSettings
from nanochat.archives.worker import BROKEN, Opening, Reader
from nanochat.errors import UserError
from nanochat.prompts import PROMPTS
from nanochat.reading.documents import InputPage
from nanochat.reading.grounding import Block
from nanochat.reading.job import Job
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState

TOKENS = 300  # of an answer: long enough that something can be killed in the middle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model"), 512)


def opened(file: File, **options) -> list[tuple[str, int, str]]:
    return [(p.source.name, p.number, p.state) for p in pages_in(file, Selection(), 72, "", **options)]


def test_every_page_of_every_kind_of_file(tmp_path: Path) -> None:
    expected = draw_archive(tmp_path / "in")
    found = [page for file in find_files([str(tmp_path / "in")]) for page in opened(file)]
    assert {(name, number) for name, number, _ in found} == expected and len(found) == len(expected)
    failed = {name.rpartition("in/")[2] for name, _, state in found if state == "failed"}
    assert failed == {"bad.png", "bad.tar", "shard.tar!/bad.png", "part.parquet!/3"}
    files = find_files([str(tmp_path / "in")])
    assert sum(count_pages(file, Selection(), 72, "") for file in files) == len(expected)


def test_pages_that_are_not_wanted_are_no_part_of_an_estimate(tmp_path: Path) -> None:
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


def test_pages_that_are_done_are_not_opened_again(tmp_path: Path) -> None:
    draw_archive(tmp_path / "in")
    (shard,) = find_files([str(tmp_path / "in/sh*.tar")])
    done = {(f"{shard.address}!/x/30.png", 1), (f"{shard.address}!/a.pdf", 2)}
    left = [(name.partition("!/")[2], n) for name, n, _ in opened(shard, done=lambda *page: page in done)]
    assert left == [("bad.png", 1), ("a.pdf", 1), ("a.pdf", 3), ("a.pdf", 4)]


def test_a_store_that_is_no_disk() -> None:
    store = fsspec.filesystem("memory")
    for name in ("scans/b.png", "scans/a.PNG", "scans/readme.md"):
        store.pipe_file(f"/{name}", stored(1))
    files = find_files(["memory://scans", "memory://scans/b*"])
    assert [file.address for file in files] == ["memory:///scans/a.PNG", "memory:///scans/b.png"]
    (document,) = documents_in(files[0])
    assert document.data == stored(1)
    store.pipe_file("/scans/b.png", stored(2) + b" ")
    assert find_files(["memory://scans/b.png"])[0].fingerprint != files[1].fingerprint


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("memory://nowhere/scans", "no such file, folder or bucket"),
        ("no/such/folder", "no such file, folder or bucket"),
        ("no/such/*.pdf", "no such file, folder or bucket"),
        ("carrierpigeon://scans", "cannot be read"),
        ("http://127.0.0.1:9/scan.png", "cannot be read|no such file"),
    ],
)
def test_a_place_that_is_not_there(address: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        find_files([address])
    assert str(error.value).startswith(address) and "\n" not in str(error.value)


def test_a_folder_without_documents(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="no picture, PDF, tar or parquet file there"):
        find_files([str(tmp_path)])


def test_what_one_worker_opens_another_reads(tmp_path: Path, model: Path) -> None:
    """The rows that go between processes, without the processes: texts are those of each picture alone."""
    draw_archive(tmp_path / "in")
    files = find_files([str(tmp_path / "in/*.p*"), str(tmp_path / "in/deep")])
    rows: dict[str, list] = {}
    asked = {"address": [f.address for f in files], "fingerprint": [f.fingerprint for f in files], "done": ["[]"] * 11}
    for row in Opening(Selection("1-2"), 150, "")(asked):
        for key, values in row.items():
            rows.setdefault(key, []).extend(values)
    reader = Reader(str(model), "cpu", "", None, Job([], PROMPTS["free"], max_tokens=20))
    read = reader(rows)
    results = {Path(name).name: json.loads(r) for name, r, n in zip(read["source"], read["result"], read["page"])}
    ocr = OCR(model)
    for i in range(8):
        assert results[f"{i}.png"]["text"] == ocr.read(stored(i), max_tokens=20).text != ""
    assert Counter(read["state"]) == {"cut": 13, "failed": 2, "skipped": 2}


def test_a_page_that_nobody_thought_of_is_a_row(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_archive(tmp_path / "in")
    (file,) = find_files([str(tmp_path / "in/a.pdf")])
    asked = {"address": [file.address], "fingerprint": [""], "done": ["[]"]}
    pages = list(Opening(Selection(), 72, "")(asked))
    rows = {key: [page[key][0] for page in pages] for key in pages[0]}
    rows["pixels"][2] = bytes(len(rows["pixels"][2]))  # a black page, on which something breaks
    reader = Reader(str(model), "cpu", "", None, Job([], PROMPTS["free"], max_tokens=4))
    plain = reader.ocr.read_many

    def read_many(images, *options):
        if not all(image.getbbox() for image in images):
            raise ZeroDivisionError("something broke")
        return plain(images, *options)

    monkeypatch.setattr(reader.ocr, "read_many", read_many)
    read = reader(rows)
    assert read["state"] == ["cut", "cut", "failed", "cut"] and read["page"] == [1, 2, 3, 4]
    assert read["why"][2].endswith("a.pdf, page 3: ZeroDivisionError: something broke")


def test_a_worker_without_a_model_says_why(tmp_path: Path, model: Path) -> None:
    """A machine that has no such GPU, no driver for it, or not the file: the job ends, and no page is called failed."""
    for checkpoint, device, words in ((model, "cuda:99", "device cuda:99 cannot be used here"),
                                      (tmp_path / "no.pt", "cpu", "no such checkpoint")):  # fmt: skip
        rows = Reader(str(checkpoint), device, "", None, Job([], PROMPTS["free"]))({"source": ["a.png"]})
        assert rows["state"] == [BROKEN] and words in rows["why"][0] and "\n" not in rows["why"][0]


def test_what_ray_wraps_is_told_in_one_line() -> None:
    error = RuntimeError("The actor died\nTraceback ...\n  in f\nValueError: no room\n")
    error.__cause__ = Exception()  # of Ray Data's own, and empty
    assert _cause(error) == "ValueError: no room"


def test_a_machine_too_busy_for_ray_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fail(*_, **__) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(UserError, match=r"Ray does not start on this machine \(The current node timed out"):
        with ray_running(""):
            pass
    with pytest.raises(UserError, match=r"no Ray cluster at auto .* RAY_AUTH_MODE"):
        with ray_running("auto"):
            pass


def test_gpus_that_are_not_there_are_one_line(tmp_path: Path, model: Path, monkeypatch, capsys) -> None:
    import ray

    (tmp_path / "a.png").write_bytes(stored(1))
    for name, found in (("init", None), ("shutdown", None), ("cluster_resources", {"CPU": 2.0})):
        monkeypatch.setattr(ray, name, lambda *_, found=found, **__: found)  # a machine of Ray's without a GPU
    arguments = ["batch", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--checkpoint", str(model)]
    monkeypatch.setattr("sys.argv", ["nano-ocr", *arguments, "--gpus", "1"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and capsys.readouterr().err == "error: --gpus 1: there are 0\n"


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_results_are_the_last_word_of_the_ledger(tmp_path: Path, model: Path, kind: str) -> None:
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


def test_pages_that_a_file_has_no_more_are_no_results(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    for page in (1, 2, 3):
        ledger.record("a.pdf", page, "skipped", "before", "old", last=page == 3)
    ledger.record("a.pdf", 1, "skipped", "now", "new", last=True)
    ledger.close()
    again = Ledger(tmp_path / "ledger.jsonl", {}, resume=True)
    for one in (ledger, again):
        assert list(one.pages()) == [("a.pdf", 1, "new")] and one.counts().total() == 1


def row(spent: float, tokens: int | None, call: float = 0.0) -> dict:
    """A row as a worker gives it; None: nothing was read."""
    result = None if tokens is None else {"tokens": tokens, "seconds": 0.001}
    return {"result": json.dumps(result), "spent": spent, "call": call}


def test_an_estimate_is_the_sample_made_whole(tmp_path: Path) -> None:
    """100 files of 3 pages, 50 tokens and 2 seconds a page, 4 workers at 0.9 an hour."""
    files = [File(f"{i}.pdf", "") for i in range(100)]
    sample = choose_sample(files)
    assert len(set(sample)) == 16 and {int(f.address[:-4]) // 25 for f in sample} == {0, 1, 2, 3}
    rows = [row(2.0, 50), row(2.0, None)]
    found = estimate(files, lambda some: 3 * len(some), lambda *_: iter(rows), 4, 0.9, tmp_path, Clock())
    assert found == CostEstimate(300, 15_000, 300 * 2 / 4 / 3600, 4, 0.9) == read_estimate(tmp_path)
    assert str(found).endswith("a million pages: 556 worker-hours or 500.00 in cost")
    with pytest.raises(UserError, match="nothing could be read of a sample of 16 files"):
        estimate(files, len, lambda *_: iter([row(1.0, None)]), 1, 0.0, tmp_path, Clock())


def test_an_estimate_counts_what_the_job_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 seconds until the first page, then one in 3 seconds, of which the model computes a thousandth: 12 pages take
    96 seconds by both, and a million pages, which start once, 833 hours."""
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


def test_the_end_says_what_it_was(tmp_path: Path) -> None:
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
    assert first == "6.0 pages a minute, 2 loops caught"
    assert (encrypted, broken) == ("2 failed: it is encrypted: give its --password", "1 failed: broken")
    assert expected.startswith("expected: 4 pages, 28 tokens") and was.startswith("it was: 6 pages, 30 tokens")


def test_a_small_archive_is_read_without_ray(tmp_path: Path, model: Path, monkeypatch, capsys) -> None:
    """The same texts, states and ledger as with processes; on resuming only what is missing is read."""
    draw_archive(tmp_path / "in", pictures=4)
    for container in ("shard.tar", "bad.tar", "part.parquet"):
        (tmp_path / "in" / container).unlink()
    monkeypatch.setitem(sys.modules, "ray", None)  # to import it is an error

    def run(*flags: str) -> tuple[int, str]:
        arguments = ["batch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--max_tokens=9", *flags]
        monkeypatch.setattr("sys.argv", ["nano-ocr", *arguments, "--checkpoint", str(model)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    code, err = run()
    assert code == 1 and "read in this process" in err and "9 pages: 8 cut, 1 failed" in err
    rows = {(r["source"], r["page"]): r for r in pq.read_table(tmp_path / "out/pages.parquet").to_pylist()}
    ocr = OCR(model)
    for i in range(4):
        text = rows[str(tmp_path / f"in/deep/{i}.png"), 1]["text"]
        assert text == ocr.read(stored(i), max_tokens=9).text != ""
    ledger = tmp_path / "out/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:5]))
    code, err = run("--resume")
    assert code == 1 and len(ledger.read_bytes().splitlines()) == len(lines)
    again = {(r["source"], r["page"]): r["text"] for r in pq.read_table(tmp_path / "out/pages.parquet").to_pylist()}
    assert again == {page: r["text"] for page, r in rows.items()}
    code, err = run("--estimate")
    assert code == 0 and "read in this process" in err


@pytest.mark.parametrize(("workers", "pages"), [(1, 1000), (2, 80), (15, 300 / 7)])
def test_where_processes_begin_to_pay(workers: int, pages: float) -> None:
    """40 seconds to start, one a page: n pages alone take n seconds, with w workers 40 + n / w."""
    assert pages_that_pay(workers) == pytest.approx(pages)


def test_parquet_and_json_lines_hold_the_same(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    line = TextLine(
        "a b", (1, 2, 30, 4), 0.5, 0.25, (0, 0, 64, 64), [Part("a", (1, 2, 3, 4)), Part("b", (5, 2, 30, 4))]
    )
    block = Block("title", ((1, 2, 3, 4),), "a")
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


def test_a_source_is_finished_when_all_its_pages_are(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    ledger.record("a.pdf", 2, "ok", "", "then", {}, last=True)
    assert not ledger.finished("a.pdf", "then")
    ledger.record("a.pdf", 1, "failed", "broken", "then")
    ledger.close()
    assert Ledger(tmp_path / "ledger.jsonl", {}, resume=True).finished("a.pdf", "then")
    assert not Ledger(tmp_path / "ledger.jsonl", {}, resume=True).finished("a.pdf", "now")
    assert not Ledger(tmp_path / "ledger.jsonl", {}, retry_failed=True).finished("a.pdf", "then")


def test_a_disk_that_fills_up_ends_in_one_line_and_keeps_what_was_read(tmp_path: Path) -> None:
    """No file may grow past 4 KB for a while, which fails as a full disk does: in the middle of a write."""
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
def test_a_disk_without_room_for_the_results_ends_in_one_line(tmp_path: Path, kind: str) -> None:
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


def wait_for(found, seconds: float = 400.0):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return value


def model_workers(session: int) -> list[int]:
    """Processes of a session that hold a model and live."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "cmdline").read_bytes()
            if name.startswith(b"ray::MapWorker") and os.getsid(int(place.name)) == session:
                found.append(int(place.name))
        except OSError:
            continue
    return found


def test_whatever_is_killed_no_page_is_lost_or_twice(tmp_path: Path, model: Path) -> None:
    """Two workers, of which one is killed; then the job itself; then it goes on and ends."""
    expected = draw_archive(tmp_path / "in", pictures=60)
    out, ledger = tmp_path / "out", tmp_path / "out/ledger.jsonl"
    command = [sys.executable, "-m", "nanochat.cli", "batch", str(tmp_path / "in"), "--out", str(out)]
    command += ["--checkpoint", str(model), "--model-workers=2", f"--max-tokens={TOKENS}"]

    def pages_done() -> int:
        return ledger.read_bytes().count(b"\n") - 1 if ledger.exists() else 0

    environment = {**os.environ, "RAY_worker_niceness": "0"}  # so that other tests do not starve it
    job = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True, env=environment)
    try:
        wait_for(lambda: pages_done() >= 1)
        os.kill(wait_for(lambda: model_workers(job.pid))[0], signal.SIGKILL)
        before = pages_done()
        wait_for(lambda: pages_done() > before)
        assert job.poll() is None, "it ended before it could be killed"
    finally:
        job.kill()
        job.wait()
    assert pages_done() < len(expected) and not (out / "pages.parquet").exists()
    done = subprocess.run(
        [*command, "--resume=True", "--model-workers=1"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert "4 failed" in done.stderr and "pages a minute" in done.stderr and "1 failed: an empty file" in done.stderr
    rows = pq.read_table(out / "pages.parquet").to_pylist()
    assert Counter((row["source"], row["page"]) for row in rows) == Counter(expected)
    assert pages_done() == len(expected)
    ocr = OCR(model)
    for i in (0, 5):
        (text,) = [row["text"] for row in rows if row["source"].endswith(f"deep/{i}.png")]
        assert text == ocr.read(stored(i), max_tokens=TOKENS).text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("batch", "{in}", "--out", "/dev/full/x"), "cannot write to /dev/full"),
        (("batch", "s3://no-such-bucket-of-ours/x", "--out", "{in}/out"), "s3://no-such-bucket-of-ours/x: "),
        (("batch", "--out", "{in}/out"), "nothing to read"),
        (("batch", "{in}", "--out", "{in}/out", "--model-workers=0"), "give at least 1"),
        (("batch", "{in}", "--out", "{in}/out", "--checkpoint=no/such.pt"), "no such checkpoint"),
        (("batch", "{in}", "--out", "{in}/out", "--prompt=Read it."), "a prompt needs one <image>"),
        (("batch", "{in}", "--out", "{in}/out", "--address=127.0.0.1:9"), "no Ray cluster at 127.0.0.1:9"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path: Path, model: Path, monkeypatch, capsys, arguments, words: str) -> None:
    (tmp_path / "a.png").write_bytes(stored(1))
    given = [argument.replace("{in}", str(tmp_path)) for argument in arguments]
    if not any("checkpoint" in argument for argument in given):
        given += ["--checkpoint", str(model)]
    monkeypatch.setattr("sys.argv", ["nano-ocr", *given])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and words in error, error
