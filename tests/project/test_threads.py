"""How many threads read: by the cores that are free, by a container's quota, and never against the person's word."""

import subprocess
import sys
from pathlib import Path

import pytest

from nanochat import threads
from nanochat.threads import Load, Threads, _quota, threads_for, usable_cores, wait_without_spinning


@pytest.mark.parametrize(
    ("cores", "others", "expected"),
    [
        (2, 0, 2),
        (2, 0.3, 2),
        (2, 1, 1),
        (2, 9, 1),
        (1, 0, 1),
        (1, 3, 1),
        (16, 0, 16),
        (16, 8, 8),
        (16, 40, 1),
        (1.5, 0, 1),
    ],
)
def test_a_thread_for_each_free_core(cores: float, others: float, expected: int) -> None:
    assert threads_for(cores, others) == expected


def test_a_containers_quota(tmp_path: Path) -> None:
    for text, cores in (("200000 100000\n", 2.0), ("50000 100000\n", 0.5), ("max 100000\n", 0.0)):
        (tmp_path / "cpu.max").write_text(text)
        assert _quota(tmp_path / "cpu.max") == cores
    (tmp_path / "quota").write_text("-1\n")  # version 1: no limit
    (tmp_path / "period").write_text("100000\n")
    assert _quota(tmp_path / "quota", tmp_path / "period") == 0.0 == _quota(tmp_path / "nothing")
    assert usable_cores() >= 0.01


def test_the_load_is_what_others_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores in ten seconds: 12 seconds of other programs, 3 of this one, 2 of a program that makes way."""
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


def test_torch_is_set_and_a_person_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: on a busy machine one thread, later all again, none where OMP_NUM_THREADS is set."""
    program = """
import os, torch
from nanochat import threads
torch.set_num_threads(4)
threads.SHORTEST = 0
threads.usable_cores = lambda: 4.0
chooser = threads.Threads()
seen = []
for others in (3.0, 1.0, 0.0):
    threads.Load.others = lambda self: others
    seen.append((chooser.adapt(), torch.get_num_threads()))
os.environ["OMP_NUM_THREADS"] = "3"
threads.Load.others = lambda self: 9.0
seen.append((chooser.adapt(), torch.get_num_threads()))
print(seen)"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={"PATH": ""})
    assert ended.stdout.strip() == "[(1, 1), (3, 3), (4, 4), (4, 4)]", ended.stderr


def test_threads_sleep_unless_a_person_says_how_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_choice_needs_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "others", lambda self: pytest.fail("nothing can be known yet"))
    monkeypatch.setattr(threads, "SHORTEST", 60.0)
    assert Threads().adapt() >= 1
