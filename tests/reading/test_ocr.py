"""Reading from Python: the text does not depend on the batch, lines with boxes, modes, and models found by name."""

import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.drawn_page import draw_page, sentence
from helpers.tiny_model import tiny_model
from PIL import Image
from rapidfuzz.distance import Levenshtein

from nanochat.checkpoint import export_model
from nanochat.deepencoder import VisionConfig, position
from nanochat.engine.answers import Generation
from nanochat.errors import UserError
from nanochat.lines.layout import find_lines
from nanochat.modes import get_mode
from nanochat.prompts import PROMPTS
from nanochat.reading import ocr as module
from nanochat.reading.answer import Ask
from nanochat.reading.assemble import piece_lines
from nanochat.reading.job import why_it_ended
from nanochat.reading.ocr import OCR
from nanochat.reading.reread import SURE_OF_LINE
from nanochat.tokenizer import RustBPETokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with native views whose metadata says that it was trained on synthetic lines."""
    path = tmp_path_factory.mktemp("models") / "small"
    model = tiny_model(sequence_len=256)
    model.config.vision.view = "native"
    model.config.vision.image_size = 256
    export_model(path, model, RustBPETokenizer.characters(), {"training": {"synth": True}})
    return path


def pages(n: int) -> list[Image.Image]:
    """Pages of many sizes: lines to cut, small notes, and a blank one."""
    drawn = [
        draw_page([sentence(i + k) for k in range(1 + i % 3)], 10 + i % 9, width=150 + 60 * (i % 5))[0]
        for i in range(n)
    ]
    return [*drawn, Image.new("RGB", (90, 70), "white")]


@pytest.fixture(autouse=True)
def say_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights, all probabilities are low, and every line would be left out."""
    monkeypatch.setattr("nanochat.reading.assemble.LEAST_SURE", 0.0)


def test_omitted_pieces_do_not_count_in_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Image.new("RGB", (900, 60), "white")
    for x in (0, 500):
        page.paste(draw_page([sentence(1)], 20)[0], (x, 0))
    whole = OCR(folder, mode="lines").read(page, max_tokens=12).lines[0]
    means = []

    def left_alone_out(pieces, texts, answers):
        means.append(answers[1].mean_probability)
        return piece_lines(pieces, ["", *texts[1:]], answers)

    monkeypatch.setattr("nanochat.reading.assemble.piece_lines", left_alone_out)
    (rest,) = OCR(folder, mode="lines").read(page, max_tokens=12).lines
    assert whole.box is not None and whole.box[0] < 100 and len(whole.parts) == 2
    assert whole.text == " ".join(part.text for part in whole.parts)
    assert rest.box is not None and rest.box[0] > 400 and rest.box == rest.parts[0].box
    assert rest.text == whole.parts[1].text and rest.mean_probability == pytest.approx(means[0])


def test_unsure_pieces_are_omitted_and_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = draw_page([sentence(i) for i in range(4)])[0]
    said = OCR(folder, mode="lines").read(page, max_tokens=12)
    monkeypatch.setattr("nanochat.reading.assemble.LEAST_SURE", 0.6)
    left_out = OCR(folder, mode="lines").read(page, max_tokens=12)
    assert said.unclear == 0 and said.text
    assert left_out.unclear == left_out.views >= 4 and left_out.text == "" and left_out.lines == []
    assert f"{left_out.unclear} pieces of lines too unclear to read" in why_it_ended(left_out)


def test_text_of_a_page_does_not_depend_on_the_batch(folder: Path) -> None:
    mixed = pages(9)
    alone = [next(OCR(folder, batch_size=1).read_many([page], max_tokens=12)).text for page in mixed]
    for batch_size in (3, 40):
        together = OCR(folder, batch_size=batch_size).read_many(mixed, max_tokens=12)
        assert [page.text for page in together] == alone
    assert len(set(alone)) > 5


