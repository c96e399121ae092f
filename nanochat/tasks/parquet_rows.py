"""Rows of parquet files by number, read one row group at a time, so that memory use is bounded."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nanochat.errors import UserError
from nanochat.tasks.common import BadSample

CACHE_BYTES = 128 * 2**20  # decoded row groups that are kept; the one in use is kept whatever its size


class ParquetRows:
    """The rows of the files `paths`, in order, as dictionaries of the given `columns`. Other columns are not read.

    Raises UserError if a file is not a parquet file or lacks a column. No file stays open between reads, so that the
    worker processes of a data loader share none.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str]):
        self.columns = list(columns)
        self._metadata = {path: _read_metadata(path, self.columns) for path in paths}
        self._groups = [(path, group) for path, meta in self._metadata.items() for group in range(meta.num_row_groups)]
        sizes = [self._metadata[path].row_group(group).num_rows for path, group in self._groups]
        self._ends = list(accumulate(sizes))
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Row `index` as Python values. Raises BadSample when its row group cannot be read."""
        group, row = self._locate(index)
        return self._read_group(group).slice(row, 1).to_pylist()[0]

    def name(self, index: int) -> str:
        """A name of row `index` for messages: its file and its number in the file, counted from 0."""
        group, row = self._locate(index)
        path, group_in_file = self._groups[group]
        meta = self._metadata[path]
        return f"{path}: row {row + sum(meta.row_group(earlier).num_rows for earlier in range(group_in_file))}"

    def _locate(self, index: int) -> tuple[int, int]:
        """(row group, row in it) of row `index`."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        group = bisect_right(self._ends, index)
        return group, index - (self._ends[group - 1] if group else 0)

    def _read_group(self, group: int) -> pa.Table:
        """A row group, from the cache if possible. The least recently used row groups are dropped from the cache."""
        if group not in self._cache:
            path, group_in_file = self._groups[group]
            try:
                with pq.ParquetFile(path, metadata=self._metadata[path]) as file:
                    table = file.read_row_group(group_in_file, columns=self.columns, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise BadSample(f"{path}: row group {group_in_file} cannot be read ({_first_line(error)})") from error
            self._cache[group] = table
            while len(self._cache) > 1 and sum(kept.nbytes for kept in self._cache.values()) > CACHE_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(group)
        return self._cache[group]


def find_parquet(source: Path, pattern: str = "*.parquet") -> list[Path]:
    """`source` itself if it is a file; otherwise all files in the folder and its subfolders that match `pattern`,
    sorted.

    Raises UserError if there is none.
    """
    paths = [source] if source.is_file() else sorted(source.rglob(pattern))
    if not paths:
        raise UserError(f"no parquet file: {source} is neither a file nor a folder with a file {pattern}")
    return paths


def _read_metadata(path: Path, columns: list[str]) -> pq.FileMetaData:
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} is not a parquet file, or is damaged ({_first_line(error)})") from error
    present = metadata.schema.to_arrow_schema().names
    missing = [column for column in columns if column not in present]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}: it has {', '.join(present)}")
    return metadata


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
