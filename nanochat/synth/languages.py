"""The languages of Europe besides English: their words, names, months and usual phrases.

Words and names are faker's; what no dictionary has stands in `wordings.py` and `wordings_east.py`.
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

MARKS = "¡¿«»º°€“”‘’„‚"  # all that may stand there; curly quotes are read as the typewriter's


@dataclass(frozen=True)
class Language:
    """What a writer needs to know of one language."""

    name: str
    words: dict[int, tuple[str, ...]]  # under their number of letters
    having: dict[str, tuple[str, ...]]  # those with a letter beyond ASCII, under each such letter
    names: tuple[str, ...]  # of people
    common: tuple[str, ...]
    months: tuple[str, ...]
    phrases: tuple[str, ...]
    quotes: tuple[str, ...]
    letters: str = ""  # those beyond ASCII that a face needs, small and capital; "": those of western Europe
    currencies: tuple[str, ...] = ()  # behind a sum of money; (): those of western Europe
    own_script: bool = False  # not written in Latin letters
    latin_words: tuple[str, ...] = ()  # what stands in addresses of mail, where its own letters may not


LANGUAGES = tuple(WORDINGS)
"""The English names of western Europe's languages, which the measured set `latin` is drawn in."""

CENTRAL_LANGUAGES, OWN_SCRIPT_LANGUAGES = tuple(CENTRAL), tuple(OWN_SCRIPTS)
"""The English names of the languages of central Europe and the Baltic, and of those in Greek or Cyrillic letters."""

_SOURCES = WORDINGS | CENTRAL | OWN_SCRIPTS
_WESTERN = {*map(chr, range(33, 127)), *LETTERS}
_LATIN_WORDS = tuple("info mail post shop office data news web online service market home team group travel".split())

LOCALES = tuple(dict.fromkeys(locale for source in _SOURCES.values() for locale in source.locales))
"""Of faker, from which their words come."""

FEWEST = 4000  # words of a language besides western Europe's
# Of the documents of training that are in another language than English: central Europe's, Greek and Cyrillic.
CENTRAL_SHARE, OWN_SCRIPT_SHARE = 0.33, 0.10


def _of_faker(locale: str) -> tuple[set[str], set[str]]:
    """(words of any kind, names of people) of one of faker's locales; what this version of faker lacks is left out."""
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
    """The texts in one of faker's tables, however deep they lie; patterns to be filled in are none."""
    if isinstance(value, str):
        return [] if re.search(r"[{}#%]", value) else [value]
    if isinstance(value, (dict, tuple, list, set, frozenset)):
        return [text for part in value for text in _texts(part)]
    return []


def lower(text: str) -> str:
    """`text` in small letters; the Turkish capital with a dot becomes an i, not an i and a dot that is added to it."""
    return text.replace("İ", "i").lower()


def _both_cases(letters: str) -> str:
    """Letters beyond ASCII, small and capital, each once and none that takes two characters."""
    both = [letter for small in letters for letter in (small, small.upper())]
    return "".join(dict.fromkeys(letter for letter in both if len(letter) == 1 and not letter.isascii()))


def _spelled(words: set[str], source: Wordings) -> set[str]:
    """The words as the language writes them, without those that have letters which it lacks."""
    alphabet = {*_both_cases(source.letters)} | (set() if source.own_script else {*map(chr, range(33, 127))})
    found = set()
    for word in words:
        for before, after in source.spelling:
            word = word.replace(before, after)
        found.add(word)
    usable = alphabet if source.letters else _WESTERN
    return {word for word in found if usable.issuperset(word)}


def _may_stand(text: str) -> bool:
    """Whether none of a wording's words is one of those that English keeps for the set `unseen`."""
    return not any(word.isascii() and is_held_out(word) for word in re.findall(r"[^\W\d_]+", text))


def _with_more(words: set[str]) -> set[str]:
    """Few words with made-up ones beside them, FEWEST in all: the first half of one and the second half of another."""
    rng, known = random.Random(0), sorted(word for word in words if len(word) > 3)
    found = set(words)
    for _ in range(max(0, 2 * (FEWEST - len(words)))):
        start, end = rng.choice(known), rng.choice(known)
        found.add(start[: (len(start) + 1) // 2] + lower(end[len(end) // 2 :]))
    return {word for word in found if word in words or (len(word) <= 14 and may_be_taught(word))}


@cache
def language(name: str) -> Language:
    """One of Europe's languages with its words, read once; those are left out that a set of English keeps for itself.

    name: of LANGUAGES, CENTRAL_LANGUAGES or OWN_SCRIPT_LANGUAGES.
    """
    source = _SOURCES[name]
    words, names = (set().union(*parts) for parts in zip(*map(_of_faker, source.locales)))
    words, names = (set(filter(may_be_taught, _spelled(found, source))) for found in (words, names))
    common = tuple(filter(_may_stand, source.common.split()))
    phrases = tuple(filter(_may_stand, source.phrases))
    own = " ".join((*common, source.months, *phrases))
    words |= _spelled({*re.findall(r"[^\W\d_]{2,}", own)}, source)
    words |= {lower(word) for word in words}  # half of faker's are names
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
    if "İ" in letters:  # of no small letter beyond ASCII
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
    """Any of western Europe's, each as likely as the others."""
    return language(rng.choice(LANGUAGES))


def pick_taught_language(rng: random.Random) -> Language:
    """Any of Europe's besides English, by the shares of its groups."""
    group = rng.random()
    if group < OWN_SCRIPT_SHARE:
        return language(rng.choice(OWN_SCRIPT_LANGUAGES))
    return language(rng.choice(CENTRAL_LANGUAGES if group < OWN_SCRIPT_SHARE + CENTRAL_SHARE else LANGUAGES))