def test_length_limit_of_a_line_does_not_depend_on_the_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without lines counts as one line."""
    monkeypatch.setattr("nanochat.reading.answer.LINE_TOKENS", 5)
    reader, (note, *_, blank) = OCR(folder, reread=False, turn=False), pages(1)  # each line is answered once
    for together in ([note], [note, blank], [blank, note]):
        read = dict(zip(map(id, together), reader.read_many(together, max_tokens=12), strict=True))
        assert read[id(note)].tokens == 5 * read[id(note)].views
        assert blank not in together or (read[id(blank)].tokens, read[id(blank)].views) == (5, 1)


def mixed_modes(reader: OCR, pages: list[Image.Image], sizes: tuple[int, ...]) -> list[str]:
    """The texts of pages that are shown in one mode after the other, with the given number of views at a time."""
    modes = ("native", "lines", "tiny", "base", "gundam")
    answerer = reader.answerer()
    texts, position = [], 0
    while position < len(pages):
        some = range(position, min(len(pages), position + sizes[position % len(sizes)]))
        shown = [answerer.show(pages[i], find_lines(pages[i]), modes[i % len(modes)]) for i in some]
        texts += [page.text for page in answerer.read(shown, [pages[i] for i in some], Ask(PROMPTS["free"], 12))]
        position = some.stop
    return texts


@pytest.mark.parametrize("n", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_mixed_sizes_and_modes_give_each_page_its_own_text(folder: Path, n: int) -> None:
    reader = OCR(folder, batch_size=16, locate_lines=False)
    mixed = pages(n - 1)
    alone = mixed_modes(reader, mixed, (1,))
    assert mixed_modes(reader, mixed, (3, 8, 16)) == alone
    assert len(set(alone)) > n // 4


def test_no_images_give_no_pages(folder: Path) -> None:
    reader = OCR(folder, mode="auto")
    assert list(reader.read_many([])) == [] and reader.answerer().read([], [], Ask(PROMPTS["free"])) == []


def test_pages_are_requested_as_they_are_read(folder: Path) -> None:
    asked: list[int] = []

    def endless():
        for i, page in enumerate(pages(20)):
            asked.append(i)
            yield page

    results = OCR(folder, batch_size=2).read_many(endless(), max_tokens=2)
    next(results)
    assert len(asked) <= 3


def test_lines_have_boxes_and_add_up_to_the_text(folder: Path) -> None:
    page, boxes = draw_page([sentence(i, 6) for i in range(4)], 20, width=800)
    read = next(OCR(folder).read_many([page], max_tokens=8))
    assert read.mode == "lines" and read.views >= 4 and read.status == "cut" and read.stopped == "length"
    assert read.text == "\n".join(line.text for line in read.lines)
    for line in read.lines:
        assert line.box is not None and any(abs(line.box[1] - box[1]) < 8 for box in boxes)
        assert 0 <= line.min_probability <= line.mean_probability <= 1
    assert set(read.to_dict()) >= {"text", "lines", "blocks", "tokens", "vision_tokens", "seconds", "stopped", "status"}


def test_lines_of_a_single_view_have_boxes(folder: Path) -> None:
    page, boxes = draw_page([sentence(i, 6) for i in range(4)], 20, width=800)
    reader = OCR(folder, mode="native", max_vision_tokens=20)
    read = next(reader.read_many([page], max_tokens=40))
    assert read.mode == "native" and 0 < read.vision_tokens <= 20
    found = [line.box for line in read.lines]
    assert found and all(box is not None for box in found)
    for line in read.lines:
        assert line.attended is not None
        left, top, right, bottom = line.attended
        assert 0 <= left < right <= page.width and 0 <= top < bottom <= page.height
    assert any(box is not None and abs(box[1] - true[1]) < 8 for box in found for true in boxes)


def test_position_tables_are_interpolated_once_per_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple] = []
    real = position.F.interpolate
    monkeypatch.setattr(position.F, "interpolate", lambda x, **k: fitted.append(tuple(x.shape)) or real(x, **k))
    reader = OCR(folder, mode="native")
    monkeypatch.setattr("nanochat.reading.ocr.find_lines", lambda page: [])  # the line detector scales images too
    pages = [draw_page([sentence(i)], 20)[0] for i in range(4)]
    list(reader.read_many(pages[:1], max_tokens=2))
    first = len(fitted)
    list(reader.read_many(pages, max_tokens=2))
    assert first and len(fitted) == first


def test_question_about_the_page_uses_a_view_of_the_whole_page(folder: Path) -> None:
    page, _ = draw_page([sentence(i, 6) for i in range(4)], 20, width=800)
    read = next(OCR(folder).read_many([page], PROMPTS["describe"], max_tokens=3))
    assert (
        read.views == 1
        and read.ink == "ok"
        and read.vision_tokens == get_mode("native", 256).layout(*page.size).n_tokens
    )


@pytest.mark.parametrize("mode", ["tiny", "base", "gundam", "native"])
def test_every_mode_uses_the_stated_number_of_tokens(folder: Path, mode: str) -> None:
    page, _ = draw_page([sentence(0)], 20, width=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        reader = OCR(folder, mode=mode)
    layout = get_mode(mode, 128).layout(*page.size) if mode != "native" else get_mode("native", 256).layout(*page.size)
    assert next(reader.read_many([page], max_tokens=2)).vision_tokens == layout.n_tokens


def test_auto_mode_uses_larger_modes_until_the_text_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of trying other orientations is not included."""
    page, _ = draw_page([sentence(i, 6) for i in range(4)], 20, width=800)
    monkeypatch.setattr(module, "in_doubt", lambda page: False)
    reader = OCR(folder, mode="auto")
    native = get_mode("native", 256).layout(*page.size).n_tokens
    lines = next(OCR(folder).read_many([page], max_tokens=3)).vision_tokens
    both = {mode: next(OCR(folder, mode=mode).read_many([page], max_tokens=3)) for mode in ("lines", "native")}
    climbed = next(reader.read_many([page], max_tokens=3))  # cut, so not trusted
    assert climbed.vision_tokens == native + lines and climbed.most_vision_tokens == native
    best = max(both.values(), key=lambda page: (page.ink == "ok", page.mean_probability))
    assert (climbed.mode, climbed.text) == (best.mode, best.text)
    monkeypatch.setattr(module, "_trusted", lambda page: True)
    content = next(reader.read_many([page], max_tokens=3))
    assert (content.mode, content.vision_tokens, content.most_vision_tokens) == ("lines", lines, native)


