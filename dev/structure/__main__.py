"""Measure how much of the structure of a page its Markdown keeps.

python -m dev.structure --n=40                # nano and a perfect reader on the same synthetic pages
python -m dev.structure --reader=perfect --worst=5 --out=out/structure

Prints a table, then all figures as JSON on the last line.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from dev.structure.pages import StructuredPage, draw_structured_page
from dev.structure.reader import read_perfectly
from dev.structure.scores import COLUMNS, Scores, structure_of
from nanochat.command import entry_point, parse_args
from nanochat.reading.markdown import page_markdown
from nanochat.reading.ocr import OCR

MEASURED = 1000  # first seed of the pages that published figures are from; development uses the pages before it


@dataclass
class StructureConfig:
    """Draw pages, read them, and compare the structure of their Markdown with what was drawn."""

    n: int = 40
    """number of pages"""
    seed: int = MEASURED
    """seed of the first page; pages from 1000 on are reserved for published figures"""
    reader: Literal["both", "nano", "perfect"] = "both"
    """nano; perfect: the words as they were drawn; or both"""
    checkpoint: str = "nano"
    """model of the reader nano: step_N.pt, an exported folder, or the name of a model"""
    out: Path | None = None
    """folder for the image and the Markdown of each page; by default, nothing is written"""
    worst: int = 0
    """number of the worst pages of each reader to list"""


@entry_point
def main() -> None:
    config = parse_args(StructureConfig, __doc__)
    pages = {seed: draw_structured_page(seed) for seed in range(config.seed, config.seed + config.n)}
    table = Table("reader", *COLUMNS)
    figures: dict[str, Any] = {"pages": config.n, "seed": config.seed}
    for name in ("perfect", "nano") if config.reader == "both" else (config.reader,):
        ocr = OCR(config.checkpoint) if name == "nano" else None
        scores, of_pages = Scores(), []
        for seed, page in pages.items():
            markdown = _markdown(page, ocr)
            own = Scores()
            own.add(page.structure, structure_of(markdown))
            scores.include(own)
            of_pages.append((sum(own.teds) - len(own.teds) + own.headings.f1 + own.items.f1 - own.spurious, seed))
            if config.out is not None:
                _save(config.out, f"{seed}-{name}", page, markdown)
        table.add_row(name, *scores.row())
        figures[name] = asdict(scores)
        if config.worst:
            print(f"{name}, worst pages:", ", ".join(str(seed) for _, seed in sorted(of_pages)[: config.worst]))
    Console().print(table)
    print(json.dumps(figures))


def _markdown(page: StructuredPage, ocr: OCR | None) -> str:
    result = read_perfectly(page.picture, page.words) if ocr is None else ocr.read(page.picture).to_dict()
    return page_markdown(result)


def _save(folder: Path, name: str, page: StructuredPage, markdown: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page.picture.save(folder / f"{name}.png")
    (folder / f"{name}.md").write_text(markdown)


if __name__ == "__main__":
    main()
