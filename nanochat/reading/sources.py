"""Inputs: files, folders, patterns, standard input, data: URLs, and the selection of their pages.

No image is opened here and no heavy library imported, so that a mistyped name is reported at once.
"""

import base64
import binascii
import glob
import io
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from nanochat.errors import UserError
from nanochat.files import IMAGE_SUFFIXES


@dataclass(frozen=True)
class Source:
    """A file, or data from standard input or a URL."""

    name: str
    """as given by the user"""
    data: bytes | None = None
    """contents, if it is not a file"""
    problem: str = ""
    """why it cannot be read, if known before it is opened"""

    def fingerprint(self) -> str:
        """A value that changes with the file. Raises UserError if it no longer exists or cannot be read."""
        if self.problem:
            raise UserError(self.problem)
        if self.data is not None:
            return f"{len(self.data)}-{zlib.crc32(self.data)}"
        try:
            state = Path(self.name).stat()
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        return f"{state.st_size}-{state.st_mtime_ns}"

    def stream(self) -> Any:
        """What Pillow and pdfium can open."""
        return self.name if self.data is None else io.BytesIO(self.data)

    def is_pdf(self) -> bool:
        """Whether it is a PDF, by its first bytes. Raises UserError if it is empty or cannot be opened."""
        try:
            with self.stream() if self.data is not None else open(self.name, "rb") as file:
                head = file.read(1024)
        except OSError as error:
            raise UserError(f"{self.name}: cannot be opened ({error.strerror})") from error
        if not head:
            raise UserError(f"{self.name}: an empty file")
        return b"%PDF-" in head


def _decode_data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise UserError(f"{url[:40]}...: a data: URL needs a comma before its data")
    try:
        return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except binascii.Error as error:
        raise UserError(f"{head},...: not valid base64 ({error})") from error


def find_sources(
    arguments: Sequence[str], stdin: Callable[[], bytes] | None = None, out: Path | None = None
) -> list[Source]:
    """The sources that the arguments of a command name, in order; files of a folder sorted, without those in `out`.

    An argument that names nothing (a missing file, a folder or pattern without an image or PDF, empty standard input)
    becomes a source with a `problem`; these come first, so that they are reported at once. Raises UserError if no
    argument names anything.
    """
    sources: list[Source] = []
    problems: list[Source] = []
    for n, argument in enumerate(arguments, 1):
        try:
            sources += _named(argument, n, stdin, out)
        except UserError as error:
            problems.append(Source(argument[:200], problem=str(error)))
    if problems and not sources:
        raise UserError("; ".join(source.problem for source in problems))
    return list(dict.fromkeys([*problems, *sources]))


def _named(argument: str, n: int, stdin: Callable[[], bytes] | None, out: Path | None) -> list[Source]:
    """The sources that the n-th argument names. Raises UserError if there are none."""
    if argument == "-":
        data = stdin() if stdin else sys.stdin.buffer.read() if sys.stdin else b""  # None if it is closed
        if not data:
            raise UserError("-: standard input is empty")
        return [Source("stdin", data)]
    if argument.startswith("data:"):
        return [Source(f"data-{n}", _decode_data_url(argument))]
    if Path(argument).is_dir():
        wanted = {*IMAGE_SUFFIXES, ".pdf"}
        found = sorted(p for p in Path(argument).rglob("*") if p.suffix.lower() in wanted and not p.is_dir())
        if out is not None:  # the output of an earlier run is not an input
            written = out.resolve()
            found = [p for p in found if written not in p.resolve().parents]
        if not found:
            raise UserError(f"{argument}: no picture and no PDF in this folder")
        return [Source(str(path)) for path in found]
    if Path(argument).is_file():
        return [Source(argument)]
    matching = sorted(p for p in glob.glob(argument, recursive=True) if Path(p).is_file())
    if not matching:
        raise UserError(f"{argument}: no such file")
    return [Source(path) for path in matching]


@dataclass(frozen=True)
class Selection:
    """A selection of pages: `1-3,7,9-`; empty: all pages. Raises UserError for anything else."""

    text: str = ""

    def __post_init__(self) -> None:
        _ = self._ranges  # reports errors at once

    @cached_property
    def _ranges(self) -> list[tuple[int, float]]:
        """First and last page of each range; the last is infinite if the range has no end."""
        ranges = []
        for part in self.text.split(",") if self.text else []:
            first, dash, last = (piece.strip() for piece in part.partition("-"))
            try:
                start = int(first)
                end = float("inf") if dash and not last else int(last or first)
            except ValueError as error:
                raise UserError(f"--pages {self.text}: give numbers and ranges such as 1-3,7") from error
            if start < 1 or end < start:
                raise UserError(f"--pages {self.text}: {part.strip()} is not a range of pages (the first page is 1)")
            ranges.append((start, end))
        return ranges

    def __contains__(self, number: int) -> bool:
        return not self._ranges or any(start <= number <= end for start, end in self._ranges)

    def missing(self, n_pages: int) -> str:
        """One line about ranges of the selection that a document of `n_pages` pages does not have; empty if none."""
        beyond = [start for start, _ in self._ranges if start > n_pages]
        if not beyond:
            return ""
        pages = f"{n_pages} page{'s' if n_pages != 1 else ''}"
        return f"--pages {self.text}: there is no page {', '.join(map(str, beyond))}, the document has {pages}"


EVERY_PAGE = Selection()
