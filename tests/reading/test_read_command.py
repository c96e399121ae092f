"""The command `nano-ocr read`: every input, errors in one line each, and the exit codes."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pillow_heif
import pytest
from helpers.drawn_files import LOCKED, bomb, write_long_pdf, write_pdf
from helpers.drawn_page import draw_page, sentence
from helpers.tiny_server import tiny_checkpoint
from PIL import Image

from nanochat import cli
from nanochat.prompts import PROMPTS


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> Path:
    """A folder with pages, the working directory of commands."""
    monkeypatch.chdir(tmp_path)
    draw_page([sentence(0), sentence(1)], 20, width=300)[0].save("a.png")
    return tmp_path


@pytest.fixture
def read(place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, checkpoint: Path):
    def run(*arguments: str) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        flags = ["read", *arguments, "--max_tokens=8"]
        monkeypatch.setattr("sys.argv", ["nano-ocr", *flags, *["--checkpoint", str(checkpoint)]])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        output = capfd.readouterr()
        return code, output.out, output.err

    return run


def one_line(result: tuple[int, str, str], *words: str) -> None:
    code, out, err = result
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


def picture_bytes(path: str = "a.png") -> bytes:
    return Path(path).read_bytes()


def test_all_inputs_give_the_same_page(read, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text, err = read("a.png")
    assert code == 0 and len(text.strip()) > 3 and "error" not in err
    url = "data:image/png;base64," + base64.b64encode(picture_bytes()).decode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(picture_bytes())))
    for way in ("-", url, ".", "*.png"):
        assert read(way)[:2] == (0, text), way
    found = json.loads(read("a.png", "--format=json")[1])
    assert found["source"] == "a.png" and found["pages"][0]["text"] == text.strip()


def test_photo_of_a_phone(read) -> None:
    pillow_heif.from_pillow(Image.open("a.png").convert("RGB")).save("a.heic", quality=-1)
    code, text, err = read("a.heic")
    assert code == 0 and text == read("a.png")[1] and "error" not in err
    Path("half.heic").write_bytes(Path("a.heic").read_bytes()[:2000])
    one_line(read("half.heic"), "half.heic", "broken or truncated")


def test_one_bad_page_among_good_ones_gives_exit_code_1(read) -> None:
    Path("bad.png").write_text("Dear Sir")
    code, _, err = read("a.png", "bad.png", "--out=out", "--overlay")
    assert code == 1 and "error: bad.png: not a picture" in err and "2 pages: " in err and "1 failed" in err
    assert {path.name for path in Path("out").iterdir()} == {"a.txt", "a.page-001.png", "ledger.jsonl"}
    code, _, err = read("a.png", "bad.png", "--out=out", "--retry_failed", "--overlay")
    assert code == 1 and "2 pages: " in err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: bomb(path), ["over the limit of", "decompression bomb"]),
        (lambda path: path.write_bytes(b"%PDF-1.7\nnothing else"), ["broken"]),
        (lambda path: path.write_bytes(LOCKED.read_bytes()), ["encrypted: give its --password"]),
        (lambda path: write_long_pdf(path, 0), ["without pages"]),
        (lambda path: path.touch(), ["an empty file"]),
        (lambda path: path.write_bytes(picture_bytes()[:200]), ["broken or truncated picture"]),
        (lambda path: None, ["no such file"]),
        (lambda path: path.mkdir(), ["no picture and no PDF in this folder"]),
    ],
)
def test_unreadable_input_is_reported_in_one_line(read, make, words: list[str]) -> None:
    make(Path("bad.file"))
    one_line(read("bad.file"), "bad.file", *words)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--task=translate"], ["no task called 'translate'", "free, markdown, ocr, figure, describe"]),
        (["--pages=0"], ["--pages 0"]),
        (["--dpi=0"], ["--dpi 0"]),
        (["--seconds=0"], ["--seconds 0"]),
        (["--batch_size=0"], ["--batch_size 0"]),
        (["--device=potato"], ["'potato'", "choose cuda, mps or cpu"]),
        (["--prompt=What is it?"], ["one <image>"]),
        (["--resume"], ["--out DIR"]),
        (["--overlay"], ["--out DIR"]),
        (["--mode=gundam", "--max_vision_tokens=9"], ["for mode native"]),
        (["--out=a.png/out"], ["cannot write to a.png/out"]),
    ],
)
def test_invalid_values_are_reported_in_one_line(read, flags: list[str], words: list[str]) -> None:
    one_line(read("a.png", *flags), *words)


def test_no_file_and_no_output(read, monkeypatch: pytest.MonkeyPatch) -> None:
    one_line(read(), "nano-ocr read FILE")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    one_line(read("-"), "standard input is empty")


def test_unusual_images_are_read(read) -> None:
    Image.new("L", (1, 1)).save("dot.png")
    draw_page([sentence(0)], 20, width=20_000)[0].crop((0, 0, 20_000, 100)).save("strip.png")
    frames = [Image.new("L", (64, 64), tone) for tone in (50, 100, 150)]
    frames[0].save("dance.gif", save_all=True, append_images=frames[1:])
    code, out, err = read("dot.png", "strip.png", "dance.gif", "--format=json")
    assert code == 0 and "5 pages: " in err and "2 skipped" in err
    for one in out.split('{"source"')[1:]:
        assert json.loads('{"source"' + one)["pages"][0]["state"] in ("ok", "repaired", "cut", "looped")


def test_untrained_mode_causes_a_warning(read) -> None:
    code, _, err = read("a.png", "--mode=gundam")
    assert code == 0 and err.count("warning: this model was trained with views in mode square, not gundam") == 1


def test_markdown_prompt_is_used_only_for_trained_models(read, checkpoint: Path) -> None:
    def asked(out: str, *flags: str) -> str:
        assert read("a.png", f"--out={out}", *flags)[0] == 0
        return json.loads(Path(out, "ledger.jsonl").read_text().splitlines()[0])["settings"]["prompt"]

    assert asked("free", "--format=md") == PROMPTS["free"]
    (meta,) = checkpoint.parent.glob("meta_*.json")
    before = meta.read_text()
    meta.write_text(json.dumps({**json.loads(before), "tasks": ["free", "markdown"]}))
    try:
        assert asked("taught", "--format=md") == PROMPTS["markdown"]
        assert asked("told", "--format=md", "--task=free") == asked("text") == PROMPTS["free"]
        warned = [read("a.png", f"--task={task}")[2] for task in ("markdown", "figure")]
        assert ["was trained on free, markdown, not figure" in text for text in warned] == [False, True]
    finally:
        meta.write_text(before)


def test_pages_and_passwords(read) -> None:
    write_pdf(Path("five.pdf"), 5)
    pages = json.loads(read("five.pdf", "--pages=2,4-", "--format=json")[1])["pages"]
    assert [page["state"] == "skipped" for page in pages] == [True, False, True, False, False]
    assert read(str(LOCKED), "--password=sesame")[0] == 0


@pytest.mark.parametrize("n", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_text_does_not_depend_on_workers_and_batches(read, n: int) -> None:
    Path("in").mkdir()
    for i in range(n):
        draw_page([sentence(i + k) for k in range(1 + i % 4)], 10 + i % 9, 150 + 60 * (i % 5))[0].save(f"in/{i:03}.png")
    found = []
    for workers, batch_size in ((1, 1), (4, 7)):
        out = f"out-{workers}"
        assert read("in", f"--workers={workers}", f"--batch_size={batch_size}", f"--out={out}")[0] == 0
        found.append({path.name: path.read_text() for path in Path(out).glob("*.txt")})
    assert found[0] == found[1] and len(found[0]) == n and len(set(found[0].values())) > 4


def test_notes_about_a_page_are_one_line_on_stderr(read) -> None:
    write_pdf(Path("two.pdf"), 2)
    code, out, err = read("a.png", "two.pdf", "--format=md")
    assert code == 0 and "note: a.png: the answer reached --max_tokens" in err and err.count("\n") == 4
    assert "note: two.pdf, page 2: the answer reached" in err and err.splitlines()[-1].startswith("3 pages: 3 cut; ")
    assert "<!-- two.pdf, page 2 -->\n" in out and "==>" not in out


def test_other_format_and_overlays_are_made_from_the_ledger(read, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("a.png", "--out=out")[0] == 0
    monkeypatch.setattr("nanochat.reading.ocr.OCR.read_many", None)
    assert read("a.png", "--out=out", "--format=html", "--overlay", "--resume")[0] == 0
    assert "data:image/jpeg" in Path("out/a.html").read_text() and Path("out/a.txt").exists()
    width, height = Image.open("a.png").size
    assert Image.open("out/a.page-001.png").size in ((2 * width, height), (width, 2 * height))


def test_interrupted_command_exits_cleanly(read, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nanochat.reading.ocr.OCR.read_many", interrupt)
    code, _, err = read("a.png", "--out=out")
    assert code == 130 and "continue with --resume" in err and err.endswith("interrupted\n")


def test_searchable_pdf_needs_a_single_input(read) -> None:
    Path("b.png").write_bytes(picture_bytes())
    one_line(read(".", "--format=pdf"), "--format pdf writes one file per input", "--out DIR")
    assert read(".", "--format=md")[0] == 0


def test_full_or_closed_output_is_reported(place: Path, checkpoint: Path) -> None:
    command = [sys.executable, "-m", "nanochat.cli", "read", "a.png", "--max_tokens=8", "--checkpoint", str(checkpoint)]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (2, "error: the output: No space left on device\n")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], ""),
        (["read", "--help"], ""),
        (["read", "nowhere.png"], "nowhere.png: no such file"),
        (["read", "a.png", "--formt=md"], "no option called --formt=md: did you mean --format?"),
        (["read", "a.png", "--prompt=Read."], "a prompt needs one <image>"),
        (["reed", "a.png"], "did you mean read?"),
        (["batch", "nowhere", "--out=out"], "nowhere: no such file"),
        (["score", "nowhere.pdf"], "nowhere.pdf: no such file"),
    ],
)
def test_errors_without_a_model_load_no_library(place: Path, arguments: list[str], words: str) -> None:
    """torch alone takes seconds to import, and longer on a busy machine."""
    program = """import sys
