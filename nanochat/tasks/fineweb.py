"""FineWeb-Edu as a task: plain documents, learnt from the first token to the last.

One example: {"text": "The mitochondrion is ...", "images": []}.
"""

from pathlib import Path
from typing import Any

from nanochat.dataset import DATA_DIR, split_files
from nanochat.tasks.common import BadSample, Task
from nanochat.tasks.parquet_rows import ParquetRows


class FineWebText(Task):
    """The documents of the shards that `python -m nanochat.dataset` downloads; the last shard is the split `val`.

    Raises UserError when there are no shards.
    """

    def __init__(
        self,
        split: str = "train",
        data_dir: str | Path = DATA_DIR,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
    ):
        super().__init__(start, stop, step)
        self._rows = ParquetRows(split_files(split, data_dir), ["text"])

    def num_examples(self) -> int:
        return len(self._rows)

    def get_example(self, index: int) -> dict[str, Any]:
        text = self._rows[index]["text"]
        if not text:
            raise BadSample(f"{self._rows.name(index)}: an empty document")
        return {"text": text, "images": []}
