"""Anyone's own pictures with their texts: a folder with `val.json`, or with a `.txt` beside each picture.

`val.json` is the list that training reads (`folder_pairs.py`). Else every picture `page_3.png` with a file
`page_3.txt` beside it (UTF-8) is an example, in the order of their names.
"""

from pathlib import Path

from nanochat.errors import UserError
from nanochat.image_process import open_image
from nanochat.tasks.eval_set import EvalSet, choose, reading
from nanochat.tasks.folder_pairs import FolderOfPairs

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"}


class FolderSet(EvalSet):
    """`n` pictures of a folder, or all, each with all that is written on it; their tier is the record's type.

    Texts without one small letter have lost their case, whatever is printed, so case is then no error. Raises
    UserError where the folder holds neither, or a text is not UTF-8.
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
    """(name, picture, text, tier) of every example."""
    if (folder / "val.json").is_file():
        samples = FolderOfPairs(folder, "val").samples
        return [(s["id"], folder / s["image"], s["answer"], str(s.get("type", "page"))) for s in samples]
    pictures = [p for p in sorted(folder.glob("*")) if p.suffix.lower() in SUFFIXES and p.with_suffix(".txt").is_file()]
    if not pictures:
        raise UserError(f"{folder} has neither val.json nor images with a .txt file of the same name beside them")
    try:
        return [(p.stem, p, p.with_suffix(".txt").read_text(encoding="utf-8"), "page") for p in pictures]
    except UnicodeDecodeError as error:
        raise UserError(f"{folder}: a .txt file is not UTF-8 ({error})") from error
