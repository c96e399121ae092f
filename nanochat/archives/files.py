"""The files of an archive, wherever they lie, and the documents in them: pictures, PDFs, tar shards, rows of parquet.

An address is a path, a pattern, or whatever fsspec knows: s3://, gs://, hf://, https://. A document inside a container
is called `shard.tar!/page.png` or `part.parquet!/12`.
"""

import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from nanochat.errors import UserError
from nanochat.reading.ahead import read_ahead
from nanochat.reading.documents import InputPage, open_document
from nanochat.reading.sources import SUFFIXES, Selection, Source

INSIDE = "!/"
TARS = (".tar", ".tar.gz", ".tgz")
DOCUMENTS = (*sorted(SUFFIXES), ".pdf")
ROWS = 16  # of a parquet file in memory at one time
CHANGES = ("etag", "ETag", "mtime", "updated", "LastModified", "last_commit")  # what stores call a file's version
IsDone = Callable[[str, int], bool]  # name of a document, number of its page


@dataclass(frozen=True)
class File:
    """One file of an archive."""

    address: str
    """a path, or an address with its scheme"""
    fingerprint: str
    """changes when the file does"""

    @property
    def is_container(self) -> bool:
        return self.address.lower().endswith((*TARS, ".parquet"))

    @property
    def is_local(self) -> bool:
        return "://" not in self.address


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn whatever a store raises into one clear line that names the address."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UserError(f"{address}: no such file, folder or bucket") from error
    except PermissionError as error:
        raise UserError(f"{address}: no permission to read it (are credentials needed?)") from error
    except Exception as error:  # every store lets errors of its own and of its HTTP library through
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"{address}: cannot be read ({reason})") from error


def find_files(addresses: Sequence[str]) -> list[File]:
    """All files that addresses name, each once; of a folder or bucket those that can hold documents, sorted.

    Raises UserError for an address that is not there, cannot be reached, or holds no document.
    """
    files: dict[str, File] = {}
    for address in addresses:
        with _explained(address):
            fs, path = fsspec.core.url_to_fs(address)
            found = _matching(fs, path)
            wanted = [info for info in found if info["name"].lower().endswith((*DOCUMENTS, *TARS, ".parquet"))]
            if not (wanted or (found and path == found[0]["name"] and (wanted := found))):
                raise UserError(f"{address}: no picture, PDF, tar or parquet file there")
            for info in wanted:
                name = info["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(info["name"])
                version = next((info[key] for key in CHANGES if info.get(key)), "")
                files.setdefault(name, File(name, f"{info.get('size')}-{version}"))
    return list(files.values())


def _matching(fs: Any, path: str) -> list[dict[str, Any]]:
    """What a store says of the files under a path: the file itself, a folder's, or a pattern's."""
    if any(sign in path for sign in "*?[") and not fs.exists(path):
        found = fs.glob(path, detail=True)
        if not found:
            raise FileNotFoundError(path)
    else:
        info = fs.info(path)
        if info["type"] == "file":
            return [info]
        found = fs.find(path, detail=True)
    return [info for _, info in sorted(found.items()) if info["type"] == "file"]


def documents_in(file: File) -> Iterator[Source]:
    """The documents of a file: itself, or what a container holds, one at a time in memory.

    Raises UserError when the file cannot be read, or no further.
    """
    with _explained(file.address):
        if not file.is_container:
            yield Source(file.address) if file.is_local else Source(file.address, _fetch(file.address))
        elif file.address.lower().endswith(TARS):
            yield from _tar_members(file.address)
        else:
            yield from _parquet_rows(file.address)


def _fetch(address: str) -> bytes:
    fs, path = fsspec.core.url_to_fs(address)
    return fs.cat_file(path)


def _tar_members(address: str) -> Iterator[Source]:
    with fsspec.open(address, "rb") as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        for member in tar:
            if member.isfile() and member.name.lower().endswith(DOCUMENTS):
                content = tar.extractfile(member)
                assert content is not None
                yield Source(f"{address}{INSIDE}{member.name}", content.read())


def _parquet_rows(address: str) -> Iterator[Source]:
    """The first column of bytes, plain or as data sets of pictures have it: {"bytes": ..., "path": ...}."""
    with fsspec.open(address, "rb") as stream:
        table = pq.ParquetFile(stream)
        column = next((field for field in table.schema_arrow if _holds_bytes(field.type)), None)
        if column is None:
            raise UserError(f"{address}: no column of bytes; there are {', '.join(table.schema_arrow.names)}")
        row = 0
        for batch in table.iter_batches(ROWS, columns=[column.name]):
            for value in batch.column(0).to_pylist():
                data = value["bytes"] if isinstance(value, dict) else value
                yield Source(f"{address}{INSIDE}{row}", data or b"")
                row += 1


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def pages_in(
    file: File, selection: Selection, dpi: int, password: str, done: IsDone = lambda name, number: False
) -> Iterator[InputPage]:
    """Every page of every document in a file but those that are done; what cannot be read is a failed page.

    All carry the file's own fingerprint, which is known before it is opened.
    """
    documents = _until_it_breaks(file)
    for document in documents:
        if isinstance(document, InputPage):
            yield document
            continue
        for page in read_ahead([document], selection, dpi, password, 0, 1, lambda s, n, _: done(s.name, n)):
            if page.state != "done":
                yield replace(page, fingerprint=file.fingerprint)


def _until_it_breaks(file: File) -> Iterator[Source | InputPage]:
    try:
        yield from documents_in(file)
    except UserError as error:
        yield InputPage(Source(file.address), 1, "failed", str(error), last=True, fingerprint=file.fingerprint)


def count_pages(file: File, selection: Selection, dpi: int, password: str) -> int:
    """Pages to be read of all documents in a file; one that cannot be opened counts as the one row that it will be."""
    n_pages = 0
    for document in _until_it_breaks(file):
        try:
            if isinstance(document, InputPage):
                raise UserError(document.why)
            opened = open_document(document, dpi, password)
            n_pages += sum(n in selection and not opened.skipped(n) for n in range(1, opened.n_pages + 1))
            opened.close()
        except UserError:
            n_pages += 1
    return n_pages
