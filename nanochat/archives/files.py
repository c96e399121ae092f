"""The files of an archive, local or remote, and the documents in them: images, PDFs, tar shards, rows of parquet files.

An address is a path, a pattern, or an address that fsspec supports: s3://, gs://, hf://, https://. A document in a
container is named `shard.tar!/page.png` or `part.parquet!/12`.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from nanochat.errors import UserError
from nanochat.files import IMAGE_SUFFIXES
from nanochat.reading.sources import Source

INSIDE = "!/"
TARS = (".tar", ".tar.gz", ".tgz")
DOCUMENTS = (*sorted(IMAGE_SUFFIXES), ".pdf")
ROWS = 16  # rows of a parquet file in memory at a time
# names that stores use for the version of a file
CHANGES = ("etag", "ETag", "mtime", "updated", "LastModified", "last_commit")


@dataclass(frozen=True)
class File:
    """A file of an archive."""

    address: str
    """a path, or an address with its scheme"""
    fingerprint: str
    """changes when the file changes"""

    @property
    def is_container(self) -> bool:
        """Whether it is a tar or parquet file, which holds many documents."""
        return self.address.lower().endswith((*TARS, ".parquet"))

    @property
    def is_local(self) -> bool:
        """Whether it is a path on this machine."""
        return "://" not in self.address


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Context manager that turns any error of a storage library into a UserError that names the address."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UserError(f"{address}: no such file, folder or bucket") from error
    except PermissionError as error:
        raise UserError(f"{address}: no permission to read it (are credentials needed?)") from error
    except Exception as error:  # stores raise errors of their own and of their HTTP libraries
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"{address}: cannot be read ({reason})") from error


def find_files(addresses: Sequence[str]) -> list[File]:
    """All files of the given addresses, each once.

    For a folder or bucket: the files in it that can contain documents, sorted. Raises UserError if there is no address,
    or if one does not exist, cannot be reached, or contains no document.
    """
    if not addresses:
        raise UserError("nothing to read: nano-ocr batch SOURCE... --out DEST")
    files: dict[str, File] = {}
    for address in addresses:
        with _explained(address):
            fs, path = fsspec.core.url_to_fs(address)
            found = _matching(fs, path)
            wanted = [info for info in found if info["name"].lower().endswith((*DOCUMENTS, *TARS, ".parquet"))]
            if not (wanted or (found and path == found[0]["name"] and (wanted := found))):
                raise UserError(f"{address}: contains no image, PDF, tar or parquet file")
            for info in wanted:
                name = info["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(info["name"])
                version = next((info[key] for key in CHANGES if info.get(key)), "")
                files.setdefault(name, File(name, f"{info.get('size')}-{version}"))
    return list(files.values())


def _matching(fs: Any, path: str) -> list[dict[str, Any]]:
    """Information on the files of a path: the file itself, those in a folder, or those that match a pattern."""
    if any(sign in path for sign in "*?[") and not fs.exists(path):
        found = fs.glob(path, detail=True)
        if not found:
            raise FileNotFoundError(path)
    else:
        info = fs.info(path)
        if _is_file(info):
            return [info]
        found = fs.find(path, detail=True)
    return [info for _, info in sorted(found.items()) if _is_file(info)]


def _is_file(info: dict[str, Any]) -> bool:
    """Whether it is a file or a link that is none to a folder; one that leads nowhere fails when it is opened."""
    return info["type"] == "file" or bool(info.get("islink") and not os.path.isdir(info["name"]))


def documents_in(file: File) -> Iterator[Source]:
    """The documents of a file: itself, or those in a container, one at a time in memory.

    Raises UserError if the file cannot be read, also in the middle.
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
    """The first column of bytes, either plain or in the format of image datasets: {"bytes": ..., "path": ...}."""
    import pyarrow.parquet as pq

    with fsspec.open(address, "rb") as stream:
        table = pq.ParquetFile(stream)
        column = next((field for field in table.schema_arrow if _holds_bytes(field.type)), None)
        if column is None:
            raise UserError(
                f"{address}: no column contains bytes; the columns are {', '.join(table.schema_arrow.names)}"
            )
        row = 0
        for batch in table.iter_batches(ROWS, columns=[column.name]):
            for value in batch.column(0).to_pylist():
                data = value["bytes"] if isinstance(value, dict) else value
                yield Source(f"{address}{INSIDE}{row}", data or b"")
                row += 1


def _holds_bytes(kind: Any) -> bool:
    """Whether a pyarrow type is bytes, or a struct with such a field."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
