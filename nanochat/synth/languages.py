"""The European languages other than English: their words, names, months and common phrases.

Words and names come from faker; everything else is in `wordings.py` and `wordings_east.py`.
"""

import importlib
import random
import re
from dataclasses import dataclass
from functools import cache

from nanochat.synth.lexicon import is_held_out, may_be_taught
from nanochat.synth.wordings import WORDINGS, Wordings
from nanochat.synth.wordings_east import CENTRAL, OWN_SCRIPTS
from nanochat.tokenizer import LETTERS

MARKS = "¡¿«»º°€“”‘’„‚"  # all that may be used; curly quotes are transcribed as straight ones


@dataclass(frozen=True)
class Language:
    """What the writer of documents needs to know about a language."""

    name: str
    words: dict[int, tuple[str, ...]]  # by number of letters
    having: dict[str, tuple[str, ...]]  # words with a non-ASCII letter, by that letter
    names: tuple[str, ...]  # of people
    common: tuple[str, ...]
    months: tuple[str, ...]
    phrases: tuple[str, ...]
    quotes: tuple[str, ...]
    letters: str = ""  # non-ASCII letters that a face needs, lower case and capitals; "": those of western Europe
    currencies: tuple[str, ...] = ()  # printed after an amount; (): those of western Europe
    own_script: bool = False  # not written in the Latin alphabet
    latin_words: tuple[str, ...] = ()  # for e-mail addresses, in which the own script cannot be used


LANGUAGES = tuple(WORDINGS)
"""The English names of the languages of western Europe, which the evaluation set `latin` is drawn in."""

CENTRAL_LANGUAGES, OWN_SCRIPT_LANGUAGES = tuple(CENTRAL), tuple(OWN_SCRIPTS)
"""The English names of the languages of central Europe and the Baltic, and of those written in Greek or Cyrillic."""

_SOURCES = WORDINGS | CENTRAL | OWN_SCRIPTS
_WESTERN = {*map(chr, range(33, 127)), *LETTERS}
_LATIN_WORDS = tuple("info mail post shop office data news web online service market home team group travel".split())

LOCALES = tuple(dict.fromkeys(locale for source in _SOURCES.values() for locale in source.locales))
"""The locales of faker that provide the words."""

FEWEST = 4000  # minimum number of words of a language outside western Europe
# Shares of the training documents in another language than English: central Europe, and Greek or Cyrillic.
CENTRAL_SHARE, OWN_SCRIPT_SHARE = 0.33, 0.10


def _of_faker(locale: str) -> tuple[set[str], set[str]]:
    """(words, names of people) of one of faker's locales; parts that this version of faker lacks are left out."""
    found: dict[str, set[str]] = {}
    for part in ("person", "lorem", "address", "job"):
        try:
            provider = importlib.import_module(f"faker.providers.{part}.{locale}").Provider
        except ImportError:
            continue
        texts = [text for key, value in vars(provider).items() if not key.startswith("_") for text in _texts(value)]
        words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text)}
        found[part] = {word for word in words if 2 <= len(word) <= 14}
    return set().union(*found.values()), {name for name in found.get("person", ()) if name.istitle()}


def _texts(value: object) -> list[str]:
    """The strings in one of faker's tables, at any depth. Patterns with placeholders are left out."""
    if isinstance(value, str):
        return [] if re.search(r"[{}#%]", value) else [value]
    if isinstance(value, (dict, tuple, list, set, frozenset)):
        return [text for part in value for text in _texts(part)]
    return []


def lower(text: str) -> str:
    """`text` in lower case. The Turkish İ becomes i, without the combining dot that `str.lower` adds."""
    return text.replace("İ", "i").lower()


def _both_cases(letters: str) -> str:
    """The non-ASCII letters in lower case and as capitals, without duplicates or capitals of two characters."""
    both = [letter for small in letters for letter in (small, small.upper())]
    return "".join(dict.fromkeys(letter for letter in both if len(letter) == 1 and not letter.isascii()))


def _spelled(words: set[str], source: Wordings) -> set[str]:
    """The words in the spelling of the language, without those that contain letters it does not have."""
    alphabet = {*_both_cases(source.letters)} | (set() if source.own_script else {*map(chr, range(33, 127))})
    found = set()
    for word in words:
        for before, after in source.spelling:
            word = word.replace(before, after)
        found.add(word)
    usable = alphabet if source.letters else _WESTERN
    return {word for word in found if usable.issuperset(word)}


def _may_stand(text: str) -> bool:
    """Whether no word of a phrase is among the English ones reserved for the set `unseen`."""
    return not any(word.isascii() and is_held_out(word) for word in re.findall(r"[^\W\d_]+", text))


def _with_more(words: set[str]) -> set[str]:
    """At least FEWEST words: the given ones, and made-up ones from the first half of one and the second of another."""
    rng, known = random.Random(0), sorted(word for word in words if len(word) > 3)
    found = set(words)
    for _ in range(max(0, 2 * (FEWEST - len(words)))):
        start, end = rng.choice(known), rng.choice(known)
        found.add(start[: (len(start) + 1) // 2] + lower(end[len(end) // 2 :]))
    return {word for word in found if word in words or (len(word) <= 14 and may_be_taught(word))}


@cache
def language(name: str) -> Language:
    """A European language with its words, cached. Words reserved for an English evaluation set are left out.

    name: one of LANGUAGES, CENTRAL_LANGUAGES or OWN_SCRIPT_LANGUAGES.
    """
    source = _SOURCES[name]
    words, names = (set().union(*parts) for parts in zip(*map(_of_faker, source.locales)))
    words, names = (set(filter(may_be_taught, _spelled(found, source))) for found in (words, names))
    common = tuple(filter(_may_stand, source.common.split()))
    phrases = tuple(filter(_may_stand, source.phrases))
    own = " ".join((*common, source.months, *phrases))
    words |= _spelled({*re.findall(r"[^\W\d_]{2,}", own)}, source)
    words |= {lower(word) for word in words}  # half of faker's words are names
    if source.letters:
        words = _with_more(words)
    by_length: dict[int, list[str]] = {}
    having: dict[str, list[str]] = {}
    letters = _both_cases(source.letters)
    accented = {*letters} or {*LETTERS} & {*own}
    for word in sorted(words):
        by_length.setdefault(len(word), []).append(word)
        for letter in {*(lower(word) if letters else word)} & accented:
            having.setdefault(letter, []).append(word)
    if "İ" in letters:  # İ has no non-ASCII lower-case letter
        having["İ"] = [word for word in sorted(words) if "İ" in word]
    return Language(
        name,
        {length: tuple(alike) for length, alike in sorted(by_length.items())},
        {letter: tuple(alike) for letter, alike in sorted(having.items())},
        tuple(sorted(names)),
        common,
        tuple(source.months.split()),
        phrases,
        source.quotes,
        letters,
        source.currencies,
        source.own_script,
        tuple(filter(may_be_taught, _LATIN_WORDS)) if source.own_script else (),
    )


def pick_language(rng: random.Random) -> Language:
    """A language of western Europe; all are equally likely."""
    return language(rng.choice(LANGUAGES))


def pick_taught_language(rng: random.Random) -> Language:
    """A European language other than English, according to the shares of the groups."""
    group = rng.random()
    if group < OWN_SCRIPT_SHARE:
        return language(rng.choice(OWN_SCRIPT_LANGUAGES))
    return language(rng.choice(CENTRAL_LANGUAGES if group < OWN_SCRIPT_SHARE + CENTRAL_SHARE else LANGUAGES))
