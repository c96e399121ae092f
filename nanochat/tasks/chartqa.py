"""ChartQA: questions about charts with short answers, written by people (human) or generated (machine).

The test split of HuggingFaceM4/ChartQA as parquet, with rows {"image": {"bytes": b"...", "path": None}, "query": "How
many food item is shown in the bar graph?", "label": ["14"], "human_or_machine": 0}; or a folder with a `val.json`,
whose records have a prompt and an answer each (`folder_pairs.py`).
"""

from pathlib import Path

from nanochat.hub import fetch_matching
from nanochat.tasks.common import BadSample, conversation, open_sample
from nanochat.tasks.eval_set import EvalSet, choose
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.parquet_rows import ParquetRows, find_parquet
from nanochat.tokenizer import IMAGE_PLACEHOLDER

REPO, TEST = "HuggingFaceM4/ChartQA", "data/test-*.parquet"
WHO = ("human", "machine")


class ChartQA(EvalSet):
    """`n` questions, from the Hugging Face Hub or from the folder `source`. The tier is who wrote the question.

    Raises UserError if there is no such data, and BadSample for a question without an image or an answer.
    """

    questions = True

    def __init__(self, source: str | Path, n: int) -> None:
        super().__init__()
        folder = Path(source)
        self._samples: FolderOfPairs | None = None
        if source and (folder / "val.json").is_file():
            self._samples = FolderOfPairs(folder, "val")
            self._numbers = choose(len(self._samples), n)
            records = [self._samples.samples[i] for i in self._numbers]
            self.ids = [record["id"] for record in records]
            self.tiers = [str(record.get("type", "chart")) for record in records]
            return
        paths = find_parquet(folder, "test-*.parquet") if source else fetch_matching(REPO, TEST, "dataset")
        self._rows = ParquetRows(paths, ["image", "query", "label", "human_or_machine"])
        self._numbers = choose(len(self._rows), n)
        who = ParquetRows(paths, ["human_or_machine"])
        self.ids = [f"test-{i}" for i in self._numbers]
        self.tiers = [WHO[who[i]["human_or_machine"]] for i in self._numbers]

    def get_example(self, index: int) -> dict:
        number = self._numbers[index]
        if self._samples is not None:
            return self._samples[number]
        row, name = self._rows[number], self._rows.name(number)
        if not row["label"] or not row["image"] or row["image"]["bytes"] is None:
            raise BadSample(f"{name}: a question without a picture or an answer")
        messages = conversation(f"{IMAGE_PLACEHOLDER}\n{row['query']}", row["label"][0])
        return {"messages": messages, "images": [open_sample(row["image"]["bytes"], name)]}
