"""Uploads to /v1/read: whole documents, bad files, and searchable PDFs."""

import json
from pathlib import Path

import httpx
import pypdfium2 as pdfium
import pytest
from helpers.drawn_files import LOCKED
from helpers.tiny_server import Running, noise, png, refused, tiny_server, upload
from helpers.written_pdf import Written, write_text_pdf
from PIL import Image

from nanochat.reading.ocr import OCR

ROOT = Path(__file__).parents[2]


def test_uploads_are_read_page_by_page(server: Running, ocr: OCR) -> None:
    frames = [noise(seed) for seed in (5, 6)]
    tiff = png(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    pdf = png(frames[0], "PDF", save_all=True, append_images=frames[1:])
    alone = [ocr.read(frame, max_tokens=12).text for frame in frames]
    pages = upload(server, tiff, png(noise(7)), max_tokens="12").json()["pages"]
    assert [page["text"] for page in pages[:2]] == alone and len(pages) == 3
    assert (pages[1]["page"], pages[1]["name"], pages[1]["stopped"], pages[1]["tokens"]) == (2, "0.bin", "length", 12)
    assert upload(server, tiff, max_tokens="12", format="txt").text == f"{alone[0]}\n\f{alone[1]}\n"
    assert upload(server, tiff, max_tokens="12", format="md").text == f"{alone[0]}\n\n---\n\n{alone[1]}\n"
    assert [page["page"] for page in upload(server, pdf, max_tokens="3", pages="2").json()["pages"]] == [2]
    streamed = upload(server, pdf, max_tokens="12", stream="text", preview="true")
    events = [json.loads(line) for line in streamed.iter_lines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("begin") == kinds.count("page") == 2 and kinds[-1] == "done"
    assert events[0]["preview"].startswith("data:image/jpeg;base64,") and events[0]["pages"] == 2
    for page in (1, 2):
        told = "".join(e["text"] for e in events if e["event"] == "text" and e["page"] == page)
        (result,) = [e for e in events if e["event"] == "page" and e["page"] == page]
        assert told == result["text"]


def test_options_in_the_query_are_rejected(server: Running) -> None:
    files = {"files": ("a.png", png(noise(1)))}
    answer = httpx.post(f"{server.url}/v1/read?format=md", files=files)
    assert answer.status_code == 400 and "curl -F format=md" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "form", "code"),
    [
        (b"", {}, "invalid_input"),
        (b"hello", {}, "invalid_input"),
        (b"\0" * 900_000, {}, "invalid_input"),
        (b"%PDF-1.4 broken", {}, "invalid_input"),
        (png(noise(1)), {"mode": "huge"}, "invalid_input"),
        (png(noise(1)), {"task": "sing"}, "invalid_input"),
        (png(noise(1)), {"prompt": "Read."}, "invalid_input"),
        (png(noise(1)), {"pages": "9"}, "invalid_input"),
        (png(noise(1)), {"max_tokens": "-4"}, "invalid_value"),
        (png(noise(1)), {"pages": "x"}, "invalid_input"),
        (png(noise(1), "TIFF", save_all=True, append_images=[noise(i) for i in range(5)]), {}, "too_many_pages"),
    ],
    ids=[
        "empty",
        "text",
        "zeros",
        "broken PDF",
        "mode",
        "task",
        "prompt",
        "no page 9",
        "negative",
        "pages",
        "too many",
    ],
)
def test_bad_uploads_get_a_clear_error(server: Running, data: bytes, form: dict[str, str], code: str) -> None:
    refused(upload(server, data, **form), 400, code)


def test_upload_without_a_file_and_locked_pdf(server: Running) -> None:
    refused(httpx.post(f"{server.url}/v1/read", data={"task": "free"}), 400, "invalid_value")
    locked = LOCKED
    message = refused(upload(server, locked.read_bytes()), 400, "password_required")
    assert "encrypted: give its `password`" in message and "--" not in message
    assert "not right" in refused(upload(server, locked.read_bytes(), password="x"), 400, "password_required")


def test_broken_file_is_reported_and_the_others_are_read(server: Running) -> None:
    pages = upload(server, png(noise(1)), b"no picture", png(noise(2)), max_tokens="4").json()["pages"]
    assert [page["status"] for page in pages] == ["cut", "failed", "cut"] and "not a picture" in pages[1]["error"]
    alone = upload(server, png(noise(2)), max_tokens="4").json()["pages"]
    assert pages[2]["text"] == alone[0]["text"] != ""


def test_every_unreadable_file_is_named(server: Running) -> None:
    message = refused(upload(server, b"no picture", b""), 400, "invalid_input")
    assert "0.bin: not a picture" in message and "1.bin: the file is empty" in message


