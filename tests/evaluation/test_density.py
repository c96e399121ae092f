"""Pages of known text density: the drawing, the position of errors, and the figures of a model."""

import pytest
from helpers.tiny_model import tiny_model
from PIL import ImageChops

from nanochat.checkpoint import export_model
from nanochat.errors import UserError
from nanochat.evaluation.density import KINDS, draw_dense_page, measure_point, study, wrong_by_tenth
from nanochat.evaluation.density_report import plot_study, study_table, write_worst
from nanochat.reading.ocr import OCR
from nanochat.tokenizer import RustBPETokenizer


@pytest.mark.parametrize("kind", ["pseudo", "codes"])
def test_page_is_determined_by_its_seed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("the harbour was quiet before the storm", "nine barges lay along the quay", "a clerk counted them twice")
    monkeypatch.setattr("nanochat.evaluation.density.sentences", lambda unseen: some)
    page, again, other = (
        draw_dense_page(kind, 256, 24, 1),
        draw_dense_page(kind, 256, 24, 1),
        draw_dense_page(kind, 256, 24, 2),
    )
    assert page.text == again.text != other.text
    assert ImageChops.difference(page.image, again.image).getbbox() is None
    ink = ImageChops.invert(page.image.convert("L")).getbbox()
    assert ink is not None and ink[0] > 0 and ink[1] > 0 and ink[2] < 256 and ink[3] < 256


def test_smaller_type_fits_more_text() -> None:
    large, small = draw_dense_page("codes", 512, 40, 0), draw_dense_page("codes", 512, 20, 0)
    assert 2.5 * len(large.text) < len(small.text) < 6 * len(large.text)


def test_errors_are_counted_in_their_tenth() -> None:
    expected = "abcdefghij" * 2  # two characters a tenth
    assert wrong_by_tenth([(expected, expected)]) == [0.0] * 10
    assert wrong_by_tenth([(expected, "X" + expected[1:])]) == [0.5] + [0.0] * 9
    assert wrong_by_tenth([(expected, expected[:-2])]) == [0.0] * 9 + [1.0]
    assert wrong_by_tenth([(expected, expected + "zz")])[-1] == 1.0


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> OCR:
    folder = tmp_path_factory.mktemp("density")
    export_model(folder, tiny_model(512), RustBPETokenizer.characters(), {"stage": 1})
    return OCR(folder, "cpu", "native")


def test_blind_model_has_the_same_loss_without_its_image(reader: OCR, tmp_path) -> None:
    pages = [draw_dense_page("codes", 128, 40, seed) for seed in range(3)]
    with_zero_projector = reader.model.projector
    for parameter in with_zero_projector.parameters():
        parameter.data.zero_()
    point = measure_point(reader, pages, 128)
    assert point.vision_tokens == 7 and len(point.pages) == 3
    assert point.losses["own picture"] == pytest.approx(point.losses["another page's"], abs=1e-5)
    assert point.losses["own picture"] == pytest.approx(point.losses["blank"], abs=1e-5)
    table = study_table([point], public=4.0)
    assert table.count("\n") == 3 and f"{point.characters / 7:.1f}" in table and f"{point.characters / 28:.1f}" in table
    assert plot_study([point], tmp_path / "plot.svg", 4.0).read_text().startswith("<?xml")
    write_worst([point], 2, tmp_path)
    assert (tmp_path / "worst_2.png").is_file() and not (tmp_path / "worst_3.png").exists()


def test_view_that_is_too_large_is_rejected(reader: OCR) -> None:
    assert len(KINDS) == 4
    with pytest.raises(UserError, match="multiples of 64"):
        study(reader, 1, [20], [100], 128)
