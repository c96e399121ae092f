"""The character error rates of the 8-bit and the float32 graphs on the same pages, set by set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from nanochat.errors import UserError
from nanochat.evaluation.measure import per_cent, read_in_mode
from nanochat.evaluation.scores import Estimate, PageScore, summarise_pages
from nanochat.reading.ocr import OCR
from nanochat.tasks.eval_set import EvalSet
from nanochat.tasks.measured import open_set

DRAWN = ("synth-val", "synth-unseen", "synth-hard")
LINES = "sroie-lines"


@dataclass
class Errors:
    """The same pages read at two precisions."""

    name: str
    """of the set"""
    pages: int
    characters: int
    """that are expected"""
    float32: Estimate
    """character error rate"""
    int8: Estimate
    different: int
    """pages whose text differs"""
    seconds: dict[str, float]
    """elapsed time of each, for all pages"""


def open_sets(n: int, folders: Sequence[str], receipts: str) -> Iterator[tuple[str, EvalSet]]:
    """Synthetic sets with `n` documents of each tier, up to `n` images of each folder, and `n` lines of receipts.

    `folders`: as in `vision_eval --task=folder:DIR`; `receipts`: the SROIE folder, or empty. Raises UserError as
    `open_set` does.
    """
    for name in DRAWN:
        yield name, open_set(name, n)
    for folder in folders:
        yield Path(folder).name, open_set(f"folder:{folder}", n)
    if receipts:
        yield LINES, open_set(LINES, n, receipts)


def compare_errors(name: str, found: EvalSet, readers: dict[str, OCR]) -> Errors:
    """Read a set with both `readers`, `float32` and `int8`."""
    scores: dict[str, list[PageScore]] = {
        which: [reading.score for reading in read_in_mode(ocr, found, which)] for which, ocr in readers.items()
    }
    rates = {which: summarise_pages(pages)["cer"] for which, pages in scores.items()}
    if rates["float32"] is None or rates["int8"] is None:
        raise UserError(f"{name}: these pages have no expected text")
    return Errors(
        name=name,
        pages=len(found),
        characters=sum(page.characters for page in scores["float32"]),
        float32=rates["float32"],
        int8=rates["int8"],
        different=sum(a.read != b.read for a, b in zip(scores["float32"], scores["int8"], strict=True)),
        seconds={which: sum(page.seconds for page in pages) for which, pages in scores.items()},
    )


def errors_table(found: Sequence[Errors]) -> Table:
    """A table with a row for each set."""
    table = Table("set", "pages", "characters", "float32", "int8", "pages that differ")
    for one in found:
        rates = per_cent(one.float32), per_cent(one.int8)
        table.add_row(one.name, str(one.pages), str(one.characters), *rates, str(one.different))
    return table
