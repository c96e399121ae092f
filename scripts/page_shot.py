"""Take the picture of the server's page that the documents show: the sample, read by a model, one line pointed at.

uv run python -m scripts.page_shot --checkpoint=models/nano --out=docs/images/page.webp
"""

import io
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from nanochat.common import UserError, atomic_path, entry_point, parse_args

WIDTH, HEIGHT = 1280, 960
START_SECONDS = 120


@dataclass
class ShotConfig:
    checkpoint: str = "nano"
    """the model that reads, as in nano-ocr serve"""
    out: Path = Path("docs/images/page.webp")
    """where the picture goes"""


def find_chromium() -> str | None:
    """The browser that is installed here, by any of its names."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def serving(checkpoint: str) -> Iterator[str]:
    """The address of a server of our own. Raises UserError when it does not come up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nanochat.cli", "serve", "--checkpoint", checkpoint, f"--port={port}"]
    server, address = (
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        f"http://127.0.0.1:{port}",
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not _ready(address):
            if server.poll() is not None or time.monotonic() > until:
                raise UserError(f"no server of {checkpoint} came up: what does nano-ocr serve say?")
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def _ready(address: str) -> bool:
    try:
        return urllib.request.urlopen(f"{address}/ready", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def shoot(address: str, chromium: str) -> Image.Image:
    """The page after it has read its sample, with the pointer on a line in the middle."""
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
    """Take the picture of the server's page that the documents show."""
    config = parse_args(ShotConfig, description=main.__doc__)
    chromium = find_chromium()
    if chromium is None:
        raise UserError("no Chromium here: apt-get install chromium")
    with serving(config.checkpoint) as address, atomic_path(config.out) as temporary:
        shoot(address, chromium).save(temporary, "WEBP", quality=92, method=6)
    print(f"Wrote {config.out}")


if __name__ == "__main__":
    main()
