"""MkDocs hook of the documentation site (mkdocs.yml).

Some pages of the site lie outside docs/, and many pages link to code. The files keep the relative links that work on
GitHub and in an editor; here each link is rewritten for the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
OUTSIDE = {  # files outside docs/ -> names of their pages in the site
    "README.md": "project.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "dev/LOG.md": "log.md",
    "models/lines/README.md": "models/lines.md",
    "models/nano-pages/README.md": "models/nano-pages.md",
    "models/nano/README.md": "models/nano.md",
}
SOURCE = {name: path for path, name in OUTSIDE.items()}


def rewrite_links(markdown: str, page: str, repository: str) -> str:
    """Rewrite the relative links in the Markdown of a page for the site.

    `page` is the page's name in the site, `repository` the address of the repository. A link to a page or picture of
    the site becomes relative to this page; a link to any other file or folder of the repository becomes a URL. A
    broken link is not changed, so that `mkdocs build --strict` reports it.
    """
    folder = posixpath.dirname(SOURCE.get(page, f"docs/{page}"))

    def rewritten(found: re.Match[str]) -> str:
        link, anchor = found[1], found[2] or ""
        if "://" in link or link.startswith(("/", "mailto:")):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, link))
        if path in OUTSIDE or path.startswith("docs/"):
            target = OUTSIDE.get(path) or path.removeprefix("docs/")
            return posixpath.relpath(target, posixpath.dirname(page) or ".") + anchor
        if path.startswith("..") or not (ROOT / path).exists():
            return found[0]
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{repository}/{kind}/main/{path}{anchor}"

    return LINK.sub(rewritten, markdown)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    return rewrite_links(markdown, page.file.src_uri, config.extra["repository"])
