"""Other OCR systems: their inputs, their outputs, and the message if they are not installed."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from helpers.shared_data import need_program
from PIL import Image, ImageDraw, ImageFont

from nanochat.errors import UserError
from nanochat.evaluation import peers
from nanochat.evaluation.peers import RapidOCR, Tesseract, open_peers


def sheet(*lines: str) -> Image.Image:
    picture = Image.new("RGB", (480, 60 + 60 * len(lines)), "white")
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 36)
    for i, line in enumerate(lines):
        ImageDraw.Draw(picture).text((20, 20 + 60 * i), line, "black", font)
    return picture


def test_tesseract_reads():
    need_program("tesseract", "tesseract-ocr")
    tesseract = Tesseract()
    assert tesseract.name.startswith("Tesseract ")
    assert tesseract.read(sheet("TOTAL 9.00", "Thank you"), False).split() == ["TOTAL", "9.00", "Thank", "you"]
    assert tesseract.read(sheet("TOTAL 9.00").crop((15, 22, 260, 60)), True).split() == ["TOTAL", "9.00"]
    assert tesseract.read(Image.new("RGB", (64, 64), "white"), False).strip() == ""
    if "Latin" in subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True).stdout.split():
        assert Tesseract(accents=True).read(sheet("Größe süß café niño"), False).strip() == "Größe süß café niño"
    else:
        with pytest.raises(UserError, match="apt-get install tesseract-ocr-script-latn"):
            Tesseract(accents=True)


def test_missing_tesseract_is_reported_with_the_install_command(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt-get install tesseract-ocr"):
        Tesseract()


def test_rapidocr_reads():
    pytest.importorskip("rapidocr", reason="no RapidOCR here: uv sync --group peers")
    rapid = RapidOCR()
    assert rapid.name.startswith("RapidOCR ")
    assert rapid.read(sheet("TOTAL 9.00").crop((15, 22, 260, 60)), True).split() == ["TOTAL", "9.00"]


def test_missing_rapidocr_is_reported_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(UserError, match="uv sync --group peers"):
        RapidOCR()


def test_rapidocr_gets_bgr_and_may_find_nothing(monkeypatch):
    seen = []

    class Engine:
        def __init__(self, params):
            assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 1  # as many as torch has here

        def __call__(self, pixels, use_det):
            seen.append((pixels[0, 0].tolist(), use_det))
            return SimpleNamespace(txts=None if use_det else ("one", "two"))

    monkeypatch.setitem(sys.modules, "rapidocr", SimpleNamespace(RapidOCR=Engine))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    rapid = RapidOCR()
    picture = Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8))
    assert (rapid.name, rapid.read(picture, False), rapid.read(picture, True)) == ("RapidOCR 9.9", "", "one\ntwo")
    assert seen == [([30, 20, 10], True), ([30, 20, 10], False)]


def test_both_systems_are_warmed_up(monkeypatch):
    read = []

    class Fake:
        name = "fake"

        def __init__(self, accents=False):
            pass

        def read(self, picture, cut_line):
            read.append(picture.size)
            return ""

    monkeypatch.setattr(peers, "Tesseract", Fake)
    monkeypatch.setattr(peers, "RapidOCR", Fake)
    assert len(open_peers()) == len(read) == 2
