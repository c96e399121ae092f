"""vision_eval on a tiny checkpoint: table, results, curve and report agree with the texts that were read."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from helpers.tiny_model import tiny_model
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.evaluation.compression import compression_curve, plot_compression
from nanochat.evaluation.measure import Measured, _read_with, read_in_mode, table_rows
from nanochat.evaluation.scores import score_page
from nanochat.reading.ocr import OCR
from nanochat.reading.page import Page
from nanochat.reading.state import PageState
from nanochat.tasks.folder_set import FolderSet
from nanochat.tasks.measured import open_set
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.saving import save_checkpoint
from scripts import vision_eval

TEXTS = {"a": "TOTAL 9.00", "b": "Thank you", "c": "a b c", "d": "9"}


class Echo:
    """A reader that returns one text, and records the images."""

    name = "Echo 1"

    def __init__(self):
        self.shown: list[tuple[tuple[int, int], bool]] = []

    def read(self, picture: Image.Image, cut_line: bool) -> str:
        self.shown.append((picture.size, cut_line))
        return "TOTAL\n9.00"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    for i, (name, text) in enumerate(TEXTS.items()):
        Image.new("RGB", (90 + i, 120), ("red", "green", "blue", "white")[i]).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(text)
    save_checkpoint(folder / "run", 7, tiny_model(256), {}, {"stage": 1})
    RustBPETokenizer.characters().save(folder / "run")
    return folder


def run(monkeypatch, capsys, folder, out, *flags: str) -> str:
    arguments = [f"--model={folder}/run/step_7.pt", "--device=cpu", "--max_tokens=6", f"--out={out}", *flags]
    monkeypatch.setattr("sys.argv", ["vision_eval", *arguments])
    vision_eval.main()
    return capsys.readouterr().out


def test_results_of_both_readers(monkeypatch, capsys, folder, tmp_path):
    echo = Echo()
    monkeypatch.setattr(vision_eval, "open_peers", lambda accents: [echo])
    out = run(monkeypatch, capsys, folder, tmp_path, f"--task=folder:{folder}", "--peers=True", "--batch_size=3")
    results = json.loads((tmp_path / "results.json").read_text())
    assert echo.shown == [((90 + i, 120), False) for i in range(4)]
    pages = results["pages"]["Echo 1"]
    assert [p["id"] for p in pages] == list(TEXTS)
    errors = [Levenshtein.distance("TOTAL 9.00", text) for text in TEXTS.values()]
    assert [p["errors"] for p in pages] == errors
    cer = results["figures"]["Echo 1"]["page"]["cer"]
    assert cer["value"] == pytest.approx(sum(errors) / sum(map(len, TEXTS.values())))
    assert cer["low"] <= cer["value"] <= cer["high"]
    assert results["figures"]["Echo 1"]["page"]["exact"]["value"] == 0.25
    assert results["figures"]["nano-ocr"]["page"]["pictures"] == 4
    ours = results["pages"]["nano-ocr"]
    assert [p["expected"] for p in ours] == list(TEXTS.values()) and all(p["seconds"] > 0 for p in ours)
    assert results["model"]["image_gain"] is not None and results["model"]["similarity"] is not None
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == 2 and f"{100 * cer['value']:.1f}%" in rows[1]
    assert f"image gain {results['model']['image_gain']:.2f}" in out

    page = (tmp_path / "report.html").read_text()
    assert len(re.findall("<article", page)) == 4 and len(re.findall("Read by Echo 1", page)) == 4
    for text in TEXTS.values():
        assert text.split()[0] in page


def test_peer_reads_the_same_documents(folder):
    """A synthetic document may differ at each access, so image and text must come from the same one."""

    class Counted(FolderSet):
        drawn = 0

        def get_example(self, index: int) -> dict:
            self.drawn += 1
            return super().get_example(index)

    found = Counted(folder, 4)
    pages = _read_with(Echo(), found, lambda reader, done, total: None)
    assert found.drawn == 4 and [page.expected for page in pages] == [TEXTS[name] for name in found.ids]


def test_empty_images_are_scored_by_printed_characters(monkeypatch, capsys, folder, tmp_path):
    out = run(monkeypatch, capsys, folder, tmp_path, "--task=empty", "--n=3")
    results = json.loads((tmp_path / "results.json").read_text())
    printed = [len(p["read"]) for p in results["pages"]["nano-ocr"]]
    assert results["figures"]["nano-ocr"]["all"]["printed"]["value"] == pytest.approx(sum(printed) / 3)
    assert results["figures"]["nano-ocr"]["all"]["cer"] is None
    heading = out.splitlines()[2]
    assert "printed" in heading and "wrong" not in heading
    assert [line.split()[1] for line in out.splitlines() if line.startswith("│")] == ["blank", "noise", "photo", "all"]


def test_each_mode_reads_like_the_read_command(monkeypatch, capsys, folder, tmp_path):
    with pytest.warns(UserWarning, match="trained with"):
        run(monkeypatch, capsys, folder, tmp_path, f"--task=folder:{folder}", "--n=2", "--modes", "native", "square")
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["pages"]) == ["nano-ocr native", "nano-ocr square"]
    with pytest.warns(UserWarning, match="trained with"):
        reader = OCR(folder / "run/step_7.pt", "cpu", "native")
    for page, name in zip(results["pages"]["nano-ocr native"], "ac"):
        assert page["expected"] == TEXTS[name]
        assert page["read"] == reader.read(folder / f"{name}.png", max_tokens=6).text
    shown = (tmp_path / "report.html").read_text()
    tokens = reader.view(Image.new("RGB", (90, 120))).layout.n_tokens
    assert f"{tokens} vision tokens" in shown


def test_line_model_is_measured_in_lines(monkeypatch, capsys, folder, tmp_path):
    monkeypatch.setattr("nanochat.reading.ocr.learnt_modes", lambda meta, vision: ("lines",))
    run(monkeypatch, capsys, folder, tmp_path, f"--task=folder:{folder}", "--n=2")
    results = json.loads((tmp_path / "results.json").read_text())
    assert [page["read"] for page in results["pages"]["nano-ocr"]] == ["", ""]  # neither has lines
    assert results["model"]["image_gain"] is not None


@pytest.mark.parametrize("status", list(PageState)[2:6])
def test_page_stopped_for_repetition_is_counted(folder, status):
    class Stopped:
        batch_size, tokenizer = 4, RustBPETokenizer.characters()

        def read_many(self, pictures, prompt, max_tokens):
            for picture in pictures:  # the kept text does not contain the repetition
                yield Page("TOTAL 9.00", 7, 9, 3, 0.1, "end", "base", 1, *picture.size, status)

    readings = read_in_mode(Stopped(), FolderSet(folder, 4), "nano-ocr")  # type: ignore[arg-type]
    assert [reading.score.looping for reading in readings] == 4 * [status in ("looped", "repaired")]


def test_every_question_is_asked_about_its_own_image(folder):
    class Questions(FolderSet):
        def get_example(self, index: int) -> dict:
            item = super().get_example(index)
            item["messages"][0]["content"] = f"<image>\nQuestion {index // 2}?"
            return item

    class Listener:
        batch_size, tokenizer = 3, RustBPETokenizer.characters()

        def read_many(self, pictures, prompt, max_tokens):
            for picture in pictures:
                yield Page(f"{prompt[8:]} {picture.width}", 7, 9, 3, 0.1, "end", "base", 1, *picture.size, "ok")

    found = Questions(folder, 4)
    read = [reading.score.read for reading in read_in_mode(Listener(), found, "nano-ocr")]  # type: ignore[arg-type]
    assert read == [f"Question {i // 2}? {90 + i}" for i in range(4)]


def test_repeated_run_reads_the_same(monkeypatch, capsys, folder, tmp_path):
    for out in ("one", "two"):
        run(monkeypatch, capsys, folder, tmp_path / out, f"--task=folder:{folder}", "--n=2", "--batch_size=1")
    one, two = (json.loads((tmp_path / out / "results.json").read_text()) for out in ("one", "two"))
    assert [p["read"] for p in one["pages"]["nano-ocr"]] == [p["read"] for p in two["pages"]["nano-ocr"]]
    assert len(one["pages"]["nano-ocr"]) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--task=synth-train"], "synth-val, synth-unseen, synth-hard, synth-latin"),
        (["--task=nothing"], "choose one of"),
        (["--task=empty", "--batch_size=0"], "at least one picture"),
        (["--task=empty", "--n=0"], "at least one picture"),
        (["--task=empty", "--model=nowhere/step_1.pt"], "nowhere"),
    ],
)
def test_errors_are_reported_in_one_line(monkeypatch, capsys, flags, said):
    monkeypatch.setattr("sys.argv", ["vision_eval", *flags])
    with pytest.raises(SystemExit) as stopped:
        vision_eval.main()
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def pages_with(similar: int, different: int):
    return [score_page(str(i), "page", "one two", "one two" if i < similar else "xxx", 0.1)
            for i in range(similar + different)]  # fmt: skip


def test_pages_are_in_the_bin_of_their_ratio(tmp_path):
    pages = pages_with(6, 4)
    ratios = [1.2] * 6 + [3.99, 3.5, 3.0, 3.1]
    (first,) = compression_curve(ratios, pages)  # four pages are too few to show
    assert (first.low, first.high, first.pages, first.similarity.value, first.precision.value) == (1, 2, 6, 1, 1)
    assert compression_curve([0.0] * 5, [score_page("e", "page", "", "")] * 5) == []  # no text to compress
    first, second = compression_curve([*ratios, 3.2], [*pages, pages[0]])
    assert (second.low, second.pages, second.precision.value) == (3, 5, pytest.approx(1 / 5))


def test_plot_is_an_svg_with_its_numbers_as_text(tmp_path):
    curve = compression_curve([0.5] * 5 + [4.5] * 5, pages_with(5, 5))
    path = plot_compression(curve, "nano & others", tmp_path / "c.svg")
    text = "".join(ElementTree.fromstring(path.read_text()).itertext())
    assert "nano & others" in text and "text tokens per vision token" in text and text.count("n=5") == 2
    assert path.read_bytes() == plot_compression(curve, "nano & others", tmp_path / "d.svg").read_bytes()
    plot_compression([], "nothing", tmp_path / "e.svg")


def test_questions_are_reported_by_relaxed_accuracy(tmp_path, folder):
    found = open_set(f"folder:{folder}", 4)
    found.questions = True
    pages = [score_page(name, "page", "100", answer) for name, answer in zip("abcd", ("96", "100", "94", "x"))]
    measured = Measured([], {"nano-ocr": pages}, None, [], [])  # type: ignore[arg-type]
    headings, (row,) = table_rows(found, measured)
    cells = dict(zip(headings, row))
    assert cells["relaxed accuracy"].startswith("50.0%") and cells["exact"] == "25.0%"
