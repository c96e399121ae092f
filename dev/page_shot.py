"""Take the screenshot of the web page for the documentation: the sample, read by a model, with one line highlighted.

uv run python -m dev.page_shot --checkpoint=models/nano --out=docs/images/page.webp
"""

import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from dev.bench.serving import serving
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.files import atomic_path

WIDTH, HEIGHT = 1280, 960


@dataclass
class ShotConfig:
    checkpoint: str = "nano"
    """model to read with, as in nano-ocr serve"""
    out: Path = Path("docs/images/page.webp")
    """WebP file to write"""


def find_chromium() -> str | None:
    """Path of the installed Chromium or Chrome, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def shoot(address: str, chromium: str) -> Image.Image:
    """A screenshot of the page after it has read its sample, with the pointer on a line in the middle."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.locator("#sample").click()
        expect(page.locator("#state")).to_have_text("Read", timeout=120_000)
        lines = page.locator("#text .line")
        lines.nth(lines.count() // 2).hover()
        page.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.load()
        browser.close()
    return picture.convert("RGB")


@entry_point
def main() -> None:
    """Take the screenshot of the web page for the documentation."""
    config = parse_args(ShotConfig, description=main.__doc__)
    chromium = find_chromium()
    if chromium is None:
        raise UserError("Chromium is not installed: apt-get install chromium")
    with serving(config.checkpoint) as server, atomic_path(config.out) as temporary:
        shoot(server.address, chromium).save(temporary, "WEBP", quality=92, method=6)
    print(f"Wrote {config.out}")


if __name__ == "__main__":
    main()
