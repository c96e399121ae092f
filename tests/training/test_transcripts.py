"""Transcripts: reading the files of transcription tools, and assigning their text to the lines of a scan."""

from pathlib import Path

import pytest
from PIL import Image

from nanochat.errors import UserError
from nanochat.lines.cut import Piece
from nanochat.training.transcripts import align, find_place, find_scans, read_xml, with_case_of

TRANSCRIPT = "The Old Mill\n12 Harbour Road\nFlour 2.40\nSugar 1.15\nTOTAL 3.55\nThank you"


def pieces(n: int) -> list[Piece]:
    return [Piece(Image.new("RGB", (64, 64)), i, (0, i, 9, i + 1)) for i in range(n)]


def said(readings: list[str], transcript: str = TRANSCRIPT) -> tuple[list[str], list[str]]:
    found, left = align(pieces(len(readings)), readings, transcript)
    return [label.text for label in found], left


def test_each_line_gets_its_words_despite_errors_and_order() -> None:
    readings = ["Tne 0ld Mi11", "12 Harbour Rcad", "Sugar 1.l5", "Flour 2.4O", "T0TAL 3.55", "Thank ycu"]
    assert said(readings) == (
        ["The Old Mill", "12 Harbour Road", "Sugar 1.15", "Flour 2.40", "TOTAL 3.55", "Thank you"], [],
    )  # fmt: skip


def test_parts_of_a_line_get_their_parts_of_the_text() -> None:
    assert said(["Sugar", "1.15"], "Sugar 1.15") == (["Sugar", "1.15"], [])


def test_readings_missing_from_the_transcript_are_omitted_and_named() -> None:
    assert said(["Flour 2.40", "www.example.org/visit"]) == (["Flour 2.40"], ["www.example.org/visit"])
    assert said(["xqzw kjvb"], "something else entirely") == ([], ["xqzw kjvb"])


def test_words_are_assigned_only_once() -> None:
    found, left = said(["Flour 2.40", "Flour 2.40"], "Flour 2.40")
    assert found == ["Flour 2.40"] and left == ["Flour 2.40"]
    assert said(["Tea 1.00", "Tea 1.00"], "Tea 1.00 Tea 1.00") == (["Tea 1.00", "Tea 1.00"], [])


def test_misread_amount_does_not_take_the_place_of_a_right_one() -> None:
    assert said(["12.00 SR", "52.00 SR"], "52.00 SR 12.90 SR") == (["12.90 SR", "52.00 SR"], [])


def test_single_mark_is_not_assigned() -> None:
    assert said([".", "-"], "Tea - 1.00 .") == ([], [".", "-"])


def test_insufficiently_similar_readings_are_omitted() -> None:
    assert said(["TO2"], "DESCRIPTION of 1.00") == ([], ["TO2"])


def test_places_are_whole_words() -> None:
    text = "TOTAL AMOUNT 53.55 CASH"
    assert find_place("AM0UNT 53.5", text) == (6, 18)
    assert find_place("7", text) is None


def test_transcript_in_capitals_takes_the_case_of_the_reading() -> None:
    assert with_case_of("The o1d Mill", "THE OLD MILL") == "The oLd Mill"
    assert said(["The Old Mill"], "THE OLD MILL 12") == (["The Old Mill"], [])


def test_case_folding_does_not_shift_positions() -> None:
    assert said(["Große Straße l2", "Maß 2.50"], "Große Straße 12\nMaß 2.50") == (["Große Straße 12", "Maß 2.50"], [])
    assert with_case_of("SUßar TOTAL", "SUGAR TOTAL") == "SUgar TOTAL"


PAGE = """<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"><Page><TextRegion>
<TextLine><Word><TextEquiv><Unicode>Dear</Unicode></TextEquiv></Word>
<TextEquiv><Unicode>Dear Sir,</Unicode></TextEquiv></TextLine>
<TextLine><TextEquiv><Unicode>I write to you</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"""
ALTO = """<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Layout><Page><PrintSpace><TextBlock>
<TextLine><String CONTENT="Dear"/><SP/><String CONTENT="Sir,"/></TextLine>
<TextLine><String CONTENT="I"/><String CONTENT="write to you"/></TextLine>
</TextBlock></PrintSpace></Page></Layout></alto>"""


def test_folders_of_scans_with_txt_page_and_alto(tmp_path: Path) -> None:
    for name, text, suffix in (("a", PAGE, "xml"), ("b", ALTO, "xml"), ("c", "\ufeffDear Sir,\nI write to you", "txt")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "alone.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "d.ppm")
    (tmp_path / "d.txt").write_text("Dear Sir,\nI write to you", encoding="utf-8")
    scans = find_scans(tmp_path)
    assert [scan.name for scan in scans] == ["a.png", "b.png", "c.png", "d.ppm"]
    assert {scan.text for scan in scans} == {"Dear Sir,\nI write to you"}


def test_bad_folders_are_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        find_scans(tmp_path / "nowhere")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="no picture has a transcript"):
        find_scans(tmp_path)
    (tmp_path / "a.xml").write_text("<html/>")
    with pytest.raises(UserError, match="neither PAGE-XML nor ALTO"):
        find_scans(tmp_path)
    (tmp_path / "a.xml").write_text("<alto>")
    with pytest.raises(UserError, match="broken XML"):
        read_xml(tmp_path / "a.xml")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        find_scans(tmp_path)
