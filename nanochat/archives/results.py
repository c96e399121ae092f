"""The results of a batch: a row for each page, from the ledger, as parquet or JSON lines."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nanochat.files import atomic_path
from nanochat.reading.formats import page_record
from nanochat.reading.ledger import Ledger

ROWS = 1000  # in memory at one time
BOX = pa.list_(pa.int32())
LINE = pa.struct({"text": pa.string(), "box": BOX, "mean_probability": pa.float32(), "min_probability": pa.float32()})
BLOCK = pa.struct({"label": pa.string(), "boxes": pa.list_(BOX), "text": pa.string()})
SCHEMA = pa.schema(
    {
        "source": pa.string(), "page": pa.int32(), "state": pa.string(), "why": pa.string(), "text": pa.string(),
        "mode": pa.string(), "views": pa.int32(), "vision_tokens": pa.int32(), "most_vision_tokens": pa.int32(),
        "tokens": pa.int32(), "seconds": pa.float32(), "stopped": pa.string(), "width": pa.int32(),
        "height": pa.int32(), "turned": pa.int32(), "mean_probability": pa.float32(),
        "min_probability": pa.float32(), "ink": pa.string(),
        "expected_characters": pa.int32(), "lines": pa.list_(LINE), "blocks": pa.list_(BLOCK),
    }
)  # fmt: skip


def rows(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Every page, in the order in which they came."""
    for source, page, _ in list(ledger.pages()):
        yield {"source": source, **page_record(ledger.entry(source, page))}


def write_results(ledger: Ledger, folder: Path, kind: str) -> Path:
    """Write pages.parquet or pages.jsonl, whole or not at all; returns its path. Raises UserError on a full disk."""
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
