"""Reading works without PyTorch, and gives the same text as with it."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.drawn_page import draw_page

from nanochat import OCR
from nanochat.engine import loading
from nanochat.engine.loading import choose_backend
from nanochat.errors import UserError
from nanochat.modes import get_mode

ROOT = Path(__file__).parents[2]
RECEIPT = ROOT / "data/images/receipt_000.png"
BLOCKED = """
import importlib.util, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Absent())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {absent!r} else found(name, package)
from nanochat.cli import main
sys.argv = ["nano-ocr", *{arguments!r}]
main()
"""


def nano_ocr(*arguments: str, absent: tuple[str, ...] = ("torch",)) -> subprocess.CompletedProcess[str]:
    """Run `nano-ocr` in a process that cannot import the packages `absent`."""
    code = BLOCKED.format(absent=absent, arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300)


def test_receipt_and_pdf_are_read_without_torch(tmp_path: Path) -> None:
    page = draw_page(["Rye toast with honey 4.40", "Subtotal 27.70"], 26)[0]
    page.save(tmp_path / "page.pdf")
    done = nano_ocr("read", str(RECEIPT), str(tmp_path / "page.pdf"), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    expected = OCR("nano", "cpu", backend="torch").read(RECEIPT).text
    (receipt,), (pdf,) = (tuple((tmp_path / "out").glob(name)) for name in ("receipt_000*.txt", "page*.txt"))
    assert receipt.read_text(encoding="utf-8").strip() == expected.strip()
    assert "Subtotal 27.70" in pdf.read_text(encoding="utf-8")


def test_reading_leaves_no_files_and_opens_no_connections(tmp_path: Path) -> None:
    """No file in the user's home (ONNX Runtime's telemetry would write two), and no connection is opened."""
    program = f"""
import sys
sys.addaudithook(lambda event, _: event.startswith("socket.") and sys.exit(event))
from nanochat import OCR
print(OCR("nano").read({str(RECEIPT)!r}).text)"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"HOME": str(tmp_path), "PATH": ""}
    )
    assert done.returncode == 0 and "JUNIPER & RYE" in done.stdout, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_single_view_is_read_without_torch_with_boxes(tmp_path: Path) -> None:
    page = draw_page(["Rye toast with honey 4.40", "Subtotal 27.70"], 26)[0]
    ours, theirs = (
        OCR("nano", "cpu", "native", locate_lines=False, backend=name).read(page) for name in ("onnx", "torch")
    )
    assert ours.text == theirs.text and ours.text
    assert [line.box for line in ours.lines] == [line.box for line in theirs.lines]
    assert ours.mean_probability == pytest.approx(theirs.mean_probability, abs=1e-4)
    places = get_mode("native", 512).places(page.width, page.height)
    assert places.dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "absent", "words"),
    [
        ((), ("torch", "onnxruntime"), "neither ONNX Runtime nor PyTorch is installed: to read, run `pip install"),
        (("--backend", "torch"), ("torch",), "the torch backend needs PyTorch"),
        (("--backend", "onnx"), ("onnxruntime",), "needs ONNX Runtime: run `pip install"),
        (("--device", "cuda"), ("torch",), "device cuda needs PyTorch"),
        (("--int8",), ("torch",), "no graphs at 8 bits"),
    ],
)
def test_missing_packages_are_reported_in_one_line(
    arguments: tuple[str, ...], absent: tuple[str, ...], words: str
) -> None:
    done = nano_ocr("read", str(RECEIPT), *arguments, absent=absent)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("demo", "--out={folder}"), ("finetune", "{folder}")])
def test_training_names_its_extra(command: tuple[str, ...], tmp_path: Path) -> None:
    done = nano_ocr(*(part.format(folder=tmp_path) for part in command), absent=("torch", "faker"))
    assert done.returncode == 2 and 'run `pip install "nano-deepseek-ocr[train]"`' in done.stderr


def test_auto_backend_is_torch_on_a_gpu_and_onnx_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nano = ROOT / "models/nano"
    monkeypatch.setattr(loading, "may_have_gpu", lambda: True)
    monkeypatch.setattr("nanochat.common.autodetect_device_type", lambda: "cuda")
    assert choose_backend("auto", nano) == "torch"
    assert choose_backend("auto", nano, "cpu") == "onnx"
    assert choose_backend("auto", nano, "cuda") == "torch"
    assert choose_backend("auto", tmp_path, "cpu") == "torch"  # a checkpoint without graphs
    assert choose_backend("auto", nano, "cpu", int8=True) == "torch"  # no 8-bit graphs
    monkeypatch.setattr(loading, "may_have_gpu", lambda: False)
    assert choose_backend("auto", nano) == "onnx"
    with pytest.raises(UserError, match="no backend called 'tensor'"):
        choose_backend("tensor", nano)
    with pytest.raises(UserError, match="on the CPU, not on cuda"):
        choose_backend("onnx", nano, "cuda")
