"""Chats about pages that are read line by line: lines are streamed as they are read, and never changed."""

import json
import random
from typing import Any

import httpx
import pytest
from helpers.tiny_server import Running, about
from PIL import Image, ImageDraw, ImageFont

from nanochat.files import PACKAGE
from nanochat.reading.ocr import OCR
from nanochat.serve.chat_pages import _PageAnswer
from nanochat.serve.line_stream import LineStream
from nanochat.serve.protocol import ending
from nanochat.serve.questions import ChatRequest
from nanochat.serve.shared import SharedEngine
from nanochat.tokenizer import RustBPETokenizer

TOKENIZER = RustBPETokenizer.characters()
TEXT = "First line\nsecond line, é\n\nthe third\nand fourth\nTotal 12.50"


@pytest.fixture(scope="module")
def receipt() -> Image.Image:
    return Image.open(PACKAGE.parent / "data/images/receipt_000.png").convert("RGB")


def streamed(server: Running, picture: Image.Image, **more: Any) -> list[str]:
    """The pieces of text of a chat about an image, in order of arrival."""
    ask = {"model": "tiny", "messages": about(picture), "stream": True, **more}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=ask, timeout=120)
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert answer.text.endswith("data: [DONE]\n\n") and not any("error" in chunk for chunk in chunks)
    return [piece for chunk in chunks if (piece := chunk["choices"][0]["delta"].get("content"))]


def test_lines_are_streamed_while_others_are_being_read(
    receipts: Running, receipt: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    generate, hear = SharedEngine.generate_batch, LineStream.__call__

    def asked(self: SharedEngine, prompts: list, *more: Any, **named: Any) -> Any:
        happened.append("asked")
        return generate(self, prompts, *more, **named)

    def heard(self: LineStream, *answers: Any) -> None:
        hear(self, *answers)
        happened.append("told" if self.has_told and not self.waiting else "kept")

    monkeypatch.setattr(SharedEngine, "generate_batch", asked)
    monkeypatch.setattr(LineStream, "__call__", heard)
    expected = OCR("nano", "cpu").read(receipt).text
    pieces = streamed(receipts, receipt)
    assert "".join(pieces) == expected
    lines = expected.split("\n")
    ends = ["".join(pieces[:n]) for n in range(1, len(pieces) + 1)]
    assert len(pieces) >= 4 and all(end.split("\n") == lines[: end.count("\n") + 1] for end in ends)
    assert happened.index("told") < len(happened) // 2  # and not all at the end


def test_upside_down_page_is_streamed_after_it_is_turned(receipts: Running, receipt: Image.Image) -> None:
    lying = receipt.transpose(Image.Transpose.ROTATE_180)
    page = OCR("nano", "cpu").read(lying)
    assert page.turned == 180
    assert "".join(streamed(receipts, lying)) == page.text


def test_reread_lines_are_streamed_in_their_final_form(receipts: Running, receipt: Image.Image) -> None:
    worn = receipt.resize((int(receipt.width / 3.5), int(receipt.height / 3.5))).resize(receipt.size)
    page = OCR("nano", "cpu").read(worn)
    once = OCR("nano", "cpu", reread=False).read(worn)
    assert page.text != once.text  # the second reading of some line is kept
    pieces = streamed(receipts, worn)
    assert "".join(pieces) == page.text and len(pieces) >= 4


def test_pages_are_separated_by_an_empty_line(receipts: Running) -> None:
    pages = [Image.new("RGB", (700, 400), "white") for _ in range(2)]
    for number, page in enumerate(pages):
        for row in range(6):
            place, font = (30, 30 + 55 * row), ImageFont.load_default(28)
            ImageDraw.Draw(page).text(place, f"Line {row} of page {number}, with some words", fill="black", font=font)
    ocr = OCR("nano", "cpu")
    ask = {"model": "tiny", "messages": about(*pages), "stream": True}
    answer = httpx.post(f"{receipts.url}/v1/chat/completions", json=ask, timeout=120)
    chunks = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
    pieces = [piece for chunk in chunks if (piece := chunk["choices"][0]["delta"].get("content"))]
    assert "".join(pieces) == "\n\n".join(ocr.read(page).text for page in pages) and len(pieces) >= 4


def events(text: str, rng: random.Random) -> list[dict[str, Any]]:
    """Events with the lines of a page, none, one or several at a time, and the page."""
    lines, told = text.split("\n"), 0
    found: list[dict[str, Any]] = []
    while told < len(lines) and rng.random() < 0.8:
        some = rng.randint(1, 3)
        found.append({"event": "lines", "text": ("\n" if told else "") + "\n".join(lines[told : told + some])})
        told += some
    page = {"event": "page", "status": "ok", "text": text, "stopped": "end", "vision_tokens": 9, "tokens": len(text)}
    return [*found, page]


@pytest.mark.parametrize(
    "stops", [[], ["line\nsecond"], ["\n\n\n"], ["12.50\n\nFirst", "nowhere"], ["F"], ["third\nand x"]]
)
def test_streamed_lines_add_up_to_the_whole_text(stops: list[str]) -> None:
    pages = [TEXT, TEXT, "No more."]
    whole = "\n\n".join(pages)
    for seed in range(60):
        rng = random.Random(seed)
        limit = rng.choice([None, 5, 12, 40, 300])
        asked = ChatRequest(model="m", messages=[{"role": "user", "content": ""}], stop=stops or None, max_tokens=limit)
        answer = _PageAnswer("m", asked, TOKENIZER)
        pieces = [answer.take(event) for page in pages for event in events(page, rng)]
        pieces.append(answer.finish())
        cut = min([place for stop in stops if (place := whole.find(stop)) >= 0], default=len(whole))
        expected = TOKENIZER.decode(TOKENIZER.encode(whole[:cut])[:limit]).rstrip("\ufffd")
        assert "".join(pieces) == expected == answer.text, (seed, limit)
        ended = "length" if len(TOKENIZER.encode(whole[:cut])) > (limit or 10**9) else "stop"
        assert ending(answer.stopped)["finish_reason"] == ended
