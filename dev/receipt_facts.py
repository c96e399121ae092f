"""Count the receipts with exactly the right company, date and total, for every reader of a results.json.

python -m scripts.vision_eval --task=folder:SROIE --n=20 --peers
python -m dev.receipt_facts --results=out/eval/folder/results.json --fields=SROIE/boxes_and_fields.json

A value is right if it occurs in the reading exactly (any white space as one space, case ignored) and as often as in the
transcript. A receipt whose transcript lacks a value does not count for it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nanochat.command import entry_point, parse_args
from nanochat.files import read_json
from nanochat.metrics import normalise_text

FIELDS = ("company", "date", "total")


@dataclass
class Config:
    """Count the receipts whose company, date and total were read exactly."""

    results: str = "out/eval/folder/results.json"
    """results.json, as scripts.vision_eval writes it"""
    fields: str = "SROIE/boxes_and_fields.json"
    """JSON file with the values of each receipt, by its id"""


def occurrences(value: str, text: str) -> int:
    """How often `text` has `value`, not as a part of a longer number or word."""
    value, text = normalise_text(value, fold_case=True), normalise_text(text, fold_case=True)
    before = r"(?<!\d)(?<!\d[.,])" if value[:1].isdigit() else r"(?<!\w)"
    after = r"(?!\d)(?![.,]\d)" if value[-1:].isdigit() else r"(?!\w)"
    return len(re.findall(before + re.escape(value) + after, text)) if value else 0


def count_right(
    pages: Sequence[Mapping[str, str]], fields: Mapping[str, Mapping[str, str]]
) -> dict[str, tuple[int, int]]:
    """field -> (receipts in which it is right, receipts that have it); `pages`: `id`, `expected` and `read` of each."""
    counts = {}
    for field in FIELDS:
        right = total = 0
        for page in pages:
            value = fields[page["id"]].get(field, "")
            wanted = occurrences(value, page["expected"])
            total += wanted > 0
            right += 0 < wanted <= occurrences(value, page["read"])
        counts[field] = (right, total)
    return counts


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    results = read_json(Path(config.results), "scripts.vision_eval writes it")
    fields = {name: found["fields"] for name, found in read_json(Path(config.fields)).items()}
    for reader, pages in results["pages"].items():
        counts = count_right(pages, fields)
        print(f"{reader}: " + ", ".join(f"{name} {right} of {total}" for name, (right, total) in counts.items()))


if __name__ == "__main__":
    main()
