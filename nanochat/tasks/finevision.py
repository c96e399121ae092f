"""FineVision: images with one or several questions each, in one format for about two hundred datasets.

A row: {"images": [{"bytes": b"...", "path": None}], "texts": [{"user": "What is the highest bar?", "assistant":
"2015"}, ...], "source": "chartqa", ...}. The order of the columns differs between subsets, and values may be null.
"""

from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.hub import fetch_matching
from nanochat.tasks.common import BadSample, Task, conversation, open_sample
from nanochat.tasks.parquet_rows import ParquetRows, find_parquet
from nanochat.tokenizer import IMAGE_PLACEHOLDER

REPO = "HuggingFaceM4/FineVision"
VAL_ROWS = 100  # the hub has no validation split: the last rows are kept back, a tenth of them at most


class FineVision(Task):
    """A subset such as `chartqa` from the Hugging Face Hub, or a local parquet file or folder.

    `subset` is taken as a path if it contains a `/` or ends in `.parquet`. `split`: `train` or `val`. A row is one
    conversation: all its images come before the first question, followed by every question with its answer. Raises
    UserError if the subset or path cannot be read, and BadSample for a row without an answer or with a broken image.
    """

    def __init__(
        self,
        subset: str | Path,
        split: str = "train",
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
    ):
        super().__init__(start, stop, step)
        if split not in ("train", "val"):
            raise UserError(f"FineVision has the splits train and val, not {split!r}")
        is_path = isinstance(subset, Path) or "/" in subset or subset.endswith(".parquet")
        paths = find_parquet(Path(subset)) if is_path else fetch_matching(REPO, f"{subset}/*.parquet", "dataset")
        self._rows = ParquetRows(paths, ["images", "texts"])
        n_rows = len(self._rows)
        n_train = n_rows - min(VAL_ROWS, n_rows // 10)
        self._range = range(n_train) if split == "train" else range(n_train, n_rows)

    def num_examples(self) -> int:
        return len(self._range)

    def get_example(self, index: int) -> dict[str, Any]:
        number = self._range[index]
        row, name = self._rows[number], self._rows.name(number)
        images = []
        for i, image in enumerate(row["images"] or []):
            if image is None or image["bytes"] is None:
                raise BadSample(f"{name}: picture {i} is empty")
            images.append(open_sample(image["bytes"], f"{name}: picture {i}"))
        turns = [turn for turn in row["texts"] or [] if turn and (turn["assistant"] or "").strip()]
        if not turns:
            raise BadSample(f"{name}: there is no answer to learn")
        messages = []
        for turn in turns:
            messages += conversation(turn["user"] or "", turn["assistant"])
        messages[0]["content"] = f"{IMAGE_PLACEHOLDER}\n" * len(images) + messages[0]["content"]
        return {"messages": messages, "images": images}
