"""FineWeb-Edu, the text that a GPT is pretrained on: download its shards, list them, read them.

    uv run python -m nanochat.dataset -n 2 -w 2        # two shards, two downloads at a time

A shard is a parquet file of one column, `text`, in row groups of 1,024 documents; the last one is for validation.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from time import sleep
from typing import Annotated
from urllib.error import HTTPError
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from huggingface_hub.constants import ENDPOINT
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.files import atomic_path

BASE_URL = f"{ENDPOINT}/datasets/karpathy/fineweb-edu-100b-shuffle/resolve/main"
N_SHARDS = 1823
DATA_DIR = Path("~/.cache/nanochat/base_data")
RETRIES = 5
TIMEOUT = 60  # seconds without a byte after which a download counts as broken
CHUNK = 2**20
GET_TEXT = "get two shards with `uv run python -m nanochat.dataset -n 2 -w 2`"
PASSAGE = 2_000  # characters of a text file that count as one document


@dataclass
class DownloadConfig:
    num_files: Annotated[int, tyro.conf.arg(aliases=["-n"])] = -1
    """shards to have, from the first, of about 100 MB each; -1: all 1,823"""
    num_workers: Annotated[int, tyro.conf.arg(aliases=["-w"])] = 4
    """downloads at a time"""
    data_dir: Path = DATA_DIR
    """folder for the shards"""
    base_url: str = BASE_URL
    """where shard_00000.parquet and its sisters are"""


def list_parquet_files(data_dir: str | Path = DATA_DIR) -> list[Path]:
    """The shards of a folder in order. Raises UserError, saying how to get some, when there is none."""
    data_dir = Path(data_dir).expanduser()
    files = sorted(data_dir.glob("*.parquet"))
    if not files:
        raise UserError(f"no text shards in {data_dir}; {GET_TEXT}")
    return files


def split_files(split: str, data_dir: str | Path = DATA_DIR) -> list[Path]:
    """The shards of `train` (all but the last) or `val` (the last). Raises UserError when there is none."""
    if split not in ("train", "val"):
        raise UserError(f"the text has the splits train and val, not {split!r}")
    files = list_parquet_files(data_dir)
    if split == "train" and len(files) == 1:
        raise UserError(f"one shard alone in {files[0].parent}, and the last is for validation: get a second with -n 2")
    return files[:-1] if split == "train" else files[-1:]


def parquets_iter_batched(
    split: str, start: int = 0, step: int = 1, data_dir: str | Path = DATA_DIR
) -> Iterator[list[str]]:
    """Yield the documents of a split, one row group at a time: of all its row groups, those at `start::step`.

    Ranks that pass their rank and the world size share the row groups out. Raises UserError for an unreadable shard.
    """
    return _row_groups(split_files(split, data_dir), start, step)


def iter_documents(source: str | Path) -> Iterator[str]:
    """Yield the documents of a parquet or text file, or of all such files in a folder, sorted by path.

    A text file is cut at line ends into documents of about 2,000 characters. Raises UserError when nothing is there.
    """
    source = Path(source).expanduser()
    paths = [source] if source.is_file() else sorted(source.rglob("*.parquet")) or sorted(source.rglob("*.txt"))
    if not paths:
        raise UserError(f"no text in {source}: it is no file, and no folder with files *.parquet or *.txt; {GET_TEXT}")
    for path in paths:
        if path.suffix == ".parquet":
            yield from chain.from_iterable(_row_groups([path]))
        else:
            yield from _passages(path)


def _row_groups(paths: list[Path], start: int = 0, step: int = 1) -> Iterator[list[str]]:
    number = 0
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    if number >= start and (number - start) % step == 0:
                        documents = file.read_row_group(group, columns=["text"]).column("text").to_pylist()
                        yield [text for text in documents if text]
                    number += 1
        except (OSError, KeyError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{path} has no readable column text ({reason}): delete it or get it again") from error


def _passages(path: Path) -> Iterator[str]:
    passage = ""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            passage += line
            if len(passage) >= PASSAGE:
                yield passage
                passage = ""
    if passage:
        yield passage


def download(config: DownloadConfig) -> None:
    """Download the shards that are not there yet, a few at a time, each whole or not at all.

    Raises UserError for the first that cannot be had; those downloaded before stay, and a second call goes on.
    """
    if (config.num_files != -1 and not 1 <= config.num_files <= N_SHARDS) or config.num_workers < 1:
        raise UserError(f"-n takes 1 to {N_SHARDS} shards, or -1 for all, and -w at least 1 download at a time")
    n_files = N_SHARDS if config.num_files == -1 else config.num_files
    data_dir = config.data_dir.expanduser()
    paths = [data_dir / f"shard_{index:05d}.parquet" for index in range(n_files)]
    missing = [path for path in paths if not path.exists()]
    print(f"{n_files - len(missing)} of {n_files} shards are in {data_dir}, {len(missing)} to download", flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns) as progress, ThreadPoolExecutor(config.num_workers) as executor:
        futures = [executor.submit(_download_with_bar, path, config.base_url, progress) for path in missing]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)  # those under way end; the others never begin
            raise


def _download_with_bar(path: Path, base_url: str, progress: Progress) -> None:
    bar = progress.add_task(path.name, total=None)

    def report(done: int, total: int | None) -> None:
        progress.update(bar, completed=done, total=total)

    try:
        download_file(f"{base_url}/{path.name}", path, report)
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    finally:
        progress.remove_task(bar)


def download_file(url: str, path: Path, report: Callable[[int, int | None], None]) -> None:
    """Download a parquet file, trying again five times after 1, 2, 4, 8 and 16 seconds; `path` appears when whole.

    `report` hears (bytes so far, bytes in all if known). Raises UserError when the last attempt fails too, or at once
    when the server says that there is no such file.
    """
    with atomic_path(path) as temporary:
        for attempt in range(RETRIES + 1):
            try:
                with open(temporary, "wb") as file:
                    for chunk in _receive(url, report):
                        file.write(chunk)
                return _check_is_parquet(temporary)
            except _BrokenDownload as error:
                if error.final or attempt == RETRIES:
                    by_hand = f"download it elsewhere and put it at {path}"
                    raise UserError(f"cannot download {url} ({error}; {attempt + 1} attempts): {by_hand}") from error
                print(f"{path.name}: {error}; trying again in {2**attempt} s")
                sleep(2**attempt)


class _BrokenDownload(Exception):
    """A download that ended early or never began; `final` when another attempt would end alike."""

    def __init__(self, reason: str, final: bool = False):
        super().__init__(reason)
        self.final = final


def _receive(url: str, report: Callable[[int, int | None], None]) -> Iterator[bytes]:
    """Yield the body at `url`. Raises _BrokenDownload when it cannot be had; errors of writing are not caught."""
    try:
        with urlopen(url, timeout=TIMEOUT) as response:
            length = response.headers.get("Content-Length")
            total = None if length is None else int(length)
            done = 0
            while chunk := response.read(CHUNK):
                done += len(chunk)
                report(done, total)
                yield chunk
    except HTTPError as error:
        final = 400 <= error.code < 500 and error.code not in (408, 429)
        raise _BrokenDownload(f"HTTP {error.code} {error.reason}", final) from error
    except (OSError, HTTPException) as error:
        raise _BrokenDownload(str(error) or type(error).__name__) from error


def _check_is_parquet(path: Path) -> None:
    """Raise _BrokenDownload unless the file begins and ends as a parquet file does, not so an error page or a part."""
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read()
    if (start, end) != (b"PAR1", b"PAR1"):
        raise _BrokenDownload(f"what came is no whole parquet file, {path.stat().st_size:,} bytes")


@entry_point
def main() -> None:
    """Download text shards of FineWeb-Edu."""
    download(parse_args(DownloadConfig, description=main.__doc__))


if __name__ == "__main__":
    main()