def test_text_layer_of_a_pdf_is_used_as_by_the_command(receipts: Running, tmp_path: Path) -> None:
    """Also while the text is streamed: what is read only to check the layer is not part of the text."""
    lines = ["The committee met on Tuesday at nine.", "It approved the budget for the year 2025."]
    written = [Written(line, 40, 520 - 40 * i, 14) for i, line in enumerate(lines)]
    pdf = write_text_pdf(tmp_path / "a.pdf", written).read_bytes()
    sources = []
    for choice in ({}, {"text_layer": "never"}):
        events = [json.loads(line) for line in upload(receipts, pdf, stream="text", **choice).iter_lines()]
        (page,) = [event for event in events if event["event"] == "page"]
        told = "".join(event["text"] for event in events if event["event"] == "text")
        assert page["text"].split("\n") == lines
        sources.append((page["text_source"], told.strip() == ""))
    assert sources == [("text-layer", True), ("read", False)]


def test_upload_of_a_hundred_megabytes_of_zeros(server: Running, checkpoint: Path) -> None:
    zeros = b"\0" * 100_000_000
    refused(upload(server, zeros), 413, "request_too_large")
    with tiny_server(checkpoint, max_upload_mb=200.0) as generous:
        assert "not a picture" in refused(upload(generous, zeros), 400, "invalid_input")


def test_searchable_pdf_has_texts_and_images(receipts: Running) -> None:
    """With two uploads, one of them broken. The same PDF is made from earlier results without reading again."""
    receipt = (ROOT / "data/images/receipt_000.png").read_bytes()
    answer = upload(receipts, receipt, b"no picture", format="pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["x-nano-ocr-status"] == "ok,failed"
    document = pdfium.PdfDocument(answer.content)
    assert len(document) == 1
    words = document[0].get_textpage().get_text_bounded().split()
    known = upload(receipts, receipt, b"no picture").json()
    assert words == known["pages"][0]["text"].split() and "JUNIPER" in words
    (picture,) = document[0].get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_IMAGE])
    assert picture.get_px_size() == Image.open(ROOT / "data/images/receipt_000.png").size
    tokens = receipts.service.metrics.prompt_tokens._value.get()
    files = [
        ("files", ("0.bin", receipt)),
        ("files", ("1.bin", b"no picture")),
        ("results", json.dumps(known).encode()),
    ]
    again = httpx.post(f"{receipts.url}/v1/read", files=files, data={"format": "pdf"}, timeout=60)
    text = pdfium.PdfDocument(again.content)[0].get_textpage().get_text_bounded().split()
    assert text == words and receipts.service.metrics.prompt_tokens._value.get() == tokens


BAD_RESULTS = {
    "no JSON": b"{",
    "a list": b"[]",
    "no pages": b"{}",
    "pages without a place": b'{"pages": [{"text": "a"}]}',
    "a line without a box": b'{"pages": [{"document": 1, "page": 1, "lines": [{"text": "a"}]}]}',
    "a box of words": b'{"pages": [{"document": 1, "page": 1, "lines": '
    b'[{"text": "a", "mean_probability": 1, "box": ["a", "b", "c", "d"]}]}]}',
    "a box without an end": b'{"pages": [{"document": 1, "page": 1, "lines": '
    b'[{"text": "a", "mean_probability": 1, "box": [0, 0, 1e999, 1]}]}]}',
    "half a character": b'{"pages": [{"document": 1, "page": 1, "lines": '
    b'[{"text": "\\ud800", "mean_probability": 1, "box": [0, 0, 9, 9]}]}]}',
    "a turn by 7": b'{"pages": [{"document": 1, "page": 1, "turned": 7, "lines": '
    b'[{"text": "a", "mean_probability": 1, "box": [0, 0, 9, 9]}]}]}',
}


@pytest.mark.parametrize("what", BAD_RESULTS)
def test_bad_results_get_a_clear_error(server: Running, what: str) -> None:
    files = [("files", ("a.png", png(noise(1)))), ("results", ("results", BAD_RESULTS[what]))]
    answer = httpx.post(f"{server.url}/v1/read", files=files, data={"format": "pdf"}, timeout=60)
    refused(answer, 400, "invalid_value")


def test_results_of_other_files_are_rejected(server: Running) -> None:
    results = b'{"pages": [{"document": 2, "page": 1}, {"document": 1, "page": 9}]}'
    files = [("files", ("a.png", png(noise(1)))), ("results", ("results", results))]
    answer = httpx.post(f"{server.url}/v1/read", files=files, data={"format": "pdf"}, timeout=60)
    refused(answer, 400, "invalid_input")
