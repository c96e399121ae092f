"""The text of synthetic documents: held-out words, real English, quotes, spaces and figures."""

import hashlib
import random
import re
import zlib
from functools import cache
from pathlib import Path

import dateutil.parser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanochat.errors import UserError
from nanochat.synth import lexicon
from nanochat.synth.figures import Figures
from nanochat.synth.fonts import EXTRAS, PLAIN, PRINTED
from nanochat.synth.lexicon import COMMON_WORDS, sentences, words_by_length
from nanochat.synth.phrases import FIELDS, FIRMS, MONTHS, OFFICE, SHOP, SIZES, SPOKEN, STREETS
from nanochat.synth.wordings import WORDINGS
from nanochat.synth.writer import Writer

DEBIANS_WORDS = "9f513f1ceadb6a01c5485b7dbdfd5118dc66cd70b59cae2851292112d4066a32"


@cache
def fixed_words() -> set[str]:
    """The words of all fixed phrases, in lower case."""
    texts = [*COMMON_WORDS, *SHOP, *OFFICE, *FIRMS, *STREETS, *SIZES, *SPOKEN, *MONTHS, *(m[:3] for m in MONTHS)]
    texts += [label for labels in FIELDS.values() for label in labels]
    texts += [text for own in WORDINGS.values() for text in (own.common, own.months, *own.phrases)]
    return {word.lower() for word in re.findall(r"[^\W\d_]+", " ".join(texts))}


def test_common_phrases_contain_no_held_out_words():
    held_out = {word.lower() for words in words_by_length(True).values() for word in words}
    assert len(held_out) > 2000 and not held_out & fixed_words()


def test_included_word_list_equals_that_of_fonts_sh(monkeypatch, tmp_path):
    """Without a system list the words are the same, so that synthetic sets do not change."""
    monkeypatch.delenv("NANO_WORDS", raising=False)
    monkeypatch.setattr(lexicon, "SYSTEM_WORDS", str(tmp_path / "words"))
    assert lexicon.word_list() == lexicon.OWN_WORDS
    own = lexicon.OWN_WORDS.read_bytes()
    assert hashlib.sha256(own).hexdigest() == "74e9ad0fc09cfbc2b72ab4872462766fe33ff686063881d6efff192497bb65b5"
    debian = Path("/usr/share/dict/american-english")  # of wamerican; only compared with version 2020.12.07
    if debian.exists() and hashlib.sha256(debian.read_bytes()).hexdigest() == DEBIANS_WORDS:
        words = set(re.findall(r"^[A-Za-z]?[a-z]+$", debian.read_text(encoding="utf-8"), re.MULTILINE))
        fit = {word for word in words if 2 <= len(word) <= 14 and not lexicon._UNFIT.search(word)}
        assert fit == set(own.decode().split())


def test_precedence_of_word_lists(monkeypatch, tmp_path):
    for name in ("named", "system"):
        (tmp_path / name).write_text("zyzzyva\n")
    monkeypatch.setattr(lexicon, "SYSTEM_WORDS", str(tmp_path / "system"))
    monkeypatch.setenv("NANO_WORDS", str(tmp_path / "named"))
    assert lexicon.word_list() == tmp_path / "named" and "zyzzyva" in lexicon._read_words()
    monkeypatch.setenv("NANO_WORDS", str(tmp_path / "missing"))
    with pytest.raises(UserError, match="NANO_WORDS names no file"):
        lexicon.word_list()
    monkeypatch.delenv("NANO_WORDS")
    assert lexicon.word_list() == tmp_path / "system"
    assert "zyzzyva" in lexicon._read_words() and "zucchinis" not in lexicon._read_words()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_held_out_words_are_used_only_in_unseen(seed, held_out):
    writer = Writer(random.Random(seed), held_out)
    words = [writer.word() for _ in range(200)] + re.findall("[A-Za-z]+", writer.name().replace(".", ""))
    for word in words:
        if word.lower() not in fixed_words() and len(word) > 1:
            assert (zlib.crc32(word.lower().encode()) % 20 == 0) == held_out, word


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Write lines that replace real English until the end of the test."""

    def tell(*lines: str) -> tuple[str, ...]:
        (tmp_path / "english.txt").write_text("\n".join(lines))
        monkeypatch.setenv("NANO_SENTENCES", str(tmp_path / "english.txt"))
        sentences.cache_clear()
        return sentences()

    yield tell
    sentences.cache_clear()


def test_sentences_with_held_out_or_unfit_words_are_omitted(told):
    held_out = next(word for words in words_by_length(True).values() for word in words if len(word) > 5)
    kept = "a place where bread is baked and sold"
    lines = (kept, f"a place where {held_out} is sold", "a café that is open late", "too short", "a whorehouse of old")
    assert told(*lines) == (kept,)


def test_real_english_is_used_only_in_training(told):
    told("the quick brown fox jumps over a dog", "pack my box with five dozen jugs")
    written = " ".join(Writer(random.Random(seed)).sentences(60).lower() for seed in range(20))
    assert "brown fox jumps" in written and "five dozen jugs" in written
    unseen = " ".join(Writer(random.Random(seed), True).sentences(60).lower() for seed in range(20))
    assert "brown fox" not in unseen and "dozen jugs" not in unseen


def test_typographic_quotes_open_and_close_correctly():
    texts = [Writer(random.Random(seed), extras=EXTRAS).sentences(400) for seed in range(60)]
    printed = [text for text in texts if re.search("[“”‘’]", text)]
    assert 15 < len(printed) < 45, "about one writer in two"
    for text in printed:
        assert not re.search("[\"']", text), "never both kinds"
        assert not re.search(r"\w[“‘]|[“‘](\s|$)|(?<=\s)”|(?<=\s)’(?!tis)", text), text
    plain = str.maketrans(PRINTED, PLAIN)
    assert any(re.search(r"[A-Za-z][,.?!]\"", text.translate(plain)) for text in printed), "speech ends with its mark"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 96))
def test_lines_have_at_most_the_requested_length_and_single_spaces(seed, longest):
    line = Writer(random.Random(seed)).line(longest)
    assert 1 <= len(line) <= longest and line == " ".join(line.split())


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40), st.integers(0, 10**9))
@example("Total:: 5", 0)
def test_till_spacing_changes_only_spaces(text, seed):
    writer = Writer(random.Random(seed))
    typed = [writer.spaced(" ".join(text.split())) for _ in range(100)]
    assert all(line.replace(" ", "") == text.replace(" ", "") and line == " ".join(line.split()) for line in typed)


def test_till_spacing_keeps_times_and_dates_together():
    writer = Writer(random.Random(0))
    typed = {writer.spaced("at 12:33, 21/03/18: No. 5, A-B") for _ in range(200)}
    assert len(typed) > 3 and all("12:33" in line and "21/03/18" in line for line in typed)


def test_every_date_format_can_be_parsed():
    """Parsed by dateutil; the formats of receipts are included."""
    figures = Figures(random.Random(0), "", MONTHS, abroad=False)
    dates = [figures.date() for _ in range(600)]
    for date in dates:
        dateutil.parser.parse(date)
    for form in (r"\d{4}/\d\d/\d\d", r"\d\d-\d\d-\d{4}", "[A-Z][a-z]{4,} ", r"\d[AP]M", r"\d \d?\d:"):
        assert any(re.search(form, date) for date in dates), form
