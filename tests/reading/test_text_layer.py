"""Text layers of PDF pages: they are used if they agree with the image, and otherwise rejected."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
import pytest
from helpers.written_pdf import Written, write_text_pdf
from PIL import Image

from nanochat.errors import UserError
from nanochat.lines.layout import Line, find_lines
from nanochat.lines.segment import Segment
from nanochat.reading import layer_check, ocr, text_layer
from nanochat.reading.ahead import PageOptions, read_ahead
from nanochat.reading.documents import PDF
from nanochat.reading.job import Job, read_input
from nanochat.reading.layer_check import Decision, Seen, judge
from nanochat.reading.ledger import Ledger
from nanochat.reading.ocr import OCR, PROMPT
from nanochat.reading.options import TextLayerMode
from nanochat.reading.sources import Source, find_sources
from nanochat.reading.text_layer import LAYER, LayerWord, TextLayer, lay_on, layer_page, read_layer

TEXT = [
    "The committee met on Tuesday at nine.",
    "It approved the budget for the year 2025,",
    "which is 14,300 less than that of 2024.",
    "Mrs. Alvarez asked for a second vote.",
    "The vote was held and nothing changed.",
    "The meeting closed at a quarter past ten.",
]


def page_of(visible: bool = True, texts: list[str] = TEXT, shift: float = 0.0) -> list[Written]:
    return [Written(text, 40, 520 - 40 * i - shift, 14, visible) for i, text in enumerate(texts)]


def decide(path: Path, read: list[str] | None = None, sureness: float = 0.99) -> Decision:
    """The decision about a page whose lines are read as `read`, by default TEXT, with this mean probability."""
    document = PDF(Source(str(path)), 150, "")
    picture = document.load(1)
    lines = find_lines(picture)
    said = TEXT if read is None else read
    tops = sorted(line.box[1] for line in lines)

    def seen(some: list[Line]) -> list[Seen]:
        return [Seen(said[tops.index(line.box[1])], sureness) for line in some]

    return judge(lay_on(read_layer(document, 1, 150), lines), seen)


def test_correct_text_layer_is_used_in_reading_order_with_boxes(tmp_path: Path) -> None:
    lines = page_of()
    path = write_text_pdf(tmp_path / "a.pdf", lines[::-1])  # the order of the file is not that of the page
    assert decide(path).use
    document = PDF(Source(str(path)), 150, "")
    picture = document.load(1)
    page = layer_page(lay_on(read_layer(document, 1, 150), find_lines(picture)), picture.size)
    assert page.text == "\n".join(TEXT) and page.mode == "text-layer"
    for line, written in zip(page.lines, lines):
        assert line.box is not None
        baseline = (595 - written.y) * 150 / 72
        assert line.box[1] < baseline - 5 and abs(line.box[3] - baseline) < 12 and abs(line.box[0] - 40 * 150 / 72) < 6


def test_cells_of_a_table_stay_separate(tmp_path: Path) -> None:
    rows = [("Flour", "2.40"), ("Sugar", "1.15"), ("Butter", "3.90")]
    cells = [Written(text, x, 500 - 40 * i, 14) for i, row in enumerate(rows) for text, x in zip(row, (40, 300))]
    document = PDF(Source(str(write_text_pdf(tmp_path / "a.pdf", cells))), 150, "")
    picture = document.load(1)
    page = layer_page(lay_on(read_layer(document, 1, 150), find_lines(picture)), picture.size)
    assert [[part.text for part in line.parts] for line in page.lines] == [list(row) for row in rows]


SEEN = {"scanner": [text.replace("e", "c", 3) for text in TEXT], "other page": TEXT[::-1]}


@pytest.mark.parametrize("case", SEEN)
def test_wrong_invisible_text_layer_is_rejected(tmp_path: Path, case: str) -> None:
    """A scan of TEXT with the invisible output of another OCR system."""
    scan = PDF(Source(str(write_text_pdf(tmp_path / "scan.pdf", page_of()))), 150, "").load(1)
    lines = find_lines(scan)

    def judged(texts: list[str]) -> Decision:
        document = PDF(Source(str(write_text_pdf(tmp_path / "a.pdf", page_of(False, texts)))), 150, "")
        layer = read_layer(document, 1, 150)
        assert layer.hidden
        return judge(lay_on(layer, lines), lambda some: [Seen(TEXT[lines.index(line)], 0.99) for line in some])

    assert judged(TEXT).use
    wrong, half = judged(SEEN[case]), judged(TEXT[:3])
    assert not wrong.use and "differs from what is seen" in wrong.why
    assert not half.use and "of the lines out" in half.why


def test_page_with_missing_misplaced_or_garbled_text_layer_is_read(tmp_path: Path) -> None:
    assert "no text of its own" in decide(write_text_pdf(tmp_path / "none.pdf", [])).why
    elsewhere = page_of(texts=TEXT[:1]) + page_of(False, TEXT[1:], shift=300)
    assert "no text is seen" in decide(write_text_pdf(tmp_path / "elsewhere.pdf", elsewhere)).why
    document = PDF(Source(str(write_text_pdf(tmp_path / "a.pdf", page_of()))), 150, "")
    broken = replace(read_layer(document, 1, 150), broken=0.1)
    decision = judge(lay_on(broken, find_lines(document.load(1))), lambda some: [Seen(text, 0.99) for text in TEXT])
    assert not decision.use and "broken encoding" in decision.why


def test_source_of_the_text_is_recorded(tmp_path: Path) -> None:
    right = write_text_pdf(tmp_path / "right.pdf", page_of())
    wrong = write_text_pdf(tmp_path / "wrong.pdf", page_of(texts=TEXT[:1]) + page_of(False, TEXT[1:], shift=300))
    reader, pages = OCR("nano", "cpu"), {}
    for mode in ("auto", "never", "only"):
        ledger = Ledger(tmp_path / f"{mode}.jsonl", {})
        with closing(ledger):
            read_input(lambda: reader, Job(find_sources([str(right), str(wrong)]), PROMPT, text_layer=mode), ledger)
            for entry in (ledger.entry(source, page) for source, page, _ in list(ledger.pages())):
                pages[mode, Path(entry["source"]).stem] = entry
    sources = {key: entry["result"]["text_source"] for key, entry in pages.items()}
    assert [sources[mode, "right"] for mode in ("auto", "never", "only")] == ["text-layer", "read", "text-layer"]
    assert [sources[mode, "wrong"] for mode in ("auto", "never", "only")] == ["read", "read", "text-layer"]
    assert pages["auto", "right"]["result"]["text"] == "\n".join(TEXT)
    assert "no text is seen" in pages["auto", "wrong"]["why"]


def read_pages(path: Path, mode: TextLayerMode, folder: Path) -> list[dict]:
    """The results of reading a file, without worker processes."""
    with closing(Ledger(folder / f"{mode}.jsonl", {})) as ledger:
        job = Job(find_sources([str(path)]), PROMPT, workers=0, text_layer=mode)
        read_input(lambda: OCR("nano", "cpu"), job, ledger)
        return [ledger.entry(source, page) for source, page, _ in list(ledger.pages())]


def test_lines_are_detected_once_if_the_text_layer_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def look(picture: Image.Image) -> list[Line]:
        looked.append(picture.size)
        return find_lines(picture)

    for module in (layer_check, ocr):
        monkeypatch.setattr(module, "find_lines", look)
    wrong = write_text_pdf(tmp_path / "wrong.pdf", page_of(texts=TEXT[:1]) + page_of(False, TEXT[1:], shift=300))
    (entry,) = read_pages(wrong, "auto", tmp_path)
    assert entry["result"]["text_source"] == "read" and len(looked) == 1


def test_unused_text_layer_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the layer was read")

    monkeypatch.setattr(text_layer, "read_layer", fail)
    (entry,) = read_pages(write_text_pdf(tmp_path / "a.pdf", page_of()), "never", tmp_path)
    assert entry["state"] == "ok" and entry["result"]["text_source"] == "read"


def test_positions_of_words_at_the_resolution_of_the_scan(tmp_path: Path) -> None:
    """A scan of 300 dpi is rendered at 300 regardless of --dpi, and so are the boxes of its layer."""
    drawn = PDF(Source(str(write_text_pdf(tmp_path / "a.pdf", page_of()))), 300, "").load(1)
    drawn.save(tmp_path / "picture.pdf", resolution=300)
    scan = write_text_pdf(tmp_path / "scan.pdf", page_of(False), scan=tmp_path / "picture.pdf")
    (page,) = read_ahead(find_sources([str(scan)]), options=PageOptions(layers=True), workers=0)
    assert page.image is not None and page.image.width > 1700
    decision = judge(lay_on(page.image.info[LAYER], find_lines(page.image)), None)
    assert decision.use, decision.why


def own_page(path: Path, folder: Path) -> dict:
    """The result of reading a PDF of one page."""
    (entry,) = read_pages(path, "auto", folder)
    return entry["result"]


@pytest.mark.parametrize("paint", ["white", "transparent", "mode 3"])
def test_text_that_the_page_does_not_show_is_left_out(tmp_path: Path, paint: str) -> None:
    """A total in white, transparent or unpainted letters is not what a reader of the page sees."""
    hidden = Written("Total 9,999.00 paid in full", 40, 260, 14, visible=paint != "mode 3")
    path = write_text_pdf(tmp_path / "a.pdf", [*page_of(), hidden])
    if paint != "mode 3":
        repaint(path, "9,999", (255, 255, 255, 255) if paint == "white" else (0, 0, 0, 0))
    result = own_page(path, tmp_path)
    assert result["text_source"] == "text-layer" and result["text"] == "\n".join(TEXT)


def repaint(path: Path, text: str, colour: tuple[int, int, int, int]) -> None:
    """Paint the text objects of a PDF of one page that contain `text` in a colour, RGBA."""
    document = pdfium.PdfDocument(path.read_bytes())
    page = document[0]
    layer = page.get_textpage()
    for i in range(layer.count_chars()):
        if layer.get_text_range(i, len(text)) == text:
            pdfium_c.FPDFPageObj_SetFillColor(pdfium_c.FPDFText_GetTextObject(layer, i), *colour)
    page.gen_content()
    document.save(path)


def test_text_in_a_picture_on_a_page_with_a_text_layer_is_read(tmp_path: Path) -> None:
    """A stamp has no words of its own: they are read, in their place, and the page says so."""
    stamp = write_text_pdf(tmp_path / "stamp.pdf", [Written("PAID 12 APRIL 2031", 40, 350, 14)])
    PDF(Source(str(stamp)), 200, "").load(1).save(tmp_path / "picture.pdf", resolution=200)
    gaps = [replace(line, y=line.y - (60 if line.y < 370 else 0)) for line in page_of()]
    path = write_text_pdf(tmp_path / "a.pdf", gaps, (418, 594), scan=tmp_path / "picture.pdf")
    result = own_page(path, tmp_path)
    assert result["text_source"] == "text-layer"
    assert result["text"] == "\n".join([*TEXT[:4], "PAID 12 APRIL 2031", *TEXT[4:]])
    assert any("read from the picture" in note for note in result["notes"])
    assert result["vision_tokens"] == result["most_vision_tokens"] > 0, "no mode of `auto` would save any"


LEDGER = [f"Order {n}07{n} of 1{n} May: 4{n}1.80 and 7{n}.15" for n in (2, 5, 8, 3, 9, 6)]


@pytest.mark.parametrize("swapped", ["eo", "4817"])
def test_layer_in_which_characters_stand_for_others_is_rejected(tmp_path: Path, swapped: str) -> None:
    """A wrong character map makes every e an o, or every 4 an 8; most characters are right nevertheless."""
    pairs = {a: b for x, y in zip(swapped[::2], swapped[1::2]) for a, b in ((x, y), (y, x))}
    shown = TEXT if swapped.isalpha() else LEDGER
    wrong = ["".join(pairs.get(c, c) for c in line) for line in shown]
    decision = decide(write_text_pdf(tmp_path / "a.pdf", page_of(texts=wrong)), read=shown)
    assert not decision.use and "broken encoding" in decision.why
    misread = [line.replace("o", "0", 2).replace("l", "1").replace("m", "n", 1) for line in shown]
    assert decide(write_text_pdf(tmp_path / "b.pdf", page_of(texts=shown)), read=misread).use


def test_words_on_top_of_other_words_are_not_used(tmp_path: Path) -> None:
    other = [replace(line, text=text) for line, text in zip(page_of(), TEXT[::-1])]
    decision = decide(write_text_pdf(tmp_path / "a.pdf", [*page_of(), *other[:3]]))
    assert not decision.use and "lie on other words" in decision.why
    bold = [replace(line, x=line.x + 0.4) for line in page_of()]
    assert decide(write_text_pdf(tmp_path / "b.pdf", [*page_of(), *bold])).use


def test_layer_in_another_alphabet_is_used_if_the_page_cannot_be_read(tmp_path: Path) -> None:
    """The model invents Latin text for Cyrillic; a Latin page whose layer is Cyrillic by mistake is read well."""
    path = write_text_pdf(tmp_path / "a.pdf", page_of())
    document = PDF(Source(str(path)), 150, "")
    layer, lines = read_layer(document, 1, 150), find_lines(document.load(1))
    cyrillic = str.maketrans("aeiotmnrlds", "аеиотмнрлдс")
    russian = replace(layer, words=tuple(replace(w, text=w.text.translate(cyrillic)) for w in layer.words))
    invented = judge(lay_on(russian, lines), lambda some: [Seen("Oxnate no goroopy kauectBa", 0.9) for _ in some])
    assert invented.use and invented.unchecked
    tops = sorted(line.box[1] for line in lines)
    well_read = judge(lay_on(russian, lines), lambda some: [Seen(TEXT[tops.index(line.box[1])], 0.99) for line in some])
    assert not well_read.use


def test_words_of_a_line_in_hebrew_are_from_right_to_left() -> None:
    words = (LayerWord("שלום", (200, 10, 260, 30)), LayerWord("עולם", (100, 10, 160, 30)))
    line = Line((Segment(np.array([[90.0, 20.0], [270.0, 20.0]]), 24.0),))
    assert layer_page(lay_on(TextLayer(words, 0.0, False), [line]), (300, 50)).text == "שלום עולם"


def test_python_uses_text_layers_as_the_command_does(tmp_path: Path) -> None:
    path = write_text_pdf(tmp_path / "a.pdf", page_of())
    reader = OCR("nano", "cpu")
    for choice, source in (("auto", "text-layer"), ("only", "text-layer"), ("never", "read")):
        (page,) = reader.read(path, text_layer=choice)
        assert (page.text_source, page.text) == (source, "\n".join(TEXT))
    with pytest.raises(UserError, match="text_layer 'maybe': choose one of auto, only, never"):
        reader.read(path, text_layer="maybe")
