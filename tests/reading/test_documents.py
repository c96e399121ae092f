"""Inputs: PDFs, images with several pages, folders, patterns, data: URLs; and their errors."""

import base64
import io
import os
import struct
import time
from pathlib import Path

import pytest
from helpers.drawn_files import LOCKED, bomb, write_long_pdf, write_pdf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from nanochat.errors import UserError
from nanochat.reading.ahead import PageOptions, read_ahead
from nanochat.reading.documents import PDF, InputPage, Pictures, open_document
from nanochat.reading.sources import Selection, Source, find_sources


def tone(page: InputPage) -> int:
    """The grey value of the middle of a page, which encodes its number."""
    assert page.image is not None
    return page.image.convert("L").getpixel((page.image.width // 2, page.image.height // 2))  # type: ignore[return-value]


def write_tiff(path: Path, n: int) -> Path:
    frames = [Image.new("L", (30 + i, 20), 10 * i) for i in range(n)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return path


def read(*sources: Path | str, **options) -> list[InputPage]:
    return list(read_ahead(find_sources([str(source) for source in sources]), **options))


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_pages_are_in_order_with_any_number_of_processes(tmp_path: Path, workers: int) -> None:
    pdf, tiff = write_pdf(tmp_path / "a.pdf", 12), write_tiff(tmp_path / "b.tif", 5)
    pages = read(pdf, tiff, workers=workers, options=PageOptions(dpi=36), ahead=3)
    assert [(Path(p.source.name).name, p.number, p.last) for p in pages] == [
        *(("a.pdf", i, i == 12) for i in range(1, 13)),
        *(("b.tif", i, i == 5) for i in range(1, 6)),
    ]
    assert all(abs(tone(page) - (page.number - 1)) <= 2 for page in pages[:12])
    assert [tone(page) for page in pages[12:]] == [0, 10, 20, 30, 40]
    assert pages[0].image.size == (36, 72) and pages[14].image.size == (32, 20)


def test_page_that_crashes_its_process_is_one_failed_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Pictures.load

    def load(self: Pictures, number: int, *most: int) -> Image.Image:
        if number == 4:
            os._exit(139)
        return whole(self, number, *most)

    monkeypatch.setattr(Pictures, "load", load)
    pages = read(write_tiff(tmp_path / "a.tif", 20), workers=2)
    assert [page.state for page in pages] == ["page"] * 3 + ["failed"] + ["page"] * 16
    assert "a.tif, page 4: the process that opened it died" in pages[3].why
    assert [tone(page) for page in pages if page.image] == [10 * i for i in range(20) if i != 3]


def test_single_page_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = write_tiff(tmp_path / "one.tif", 1), write_tiff(tmp_path / "two.tif", 2)
    monkeypatch.setattr("nanochat.reading.ahead.ProcessPoolExecutor", None)
    assert [page.state for page in read(one)] == ["page"]
    with pytest.raises(TypeError):
        read(two)


def test_long_pdf_is_streamed(tmp_path: Path) -> None:
    """Of 10,000 pages only the next ones are opened, and unselected pages take almost no time."""
    pdf = write_long_pdf(tmp_path / "long.pdf", 10_000)
    pages = read_ahead(find_sources([str(pdf)]), Selection("3,9999-"), PageOptions(dpi=72))
    found = {page.number: page.state for page in pages if page.state != "skipped"}
    assert found == {3: "page", 9999: "page", 10_000: "page"}
    opened: list[int] = []

    def note(source: Source, number: int, fingerprint: str) -> bool:
        opened.append(number)
        return False

    stream = read_ahead(find_sources([str(pdf)]), ahead=4, done=note)
    assert [next(stream).number for _ in range(3)] == [1, 2, 3] and len(opened) <= 8
    stream.close()


def test_sources_in_every_notation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("in/b.png", "in/a.JPG", "in/deep/c.pdf"):
        (tmp_path / name).touch()
    (tmp_path / "in/notes.txt").touch()
    assert [s.name for s in find_sources(["in", "in/*.png", "in/**/*.pdf"])] == [
        "in/a.JPG",
        "in/b.png",
        "in/deep/c.pdf",
    ]
    stored = io.BytesIO()
    Image.new("L", (7, 5), 99).save(stored, "PNG")
    url = "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
    (page,) = read_ahead(find_sources([url]))
    assert tone(page) == 99
    (page,) = read_ahead(find_sources(["-"], stdin=stored.getvalue))
    assert page.source.name == "stdin" and tone(page) == 99


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), min_size=1, max_size=4))
def test_page_selections(ranges: list[tuple[int, int]]) -> None:
    selection = Selection(",".join(f"{a}-{a + n}" if n else str(a) for a, n in ranges))
    wanted = {page for a, n in ranges for page in range(a, a + n + 1)}
    assert {page for page in range(1, 60) if page in selection} == wanted


@pytest.mark.parametrize("text", ["0", "3-1", "a", "1,,2", "-3", "1-2-3", "1;2"])
def test_invalid_page_selections_are_rejected(text: str) -> None:
    with pytest.raises(UserError, match=r"--pages "):
        Selection(text)


