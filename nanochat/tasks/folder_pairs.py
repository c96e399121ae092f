"""A folder of images with their texts: `{split}.json`, next to the images that it lists.

A record: {"id": "receipt_000", "image": "images/receipt_000.jpg", "source": "SROIE", "type": "receipt_ocr", "prompt":
"<image>\\n<|grounding|>OCR this image.", "answer": "BOOK TA .K ..."}. `image` is relative to the folder.
"""

from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.files import read_json
from nanochat.tasks.common import Task, conversation, open_sample
from nanochat.tokenizer import IMAGE_PLACEHOLDER


class FolderOfPairs(Task):
    """The samples of `{data_dir}/{split}.json`, with one image, prompt and answer each.

    `samples` is the list of records. The constructor raises UserError if the file or one of its records is invalid. An
    image that cannot be read raises BadSample when its sample is accessed.
    """

    def __init__(
        self,
        data_dir: str | Path = "data",
        split: str = "train",
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
    ):
        super().__init__(start, stop, step)
        self.path = Path(data_dir) / f"{split}.json"
        self.samples = _read_samples(self.path)

    @property
    def prompts(self) -> set[str]:
        return {sample["prompt"] for sample in self.samples[self._chosen]}

    def num_examples(self) -> int:
        return len(self.samples)

    def get_example(self, index: int) -> dict[str, Any]:
        sample = self.samples[index]
        picture = self.path.parent / sample["image"]
        image = open_sample(picture, f"{self.path}: sample {sample['id']!r}: {picture}")
        return {"messages": conversation(sample["prompt"], sample["answer"]), "images": [image]}


def _read_samples(path: Path) -> list[dict[str, str]]:
    """The records of a file, after checking each. Raises UserError that names the file and the invalid record."""
    copy = f"cp {path.with_name('overfit_dataset.json')} {path}"
    samples = read_json(path, f"make it with `{copy}`, or give another --data_dir")
    if not isinstance(samples, list) or not samples:
        raise UserError(f"{path} contains no list of samples")
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise UserError(f"{path}: sample number {number} is not an object with id, image, prompt and answer")
        where = f"{path}: sample {sample.get('id', f'number {number}')!r}"
        for field in ("id", "image", "prompt", "answer"):
            if not isinstance(sample.get(field), str) or not sample[field].strip():
                raise UserError(f"{where} has no {field}, or an empty one: fill it in or remove the sample")
        if IMAGE_PLACEHOLDER not in sample["prompt"]:
            raise UserError(f"{where} has a prompt without {IMAGE_PLACEHOLDER}: put it where the image goes")
    return samples
