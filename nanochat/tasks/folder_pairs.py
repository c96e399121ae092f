"""A folder of pictures with their texts: `{split}.json` beside the pictures it names.

One record: {"id": "receipt_000", "image": "images/receipt_000.jpg", "source": "SROIE", "type": "receipt_ocr",
"prompt": "<image>\\n<|grounding|>OCR this image.", "answer": "BOOK TA .K ..."}; `image` is relative to the folder.
"""

from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.files import read_json
from nanochat.image_process import open_image
from nanochat.tasks.common import BadSample, Task
from nanochat.tokenizer import IMAGE_PLACEHOLDER


class FolderOfPairs(Task):
    """The samples of `{data_dir}/{split}.json`, one picture, prompt and answer each; `samples` are the records.

    Raises UserError at once when the file or a record of it is wrong; a picture that cannot be read raises BadSample
    when its sample is asked for.
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
        try:
            image = open_image(self.path.parent / sample["image"])
        except UserError as error:
            raise BadSample(f"{self.path}: sample {sample['id']!r}: {error}") from error
        messages = [
            {"role": "user", "content": sample["prompt"]},
            {"role": "assistant", "content": sample["answer"]},
        ]
        return {"messages": messages, "images": [image]}


def _read_samples(path: Path) -> list[dict[str, str]]:
    """The records of a file, each checked. Raises UserError naming the file and the sample."""
    copy = f"cp {path.with_name('overfit_dataset.json')} {path}"
    samples = read_json(path, f"make it with `{copy}`, or give another --data_dir")
    if not isinstance(samples, list) or not samples:
        raise UserError(f"{path} holds no list of samples")
    for number, sample in enumerate(samples):
        if not isinstance(sample, dict):
            raise UserError(f"{path}: sample number {number} is not an object with id, image, prompt and answer")
        where = f"{path}: sample {sample.get('id', f'number {number}')!r}"
        for field in ("id", "image", "prompt", "answer"):
            if not isinstance(sample.get(field), str) or not sample[field].strip():
                raise UserError(f"{where} has no {field}, or an empty one: fill it in or remove the sample")
        if IMAGE_PLACEHOLDER not in sample["prompt"]:
            raise UserError(f"{where} has a prompt without {IMAGE_PLACEHOLDER}: write it where the picture stands")
    return samples