def test_bad_file_is_reported_in_one_line_and_the_rest_is_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\n" + os.urandom(200))
    empty = tmp_path / "empty.pdf"
    empty.touch()
    letter = tmp_path / "letter.png"
    letter.write_text("Dear Sir or Madam")
    half = tmp_path / "half.pdf"
    half.write_bytes(write_pdf(tmp_path / "whole.pdf", 3).read_bytes()[:300])
    good = tmp_path / "good.png"
    Image.new("RGB", (1, 1)).save(good)
    pages = read(broken, empty, letter, half, bomb(tmp_path / "bomb.png"), good)
    assert [page.state for page in pages] == ["failed"] * 5 + ["page"]
    for page, words in zip(pages, ["broken", "an empty file", "not a picture", "broken", "over the limit"]):
        assert words in page.why and Path(page.source.name).name in page.why and "\n" not in page.why
    assert pages[-1].image is not None and pages[-1].image.size == (1, 1)


def test_pdf_without_pages_and_pdf_too_large_to_render(tmp_path: Path) -> None:
    (page,) = read(write_long_pdf(tmp_path / "none.pdf", 0))
    assert page.state == "failed" and "without pages" in page.why
    (page,) = read(write_pdf(tmp_path / "huge.pdf", 1, (14_000, 14_000)), options=PageOptions(dpi=300))
    assert page.state == "failed" and "lower --dpi" in page.why


def test_encrypted_pdf_opens_with_its_password() -> None:
    source = Source(str(LOCKED))
    with pytest.raises(UserError, match=r"locked\.pdf: it is encrypted: give its --password"):
        open_document(source)
    with pytest.raises(UserError, match="the password is not right"):
        open_document(source, password="abracadabra")
    assert open_document(source, password="sesame").load(1).width > 50


def test_animation_is_read_as_its_first_image(tmp_path: Path) -> None:
    frames = [Image.new("L", (20, 20), tone) for tone in (50, 100, 150)]
    frames[0].save(tmp_path / "dance.gif", save_all=True, append_images=frames[1:])
    pages = read(tmp_path / "dance.gif")
    assert [page.state for page in pages] == ["page", "skipped", "skipped"] and tone(pages[0]) == 50
    assert "animation" in pages[1].why


def test_photo_with_gain_map_is_one_page(tmp_path: Path) -> None:
    photo, gain_map = (Image.new("RGB", (40, 40), (tone,) * 3) for tone in (50, 150))
    photo.save(tmp_path / "photo.jpg", "MPO", save_all=True, append_images=[gain_map])
    pages = read(tmp_path / "photo.jpg")
    assert [page.state for page in pages] == ["page", "skipped"] and tone(pages[0]) == 50
    assert "camera" in pages[1].why


def test_psd_is_one_page(tmp_path: Path) -> None:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 8, 8, 8, 1)  # one channel of 8 x 8 at 8 bits, grey, no layers
    (tmp_path / "flat.psd").write_bytes(head + bytes(4 * 3) + bytes(2) + bytes([77]) * 64)
    (page,) = read(tmp_path / "flat.psd")
    assert page.state == "page" and tone(page) == 77


def write_form(path: Path, value: str) -> Path:
    """A PDF of one page with nothing but a text field that contains `value`."""
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [5 0 R] /NeedAppearances true "
        "/DR << /Font << /F 4 0 R >> >> >> >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Annots [5 0 R] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V ({value}) /DA (/F 18 Tf 0 g) /Rect [10 30 190 70] "
        "/F 4 /P 3 0 R >>",
    ]
    data, places = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF"
    path.write_bytes(data + f"xref\n0 6\n0000000000 65535 f \n{table}{trailer}".encode())
    return path


def test_text_entered_in_a_form_is_rendered(tmp_path: Path) -> None:
    empty, filled = (
        open_document(Source(str(write_form(tmp_path / f"{len(value)}.pdf", value)))) for value in ("", "Margaret")
    )
    assert isinstance(filled, PDF)
    dark = [sum(document.load(1).convert("L").histogram()[:100]) for document in (empty, filled)]
    assert dark[1] > dark[0] + 200
    filled.fields = False
    assert sum(filled.load(1).convert("L").histogram()[:100]) == 0


def test_output_in_the_input_folder_is_not_read(tmp_path: Path) -> None:
    for name in ("a.png", "b.JFIF", "c.avif", "out/a.page-001.png", "out/a.ocr.pdf", "outer/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = find_sources([str(tmp_path)], out=tmp_path / "out")
    assert [Path(source.name).name for source in found] == ["a.png", "b.JFIF", "c.avif", "d.png"]


def test_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="standard input is empty"):
        find_sources(["-"])


def test_file_that_changes_during_reading_is_reported(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", 40)
    pages = read_ahead(find_sources([str(path)]), ahead=1, workers=1)
    assert next(pages).state == "page"
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before + 10**9, before + 10**9))
    time.sleep(0)
    states = [page for page in pages]
    assert states[-1].state == "failed" and "changed while it was read" in states[-1].why


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("nowhere.png", "nowhere.png: no such file"),
        ("*.tiff", "no such file"),
        (".", "no picture and no PDF"),
        ("data:image/png;base64,@@", "not valid base64"),
        ("data:nothing", "comma"),
    ],
)
def test_missing_inputs_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        find_sources([argument])


def test_very_long_strip_is_a_page(tmp_path: Path) -> None:
    strip = Image.new("L", (20_000, 100), "white")
    ImageDraw.Draw(strip).text((10, 40), "the beginning", fill=0)
    strip.save(tmp_path / "strip.png")
    (page,) = read(tmp_path / "strip.png")
    assert page.image is not None and page.image.size == (20_000, 100)
