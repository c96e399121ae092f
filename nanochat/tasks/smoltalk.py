"""SmolTalk: conversations without images, so that a model keeps its language abilities while it learns to read.

A row: {"messages": [{"content": "What is a barometer?", "role": "user"}, {"content": "It measures ...", "role":
"assistant"}, ...], "source": "..."}. The first message may be a system message.
"""

from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.hub import fetch_matching
from nanochat.tasks.common import BadSample, Task
from nanochat.tasks.parquet_rows import ParquetRows, find_parquet


class SmolTalk(Task):
    """The conversations of a split, `train` or `test`, of a dataset on the Hugging Face Hub or of local parquet files.

    `source`: a dataset id, a parquet file, or a folder, of which the files whose names begin with the split are read.
    Raises UserError if the data cannot be read, and BadSample for a row with an empty message.
    """

    def __init__(
        self,
        split: str = "train",
        source: str | Path = "HuggingFaceTB/smol-smoltalk",
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
    ):
        super().__init__(start, stop, step)
        if split not in ("train", "test"):
            raise UserError(f"SmolTalk has the splits train and test, not {split!r}")
        if Path(source).exists():
            paths = find_parquet(Path(source), f"{split}*.parquet")
        else:
            paths = fetch_matching(str(source), f"data/{split}-*.parquet", "dataset")
        self._rows = ParquetRows(paths, ["messages"])

    def num_examples(self) -> int:
        return len(self._rows)

    def get_example(self, index: int) -> dict[str, Any]:
        messages = self._rows[index]["messages"]
        if not messages or not all(message and message["role"] and message["content"] for message in messages):
            raise BadSample(f"{self._rows.name(index)}: an empty conversation or message")
        return {"messages": [{"role": m["role"], "content": m["content"]} for m in messages], "images": []}
