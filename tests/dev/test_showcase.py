"""The ten documents of data/: files and lists agree, and the code draws the same images."""

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev.showcase import LISTS, PROMPTS, draw_showcase
from dev.showcase.paper import text_of
from dev.showcase.receipts import BOOKSHOP, CAFE, HARDWARE, MARKET

DATA = Path(__file__).parents[2] / "data"
IDS = [f"receipt_{i:03d}" for i in range(4)] + [f"{kind}_{i:02d}" for kind in ("chart", "textvqa") for i in (1, 2, 3)]


@pytest.fixture(scope="module")
def records():
    return json.loads((DATA / "overfit_dataset.json").read_text())


@pytest.fixture(scope="module")
def drawn():
    return draw_showcase()


def test_the_three_lists_have_the_same_ten_documents(records):
    assert [record["id"] for record in records] == IDS
    assert len({(DATA / name).read_bytes() for name in LISTS}) == 1


def test_every_image_is_listed_and_small(records):
    pictures = {path.relative_to(DATA).as_posix() for path in (DATA / "images").iterdir()}
    assert pictures == {record["image"] for record in records}
    for record in records:
        path = DATA / record["image"]
        assert path.stat().st_size < 200_000
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            if record["type"] == "receipt_ocr":
                assert 500 <= picture.width <= 700 and picture.height > picture.width
            else:
                assert picture.size in ((900, 600), (800, 600))


def test_code_draws_the_images_on_disk(records, drawn):
    assert [document.record() for document in drawn] == records
    for document in drawn:
        with Image.open(DATA / document.record()["image"]) as stored:
            before, after = np.asarray(stored.convert("RGB"), float), np.asarray(document.picture, float)
        assert before.shape == after.shape
        assert np.abs(before - after).mean() < 1.0, document.id  # another FreeType may move an edge


def test_texts_are_ascii_and_short_enough_to_learn(records):
    for record in records:
        assert record["answer"].isascii() and record["answer"] == record["answer"].strip()
        assert 200 <= len(record["answer"]) <= 500, record["id"]
        assert record["prompt"] == PROMPTS[record["type"]] and record["prompt"].startswith("<image>\n")
    assert len({record["answer"] for record in records}) == len(records)


def _amounts(text: str, labels: str) -> list[Decimal]:
    return [Decimal(match) for match in re.findall(rf"^(?:{labels}).* (-?\d+\.\d\d)$", text, re.MULTILINE)]


@pytest.mark.parametrize(
    ("receipt", "parts", "total"),
    [
        (CAFE, r"\d |Service", "TOTAL"),
        (HARDWARE, "Goods|VAT", "TOTAL"),
        (HARDWARE, "Wood|Claw|Sandpaper|Pine", "Goods"),
        (HARDWARE, "TOTAL|Change", "Cash"),
        (BOOKSHOP, "A Field|Letters|Bread|Member|Gift", "To pay"),
        (MARKET, r"\d\.\d{3} kg|EGGS|OLIVE|BASIL|PAPER", "TOTAL"),
        (MARKET, "TOTAL|CHANGE", "CASH"),
    ],
)
def test_sums_of_the_receipts_are_right(receipt, parts, total):
    text = text_of(receipt)
    assert [sum(_amounts(text, parts))] == _amounts(text, total)
