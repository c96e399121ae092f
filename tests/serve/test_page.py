"""The web page in a real Chromium: sample, drop, PDF, cancel, errors, a narrow dark screen, the keyboard."""

from collections.abc import Iterator
from pathlib import Path

import pypdfium2 as pdfium
import pytest
from helpers.drawn_files import LOCKED
from helpers.shared_data import absent
from helpers.tiny_server import Running, noise, png, tiny_checkpoint, tiny_server
from helpers.written_pdf import Written, write_text_pdf
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dev.page_shot import find_chromium
from nanochat.reading.ocr import OCR, find_model

CHROMIUM = find_chromium()
SHOTS = Path(__file__).parents[2] / "out/page"  # for inspection by people


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"), sequence_len=200)


@pytest.fixture(scope="module")
def server(checkpoint: Path) -> Iterator[Running]:
    with tiny_server(checkpoint) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        absent("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, server: Running) -> Iterator[Page]:
    """The opened page. At the end, it must have no errors and no requests to other hosts."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
    )
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on(
        "request", lambda request: request.url.startswith((server.url, "blob:", "data:")) or wrong.append(request.url)
    )
    opened.goto(server.url)
    expect(opened.locator("#model")).to_have_text("tiny")
    yield opened
    context.close()
    assert wrong == []
    server.wait_idle()


def give(page: Page, *files: tuple[str, bytes], kind: str = "image/png") -> None:
    page.set_input_files("#files", [{"name": name, "mimeType": kind, "buffer": data} for name, data in files])


def test_image_is_shown_beside_its_text(page: Page, checkpoint: Path) -> None:
    expected = OCR(checkpoint, "cpu").read(noise(1))
    give(page, ("noise.png", png(noise(1))))
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    assert page.locator("#text").inner_text().replace("\n", "") == expected.text.replace("\n", "")
    assert page.get_by_alt_text("noise.png, page 1").evaluate("image => image.naturalWidth") == 150
    figures = page.locator("#figures").inner_text()
    assert f"{expected.vision_tokens} vision tokens" in figures and "context ended" in figures
    expect(page.locator("#note")).to_contain_text("incomplete")
    page.click("#copy")
    assert page.evaluate("navigator.clipboard.readText()") == expected.text
    with page.expect_download() as download:
        page.select_option("#download", "json")
    assert download.value.suggested_filename == "noise.json" and '"vision_tokens"' in download.value.path().read_text()
    page.click("#again")
    expect(page.get_by_role("heading", name="Drop a photo or a PDF")).to_be_visible()


def test_pages_of_a_pdf_are_thumbnails(page: Page) -> None:
    pdf = png(noise(1), "PDF", save_all=True, append_images=[noise(2), noise(3)])
    give(page, ("three.pdf", pdf), kind="application/pdf")
    expect(page.locator("#pages button")).to_have_count(3, timeout=30_000)
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    expect(page.locator("#pages [aria-current=page]")).to_have_accessible_name("Page 3, three.pdf")
    third = page.locator("#text").inner_text()
    page.keyboard.press("PageUp")
    expect(page.locator("#pages [aria-current=page]")).to_have_accessible_name("Page 2, three.pdf")
    assert page.locator("#text").inner_text() != third


def test_dropped_files_are_read_and_others_reported(page: Page) -> None:
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["hello"], "notes.txt", { type: "text/plain" }));
            window.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }"""
    )
    expect(page.get_by_role("alert")).to_contain_text("notes.txt: not a picture")
    page.get_by_role("button", name="Close this message").click()
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()


def test_locked_pdf_asks_for_its_password(page: Page) -> None:
    give(page, ("locked.pdf", (LOCKED).read_bytes()), kind="application/pdf")
    for title, typed in (("This PDF is locked", "abracadabra"), ("That password is not right", "sesame")):
        expect(page.get_by_role("heading", name=title)).to_be_visible(timeout=30_000)
        page.get_by_label("Password of locked.pdf").fill(typed)
        page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    page.click("#again")
    give(page, ("locked.pdf", (LOCKED).read_bytes()), kind="application/pdf")
    page.locator("#ask-cancel").click()
    expect(page.get_by_role("button", name="Choose files")).to_be_visible()


def test_other_files_are_read_without_the_password_of_one(page: Page) -> None:
    page.set_input_files(
        "#files",
        [
            {"name": "noise.png", "mimeType": "image/png", "buffer": png(noise(1))},
            {"name": "locked.pdf", "mimeType": "application/pdf", "buffer": LOCKED.read_bytes()},
            {"name": "other.png", "mimeType": "image/png", "buffer": png(noise(2))},
        ],
    )
    expect(page.get_by_label("Password of locked.pdf")).to_be_visible(timeout=30_000)
    page.locator("#ask-cancel").click()
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    expect(page.locator("#pages button")).to_have_count(2)
    with page.expect_download() as download:
        page.select_option("#download", "txt")
    assert download.value.suggested_filename == "noise and 1 more.txt"


def test_lost_connection_is_explained(page: Page) -> None:
    page.route("**/v1/read", lambda route: route.abort())
    give(page, ("noise.png", png(noise(1))))
    expect(page.get_by_role("alert")).to_contain_text("The connection to the server was lost.", timeout=30_000)


