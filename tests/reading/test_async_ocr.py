"""Reading from asyncio: the same pages in shared batches, a free event loop, and errors for the right request."""

import asyncio
from pathlib import Path

import pytest
from helpers.tiny_server import noise, tiny_checkpoint

from nanochat import OCR, AsyncOCR
from nanochat.errors import UserError
from nanochat.prompts import PROMPTS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model"))


def test_pages_equal_those_of_ocr_and_share_batches(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ocr, sizes = OCR(model, "cpu"), []
    plain = OCR.read_many

    def read_many(self, pictures, *options):
        sizes.append(len(pictures))
        return plain(self, pictures, *options)

    async def main() -> list:
        async with AsyncOCR(model, device="cpu", batch_size=4) as reader:
            asked = [reader.read(noise(i), PROMPTS["figure"] if i == 2 else PROMPTS["free"], 20) for i in range(9)]
            return await asyncio.gather(*asked)

    expected = [ocr.read(noise(i), PROMPTS["figure"] if i == 2 else PROMPTS["free"], 20).text for i in range(9)]
    monkeypatch.setattr(OCR, "read_many", read_many)
    pages = asyncio.run(main())
    assert [page.text for page in pages] == expected
    assert sum(sizes) == 9 and max(sizes) > 1 and max(sizes) <= 4
    assert pages[0].to_dict()["text"] == expected[0]


def test_event_loop_is_not_blocked(model: Path) -> None:
    async def main() -> int:
        ticks = 0
        async with AsyncOCR(model, device="cpu") as reader:
            reading = asyncio.create_task(reader.read(noise(1), max_tokens=200))
            while not reading.done():
                ticks += 1
                await asyncio.sleep(0.001)
        return ticks

    assert asyncio.run(main()) > 10


def test_errors_reach_the_request_that_caused_them(model: Path) -> None:
    async def main() -> list:
        async with AsyncOCR(model, device="cpu") as reader:
            asked = [reader.read(noise(1), max_tokens=5), reader.read(b"no picture"), reader.read(noise(2), "no place")]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)

    page, broken, placeless = asyncio.run(main())
    assert page.text and isinstance(broken, UserError) and isinstance(placeless, UserError)
    assert "not a picture" in str(broken) and "<image>" in str(placeless)


def test_unexpected_error_fails_only_its_own_page(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, sizes = OCR.read_many, []

    def read_many(self, pictures, *options):
        sizes.append(len(pictures))
        if any(picture.width == 120 for picture in pictures):
            raise ZeroDivisionError("of the page that is 120 wide")
        return plain(self, pictures, *options)

    async def main() -> list:
        async with AsyncOCR(model, device="cpu", batch_size=4) as reader:
            asked = [reader.read(noise(i, 120 if i == 2 else 150), max_tokens=5) for i in range(4)]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 60)

    monkeypatch.setattr(OCR, "read_many", read_many)
    pages = asyncio.run(main())
    assert isinstance(pages[2], ZeroDivisionError) and max(sizes) > 1
    assert all(pages[i].text for i in (0, 1, 3))


def test_cancelled_or_late_request_does_not_wait(model: Path) -> None:
    """A cancelled task ends at once and the next is read; leaving the block cancels waiting ones."""

    async def main() -> str:
        async with AsyncOCR(model, device="cpu", batch_size=1) as reader:
            first = asyncio.create_task(reader.read(noise(1), max_tokens=200))
            await asyncio.sleep(0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            text = (await reader.read(noise(2), max_tokens=5)).text
            late = [asyncio.create_task(reader.read(noise(i), max_tokens=200)) for i in range(3)]
            await asyncio.sleep(0.05)
        found = await asyncio.wait_for(asyncio.gather(*late, return_exceptions=True), 30)
        assert any(isinstance(one, asyncio.CancelledError) for one in found)
        return text

    assert asyncio.run(main()) == OCR(model, "cpu").read(noise(2), max_tokens=5).text
