"""The words of synthetic documents, and which of them are held out from training."""

import os
import re
import zlib
from functools import cache
from pathlib import Path

from nanochat.errors import UserError, extra
from nanochat.files import WORD_LIST
from nanochat.synth.phrases import FIELDS, FIRMS, MONTHS, OFFICE, SHOP, SIZES, SPOKEN, STREETS
from nanochat.synth.wordings import WORDINGS

SYSTEM_WORDS = "/usr/share/dict/words"  # Debian's wamerican, installed by runs/fonts.sh; NANO_WORDS overrides it
OWN_WORDS = WORD_LIST  # the same list, for machines without it
WORDNET = "/usr/share/wordnet"  # Debian's wordnet-base; NANO_SENTENCES, a file of lines, overrides it
HELD_OUT_SHARE = 20  # one in this many words is reserved for the set `unseen`

# Function words, used in every set so that sentences look natural.
COMMON_WORDS = tuple(
    "the of and to a in is it you that he was for on are with as his they be at one have this from or had by not but "
    "what all were we when your can said there use an each which she do how their if will up other about out many then "
    "them these so some her would make like him into time has look two more go see no way could my than first been who "
    "its now did get may".split()
)

# Words used in every set, or by training in another language: they do not count as unseen.
_FIXED = (
    *(*COMMON_WORDS, *SPOKEN, *SHOP, *OFFICE, *FIRMS, *STREETS, *SIZES, *MONTHS, *(month[:3] for month in MONTHS)),
    *(label for labels in FIELDS.values() for label in labels),
    *(text for own in WORDINGS.values() for text in (own.common, own.months, *own.phrases)),
)
_IN_EVERY_SET = set(re.findall(r"[^\W\d_]+", " ".join(_FIXED).lower()))

# Stems of words that are left out, so that every image is fit for any audience.
_UNFIT = re.compile(
    r"^(anal|anus|arse|ass|asse[ds]|boob|cum|dildo|fag|homo|nazi|piss|porn|pube|pubic|rape|semen|tit|tits|titty|turd|twat"
    r"|wank|wop|wog|yid|damn)|bastard|bitch|bugger|clit|cock$|cocks$|coon$|coons$|crap|cunt|dyke|ejacul|erotic|faggot|fart"
    r"|fornic|fuck|gook|hitler|incest|kike|lesbian|molest|negro|nigg|nipple|orgasm|orgy|paki|penis|prostitut|queer|rapist"
    r"|scrot|sex|shit|slut|sod(om|ding)|spic$|spics$|testic|foreplay|genital|masturb|vagina|vulva|whore|jew$|jews$"
    r"|offensive|disparag|derogat|slang",
    re.IGNORECASE,
)


def is_held_out(word: str) -> bool:
    """Whether training must not use `word`. Depends only on its letters, ignoring case."""
    word = word.lower()
    return word not in _IN_EVERY_SET and zlib.crc32(word.encode()) % HELD_OUT_SHARE == 0


def may_be_taught(word: str) -> bool:
    """Whether a word of any language is fit for any audience and not reserved for the set `unseen`."""
    return not is_held_out(word) and not _UNFIT.search(word)


@cache
def _names() -> tuple[str, ...]:
    with extra("train"):
        from faker.providers.person.en_US import Provider as Person

    found = {*Person.first_names, *Person.last_names}
    return tuple(sorted(name for name in found if name.isascii() and name.isalpha()))


def word_list() -> Path:
    """The file of English words, one per line: NANO_WORDS, else the system's, else the one of this package.

    Raises UserError if NANO_WORDS is set but is not a file.
    """
    named = os.environ.get("NANO_WORDS")
    if named and not Path(named).is_file():
        raise UserError(f"NANO_WORDS names no file: {named}")
    system = Path(SYSTEM_WORDS)
    return Path(named) if named else system if system.is_file() else OWN_WORDS


def _read_words() -> set[str]:
    with extra("train"):
        from faker.providers.address.en_US import Provider as Address
        from faker.providers.company.en_US import Provider as Company
        from faker.providers.job.en_US import Provider as Job
        from faker.providers.lorem.en_US import Provider as Lorem

    phrases = [*_names(), *Lorem.word_list, *Address.states, *Address.countries, *Address.street_suffixes, *Job.jobs]
    phrases += [phrase for part in (*Company.bsWords, *Company.catch_phrase_words) for phrase in part]
    words = {word for phrase in phrases for word in re.findall(r"[A-Za-z]{2,}", phrase)}
    words.update(re.findall(r"^[A-Za-z]?[a-z]+$", word_list().read_text(encoding="utf-8"), re.MULTILINE))
    return {word for word in words if 2 <= len(word) <= 14 and not _UNFIT.search(word)}


@cache
def _split_words() -> tuple[dict[int, tuple[str, ...]], dict[int, tuple[str, ...]]]:
    found: tuple[dict[int, list[str]], dict[int, list[str]]] = ({}, {})
    for word in sorted(_read_words()):
        found[is_held_out(word)].setdefault(len(word), []).append(word)
    trained, held_out = ({length: tuple(words) for length, words in sorted(part.items())} for part in found)
    return trained, held_out


def words_by_length(held_out: bool) -> dict[int, tuple[str, ...]]:
    """The training words or the held-out ones, sorted and grouped by number of letters."""
    return _split_words()[held_out]


def _read_sentences() -> list[str]:
    path = os.environ.get("NANO_SENTENCES")
    if path:
        return Path(path).read_text(encoding="utf-8").splitlines()
    found = []
    for file in sorted(Path(WORDNET).glob("data.*")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):  # the licence
                found += line.partition(" | ")[2].replace('"', "").split(";")
    return found


@cache
def sentences(unseen: bool = False) -> tuple[str, ...]:
    """Real English of 15 to 120 characters: definitions and examples from WordNet 3.0, without held-out words.

    With `unseen`: those that contain a held-out word and are never used in training. Empty if WordNet is not installed.
    """
    may_stand = cache(may_be_taught)
    kept = set()
    for text in _read_sentences():
        text = text.strip()
        if not (15 <= len(text) <= 120 and text.isascii() and text.isprintable()):
            continue
        words = re.findall(r"[A-Za-z]+", text)
        if unseen and any(map(is_held_out, words)) and not any(map(_UNFIT.search, words)):
            kept.add(text)
        elif not unseen and all(map(may_stand, words)):
            kept.add(text)
    return tuple(sorted(kept))


@cache
def names(held_out: bool) -> tuple[str, ...]:
    """First names and surnames, those of training or the held-out ones, sorted."""
    return tuple(name for name in _names() if is_held_out(name) == held_out)
