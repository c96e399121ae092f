"""Output formats, each parsed by an independent program."""

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from PIL import Image

from nanochat.errors import UserError
from nanochat.reading.confidence import confidence
from nanochat.reading.formats import write
from nanochat.reading.placed_text import boxes_to_draw, placed_lines

XHTML = "{http://www.w3.org/1999/xhtml}"
SIZE = (600, 300)
LINES = [
    {"text": "Invoice <no> 4711 & Søn", "box": [50, 40, 350, 70], "mean_probability": 0.99, "min_probability": 0.4},
    {"text": "Invoice", "box": [50, 100, 150, 130], "mean_probability": 0.5, "min_probability": 0.4},
    {"text": "nowhere", "box": None, "mean_probability": 0.5, "min_probability": 0.4},
]


def entry(page: int, state: str = "ok", why: str = "", lines=(), blocks=(), text: str | None = None) -> dict:
    text = "\n".join(line["text"] for line in lines) if text is None else text
    result = {"text": text, "lines": list(lines), "blocks": list(blocks), "width": SIZE[0], "height": SIZE[1],
              "mean_probability": 0.7, "ink": "ok", "mode": "native", "vision_tokens": 7, "tokens": 3}  # fmt: skip
    return {"page": page, "state": state, "why": why, "result": None if state in ("failed", "skipped") else result}


BLOCK = {"label": "title", "text": "# Bill\nof sale", "boxes": [[10, 20, 110, 60], [300, 0, 310, 10]]}
ENTRIES = [
    entry(1, lines=LINES),
    entry(2, "failed", "it broke"),
    entry(3, blocks=[BLOCK], text="# Bill\nof sale"),
    entry(4, "skipped", "not among --pages"),
    entry(5, "looped", "it repeated itself", text="control \x07 \x00 ￾ characters"),
]


def load(page: int) -> Image.Image:
    if page == 2:
        raise UserError("this page cannot be drawn")
    return Image.new("RGB", SIZE, (page * 40, 0, 0))


def written(tmp_path: Path, kind, entries=ENTRIES, source: str = 'a "b" & c.pdf', **options) -> Path:
    write(path := tmp_path / f"out.{kind}", kind, source, iter(entries), load, **options)
    return path


def test_text_and_markdown_have_every_requested_page(tmp_path: Path) -> None:
    pages = written(tmp_path, "txt").read_text().split("\f")
    assert pages[0] == "Invoice <no> 4711 & Søn\nInvoice\nnowhere\n" and len(pages) == 4 and pages[1] == "\n"
    assert written(tmp_path, "md").read_text().count("\n---\n") == 3


def test_json_has_every_page_and_its_status(tmp_path: Path) -> None:
    found = json.loads(written(tmp_path, "json").read_text())
    assert found["source"] == 'a "b" & c.pdf'
    assert [(page["page"], page["state"]) for page in found["pages"]] == [
        (1, "ok"), (2, "failed"), (3, "ok"), (4, "skipped"), (5, "looped")
    ]  # fmt: skip
    assert found["pages"][0]["lines"][0]["min_probability"] == 0.4 and found["pages"][1]["why"] == "it broke"
    assert found["pages"][2]["blocks"][0]["boxes"][1] == [300, 0, 310, 10]


def test_hocr_is_xml_with_positions_of_lines_and_words(tmp_path: Path) -> None:
    pages = ET.parse(written(tmp_path, "hocr")).findall(f".//{XHTML}div[@class='ocr_page']")
    assert [page.attrib["id"] for page in pages] == ["page_1", "page_2", "page_3", "page_5"]
    assert "image \"a 'b' & c.pdf\"" in pages[0].attrib["title"] and "bbox 0 0 600 300" in pages[0].attrib["title"]
    first, second = pages[0].findall(f"{XHTML}span[@class='ocr_line']")
    assert first.attrib["title"] == "bbox 50 40 350 70"
    words = first.findall(f"{XHTML}span")
    assert [word.text for word in words] == ["Invoice", "<no>", "4711", "&", "Søn"]
    boxes = [[int(x) for x in word.attrib["title"].split(";")[0].split()[1:]] for word in words]
    assert boxes[0][0] == 50 and boxes[-1][2] == 350 and all(a[2] < b[0] for a, b in pairwise(boxes))
    assert words[0].attrib["title"].endswith(f"x_wconf {confidence(0.99)}")
    assert second[0].attrib["title"].endswith(f"x_wconf {confidence(0.5)}")
    assert ["".join(line.itertext()) for line in pages[2]] == ["# Bill", "of sale"]
    ids = [x.attrib["id"] for page in pages for x in page.iter() if "id" in x.attrib]
    assert len(ids) == len(set(ids))


