"""Searchable PDFs as the response to an upload: images of the pages with their text as an invisible layer."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.reading.documents import Document
from nanochat.reading.placed_text import placed_lines, words_of
from nanochat.reading.searchable_pdf import write_pdf
from nanochat.serve.errors import ApiError

Result = dict[str, Any]
"""a page in the response of /v1/read: `document` and `page`, from 1, and, if it was read, the fields of `Page`"""
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
FARTHEST = 1e6  # pixels: no coordinate on a page is larger


def parse_results(data: bytes) -> list[Result]:
    """The pages of an earlier response of /v1/read, `{"pages": [...]}`. Raises ApiError 400 for anything else."""
    try:
        pages = json.loads(data)["pages"]
        for page in pages:
            _check(page)
    except MALFORMED as error:
        raise ApiError(400, "results: not an answer of /v1/read", "invalid_value", "results") from error
    return pages


def _check(page: Result) -> None:
    """Raise one of the exceptions in MALFORMED unless a page sent by a client has all that a PDF needs."""
    if not (isinstance(page["document"], int) and isinstance(page["page"], int)):
        raise TypeError("the position of a page must be two integers")
    for line in placed_lines({"result": page}):
        if line.turned not in (0, 90, 180, 270):
            raise ValueError(f"turned by {line.turned}")
        for word, box in words_of(line):
            word.encode("utf-16-le")
            if len(box) != 4 or not all(abs(side) < FARTHEST for side in box):
                raise ValueError(f"no box: {box}")


def searchable_pdf(documents: Sequence[Document | Any], results: Sequence[Result], dpi: int, most_pixels: int) -> bytes:
    """A PDF with one page for each result, in their order.

    Pages that were skipped or cannot be opened are left out. `dpi`: resolution at which the pages were read.
    `most_pixels`: size limit of a page. Raises UserError if no page is left.
    """
    shown = 0

    def entries() -> Iterator[dict[str, Any]]:
        nonlocal shown
        for result in results:
            number = result["document"]
            document = documents[number - 1] if 1 <= number <= len(documents) else None
            if result.get("status") == "skipped" or document is None or not 1 <= result["page"] <= document.n_pages:
                continue
            try:
                picture = document.load(result["page"], most_pixels)
            except UserError:
                continue
            shown += 1
            yield {"page": result["page"], "result": result, "picture": picture}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.pdf"
        write_pdf(path, entries(), lambda entry: entry["picture"], dpi)
        if not shown:
            raise UserError("there is no page to show in a PDF")
        return path.read_bytes()
