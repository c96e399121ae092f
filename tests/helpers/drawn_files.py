"""Input files: PDFs with few and with many pages, an encrypted one, and a decompression bomb."""

import io
import struct
import zlib
from pathlib import Path

import pypdfium2 as pdfium
from PIL import Image

LOCKED = Path(__file__).with_name("locked.pdf")  # one page; its password is "sesame"


def write_pdf(path: Path, n: int, size: tuple[int, int] = (72, 144)) -> Path:
    document = pdfium.PdfDocument.new()
    for i in range(n):
        page = document.new_page(*size)
        stored = io.BytesIO()
        Image.new("RGB", (8, 8), (i % 200,) * 3).save(stored, "JPEG", quality=95)
        image = pdfium.PdfImage.new(document)
        image.load_jpeg(io.BytesIO(stored.getvalue()), inline=True)
        image.set_matrix(pdfium.PdfMatrix().scale(*size))
        page.insert_obj(image)
        page.gen_content()
        page.close()
    document.save(path)
    document.close()
    return path


def write_long_pdf(path: Path, n: int) -> Path:
    """A PDF of n empty pages of 8 x 8 points, written directly, because pdfium would take minutes."""
    kids = " ".join(f"{3 + i} 0 R" for i in range(n))
    bodies = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Count {n} /Kids [{kids}] >>"]
    bodies += ["<< /Type /Page /Parent 2 0 R /MediaBox [0 0 8 8] >>"] * n
    parts, places = [b"%PDF-1.4\n"], []
    length = len(parts[0])
    for number, body in enumerate(bodies, 1):
        places.append(length)
        parts.append(f"{number} 0 obj\n{body}\nendobj\n".encode())
        length += len(parts[-1])
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(bodies) + 1
    xref = f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{length}\n%%EOF\n"
    path.write_bytes(b"".join(parts) + (xref + trailer).encode())
    return path


def bomb(path: Path) -> Path:
    """A PNG of 100 bytes that claims to have 10^10 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path