ROW = {"text": "Rye toast 4.40", "box": [50, 40, 550, 70], "mean_probability": 0.9, "parts": [
    {"text": "Rye toast", "box": [50, 40, 170, 68]}, {"text": "4.40", "box": [500, 42, 550, 70]}]}  # fmt: skip


def test_price_keeps_its_position_on_the_page(tmp_path: Path) -> None:
    entries = [entry(1, lines=[ROW])]
    words = ET.parse(written(tmp_path, "hocr", entries)).findall(f".//{XHTML}span[@class='ocrx_word']")
    assert [word.text for word in words] == ["Rye", "toast", "4.40"]
    assert [word.attrib["title"].split(";")[0] for word in words][::2] == ["bbox 50 40 90 68", "bbox 500 42 550 70"]
    text = pdfium.PdfDocument(written(tmp_path, "pdf", entries, dpi=72))[0].get_textpage()
    assert text.get_text_range().split() == ["Rye", "toast", "4.40"]
    four = text.get_text_range().index("4")
    assert 498 <= text.get_charbox(four)[0] <= 512 and text.get_charbox(8)[2] <= 180
    assert [name for name, _ in boxes_to_draw(entries[0])] == ["Rye toast", "4.40"]


@pytest.mark.parametrize("dpi", [72, 150])
def test_text_of_the_pdf_is_at_its_position(tmp_path: Path, dpi: int) -> None:
    document = pdfium.PdfDocument(written(tmp_path, "pdf", dpi=dpi))
    assert len(document) == 4  # all that were asked for
    scale = 72 / dpi
    assert document[0].get_size() == pytest.approx((600 * scale, 300 * scale), abs=0.1)
    text = document[0].get_textpage()
    assert [row.strip() for row in text.get_text_bounded().splitlines()] == ["Invoice <no> 4711 & Søn", "Invoice"]
    first = text.get_text_range(0, 7)
    assert first == "Invoice"
    left, bottom, right, top = (x / scale for x in text.get_charbox(0))  # the I
    assert 48 <= left < right <= 75 and 300 - 72 <= bottom < top <= 300 - 38
    last = text.get_text_range().index("n \r")  # of Søn
    assert text.get_charbox(last)[2] / scale == pytest.approx(350, abs=4)
    assert document[0].render(scale=1 / scale).to_pil().getpixel((60, 55))[0] in range(36, 45)  # text is not seen
    assert "of sale" in document[2].get_textpage().get_text_bounded()


def test_words_are_at_the_positions_of_their_letters(tmp_path: Path) -> None:
    boxes = [[50, 40, 90, 68], [140, 41, 170, 68]]
    part = {"text": "Rye toast", "box": [50, 40, 170, 68], "word_boxes": boxes}
    entries = [entry(1, lines=[{**ROW, "text": "Rye toast", "parts": [part]}])]
    words = ET.parse(written(tmp_path, "hocr", entries)).findall(f".//{XHTML}span[@class='ocrx_word']")
    assert [word.attrib["title"].split(";")[0] for word in words] == ["bbox 50 40 90 68", "bbox 140 41 170 68"]
    text = pdfium.PdfDocument(written(tmp_path, "pdf", entries, dpi=72))[0].get_textpage()
    assert text.get_text_range().split() == ["Rye", "toast"]
    assert [text.get_charbox(i)[2] for i in (2, 8)] == pytest.approx([90, 170], abs=1)


