"""Fox: dense pages to be read whole, 112 in English (ucaslcl/Fox; `focus_benchmark_test.zip` of its data set).

`en_page_ocr.json`, a list of {"image": "en_1.png", "conversations": [{"from": "human", "value": "<image>\\nOCR this
image: "}, {"from": "gpt", "value": "FREEDOM OF INFORMATION ACT..."}]}, beside the folder `en_pdf_png`. The Chinese
pages are left out: their words are not parted by white space, and nano knows no Chinese letter.
"""

import json
import zipfile
from pathlib import Path

from nanochat.errors import UserError
from nanochat.hub import fetch
from nanochat.image_process import open_image
from nanochat.tasks.eval_set import EvalSet, choose, reading

REPO, ARCHIVE, LIST, PICTURES = (
    "ucaslcl/Fox_benchmark_data",
    "focus_benchmark_test.zip",
    "en_page_ocr.json",
    "en_pdf_png",
)


class Fox(EvalSet):
    """`n` English pages, from the hub or from `source`, the archive or the folder it becomes.

    Raises UserError where `source` has no such list, or a record has another form.
    """

    def __init__(self, source: str | Path, n: int) -> None:
        super().__init__()
        path = Path(source) if source else fetch(REPO, ARCHIVE, "dataset")
        self.folder = _find(path)
        where = f"{path}: {LIST}"
        try:
            records = json.loads((self.folder / LIST).read_text(encoding="utf-8"))
            pages = [(record["image"], record["conversations"][1]["value"]) for record in records]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{where} is not a list of pages as Fox has it ({type(error).__name__}: {error})"
            ) from error
        self.pages = [pages[i] for i in choose(len(pages), n)]
        self.ids = [Path(name).stem for name, _ in self.pages]
        self.tiers = ["page"] * len(self.pages)

    def get_example(self, index: int) -> dict:
        name, text = self.pages[index]
        picture = self.folder / PICTURES / name
        if not picture.is_file():
            raise UserError(f"{picture}: no such file, although {LIST} lists it")
        return reading(open_image(picture.read_bytes(), name=str(picture)), text)


def _find(path: Path) -> Path | zipfile.Path:
    """The folder that the list lies in, inside the archive or on disk, at the top or one folder down."""
    try:
        root: Path | zipfile.Path = zipfile.Path(path) if path.is_file() else path
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: a broken archive ({error})") from error
    for folder in (root, root / ARCHIVE.removesuffix(".zip")):
        if (folder / LIST).is_file():
            return folder
    raise UserError(f"{path} has no {LIST}: give {ARCHIVE} of {REPO} on the hub, or the folder it becomes")
