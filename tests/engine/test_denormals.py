"""Denormals are zero where a graph runs, and nowhere else."""

import threading

import numpy as np
import pytest

from nanochat.denormals import can_flush, flush_denormals
from nanochat.lines.finder import WEIGHTS, line_finder

LEAST = np.full(8, 1e-39, np.float32)  # a denormal


def test_denormals_are_zero_within_the_context_of_this_thread_alone() -> None:
    seen: list[float] = []
    now = threading.Event()

    def other() -> None:
        now.wait()
        seen.append(float((LEAST * np.float32(1)).sum()))

    thread = threading.Thread(target=other)
    thread.start()
    with flush_denormals():
        assert bool((LEAST * np.float32(1)).any()) != can_flush()
        now.set()
        thread.join()
    assert seen[0] > 0
    assert (LEAST * np.float32(1)).all()


def test_the_context_is_left_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), flush_denormals():
        _ = 1 // 0
    assert (LEAST * np.float32(1)).all()


def test_opening_and_running_a_graph_leaves_the_program_its_denormals() -> None:
    line_finder(WEIGHTS)(np.ones((1, 3, 64, 64), np.float32))
    assert (LEAST * np.float32(1)).all()
