"""`nano-ocr batch` as a whole: small archives without Ray, processes that are killed, bad input."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.drawn_archive import draw_archive, stored

from nanochat import cli
from nanochat.archives import alone
from nanochat.archives.alone import is_small, pages_that_pay
from nanochat.archives.files import find_files
from nanochat.archives.settings import BatchSettings
from nanochat.reading.ocr import OCR

TOKENS = 300  # length of an answer, so that processes can be killed in the middle of one


def test_small_archive_is_read_without_ray(tmp_path: Path, model: Path, monkeypatch, capsys) -> None:
    """Texts, states and ledger are the same as with processes, and resuming reads only missing pages."""
    expected = draw_archive(tmp_path / "in", pictures=4)
    monkeypatch.setitem(sys.modules, "ray", None)  # importing it raises an error

    def run(*flags: str) -> tuple[int, str]:
        arguments = ["batch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--max_tokens=9", *flags]
        monkeypatch.setattr("sys.argv", ["nano-ocr", *arguments, "--checkpoint", str(model)])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    code, err = run()
    assert code == 1 and "reading them in this process" in err and "20 pages: 16 cut, 4 failed" in err
    rows = {(r["source"], r["page"]): r for r in pq.read_table(tmp_path / "out/pages.parquet").to_pylist()}
    assert set(rows) == expected
    ocr = OCR(model)
    for i in range(4):
        text = rows[str(tmp_path / f"in/deep/{i}.png"), 1]["text"]
        assert text == ocr.read(stored(i), max_tokens=9).text != ""
    ledger = tmp_path / "out/ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:12]) + lines[12][:30])  # killed while it was writing a page of the shard
    code, err = run("--resume")
    assert code == 1 and len(ledger.read_bytes().splitlines()) == len(lines)
    again = {(r["source"], r["page"]): r["text"] for r in pq.read_table(tmp_path / "out/pages.parquet").to_pylist()}
    assert again == {page: r["text"] for page, r in rows.items()}
    code, err = run("--estimate")
    assert code == 0 and "reading them in this process" in err


def test_pages_of_a_large_container_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_archive(tmp_path / "in", pictures=1)
    files = find_files([str(tmp_path / "in")])
    settings = BatchSettings(out=tmp_path / "out")
    assert is_small(files, settings)
    monkeypatch.setattr(alone, "CONTAINER_BYTES", 100)
    assert not is_small(files, settings)


@pytest.mark.parametrize(("workers", "pages"), [(1, 1000), (2, 80), (15, 300 / 7)])
def test_choice_between_one_process_and_workers(workers: int, pages: float) -> None:
    """40 seconds of start-up, one second per page: n pages take n seconds, or 40 + n / w with w workers."""
    assert pages_that_pay(workers) == pytest.approx(pages)


def wait_for(found, seconds: float = 400.0):
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    return value


def model_workers(session: int) -> list[int]:
    """Live processes of a session that hold a model."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "cmdline").read_bytes()
            if name.startswith(b"ray::MapWorker") and os.getsid(int(place.name)) == session:
                found.append(int(place.name))
        except OSError:
            continue
    return found


def test_no_page_is_lost_or_duplicated_when_processes_are_killed(tmp_path: Path, model: Path) -> None:
    """One of two workers is killed, then the job itself; then it is resumed and finishes."""
    expected = draw_archive(tmp_path / "in", pictures=60)
    out, ledger = tmp_path / "out", tmp_path / "out/ledger.jsonl"
    command = [sys.executable, "-m", "nanochat.cli", "batch", str(tmp_path / "in"), "--out", str(out)]
    command += ["--checkpoint", str(model), "--model-workers=2", f"--max-tokens={TOKENS}"]

    def pages_done() -> int:
        return ledger.read_bytes().count(b"\n") - 1 if ledger.exists() else 0

    job = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(lambda: pages_done() >= 1)
        worker = wait_for(lambda: model_workers(job.pid))[0]
        priorities = {os.getpriority(os.PRIO_PROCESS, process) for process in (job.pid, worker)}
        assert len(priorities) == 1, "a worker with a lower priority hardly runs on a busy machine"
        os.kill(worker, signal.SIGKILL)
        before = pages_done()
        wait_for(lambda: pages_done() > before)
        assert job.poll() is None, "it ended before it could be killed"
    finally:
        job.kill()
        job.wait()
    assert pages_done() < len(expected) and not (out / "pages.parquet").exists()
    done = subprocess.run([*command, "--resume=True", "--model-workers=1"], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "4 failed" in done.stderr and "pages per minute" in done.stderr and "1 failed: an empty file" in done.stderr
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
        (("batch", "{in}", "--out", "{in}/out", "--model-workers=0"), "must be at least 1"),
        (("batch", "{in}", "--out", "{in}/out", "--checkpoint=no/such.pt"), "no such checkpoint"),
        (("batch", "{in}", "--out", "{in}/out", "--prompt=Read it."), "a prompt needs one <image>"),
        (("batch", "{in}", "--out", "{in}/out", "--address=127.0.0.1:9"), "no Ray cluster at 127.0.0.1:9"),
    ],
)  # fmt: skip
def test_bad_input_is_reported_in_one_line(
    tmp_path: Path, model: Path, monkeypatch, capsys, arguments, words: str
) -> None:
    (tmp_path / "a.png").write_bytes(stored(1))
    given = [argument.replace("{in}", str(tmp_path)) for argument in arguments]
    if not any("checkpoint" in argument for argument in given):
        given += ["--checkpoint", str(model)]
    monkeypatch.setattr("sys.argv", ["nano-ocr", *given])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and words in error, error
