"""The documentation site: links between its pages, links to code, and broken links."""

import shutil
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from dev.docs_site import rewrite_links

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/owner/name"


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("reading.md", "architecture.md#layers", "architecture.md#layers"),
        ("reading.md", "images/page.webp", "images/page.webp"),
        ("reading.md", "../README.md", "project.md"),
        ("reading.md", "../dev/LOG.md#next", "log.md#next"),
        ("reading.md", "../models/nano/README.md", "models/nano.md"),
        ("project.md", "docs/images/page.webp", "images/page.webp"),
        ("project.md", "docs/README.md", "README.md"),
        ("models/nano.md", "../lines/README.md", "lines.md"),
        ("models/nano.md", "../../docs/benchmarks.md", "../benchmarks.md"),
        ("reading.md", "../nanochat/cli.py", f"{REPOSITORY}/blob/main/nanochat/cli.py"),
        ("log.md", "../nanochat/synth", f"{REPOSITORY}/tree/main/nanochat/synth"),
        ("reading.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("reading.md", "#cost", "#cost"),
        ("reading.md", "../no_such_file.py", "../no_such_file.py"),
    ],
)
def test_links_are_rewritten_for_the_site(page: str, link: str, expected: str):
    assert rewrite_links(f"see ![it]({link}) here", page, REPOSITORY) == f"see ![it]({expected}) here"


def build_site(folder: Path, extra: str = "") -> Path:
    """Build the site strictly from a copy of docs/, with `extra` at the end of one page."""
    shutil.copytree(ROOT / "docs", folder / "docs")
    with open(folder / "docs/scaling.md", "a", encoding="utf-8") as page:
        page.write(extra)
    config = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(folder / "docs"), site_dir=str(folder / "site"), strict=True
    )
    build(config)
    return folder / "site"


def test_site_has_the_pages_outside_docs(tmp_path: Path):
    site = build_site(tmp_path)
    assert 'href="../benchmarks.html"' in (site / "models/nano.html").read_text(encoding="utf-8")
    assert (site / "log.html").is_file()


@pytest.mark.parametrize("link", ["reading.md#no-such-heading", "../nanochat/no_such_file.py"])
def test_broken_link_fails_the_build(tmp_path: Path, link: str):
    with pytest.raises(Abort):
        build_site(tmp_path, f"\n[broken]({link})\n")
