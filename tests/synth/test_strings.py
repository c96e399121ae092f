"""Long strings and comb fields, in which every character counts."""

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.synth import LEVELS, draw_document
from nanochat.synth.figures import Figures
from nanochat.synth.phrases import MONTHS

TRAINED = replace(LEVELS["block"], width=512, degrade=0.0)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 60))
def test_long_string_has_at_most_the_requested_length(seed: int, longest: int) -> None:
    text = Figures(random.Random(seed), "", MONTHS, abroad=False).long_string(longest)
    assert 1 <= len(text) <= longest and text == " ".join(text.split()) and text.isascii()


def test_all_kinds_of_long_strings_occur() -> None:
    figures = Figures(random.Random(0), "", MONTHS, abroad=False)
    texts = [figures.long_string(44) for _ in range(600)]
    forms = (
        r"<<", r"^(.)\1{4,}", r"^\d'\d{3}'\d{3}\.\d\d$", r"^[A-Z]{2}\d\d( \d{4})+ \d\d$", r"^https?://\S{12,}$",
        r"^[0-9a-f]{16,}$", r"^[0O8B6G5S1I2ZD]{8,}$",
    )  # fmt: skip
    for form in forms:
        assert any(re.search(form, text) for text in texts), form


@pytest.mark.parametrize("kind", ["combs", "strings"])
def test_only_training_has_long_strings(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    real = draw_document.__globals__["draw"]
    monkeypatch.setitem(draw_document.__globals__, "draw", lambda name, sheet: (kinds.append(name), real(name, sheet)))
    for seed in range(120):
        draw_document(LEVELS["line256"], seed, "train")
    assert 1 <= kinds.count(kind) <= 20
    kinds.clear()
    for seed in range(60):
        draw_document(LEVELS["line256"], seed, "val")
    assert kind not in kinds


def test_comb_characters_are_evenly_spaced_and_one_word() -> None:
    checked = 0
    for seed in range(30):
        document = draw_document(replace(TRAINED, kinds=("combs",)), seed, "val")
        for line, text in enumerate(document.text.split("\n") if document.text else []):
            centres = document.centres[document.line_ids == line, 0]
            value = re.search(r"\S{5,}$", text)
            if value:
                steps = np.diff(centres[value.start() : value.end()])
                even = np.ptp(steps) < 0.02
                checked += even and steps[0] > 0
    assert checked > 20
