"""The number of threads: from the free cores, the quota of a container, and the settings of the user."""

import subprocess
import sys
from pathlib import Path

import pytest

from nanochat import threads
from nanochat.threads import Load, _quota, threads_for, usable_cores, wait_without_spinning

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("quota", "cores", "others", "expected"),
    [
        (2, 2, 0, 2),
        (2, 2, 0.3, 2),
        (2, 2, 1, 1),
        (2, 2, 9, 1),
        (1, 1, 0, 1),
        (1, 1, 3, 1),
        (16, 16, 0, 16),
        (16, 16, 8, 8),
        (16, 16, 40, 1),
        (1.5, 2, 0, 1),
        (2, 64, 30, 2),  # a container with a quota, on a large busy machine
        (8, 64, 60, 4),
    ],
)
def test_one_thread_per_free_core(quota: float, cores: int, others: float, expected: int) -> None:
    assert threads_for(quota, cores, others) == expected


def test_container_quota(tmp_path: Path) -> None:
    for text, cores in (("200000 100000\n", 2.0), ("50000 100000\n", 0.5), ("max 100000\n", 0.0)):
        (tmp_path / "cpu.max").write_text(text)
        assert _quota(tmp_path / "cpu.max") == cores
    (tmp_path / "quota").write_text("-1\n")  # version 1: no limit
    (tmp_path / "period").write_text("100000\n")
    assert _quota(tmp_path / "quota", tmp_path / "period") == 0.0 == _quota(tmp_path / "nothing")
    assert usable_cores() >= 0.01


def test_load_excludes_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores in ten seconds: 12 seconds of other programs, 3 of this one, 2 of a program of low priority."""
    stat, now, own = tmp_path / "stat", 100.0, 5.0

    def write(user: int, nice: int) -> None:
        line = f"{user} {nice} 50 900 7 0 0 0 0 0"
        stat.write_text(f"cpu  1 1 1 1\ncpu0 {line}\ncpu1 {line}\ncpu7 99999 0 0 0 0 0 0 0\nintr 5\n")

    monkeypatch.setattr(threads, "STAT", stat)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("os.getpriority", lambda *_: 0)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("time.process_time", lambda: own)
    write(1000, 400)
    load = Load()
    now, own = 110.0, 8.0
    write(1000 + 750, 400 + 100)  # of each core, in hundredths
    assert load.others() == pytest.approx(1.2)


def run_alone(program: str, **environment: str) -> str:
    """The output of a program in a new process."""
    alone = {"PATH": "", **environment}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=alone, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_torch_threads_are_set_unless_the_user_did() -> None:
    """torch uses one thread on a busy machine and all threads later; OMP_NUM_THREADS prevents changes."""
    program = """
import os, torch
from nanochat import threads
torch.set_num_threads(4)
threads.SHORTEST = threads.HELD = 0
threads.usable_cores, threads.own_cores = lambda: 4.0, lambda: 4
seen = []
for others in (3.0, 1.0, 0.0):
    threads.Load.others = lambda self: others
    threads.adapt_threads()
    seen.append(torch.get_num_threads())
os.environ["OMP_NUM_THREADS"] = "3"
threads.Load.others = lambda self: 9.0
threads.adapt_threads()
seen.append((threads.graph_threads(), torch.get_num_threads()))
print(seen)"""
    assert run_alone(program) == "[1, 3, 4, (3, 4)]"


def test_onnx_graphs_use_all_cores_regardless_of_load() -> None:
    """A single thread would get less of a busy machine, and the load is not measured. OMP_NUM_THREADS is respected."""
    program = """
from nanochat import threads
threads.usable_cores, threads.own_cores = lambda: 2.0, lambda: 2
threads.Load.others = lambda self: 2.0
def stop(seconds):
    raise AssertionError("waited")
threads.time.sleep = stop
from nanochat import OCR
ocr = OCR("nano")
text = ocr.read("data/images/receipt_000.png").text
model = ocr.model
threads_of = [graph.session.get_session_options().intra_op_num_threads for graph in (model._encoder, model._decoder)]
print(threads_of, text.splitlines()[0])"""
    assert run_alone(program) == "[2, 2] JUNIPER & RYE"
    assert run_alone(program, OMP_NUM_THREADS="1") == "[1, 1] JUNIPER & RYE"


@pytest.mark.parametrize(("cores", "expected"), [(0.5, 1), (1, 1), (2.5, 2), (16, 16), (96, 16)])
def test_threads_of_a_graph(cores: float, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    assert threads.graph_threads() == expected


@pytest.mark.parametrize("module", ["nanochat.reading.ocr", "nanochat.ocrmypdf_plugin", "nanochat.reading.async_ocr"])
def test_loading_a_model_disables_spinning(module: str) -> None:
    """Also in Python programs and the OCRmyPDF plugin, the variables are set before torch is imported."""
    program = f"""
import os, sys
import {module}
assert "torch" not in sys.modules, "torch has been imported already"
from nanochat.engine import loading
class Started(Exception): pass
def stop(*_):
    raise Started
loading.choose_backend = stop
from nanochat.reading.ocr import OCR
try:
    OCR("nano", backend="torch")
except Started:
    print(os.environ["KMP_BLOCKTIME"], os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)"""
    assert run_alone(program) == "0 1000 False"


def test_wait_policy_of_the_user_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    environment: dict[str, str] = {"GOMP_SPINCOUNT": "7"}
    monkeypatch.setattr("os.environ", environment)
    wait_without_spinning()
    assert environment == {"GOMP_SPINCOUNT": "7", "KMP_BLOCKTIME": "0"}
    environment.clear()
    environment["OMP_WAIT_POLICY"] = "ACTIVE"
    wait_without_spinning()
    assert environment == {"OMP_WAIT_POLICY": "ACTIVE"}


def test_choice_is_cached_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changing the number of threads takes time, so a load that comes and goes must not change it each time."""
    now, load, choice = 100.0, 0.0, threads._ThreadChoice()
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4.0)
    monkeypatch.setattr(threads, "own_cores", lambda: 4)
    monkeypatch.setattr(threads, "SHORTEST", 0.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(Load, "others", lambda self: load)
    assert choice.renew() == 4
    now, load = now + 0.9 * threads.HELD, 2.0
    assert choice.renew() == 4
    now += 0.2 * threads.HELD
    assert choice.renew() == 2