from nanochat.cli import main
try:
    main()
finally:
    print("loaded:", *{"torch", "cv2", "ray", "fastapi", "pypdfium2", "rich.console"} & set(sys.modules))"""
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "loaded:" and ended.stderr.count("\n") == bool(words)
    assert words in ended.stderr and ended.returncode == (2 if words else 0)


def test_missing_file_does_not_affect_the_others(read) -> None:
    Path("empty").mkdir()
    code, out, err = read(".", "nowhere.png", "empty")
    assert code == 1 and out == "==> a.png <==\n" + read("a.png")[1] and "3 pages: " in err and "2 failed" in err
    assert err.splitlines()[:2] == [
        "error: nowhere.png: no such file",
        "error: empty: no picture and no PDF in this folder",
    ]
    one_line(read("nowhere.png", "empty"), "nowhere.png: no such file; empty: no picture")


def test_page_number_beyond_the_document_is_reported(read) -> None:
    write_pdf(Path("three.pdf"), 3)
    code, out, err = read("three.pdf", "--pages=9")
    assert code == 2 and out == "" and "three.pdf: --pages 9: there is no page 9, the document has 3 pages" in err
    code, out, err = read("three.pdf", "--pages=2-9")
    assert code == 0 and "there is no page" not in err


def test_reading_imports_no_compiler_and_no_plotting(place: Path, checkpoint: Path) -> None:
    """They would take two of the five seconds to the first text."""
    program = """import sys; from nanochat.cli import main; main()
assert {"torch._dynamo", "sympy", "matplotlib"}.isdisjoint(sys.modules)"""
    command = [sys.executable, "-c", program, "read", "a.png", "--max_tokens=8", "--checkpoint", str(checkpoint)]
    assert subprocess.run(command, capture_output=True, text=True).returncode == 0
