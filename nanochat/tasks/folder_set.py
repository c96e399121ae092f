"""Your own images with their texts: a folder with `val.json`, or with a `.txt` file next to each image.

`val.json` has the format that training reads (`folder_pairs.py`). Without it, every image `page_3.png` with a file
`page_3.txt` (UTF-8) is an example, sorted by name.
"""

from pathlib import Path

from nanochat.errors import UserError
from nanochat.files import IMAGE_SUFFIXES
from nanochat.image_process import open_image
from nanochat.tasks.eval_set import EvalSet, choose, reading
from nanochat.tasks.folder_pairs import FolderOfPairs


class FolderSet(EvalSet):
    """`n` images of a folder, or all if there are fewer, with all text in each. The tier is the `type` of a record.

    If no expected text has a lower-case letter, case is ignored in the comparison. Raises UserError if the folder has
    neither `val.json` nor images with texts, or if a text is not UTF-8.
    """

    def __init__(self, folder: str | Path, n: int) -> None:
        super().__init__()
        found = _records(Path(folder))
        self.records = [found[i] for i in choose(len(found), n)]
        self.ids = [name for name, *_ in self.records]
        self.tiers = [tier for *_, tier in self.records]
        self.fold_case = not any(char.islower() for _, _, text, _ in self.records for char in text)

    def get_example(self, index: int) -> dict:
        _, picture, text, _ = self.records[index]
        return reading(open_image(picture), text)


def _records(folder: Path) -> list[tuple[str, Path, str, str]]:
    """(name, path of the image, text, tier) of every example in the folder."""
    if (folder / "val.json").is_file():
        samples = FolderOfPairs(folder, "val").samples
        return [(s["id"], folder / s["image"], s["answer"], str(s.get("type", "page"))) for s in samples]
    pictures = [
        p for p in sorted(folder.glob("*")) if p.suffix.lower() in IMAGE_SUFFIXES and p.with_suffix(".txt").is_file()
    ]
    if not pictures:
        raise UserError(f"{folder} has neither val.json nor images with a .txt file of the same name beside them")
    try:
        return [(p.stem, p, p.with_suffix(".txt").read_text(encoding="utf-8"), "page") for p in pictures]
    except UnicodeDecodeError as error:
        raise UserError(f"{folder}: a .txt file is not UTF-8 ({error})") from error