def test_escape_cancels_the_request(page: Page, server: Running) -> None:
    many = png(noise(1), "TIFF", save_all=True, append_images=[noise(seed) for seed in range(2, 40)])
    give(page, ("many.tif", many), kind="image/tiff")
    expect(page.locator("#text .line").first).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    expect(page.locator("#state")).to_have_text("Cancelled")
    server.wait_idle(5)


def test_line_under_the_pointer_is_highlighted(
    browser: Browser, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Image.new("RGB", (400, 300), "white")
    for row in range(5):
        ImageDraw.Draw(drawn).text((20, 20 + 50 * row), f"A line of text, number {row}", fill="black", font_size=24)
    monkeypatch.setattr("nanochat.reading.ocr.learnt_modes", lambda meta, vision: ("lines",))
    monkeypatch.setattr("nanochat.reading.assemble.LEAST_SURE", 0.0)  # random weights have low probabilities
    with tiny_server(checkpoint) as lines:
        page = browser.new_page()
        page.goto(lines.url)
        expect(page.locator("#mode")).to_have_value("lines")
        give(page, ("lines.png", png(drawn)))
        expect(page.locator("#state")).to_have_text("Read", timeout=60_000)
        expect(page.locator("#boxes rect")).to_have_count(5)
        page.locator("#text .line").nth(2).hover()
        (box,) = page.locator("#boxes rect.on").all()
        place, image = box.bounding_box(), page.locator("#image").bounding_box()
        assert place is not None and image is not None
        middle = (place["y"] + place["height"] / 2 - image["y"]) / image["height"]
        assert 120 / 300 < middle < 150 / 300  # the third of the five lines
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "wide.png")
        page.locator("#boxes rect").nth(4).hover()
        assert page.locator("#text .line.on").inner_text() == page.locator("#text .line").nth(4).inner_text()
        page.close()


def test_previous_result_is_cleared_for_the_next_file(page: Page) -> None:
    give(page, ("first.png", png(noise(1))))
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    page.route("**/v1/read", lambda route: None)  # it never answers
    page.click("#again")
    give(page, ("second.png", png(noise(2))))
    expect(page.locator("#state")).to_have_text("Uploading")
    expect(page.locator("#image")).to_be_hidden()
    assert page.locator("#text").evaluate("text => text.dataset.empty") == ""


def test_page_works_with_the_keyboard_only(page: Page) -> None:
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "sample":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Read", timeout=60_000)


def test_narrow_dark_screen_does_not_scroll_sideways(browser: Browser, server: Running) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator("#model")).to_have_text("tiny")
    give(page, ("noise.png", png(noise(1))))
    expect(page.locator("#state")).to_have_text("Read", timeout=30_000)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / "narrow.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    # the selected option of a menu is fully visible, compared with a menu of automatic width
    for menu in ("#task", "#mode", "#download"):
        needed = """menu => {
            const own = menu.cloneNode(false);
            own.append(new Option(menu.selectedOptions[0].text));
            own.style.cssText = "width: max-content; position: absolute";
            menu.after(own);
            const width = own.offsetWidth;
            own.remove();
            return width - menu.offsetWidth;
        }"""
        assert page.locator(menu).evaluate(needed) <= 0, menu
    context.close()


def test_download_is_named_after_the_first_file(page: Page) -> None:
    give(page, ("broken.png", b"none"), ("noise.png", png(noise(1))))
    expect(page.locator("#state")).to_have_text("Read, but not every page", timeout=30_000)
    with page.expect_download() as download:
        page.select_option("#download", "txt")
    assert download.value.suggested_filename == "noise.txt"


def test_searchable_pdf_is_downloaded(browser: Browser, tmp_path: Path) -> None:
    """With nano: it has the text of the page, and is made from the earlier results. Then a PDF with a text layer."""
    with tiny_server(find_model("nano")) as receipts:
        page = browser.new_page()
        page.goto(receipts.url)
        expect(page.locator("#model")).to_have_text("tiny")
        page.click("#sample")
        expect(page.locator("#state")).to_have_text("Read", timeout=60_000)
        text = page.locator("#text").inner_text()
        tokens = receipts.service.metrics.prompt_tokens._value.get()
        with page.expect_download() as download:
            page.select_option("#download", "pdf")
        assert download.value.suggested_filename == "sample.pdf"
        expect(page.locator("#state")).to_have_text("Read")
        document = pdfium.PdfDocument(download.value.path())
        words = document[0].get_textpage().get_text_bounded().split()
        assert len(words) > 20 and words == text.split()
        assert receipts.service.metrics.prompt_tokens._value.get() == tokens
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "read.png")
        page.click("#again")
        born = write_text_pdf(tmp_path / "a.pdf", [Written("The meeting closed at ten.", 40, 500, 14)])
        give(page, ("a.pdf", born.read_bytes()), kind="application/pdf")
        expect(page.locator("#figures")).to_have_text("the text that the PDF itself contains", timeout=60_000)
        page.close()


def test_unreadable_page_is_reported_in_one_message(browser: Browser, checkpoint: Path) -> None:
    """The message is beside its page, and not also in the box for general errors."""
    with tiny_server(checkpoint, max_megapixels=0.001) as small:
        page = browser.new_page()
        page.goto(small.url)
        expect(page.locator("#model")).to_have_text("tiny")
        give(page, ("large.png", png(noise(1))))
        expect(page.locator("#note")).to_contain_text("large.png", timeout=30_000)
        expect(page.locator("#state")).to_have_text("Stopped")
        expect(page.get_by_role("alert")).to_be_hidden()
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "error.png")
        page.close()
