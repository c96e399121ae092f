"""The files of an archive and their pages, wherever they are stored."""

from pathlib import Path

import fsspec
import pytest
from helpers.drawn_archive import draw_archive, stored

from nanochat.archives.files import File, documents_in, find_files
from nanochat.archives.pages import count_pages, pages_in
from nanochat.errors import UserError
from nanochat.reading.sources import Selection


def opened(file: File, **options) -> list[tuple[str, int, str]]:
    return [(p.source.name, p.number, p.state) for p in pages_in(file, Selection(), 72, "", **options)]


def test_finds_every_page_of_every_kind_of_file(tmp_path: Path) -> None:
    expected = draw_archive(tmp_path / "in")
    found = [page for file in find_files([str(tmp_path / "in")]) for page in opened(file)]
    assert {(name, number) for name, number, _ in found} == expected and len(found) == len(expected)
    failed = {name.rpartition("in/")[2] for name, _, state in found if state == "failed"}
    assert failed == {"bad.png", "bad.tar", "shard.tar!/bad.png", "part.parquet!/3"}
    files = find_files([str(tmp_path / "in")])
    assert sum(count_pages(file, Selection(), 72, "") for file in files) == len(expected)


def test_finished_pages_are_not_opened_again(tmp_path: Path) -> None:
    draw_archive(tmp_path / "in")
    (shard,) = find_files([str(tmp_path / "in/sh*.tar")])
    done = {(f"{shard.address}!/x/30.png", 1), (f"{shard.address}!/a.pdf", 2)}
    left = [(name.partition("!/")[2], n) for name, n, _ in opened(shard, done=lambda *page: page in done)]
    assert left == [("bad.png", 1), ("a.pdf", 1), ("a.pdf", 3), ("a.pdf", 4)]


def test_remote_file_system() -> None:
    store = fsspec.filesystem("memory")
    for name in ("scans/b.png", "scans/a.PNG", "scans/readme.md"):
        store.pipe_file(f"/{name}", stored(1))
    files = find_files(["memory://scans", "memory://scans/b*"])
    assert [file.address for file in files] == ["memory:///scans/a.PNG", "memory:///scans/b.png"]
    (document,) = documents_in(files[0])
    assert document.data == stored(1)
    store.pipe_file("/scans/b.png", stored(2) + b" ")
    assert find_files(["memory://scans/b.png"])[0].fingerprint != files[1].fingerprint


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("memory://nowhere/scans", "no such file, folder or bucket"),
        ("no/such/folder", "no such file, folder or bucket"),
        ("no/such/*.pdf", "no such file, folder or bucket"),
        ("carrierpigeon://scans", "cannot be read"),
        ("http://127.0.0.1:9/scan.png", "cannot be read|no such file"),
    ],
)
def test_missing_location_is_reported(address: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        find_files([address])
    assert str(error.value).startswith(address) and "\n" not in str(error.value)


def test_folder_without_documents_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="contains no image, PDF, tar or parquet file"):
        find_files([str(tmp_path)])
