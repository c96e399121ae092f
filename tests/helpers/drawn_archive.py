"""An archive with every kind of file, including unreadable pages, for tests of `nano-ocr batch`."""

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pypdfium2 as pdfium

from helpers.tiny_server import noise


def stored(seed: int, kind: str = "PNG") -> bytes:
    """A unique image, as the bytes of a file."""
    file = io.BytesIO()
    noise(seed).save(file, kind)
    return file.getvalue()


def pdf(path: Path, seeds: range) -> None:
    """A PDF with a page for each seed."""
    document = pdfium.PdfDocument.new()
    for seed in seeds:
        page = document.new_page(72, 48)
        image = pdfium.PdfImage.new(document)
        image.load_jpeg(io.BytesIO(stored(seed, "JPEG")), inline=True)
        image.set_matrix(pdfium.PdfMatrix().scale(72, 48))
        page.insert_obj(image)
        page.gen_content()
    document.save(path)


def draw_archive(folder: Path, pictures: int = 8) -> set[tuple[str, int]]:
    """Write an archive. Returns (source, page) of every row of a batch; sources named `bad` fail."""
    (folder / "deep").mkdir(parents=True)
    for i in range(pictures):
        (folder / f"deep/{i}.png").write_bytes(stored(i))
    (folder / "bad.png").write_text("Dear Sir or Madam")
    (folder / "notes.txt").write_text("no document")
    pdf(folder / "a.pdf", range(20, 24))
    with tarfile.open(folder / "shard.tar", "w") as tar:
        document = (folder / "a.pdf").read_bytes()
        members = {"x/30.png": stored(30), "x/30.json": b"{}", "bad.png": stored(31)[:200], "a.pdf": document}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    rows = [{"bytes": stored(40 + i), "path": None} for i in range(3)] + [{"bytes": None, "path": None}]
    pq.write_table(pa.table({"label": range(4), "image": rows}), folder / "part.parquet")
    (folder / "bad.tar").write_bytes((folder / "shard.tar").read_bytes()[:700])
    pages = {f"deep/{i}.png": 1 for i in range(pictures)} | {"bad.png": 1, "a.pdf": 4, "bad.tar": 1}
    pages |= {"shard.tar!/x/30.png": 1, "shard.tar!/bad.png": 1, "shard.tar!/a.pdf": 4}
    pages |= {f"part.parquet!/{i}": 1 for i in range(4)}
    return {(f"{folder}/{name}", page) for name, n in pages.items() for page in range(1, n + 1)}
