"""`nano-ocr score`: the text layer as reference, pages without one, degradation, and the figures of every mode."""

import json
import re
import sys

import numpy as np
import pytest
from helpers.tiny_model import tiny_model
from matplotlib.backends.backend_pdf import PdfPages as PdfWriter
from matplotlib.figure import Figure
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat import cli
from nanochat.errors import UserError
from nanochat.evaluation import score_pdf as score
from nanochat.evaluation.score_pdf import PdfPages, worsen
from nanochat.reading.sources import Selection
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint

TEXTS = ["Invoice 17\nTOTAL 9.00", "", "Thank you"]


@pytest.fixture(scope="module")
def pdf(tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "three & more.pdf"
    with PdfWriter(path) as writer:
        for text in TEXTS:
            figure = Figure(figsize=(3, 2))
            for i, line in enumerate(text.splitlines()):
                figure.text(0.1, 0.8 - 0.2 * i, line, fontsize=14)
            if not text:
                figure.add_axes((0.1, 0.1, 0.5, 0.5)).imshow(np.eye(3))
                figure.axes[0].axis("off")
            writer.savefig(figure)
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    save_checkpoint(folder, 7, tiny_model(256), {}, {"stage": 1})
    RustBPETokenizer.characters().save(folder)
    return folder


def test_text_layer_is_the_reference(pdf):
    found = PdfPages(pdf, dpi=100)
    assert found.ids == ["page 1", "page 3"] and found.without_text == 1
    assert [item["messages"][1]["content"].split() for item in found] == [TEXTS[0].split(), TEXTS[2].split()]
    assert found[0]["images"][0].size == (300, 200)
    assert PdfPages(pdf, dpi=200)[0]["images"][0].size == (600, 400)
    assert PdfPages(pdf, pages=Selection("2-3")).ids == ["page 3"]


def test_files_without_a_reference_are_rejected(pdf, tmp_path):
    whole = pdf.read_bytes()
    (tmp_path / "broken.pdf").write_bytes(re.sub(rb"/Kids ?\[ ?(\d+)", rb"/Kids [ 99", whole))
    with pytest.raises(UserError, match=r"page 1 is damaged.*exclude it with --pages"):
        PdfPages(tmp_path / "broken.pdf")
    with pytest.raises(UserError, match="no text layer on 1 pages"):
        PdfPages(pdf, pages=Selection("2"))
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="an image, not a PDF"):
        PdfPages(tmp_path / "a.png")
    with pytest.raises(UserError, match="from 0 to 1"):
        PdfPages(pdf, degrade=1.5)


def test_degradation_is_deterministic_and_grows_with_strength():
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste("black", (50, 20, 60, 80))
    assert worsen(picture, 0, 1) is picture
    grain = [np.asarray(worsen(picture, strength, 1), float)[:, 120:].std() for strength in (0.1, 0.5, 1.0)]
    assert grain[0] < grain[1] < grain[2]
    assert np.array_equal(worsen(picture, 0.5, 1), worsen(picture, 0.5, 1))
    assert not np.array_equal(worsen(picture, 0.5, 1), worsen(picture, 0.5, 2))
    assert worsen(picture, 1.0, 1).size == picture.size


def test_command_scores_every_mode(pdf, run_folder, tmp_path, monkeypatch, capsys):
    flags = [str(pdf), f"--checkpoint={run_folder}/step_7.pt", "--device=cpu", f"--out={tmp_path}", "--dpi=64"]
    monkeypatch.setattr(sys, "argv", ["nano-ocr", "score", *flags, "--modes", "base", "native", "--degrade=0.3"])
    with pytest.warns(UserWarning, match="trained with"):
        cli.main()
    out = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["without_text"] == 1 and list(results["modes"]) == ["base", "native"]
    for mode, found in results["modes"].items():
        pages = [page["score"] for page in found["pages"]]
        expected = [" ".join(text.split()) for text in TEXTS if text]
        assert [" ".join(p["expected"].split()) for p in pages] == expected
        errors = [Levenshtein.distance(" ".join(p["read"].split()), text) for p, text in zip(pages, expected)]
        cer = found["figures"]["cer"]
        assert cer["value"] == pytest.approx(sum(errors) / sum(map(len, expected)))
        assert cer["low"] <= cer["value"] <= cer["high"] and found["figures"]["looping"] is not None
        assert f"│ {mode}" in out and f"{100 * cer['value']:.1f}%" in out
    page = (tmp_path / "report.html").read_text()
    assert len(re.findall("<article", page)) == 2 and "three &amp; more.pdf" in page
    assert "64 dpi, degraded 0.3" in page


def test_hyphens_at_line_ends_are_those_printed(pdf, monkeypatch):
    found = PdfPages(pdf)

    class Layer:
        def get_text_bounded(self):
            return "seg\x02\r\nmented co\ufffe\r\nop"

        def close(self):
            pass

    page = type("Page", (), {"get_textpage": lambda self: Layer(), "close": lambda self: None})()
    monkeypatch.setattr(found.document, "document", [page])
    assert score.text_layer(found.document, 1) == "seg-\nmented co-\nop"
