"""FineWeb-Edu, the pretraining text of a GPT: download its shards, list them, read them.

    uv run python -m nanochat.dataset -n 2 -w 2        # two shards, two parallel downloads

A shard is a parquet file with one column, `text`, in row groups of 1,024 documents. The last shard is for validation.
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
TIMEOUT = 60  # seconds without data after which a download counts as failed
CHUNK = 2**20
GET_TEXT = "get two shards with `uv run python -m nanochat.dataset -n 2 -w 2`"
PASSAGE = 2_000  # characters of a text file that count as one document


@dataclass
class DownloadConfig:
    num_files: Annotated[int, tyro.conf.arg(aliases=["-n"])] = -1
    """number of shards, starting with the first, of about 100 MB each; -1: all 1,823"""
    num_workers: Annotated[int, tyro.conf.arg(aliases=["-w"])] = 4
    """parallel downloads"""
    data_dir: Path = DATA_DIR
    """folder for the shards"""
    base_url: str = BASE_URL
    """URL of the folder with shard_00000.parquet and so on"""


def list_parquet_files(data_dir: str | Path = DATA_DIR) -> list[Path]:
    """The shards of a folder in order. Raises UserError, which says how to get some, if there are none."""
    data_dir = Path(data_dir).expanduser()
    files = sorted(data_dir.glob("*.parquet"))
    if not files:
        raise UserError(f"no text shards in {data_dir}; {GET_TEXT}")
    return files


def split_files(split: str, data_dir: str | Path = DATA_DIR) -> list[Path]:
    """The shards of `train` (all but the last) or `val` (the last). Raises UserError if there are none."""
    if split not in ("train", "val"):
        raise UserError(f"the text has the splits train and val, not {split!r}")
    files = list_parquet_files(data_dir)
    if split == "train" and len(files) == 1:
        raise UserError(
            f"only one shard in {files[0].parent}, and the last one is for validation: download a second with -n 2"
        )
    return files[:-1] if split == "train" else files[-1:]


def parquets_iter_batched(
    split: str, start: int = 0, step: int = 1, data_dir: str | Path = DATA_DIR
) -> Iterator[list[str]]:
    """Yield the documents of the row groups `start::step` of a split, one row group at a time.

    With `start` as rank and `step` as world size, the ranks divide the row groups among them. Raises UserError for an
    unreadable shard.
    """
    return _row_groups(split_files(split, data_dir), start, step)


def iter_documents(source: str | Path) -> Iterator[str]:
    """Yield the documents of a parquet or text file, or of all such files in a folder, sorted by path.

    A text file is split at line ends into documents of about 2,000 characters. Raises UserError if there is no text.
    """
    source = Path(source).expanduser()
    paths = [source] if source.is_file() else sorted(source.rglob("*.parquet")) or sorted(source.rglob("*.txt"))
    if not paths:
        raise UserError(f"no text in {source}: neither a file nor a folder with *.parquet or *.txt files; {GET_TEXT}")
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
            raise UserError(f"{path} has no readable column text ({reason}): delete it or download it again") from error


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
    """Download missing shards in parallel. A shard file appears only when it is complete.

    Raises UserError for the first that fails; finished shards are kept, and a second call continues.
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
            executor.shutdown(wait=False, cancel_futures=True)  # running downloads finish; the others are not started
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
    """Download a parquet file, with five retries after 1, 2, 4, 8 and 16 seconds; `path` appears when it is complete.

    `report` is called with (bytes so far, total bytes if known). Raises UserError if the last attempt fails, or at once
    if the server says that the file does not exist.
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
    """A failed download; `final` if another attempt would also fail."""

    def __init__(self, reason: str, final: bool = False):
        super().__init__(reason)
        self.final = final


def _receive(url: str, report: Callable[[int, int | None], None]) -> Iterator[bytes]:
    """Yield the body at `url`. Raises _BrokenDownload if the download fails; errors while writing are not caught."""
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
    """Raise _BrokenDownload unless the file starts and ends like a parquet file, unlike an error page or a part."""
    with open(path, "rb") as file:
        start = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read()
    if (start, end) != (b"PAR1", b"PAR1"):
        raise _BrokenDownload(f"the server sent {path.stat().st_size:,} bytes that are not a complete parquet file")


@entry_point
def main() -> None:
    """Download text shards of FineWeb-Edu."""
    download(parse_args(DownloadConfig, description=main.__doc__))


if __name__ == "__main__":
    main()
