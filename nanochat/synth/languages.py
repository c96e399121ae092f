"""The languages of western Europe besides English: their words, names, months and usual phrases.

Words and names are faker's; what no dictionary has stands in `wordings.py`.
"""

import importlib
import random
import re
from dataclasses import dataclass
from functools import cache

from nanochat.synth.lexicon import may_be_taught
from nanochat.synth.wordings import WORDINGS
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


LANGUAGES = tuple(WORDINGS)
"""The languages' English names."""

LOCALES = tuple(locale for source in WORDINGS.values() for locale in source.locales)
"""Of faker, from which their words come."""

_USABLE = {*map(chr, range(33, 127)), *LETTERS}


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
        found[part] = {word for word in words if 2 <= len(word) <= 14 and _USABLE.issuperset(word)}
    return set().union(*found.values()), {name for name in found.get("person", ()) if name.istitle()}


def _texts(value: object) -> list[str]:
    """The texts in one of faker's tables, however deep they lie; patterns to be filled in are none."""
    if isinstance(value, str):
        return [] if re.search(r"[{}#%]", value) else [value]
    if isinstance(value, (dict, tuple, list, set, frozenset)):
        return [text for part in value for text in _texts(part)]
    return []


@cache
def language(name: str) -> Language:
    """One of LANGUAGES with its words, read once; those are left out that a set of English keeps for itself."""
    source = WORDINGS[name]
    words, names = (set().union(*parts) for parts in zip(*map(_of_faker, source.locales)))
    words, names = (set(filter(may_be_taught, found)) for found in (words, names))
    own = " ".join((source.common, source.months, *source.phrases))
    words |= {*re.findall(r"[^\W\d_]{2,}", own)}
    words |= {word.lower() for word in words}  # half of faker's are names
    by_length: dict[int, list[str]] = {}
    having: dict[str, list[str]] = {}
    for word in sorted(words):
        by_length.setdefault(len(word), []).append(word)
        for letter in {*word} & {*LETTERS} & {*own}:
            having.setdefault(letter, []).append(word)
    return Language(
        name,
        {length: tuple(alike) for length, alike in sorted(by_length.items())},
        {letter: tuple(alike) for letter, alike in sorted(having.items())},
        tuple(sorted(names)),
        tuple(source.common.split()),
        tuple(source.months.split()),
        source.phrases,
        source.quotes,
    )


def pick_language(rng: random.Random) -> Language:
    """Any of them, each as likely as the others."""
    return language(rng.choice(LANGUAGES))
