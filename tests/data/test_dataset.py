"""Text shards: downloads are complete or absent whatever the server does, and every document is read once."""

import errno
import io
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shared_data import shared_data

from nanochat import dataset
from nanochat.dataset import DownloadConfig, download, iter_documents, list_parquet_files, parquets_iter_batched
from nanochat.errors import UserError


def parquet_bytes(texts: list[str | None], row_group_size: int = 2) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), buffer, row_group_size=row_group_size)
    return buffer.getvalue()


class Server:
    """Serves shard i as the text `shard i`; `faults`: for each path, the failures before that, in order."""

    def __init__(self) -> None:
        self.faults: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.removeprefix("/data/")
        self.requests[name] += 1
        body = parquet_bytes([f"shard {int(name[6:11])}"])
        faults = self.faults.get(name, [])
        fault = faults.pop(0) if faults else ""
        if fault.isdigit():
            handler.send_error(int(fault))
            return
        if fault == "close":
            handler.connection.close()
            return
        page = b"<html>log in to this network</html>"
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(page if fault == "page" else body)))
        handler.end_headers()
        handler.wfile.write({"page": page, "short": body[:-20]}.get(fault, body))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The requested delays in seconds; it does not actually wait."""
    asked: list[float] = []
    monkeypatch.setattr(dataset, "sleep", asked.append)
    return asked


def texts(path: Path) -> list[str]:
    return pq.read_table(path)["text"].to_pylist()


# ---- downloading


def test_requested_shards_are_downloaded_completely_and_once(tmp_path: Path, server: Server):
    config = DownloadConfig(num_files=3, num_workers=2, data_dir=tmp_path / "new", base_url=server.url)
    download(config)
    names = [f"shard_0000{i}.parquet" for i in range(3)]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == names
    assert [texts(path) for path in list_parquet_files(tmp_path / "new")] == [["shard 0"], ["shard 1"], ["shard 2"]]
    download(config)
    assert server.requests == dict.fromkeys(names, 1)


@pytest.mark.parametrize("fault", ["500", "503", "429", "close", "short", "page"])
def test_download_survives_five_failures_with_growing_delays(
    tmp_path: Path, server: Server, waits: list[float], fault: str
):
    server.faults["shard_00000.parquet"] = [fault] * 5
    download(DownloadConfig(num_files=1, data_dir=tmp_path, base_url=server.url))
    assert texts(tmp_path / "shard_00000.parquet") == ["shard 0"]
    assert waits == [1, 2, 4, 8, 16]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("fault", ["500", "close", "short", "page"])
def test_sixth_failure_is_reported_in_one_line_and_leaves_no_file(
    tmp_path: Path, server: Server, waits: list[float], fault: str
):
    server.faults["shard_00001.parquet"] = [fault] * 6
    with pytest.raises(UserError, match=r"cannot download http.*shard_00001\.parquet .*6 attempts") as caught:
        download(DownloadConfig(num_files=2, num_workers=1, data_dir=tmp_path, base_url=server.url))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "shard_00001.parquet") in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["shard_00000.parquet"]


def test_missing_file_is_not_requested_again(tmp_path: Path, server: Server, waits: list[float]):
    server.faults["shard_00000.parquet"] = ["404"]
    with pytest.raises(UserError, match="HTTP 404"):
        download(DownloadConfig(num_files=1, data_dir=tmp_path, base_url=server.url))
    assert waits == []


def test_full_disk_is_reported_and_not_retried(
    tmp_path: Path, server: Server, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    class FullDisk(io.BytesIO):
        def write(self, _) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(dataset, "open", lambda *_: FullDisk(), raising=False)
    with pytest.raises(UserError, match=r"cannot write .*shard_00000\.parquet: No space left on device"):
        download(DownloadConfig(num_files=1, data_dir=tmp_path, base_url=server.url))
    assert waits == []


@pytest.mark.parametrize(("n", "w"), [(0, 1), (-2, 1), (1824, 1), (1, 0)])
def test_invalid_counts_are_rejected(tmp_path: Path, n: int, w: int):
    with pytest.raises(UserError, match="1 to 1823"):
        download(DownloadConfig(num_files=n, num_workers=w, data_dir=tmp_path))


def test_download_command(tmp_path: Path, server: Server):
    command = [sys.executable, "-m", "nanochat.dataset", "-n", "2", "-w", "2"]
    options = [f"--data_dir={tmp_path}", f"--base-url={server.url}"]
    done = subprocess.run(command + options, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "shard_00001.parquet" in done.stdout
    assert len(list_parquet_files(tmp_path)) == 2


def test_download_command_reports_a_missing_shard_in_one_line(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    server.faults["shard_00000.parquet"] = ["404"]
    monkeypatch.setattr(sys, "argv", ["dataset", "-n=1", f"--data-dir={tmp_path}", "--base_url", server.url])
    with pytest.raises(SystemExit) as ended:
        dataset.main()
    assert ended.value.code == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and errors[0].startswith("error: cannot download")


# ---- reading


def write_shards(folder: Path, *shards: list[str | None]) -> Path:
    for number, documents in enumerate(shards):
        (folder / f"shard_{number:05d}.parquet").write_bytes(parquet_bytes(documents))
    return folder


def test_last_shard_is_for_validation_and_ranks_share_the_others(tmp_path: Path):
    write_shards(tmp_path, ["a", "b", "c"], ["d", None, "", "e", "f"], ["g", "h"])
    assert list(parquets_iter_batched("train", data_dir=tmp_path)) == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]
    assert list(parquets_iter_batched("val", data_dir=tmp_path)) == [["g", "h"]]
    shares = [list(parquets_iter_batched("train", rank, 2, tmp_path)) for rank in range(2)]
    assert shares == [[["a", "b"], ["d"], ["f"]], [["c"], ["e"]]]


def test_real_shards_contain_the_books():
    folder = shared_data("text/base_parquet")
    expected = [pq.read_table(folder / f"shard_0000{i}.parquet")["text"].to_pylist() for i in range(2)]
    for split, documents in zip(("train", "val"), expected):
        assert list(chain.from_iterable(parquets_iter_batched(split, data_dir=folder))) == documents


def test_missing_single_and_broken_shards_are_reported_with_advice(tmp_path: Path):
    with pytest.raises(UserError, match=r"python -m nanochat\.dataset -n 2 -w 2"):
        list_parquet_files(tmp_path)
    write_shards(tmp_path, ["a"])
    with pytest.raises(UserError, match="download a second with -n 2"):
        list(parquets_iter_batched("train", data_dir=tmp_path))
    with pytest.raises(UserError, match="train and val, not 'test'"):
        list(parquets_iter_batched("test", data_dir=tmp_path))
    (tmp_path / "shard_00001.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(UserError, match=r"shard_00001\.parquet has no readable column text"):
        list(parquets_iter_batched("val", data_dir=tmp_path))


def test_documents_are_read_from_files_and_folders(tmp_path: Path):
    write_shards(tmp_path, ["a", None, "b"], ["c"])
    assert list(iter_documents(tmp_path)) == ["a", "b", "c"]
    assert list(iter_documents(tmp_path / "shard_00001.parquet")) == ["c"]
    (tmp_path / "texts").mkdir()
    lines = [f"line {i} of a book with caf\u00e9\n" for i in range(500)]
    (tmp_path / "texts" / "book.txt").write_text("".join(lines), encoding="utf-8")
    passages = list(iter_documents(tmp_path / "texts"))
    assert "".join(passages) == "".join(lines)
    assert len(passages) > 5 and all(passage.endswith("\n") and len(passage) < 2_100 for passage in passages)
    pq.write_table(pa.table({"words": ["a"]}), tmp_path / "texts" / "words.parquet")
    with pytest.raises(UserError, match=r"words\.parquet has no readable column text"):
        list(iter_documents(tmp_path / "texts"))
    with pytest.raises(UserError, match="no text in"):
        list(iter_documents(tmp_path / "absent"))
