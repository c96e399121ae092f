"""Read a folder of test cases and print the character error rate of each file.

python -m dev.read_cases --folder=CASES

CASES has a folder for each case: input files (images or PDFs) and their text in reading order, `NAME.expected.txt`
for the file of that name, else `expected.txt` for all files of the folder. The pages of a file are joined.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.metrics import character_error_rate, normalise_text
from nanochat.reading.documents import open_document
from nanochat.reading.ocr import OCR
from nanochat.reading.sources import Source


@dataclass
class Config:
    """Read every file of a folder of cases and compare it with its text."""

    folder: str = "cases"
    """folder with one folder for each case"""
    model: str = "nano"
    """model to read with"""


def find_cases(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each input file and its text, in the order of their names. Raises UserError if there is none."""
    found = False
    for path in sorted(folder.glob("*/*")):
        if path.suffix == ".txt":
            continue
        own, shared = path.with_suffix(".expected.txt"), path.with_name("expected.txt")
        text = own if own.is_file() else shared
        if text.is_file():
            found = True
            yield path, text.read_text(encoding="utf-8")
    if not found:
        raise UserError(f"{folder}: no case, that is, a folder with an input file and its expected.txt")


def read_file(ocr: OCR, path: Path) -> str:
    """The text of all pages of an image or PDF. Text layers are not used."""
    document = open_document(Source(str(path)))
    try:
        pages = [document.load(number) for number in range(1, document.n_pages + 1)]
        return "\n".join(page.text for page in ocr.read_many(pages))
    finally:
        document.close()


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    cases = list(find_cases(Path(config.folder)))
    ocr = OCR(config.model, "cpu")
    for path, expected in cases:
        rate = character_error_rate(normalise_text(read_file(ocr, path)), normalise_text(expected))
        print(f"{rate:7.3f}  {path.parent.name}/{path.name}", flush=True)


if __name__ == "__main__":
    main()
