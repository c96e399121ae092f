"""Languages other than English: their letters, words, and positions of accents."""

import random
import re
import zlib

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from nanochat.errors import UserError
from nanochat.synth import LEVELS, draw_document
from nanochat.synth.atlas import get_atlas
from nanochat.synth.canvas import Canvas
from nanochat.synth.fonts import find_fonts
from nanochat.synth.languages import CENTRAL_LANGUAGES, LANGUAGES, OWN_SCRIPT_LANGUAGES, language
from nanochat.synth.layouts.sheet import Faces, Sheet
from nanochat.synth.lexicon import COMMON_WORDS
from nanochat.synth.phrases import OFFICE, SHOP
from nanochat.synth.writer import Writer
from nanochat.tokenizer import CHARACTERS, LETTERS

# The letters of each alphabet besides a to z.
ALPHABETS = {
    "German": "äöüß", "French": "àâçèéêëîïôùûœ", "Spanish": "áéíñóúü", "Italian": "àèéìòù",
    "Portuguese": "àáâãçéêíóôõú", "Dutch": "éëïöü", "Swedish": "åäöé", "Danish": "æøå", "Norwegian": "æøå",
    "Finnish": "äö",
}  # fmt: skip
EASTERN = {
    "Polish": "ąćęłńóśźż", "Czech": "áčďéěíňóřšťúůýž", "Slovak": "áäčďéíĺľňóôŕšťúýž", "Slovene": "čšž",
    "Croatian": "čćđšž", "Hungarian": "áéíóöőúüű", "Romanian": "ăâîșț", "Turkish": "çğıöşü", "Lithuanian": "ąčęėįšųūž",
    "Latvian": "āčēģīķļņšūž", "Estonian": "äõöüšž", "Greek": "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋ",
    "Russian": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "Bulgarian": "абвгдежзийклмнопрстуфхцчшщъьюя", "Serbian": "абвгдђежзијклљмнњопрстћуфхцчџш",
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGES)
def test_western_languages_use_exactly_their_letters(name):
    assert set("".join(language(name).having).lower()) >= set(ALPHABETS[name])
    written = ""
    for seed in range(40):
        writer = Writer(random.Random(seed), language=language(name))
        written += " ".join([writer.sentences(200), writer.line(60), writer.phrase(), writer.name(), writer.date()])
    letters = {char for char in written if char.isalpha() and not char.isascii()} - {*"ºª"}
    assert set(ALPHABETS[name]) <= {char.lower() for char in letters} and letters <= set(LETTERS)
    accented = sum(map(bool, re.findall(r"[^\W\d_]*[À-ÿœŒ][^\W\d_]*", written)))
    assert 0.15 < accented / len(re.findall(r"[^\W\d_]+", written)) < 0.7, "often enough to be learnt"


@pytest.mark.parametrize("name", CENTRAL_LANGUAGES + OWN_SCRIPT_LANGUAGES)
def test_eastern_languages_use_exactly_their_letters(name):
    written = ""
    for seed in range(60):
        writer = Writer(random.Random(seed), language=language(name))
        texts = [writer.sentences(200), writer.line(60), writer.phrase(), writer.name(), writer.date().upper()]
        written += " ".join([*texts, writer.title(3), writer.entry().upper(), writer.place(), writer.email()])
    letters = {char for char in written if char.isalpha() and not char.isascii()}
    alphabet = {*EASTERN[name], *EASTERN[name].upper()} | ({"İ"} if name == "Turkish" else set())
    assert {*EASTERN[name]} <= letters <= alphabet
    assert letters <= {*CHARACTERS}, "each is one token"
    latin = len(re.findall("[A-Za-z]", written)) / len(re.findall(r"[^\W\d_]", written))
    assert (latin < 0.25) if name in OWN_SCRIPT_LANGUAGES else (latin > 0.6)


def test_email_addresses_are_in_latin_letters():
    for name in OWN_SCRIPT_LANGUAGES:
        writer = Writer(random.Random(0), language=language(name))
        assert all(writer.email().isascii() for _ in range(20))


def test_serbian_is_croatian_in_cyrillic_letters():
    croatian, serbian = (
        {word.lower() for alike in language(name).words.values() for word in alike} for name in ("Croatian", "Serbian")
    )
    assert {"njemačka", "ljubica"} <= croatian and {"њемачка", "љубица"} <= serbian


def test_faces_have_the_letters_of_the_language(monkeypatch):
    """According to the tables of the font files, read with fontTools."""
    used: list[tuple[Faces, str]] = []
    real = Sheet.__init__

    def spy(self, canvas, level, faces, px, ink, writer):
        used.append((faces, writer._language.name))
        real(self, canvas, level, faces, px, ink, writer)

    monkeypatch.setattr(Sheet, "__init__", spy)
    for seed in range(33):
        draw_document(LEVELS["line256"], seed, "central")
    assert {name for _, name in used} == {*CENTRAL_LANGUAGES}
    for faces, name in used:
        for face in faces:
            known = TTFont(face.path, fontNumber=face.index).getBestCmap()
            assert {ord(letter) for letter in EASTERN[name] + EASTERN[name].upper()} <= {*known}, (name, face.path)


def test_language_without_a_font_is_named(monkeypatch):
    monkeypatch.setattr("nanochat.synth.draw.draws", lambda *_: False)
    with pytest.raises(UserError, match=r"letters of Polish is installed: run `bash runs/fonts\.sh`"):
        for seed in range(0, 400, len(CENTRAL_LANGUAGES)):
            draw_document(LEVELS["line256"], seed, "central")


def test_held_out_english_words_are_not_used_in_other_languages():
    own = [*SHOP, *OFFICE, *COMMON_WORDS]  # in every set, like the fixed wordings of each language
    words = []
    for found in map(language, LANGUAGES):
        own += [*found.phrases, *found.common, *found.months]
        words += [word for alike in found.words.values() for word in alike]
    usual = {word.lower() for word in re.findall(r"[^\W\d_]+", " ".join(own))}
    checked = [word for word in words if word.lower() not in usual]
    assert len(checked) > 50_000
    assert not [word for word in checked if zlib.crc32(word.lower().encode()) % 20 == 0]


def test_accents_are_above_their_letters():
    western = [faces[0] for faces in list(find_fonts().trained.values())[::12] if faces[0].western]
    assert western
    for face in western:
        atlas, paper = get_atlas(face, 24), Canvas(200, 80, (255,))
        paper.write(10, 50, "EE", atlas, (0,))
        plain = paper.image.copy()
        paper.write(100, 50, "ÉÈ", atlas, (0,))
        assert (paper.image[:, :95] == plain[:, :95]).all()
        rows = np.flatnonzero((paper.image[:, 95:] < 128).any(axis=1))
        assert rows[0] < np.flatnonzero((plain < 128).any(axis=1))[0] - 1, face
        boxes, centres, _ = paper.glyphs()
        assert (boxes[2:, 1] == boxes[0, 1]).all() and (centres[2:, 1] == centres[0, 1]).all()