@pytest.mark.parametrize(
    ("tops", "level"), [((100, 103, 98), True), ((100, 130, 160), False)], ids=["a row", "a row that slants"]
)
def test_cells_of_a_row_are_level_in_the_pdf(tops: tuple[int, ...], level: bool, tmp_path: Path) -> None:
    """pdftotext and others sort words by height first: cells of one row at several heights come out in wrong order."""
    parts = [
        {"text": text, "box": [left, top, left + 10 * len(text), top + 20]}
        for text, left, top in zip(("Brenn", "07:15", "daily"), (50, 250, 450), tops)
    ]
    row = {"text": "Brenn 07:15 daily", "box": [50, min(tops), 500, max(tops) + 20], "parts": parts}
    row |= {"mean_probability": 0.9, "min_probability": 0.9}
    path = written(tmp_path, "pdf", [entry(1, lines=[row])], dpi=72)
    text = pdfium.PdfDocument(path)[0].get_textpage()
    bottoms = [SIZE[1] - text.get_rect(i)[1] for i in range(text.count_rects())]
    if level:
        assert bottoms == pytest.approx([bottoms[0]] * len(bottoms), abs=0.5)
    else:
        assert max(bottoms) - min(bottoms) == pytest.approx(60, abs=2)


@pytest.mark.parametrize("name", ["data/images/receipt_000.png", "data/images/chart_01.png"])
def test_pdf_is_only_a_few_kilobytes_larger_than_its_image(tmp_path: Path, name: str) -> None:
    picture = Image.open(path := Path(__file__).parents[2] / name).convert("RGB")
    lines = [{"text": "Sphinx of black quartz, judge my vow", "box": [10, 20 * i, 400, 20 * i + 16], "parts": [],
              "mean_probability": 0.9} for i in range(30)]  # fmt: skip
    write(out := tmp_path / "out.pdf", "pdf", "a", iter([entry(1, lines=lines)]), lambda page: picture, dpi=150)
    assert out.stat().st_size < path.stat().st_size + 8_000


def test_drawing_of_few_colours_is_stored_losslessly(tmp_path: Path) -> None:
    picture = Image.new("RGB", SIZE, "white")
    picture.paste((0, 0, 0), (100, 50, 103, 250))
    write(out := tmp_path / "out.pdf", "pdf", "a", iter([entry(1)]), lambda page: picture, dpi=72)
    assert pdfium.PdfDocument(out)[0].render(scale=1).to_pil().convert("RGB").tobytes() == picture.tobytes()


class Report(HTMLParser):
    in_mark = False

    def __init__(self) -> None:
        super().__init__()
        self.pictures, self.texts, self.unsure, self.places = 0, [], [], []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.pictures += tag == "img" and dict(attrs)["src"].startswith("data:image/jpeg;base64,")
        self.in_mark = tag == "mark"
        if tag == "i":
            self.places.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.in_mark:
            self.unsure.append(data)
        self.in_mark = False


def test_report_shows_images_with_texts_and_errors(tmp_path: Path) -> None:
    report = Report()
    report.feed(written(tmp_path, "html").read_text())
    said = "\n".join(report.texts)
    assert report.pictures == 3 and "Invoice <no> 4711 & Søn" in said
    assert "failed" in said and "it broke" in said and "it repeated itself" in said and "not among" not in said
    assert report.unsure == ["Invoice", "nowhere"]
    place = report.places[1]
    assert place["class"] == "unsure" and place["style"] == "left:8.33%;top:33.33%;width:16.67%;height:10.00%"


def test_no_page_is_reported_as_certain(tmp_path: Path) -> None:
    line = {"text": "Invoice 4711", "box": [50, 40, 350, 70], "mean_probability": 0.9999, "min_probability": 0.999}
    whole = entry(1, lines=[line])
    whole["result"]["mean_probability"] = 0.9999
    assert "100%" not in written(tmp_path, "html", [whole]).read_text().partition("</style>")[2]


def test_overlay_draws_all_boxes_and_each_text_once() -> None:
    assert [name for name, _ in boxes_to_draw(ENTRIES[2])] == ["title", "title"]
    assert [line.text for line in placed_lines(ENTRIES[2])] == ["# Bill", "of sale"]
    assert [line.box for line in placed_lines(ENTRIES[2])] == [(10, 20, 110, 40), (10, 40, 110, 60)]
    assert placed_lines(ENTRIES[1]) == [] == boxes_to_draw(ENTRIES[1])


@pytest.mark.parametrize("kind", ["txt", "md", "json", "html", "hocr", "pdf"])
def test_a_full_disk_is_an_error_in_every_format(kind: str) -> None:
    with pytest.raises(OSError, match="No space left"):
        write(Path("/dev/full"), kind, "bill.png", iter(ENTRIES), lambda page: Image.new("RGB", SIZE, "white"))
