"""Mode `blocks`: cutting a page into blocks, and assembling its text from the answers."""

import numpy as np
import pytest
from helpers.drawn_page import FONT
from helpers.tiny_model import tiny_model
from PIL import Image, ImageDraw, ImageFont

from nanochat.checkpoint import export_model
from nanochat.engine.answers import Generation
from nanochat.lines.boxes import Box
from nanochat.lines.finder import find_segments
from nanochat.lines.layout import find_lines
from nanochat.reading.blocks import PageBlock, cut_blocks, divide_words
from nanochat.reading.ocr import OCR
from nanochat.tokenizer import RustBPETokenizer

COLUMN = (
    "the goods were sold and paid by card on Monday morning in the old market hall near the harbour of the town".split()
)
WIDE = (
    "All prices are given with tax and hold until the end of the month for every customer of the house "
    "who has signed the contract and sent it back in time"
).split()
TABLE = [("Flat white", "7.60"), ("Rye toast", "4.40"), ("Orange juice", "11.20")]

Word = tuple[str, Box]


class Sheet:
    """A page drawn word by word, with the box of every word."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "#f6f3ea")
        self.draw, self.words = ImageDraw.Draw(self.image), list[Word]()

    def line(self, x: int, y: int, text: str, size: int) -> None:
        font = ImageFont.truetype(str(FONT), size)
        for word in text.split():
            left, top, right, bottom = self.draw.textbbox((x, y), word, font=font)
            self.draw.text((x, y), word, font=font, fill="#202020")
            self.words.append((word, (round(left), round(top), round(right), round(bottom))))
            x = round(self.draw.textlength(word + " ", font=font) + x)

    def paragraph(self, x: int, y: int, width: int, words: list[str], size: int) -> list[str]:
        """Write words in lines of at most `width` pixels. Returns the texts of the lines."""
        font, lines = ImageFont.truetype(str(FONT), size), [""]
        for word in words:
            longer = f"{lines[-1]} {word}".strip()
            if self.draw.textlength(longer, font=font) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        for i, line in enumerate(lines):
            self.line(x, y + i * round(1.4 * size), line, size)
        return lines


@pytest.fixture(scope="module")
def sheet() -> tuple[Sheet, list[str]]:
    """A heading, two columns, lines wider than a view and a table; and its lines in reading order."""
    page = Sheet(1000, 860)
    page.line(60, 40, "Annual report", 40)
    lines = ["Annual report"]
    for x, words in ((60, COLUMN * 2), (540, COLUMN[5:] * 2)):
        lines += page.paragraph(x, 130, 400, words, 22)
    lines += page.paragraph(60, 520, 880, WIDE, 20)
    for i, (what, price) in enumerate(TABLE):
        page.line(60, 700 + 34 * i, what, 22)
        page.line(700, 700 + 34 * i, price, 22)
        lines.append(f"{what} {price}")
    return page, lines


def rows_of(block: PageBlock, words: list[Word]) -> list[str]:
    """The words in each row of a block, by the positions of its pieces on the page."""

    def inside(box: Box, piece: Box) -> bool:
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return piece[0] <= x < piece[2] and piece[1] <= y < piece[3]

    return [
        " ".join(word for piece in row.pieces for word, box in words if inside(box, piece.box)) for row in block.rows
    ]


def test_blocks_show_every_word_once_at_one_type_size(sheet: tuple[Sheet, list[str]]) -> None:
    page, lines = sheet
    blocks = cut_blocks(page.image, find_lines(page.image), 512)
    shown = [rows_of(block, page.words) for block in blocks]
    assert " ".join(row for rows in shown for row in rows).split() == " ".join(lines).split()
    assert 5 <= len(blocks) < len(lines) / 2
    for block, rows in zip(blocks, shown):
        width, height = block.picture.size
        assert width % 64 == height % 64 == 0 and width <= 512 and height <= 512
        found = find_segments(block.picture)
        assert len(found) >= len(rows)
        assert 20 <= np.median([segment.height for segment in found]) <= 32
    assert shown[0] == ["Annual report"]  # larger type is a block of its own
    assert not any("Monday" in " ".join(rows) and "7.60" in " ".join(rows) for rows in shown)
    left, right = blocks[1].box, blocks[2].box
    assert left[2] < right[0], "a block runs over two columns"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> OCR:
    path = tmp_path_factory.mktemp("blocks") / "model"
    model = tiny_model(sequence_len=256)
    model.config.vision.view, model.config.vision.image_size = "native", 512
    export_model(path, model, RustBPETokenizer.characters(), {"reading_modes": ["blocks", "lines"]})
    return OCR(path, "cpu", turn=False)


def test_answers_about_blocks_become_the_page_text(
    sheet: tuple[Sheet, list[str]], reader: OCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, lines = sheet
    blocks = cut_blocks(page.image, find_lines(page.image), 512)
    said = ["\n".join(rows_of(block, page.words)) for block in blocks]

    def answers(prompts, views, *_, again: bool = False, **__) -> list[Generation]:
        assert len(prompts) == len(views) == (0 if again else len(blocks))
        found = [] if again else [reader.tokenizer.encode(text) for text in said]
        return [Generation(ids, [0.9] * (len(ids) + 1), "end") for ids in found]

    monkeypatch.setattr(reader.engine, "generate_batch", answers)
    read = reader.read(page.image)
    assert reader.mode == read.mode == "blocks" and read.views == len(blocks) and read.ink == "ok"
    assert read.text.split("\n") == lines == [line.text for line in read.lines]
    for line in read.lines[-3:]:  # the table's cells
        assert [part.text for part in line.parts] == [*TABLE[lines[-3:].index(line.text)]]
    for line in read.lines:
        boxes = [box for word, box in page.words if line.box and line.box[1] <= (box[1] + box[3]) / 2 < line.box[3]]
        assert line.box is not None and boxes and min(abs(line.box[0] - box[0]) for box in boxes) < 12


def test_page_without_lines_is_one_low_block() -> None:
    (block,) = cut_blocks(Image.new("RGB", (600, 400), "white"), [], 512)
    assert block.picture.size == (128, 64) and block.box == (0, 0, 600, 400)


def test_words_are_divided_among_pieces_by_width() -> None:
    assert divide_words("Orange juice 11.20", [150, 60]) == ["Orange juice", "11.20"]
    assert divide_words("total", [80, 40]) == ["total", ""] and divide_words("", [3.0]) == [""]
