"""Evaluation sets do not change with the training data, because their figures are compared over time.

The comparison depends on the libraries of uv.lock only: fonts of matplotlib, and words of faker. Pixels can differ by
one between processors, so the random numbers that a set draws are compared instead.
"""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import pytest

from nanochat.synth import LEVELS, draw, draw_document, practice
from nanochat.synth.strips import handful

ROOT = Path(__file__).parents[2]
# From the release before the languages of central Europe. Another hash is only right for a set with a new name.
FROZEN = {
    "val": "f09b9d2ae832613cf8e7de6d6d1dc952cf5e09f45fe130c9de599f7c3aaec5ff",
    "unseen": "c33ea2ec20101a70a4b283b1e66a1116790bb63c1c5565925d216d0087290216",
    "hard": "b7b5b067144111ac41db939b97ad001b87eec934e738da9238e9429f5594ec70",
    "latin": "5d294b70a7da0df0d455b9f993bcbeff8937012901ac178ba14484d62677ca44",
}


def drawn(split: str) -> str:
    """A hash of the texts of ten documents and of the states of their random generators at the end."""
    found, used = hashlib.sha256(), []

    class Spied(random.Random):
        def __init__(self, seed: str) -> None:
            super().__init__(seed)
            used.append(self)

    original = vars(draw)["random"]
    vars(draw)["random"] = SimpleNamespace(Random=Spied)
    try:
        for seed in range(10):
            level = LEVELS[("note", "line384", "page", "leaf", "s1")[seed % 5]]
            document = draw_document(level, seed, split)
            found.update(f"{document.text}/{used[-1].random()}/{document.image.shape}".encode())
    finally:
        vars(draw)["random"] = original
    return found.hexdigest()


def test_evaluation_sets_are_unchanged(tmp_path):
    program = f"from test_frozen_sets import drawn\nfor split in {list(FROZEN)}: print(drawn(split))"
    fonts = str(Path(matplotlib.get_data_path()) / "fonts/ttf")
    none = tmp_path / "none"
    none.touch()
    nothing = {"NANO_FONTS": fonts, "NANO_WORDS": str(none), "NANO_SENTENCES": str(none)}
    environment = {**os.environ, **nothing, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert dict(zip(FROZEN, result.stdout.split())) == FROZEN


@pytest.mark.parametrize("split", FROZEN)
def test_evaluation_sets_use_no_training_effects(split, monkeypatch):
    def never(*_):
        raise AssertionError("only training has this")

    for name in ("pick_taught_language", "_symbols", "_other_kind", "_three_dots"):
        monkeypatch.setattr(draw, name, never)
    for name in ("on_colour", "dotted"):
        monkeypatch.setattr(practice, name, never)
    for seed in range(4):
        draw_document(LEVELS["note"], seed, split)
    if split != "unseen":  # strips are of the faces to train on
        handful.cache_clear()
        assert handful(1, split)
        handful.cache_clear()