def test_impossible_options_are_errors_and_unwise_ones_warnings(folder: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(UserError, match="no mode called 'huge'"):
        OCR(folder, mode="huge")
    with pytest.raises(UserError, match="max_vision_tokens is for mode native, not lines"):
        OCR(folder, max_vision_tokens=50)
    with pytest.raises(UserError, match="one <image>"):
        OCR(folder).read(Image.new("RGB", (64, 64)), prompt="What is it?")
    with pytest.warns(UserWarning, match="trained with views in mode lines, not gundam"):
        OCR(folder, mode="gundam")
    monkeypatch.setattr(module, "HOME", tmp_path)
    with pytest.raises(UserError, match=r"no model called 'nano' here .*config.json is not there.*--checkpoint"):
        OCR()


def test_images_and_pdfs_of_every_kind_are_read(folder: Path, tmp_path: Path) -> None:
    reader, page = OCR(folder, mode="lines", reread=False, turn=False), draw_page([sentence(0, 2)], 20, width=300)[0]
    page.save(picture := tmp_path / "page.png")
    page.save(pdf := tmp_path / "scan", "PDF", save_all=True, append_images=[Image.new("RGB", (200, 90), "white")])
    expected = reader.read(page, max_tokens=4).text
    pixels = np.asarray(page)
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    for source in (picture, str(picture), picture.read_bytes(), pixels, pixels / 255, opaque):
        assert reader.read(source, max_tokens=4).text == expected != ""
    assert [read.width for read in reader.read(pdf, max_tokens=4, dpi=72)] == [300, 200]
    assert [read.width for read in reader.read(pdf.read_bytes(), max_tokens=4, pages="2", dpi=144)] == [400]
    for said, wrong in (
        ("an array of shape", np.zeros((2, 3, 4, 5), np.uint8)),
        (r"\(30, 40\) and type int64", np.zeros((30, 40), np.int64)),
        (r"^42 \(int\): give a path", 42),
        ("none.png: no such file", tmp_path / "none.png"),
        (" is a folder: give one of its files", tmp_path),
        (r"^the picture \(4 bytes\): not a picture", b"junk"),
    ):
        with pytest.raises(UserError, match=said):
            reader.read(wrong)
    with pytest.raises(UserError, match="has 2 pages, none of which is in 7"):
        reader.read(pdf, pages="7")


def test_view_too_small_for_its_text_causes_a_warning(folder: Path) -> None:
    reader = OCR(folder, mode="native", locate_lines=False)
    page = draw_page([sentence(i, 12) for i in range(9)], 20, width=1000)[0]
    (note,) = reader.read(page, max_tokens=3).notes
    assert re.search(r"its type is [4-7] pixels high.*take --mode lines", note)  # 23 px of 1000, in 256
    assert note in why_it_ended(reader.read(page, max_tokens=3))
    fitting = reader.read(draw_page(["Rye toast"], 20, width=200)[0], max_tokens=30)
    assert fitting.notes == [] and fitting.text
    answerer, blank = reader.answerer(), Image.new("RGB", (200, 200), "white")
    made_up = answerer.read([answerer.show(blank, [], "native")], [blank], Ask(PROMPTS["free"], 30))[0].text
    read = reader.read(blank, max_tokens=30)
    assert made_up.strip() and (read.text, read.lines, read.notes) == ("", [], [])


@pytest.mark.parametrize(
    ("meta", "modes"),
    [
        ({}, ("native",)),
        ({"training": {"synth": True}}, ("lines",)),
        ({"training": {"synth": True, "course": "pages"}}, ("lines", "native", "blocks")),
        ({"reading_modes": ["lines"], "training": {"synth": False}}, ("lines",)),
        ({"reading_mode": "blocks", "reading_modes": ["lines", "blocks"]}, ("blocks", "lines")),
    ],
)
def test_modes_of_a_checkpoint_are_recorded(meta: dict, modes: tuple[str, ...]) -> None:
    assert module.learnt_modes(meta, VisionConfig(view="native")) == modes


def test_model_is_found_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOME", folder.parent)
    by_name = OCR("small")
    assert by_name.mode == "lines" and by_name.read(Image.new("RGB", (64, 64), "white"), max_tokens=1).tokens <= 1


def test_package_imports_ocr_lazily() -> None:
    program = "import sys, nanochat; assert 'torch' not in sys.modules; from nanochat import OCR; print(OCR.__module__)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "nanochat.reading.ocr\n"


def test_unclear_line_is_reread_and_the_more_probable_reading_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second and third of four lines are unclear. At a larger size, only the second becomes clearer."""
    reader, page = OCR(folder, mode="lines", turn=False), draw_page([sentence(i, 3) for i in range(4)])[0]
    asked: list[tuple[int, bool]] = []

    def answers(prompts, views, *_, again: bool = False, **__) -> list[Generation]:
        asked.append((len(views), again))
        said = (
            [("new", 0.9), ("worse", 0.2)] if again else [("one", 0.99), ("two", 0.7), ("three", 0.6), ("four", 0.98)]
        )
        found = [reader.tokenizer.encode(text) for text, _ in said]
        return [Generation(ids, [sure] * len(ids), "end") for ids, (_, sure) in zip(found, said)] if views else []

    monkeypatch.setattr(reader.engine, "generate_batch", answers)
    read = reader.read(page)
    assert read.text == "one\nnew\nthree\nfour" and read.views == 4
    assert [count for count in asked if count[0]] == [(4, False), (2, True)]
    assert [line.mean_probability for line in read.lines] == pytest.approx([0.99, 0.9, 0.6, 0.98])
    boxes = [line.box for line in read.lines if line.box is not None]
    assert len(boxes) == 4 and boxes == sorted(boxes, key=lambda box: box[1])
    reader.reread = False
    once = reader.read(page)
    assert once.text == "one\ntwo\nthree\nfour"
    assert read.vision_tokens > once.vision_tokens and read.tokens == once.tokens + len("newworse")


def test_rereading_never_lowers_the_probability_of_a_line() -> None:
    page = draw_page(["Rye toast with honey 4.40", "l1I|0Oo .,;:", "Subtotal 27.70"], 13)[0]
    reader = OCR("nano")
    twice = reader.read(page)
    reader.reread = False
    once = reader.read(page)
    assert len(twice.lines) == len(once.lines) == 3
    for line, before in zip(twice.lines, once.lines):
        assert line.mean_probability >= before.mean_probability - 1e-4
        assert line.text == before.text or before.mean_probability < SURE_OF_LINE


def test_nano_reads_accents_better_than_omitting_them() -> None:
    lines = [
        "Größe, Straße, süß und Übung", "élève à l'hôtel: forêt, août, naïf", "¿Dónde está el niño, señor?",
        "Perché così? Città, virtù, però", "Smörgås från Ängelholm, idé", "Æble, rødgrød, blåbær, Ærø",
    ]  # fmt: skip
    read = OCR("nano").read(draw_page(lines, 26)[0]).text
    truth = "\n".join(lines)
    plain = unicodedata.normalize("NFD", truth).encode("ascii", "ignore").decode()
    assert lines[0] in read
    assert Levenshtein.distance(read, truth) < 0.6 * Levenshtein.distance(plain, truth)
