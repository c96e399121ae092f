"""The work of the processes of a batch, run in this process, and how their failures are reported."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helpers.drawn_archive import draw_archive, stored
from helpers.written_pdf import Written, write_text_pdf

from nanochat import cli
from nanochat.archives.cluster import _cause, ray_running
from nanochat.archives.files import find_files
from nanochat.archives.worker import BROKEN, Opening, Reader
from nanochat.errors import UserError
from nanochat.prompts import PROMPTS
from nanochat.reading.job import Job
from nanochat.reading.ocr import OCR
from nanochat.reading.sources import Selection


def test_rows_opened_by_one_worker_are_read_by_another(tmp_path: Path, model: Path) -> None:
    """Rows exchanged between processes, in this process: the texts are those of each image alone."""
    draw_archive(tmp_path / "in")
    files = find_files([str(tmp_path / "in/*.p*"), str(tmp_path / "in/deep")])
    rows: dict[str, list] = {}
    asked = {"address": [f.address for f in files], "fingerprint": [f.fingerprint for f in files], "done": ["[]"] * 11}
    for row in Opening(Selection("1-2"), 150, "")(asked):
        for key, values in row.items():
            rows.setdefault(key, []).extend(values)
    reader = Reader(str(model), "cpu", "", None, Job([], PROMPTS["free"], max_tokens=20))
    read = reader(rows)
    results = {Path(name).name: json.loads(r) for name, r, n in zip(read["source"], read["result"], read["page"])}
    ocr = OCR(model)
    for i in range(8):
        assert results[f"{i}.png"]["text"] == ocr.read(stored(i), max_tokens=20).text != ""
    assert Counter(read["state"]) == {"cut": 13, "failed": 2, "skipped": 2}


@pytest.mark.parametrize(("mode", "source"), [("only", "text-layer"), ("never", "read")])
def test_text_layer_of_a_pdf_is_used_on_request(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, mode: str, source: str
) -> None:
    write_text_pdf(tmp_path / "bill.pdf", [Written("Amount due 184.27", 40, 500), Written("by 3 May", 40, 470)])
    arguments = ["batch", str(tmp_path / "bill.pdf"), "--out", str(tmp_path / "out"), "--format=jsonl"]
    arguments += ["--text_layer", mode, "--max_tokens=5", "--checkpoint", str(model)]
    monkeypatch.setattr("sys.argv", ["nano-ocr", *arguments])
    cli.main()
    (entry,) = map(json.loads, (tmp_path / "out/pages.jsonl").read_text().splitlines())
    (result,) = [json.loads(line) for line in (tmp_path / "out/ledger.jsonl").read_text().splitlines()][1:]
    assert result["result"]["text_source"] == source
    assert (entry["text"] == "Amount due 184.27\nby 3 May") is (mode == "only")


def test_unexpected_error_on_a_page_becomes_a_row(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_archive(tmp_path / "in")
    (file,) = find_files([str(tmp_path / "in/a.pdf")])
    asked = {"address": [file.address], "fingerprint": [""], "done": ["[]"]}
    pages = list(Opening(Selection(), 72, "")(asked))
    rows = {key: [page[key][0] for page in pages] for key in pages[0]}
    rows["pixels"][2] = bytes(len(rows["pixels"][2]))  # a black page, which raises an error
    reader = Reader(str(model), "cpu", "", None, Job([], PROMPTS["free"], max_tokens=4))
    plain = reader.ocr.read_many

    def read_many(images, *options):
        if not all(image.getbbox() for image in images):
            raise ZeroDivisionError("something broke")
        return plain(images, *options)

    monkeypatch.setattr(reader.ocr, "read_many", read_many)
    read = reader(rows)
    assert read["state"] == ["cut", "cut", "failed", "cut"] and read["page"] == [1, 2, 3, 4]
    assert read["why"][2].endswith("a.pdf, page 3: ZeroDivisionError: something broke")


def test_worker_that_cannot_load_the_model_reports_the_reason(tmp_path: Path, model: Path) -> None:
    """Without the GPU, its driver or the file, the job ends, and no page is recorded as failed."""
    for checkpoint, device, words in ((model, "cuda:99", "device cuda:99 cannot be used here"),
                                      (tmp_path / "no.pt", "cpu", "no such checkpoint")):  # fmt: skip
        rows = Reader(str(checkpoint), device, "", None, Job([], PROMPTS["free"]))({"source": ["a.png"]})
        assert rows["state"] == [BROKEN] and words in rows["why"][0] and "\n" not in rows["why"][0]


def test_errors_wrapped_by_ray_are_reported_in_one_line() -> None:
    error = RuntimeError("The actor died\nTraceback ...\n  in f\nValueError: no room\n")
    error.__cause__ = Exception()  # an empty one of Ray Data
    assert _cause(error) == "ValueError: no room"


def test_start_up_timeout_of_ray_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fail(*_, **__) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(UserError, match=r"Ray cannot be started on this machine \(The current node timed out"):
        with ray_running(""):
            pass
    with pytest.raises(UserError, match=r"no Ray cluster at auto .* RAY_AUTH_MODE"):
        with ray_running("auto"):
            pass


def test_missing_gpus_are_reported_in_one_line(tmp_path: Path, model: Path, monkeypatch, capsys) -> None:
    import ray

    (tmp_path / "a.png").write_bytes(stored(1))
    for name, found in (("init", None), ("shutdown", None), ("cluster_resources", {"CPU": 2.0})):
        monkeypatch.setattr(ray, name, lambda *_, found=found, **__: found)  # a Ray machine without a GPU
    arguments = ["batch", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--checkpoint", str(model)]
    monkeypatch.setattr("sys.argv", ["nano-ocr", *arguments, "--gpus", "1"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and capsys.readouterr().err == "error: --gpus 1: only 0 available\n"
