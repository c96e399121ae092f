"""The results of a batch: one row for each page, from the ledger, as parquet or JSON lines.

Both have the columns of SCHEMA, which is derived from the fields of `Page`.
"""

import json
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from nanochat.files import atomic_path
from nanochat.reading.formats import page_record
from nanochat.reading.ledger import Ledger
from nanochat.reading.page import Page
from nanochat.reading.state import PageState

ROWS = 1000  # rows in memory at a time


def _arrow(kind: Any) -> pa.DataType:
    """The pyarrow type of a column with values of a Python type. A dataclass becomes a struct, as with `asdict`."""
    simple = {int: pa.int32(), float: pa.float32(), str: pa.string(), bool: pa.bool_(), PageState: pa.string()}
    if kind in simple:
        return simple[kind]
    if is_dataclass(kind):
        return pa.struct([(name, _arrow(hint)) for name, hint in get_type_hints(kind).items()])
    parts = [part for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if get_origin(kind) in (list, tuple):  # a box is a list of four
        return pa.list_(_arrow(parts[0]))
    (inner,) = parts  # T | None
    return _arrow(inner)


ENDED = {"source": str, "page": int, "state": str, "why": str}
SCHEMA = pa.schema({name: _arrow(kind) for name, kind in {**ENDED, **get_type_hints(Page)}.items()})


def rows(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Every page of the ledger, in order of arrival, with all columns of SCHEMA. Values that do not exist are None."""
    for source, page, _ in list(ledger.pages()):
        found = {"source": source, **page_record(ledger.entry(source, page))}
        yield {name: found.get(name) for name in SCHEMA.names}


def write_results(ledger: Ledger, folder: Path, kind: str) -> Path:
    """Write pages.parquet or pages.jsonl (`kind`), completely or not at all. Returns its path.

    Raises UserError if the disk is full.
    """
    path, found = folder / f"pages.{kind}", rows(ledger)
    with atomic_path(path) as temporary:
        if kind == "jsonl":
            with open(temporary, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        else:
            with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
                while some := list(islice(found, ROWS)):
                    writer.write_table(pa.Table.from_pylist(some, SCHEMA))
    return path
