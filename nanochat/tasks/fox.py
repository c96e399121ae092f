"""Fox: 112 dense pages in English to be read completely (ucaslcl/Fox; `focus_benchmark_test.zip` of its dataset).

`en_page_ocr.json` is a list of {"image": "en_1.png", "conversations": [{"from": "human", "value": "<image>\\nOCR this
image: "}, {"from": "gpt", "value": "FREEDOM OF INFORMATION ACT..."}]}, next to the folder `en_pdf_png`. The Chinese
pages are not used: their words are not separated by spaces, and nano has no Chinese characters.
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
    """`n` English pages, from the Hugging Face Hub or from `source`: the archive, or the folder that it unpacks to.

    Raises UserError if `source` does not contain the list of pages, or the list has another format.
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
    """The folder that contains the list, in an archive or on disk: `path` itself, or a folder in it.

    Raises UserError if there is none.
    """
    try:
        root: Path | zipfile.Path = zipfile.Path(path) if path.is_file() else path
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path}: a broken archive ({error})") from error
    for folder in (root, root / ARCHIVE.removesuffix(".zip")):
        if (folder / LIST).is_file():
            return folder
    raise UserError(f"{path} has no {LIST}: give {ARCHIVE} of {REPO} on the hub, or the folder it becomes")
