"""Whether a text is probably what is written on its page, or invented because the model does not know the letters."""

import re
from functools import cache

from nanochat.files import WORD_LIST

READABLE_PAGE, READABLE_LINE = 0.94, 0.90
"""Mean probability below which a page or a line is probably not readable: in another alphabet, handwritten, or in
unusual type. Its text may then be invented. Chosen on other pages than those measured."""
SURE = 0.97  # mean probability from which it is readable anyway, like codes that mix letters and digits
MIXED = 0.2  # subtracted from the probability of a text in which every word changes from small letters to capitals
ENOUGH = 4  # shorter texts are not judged: their probability says little
PAGE = 80  # characters from which a text counts as a page; the mean over fewer varies more
LETTERS = 3  # shorter words are not looked at
ACCENTED = 0.05  # least share of small letters with accents in a text of a language that has many
_CHANGES = re.compile(r"[a-zß-ÿ][A-ZÀ-Þ0-9]")
WORD_LETTERS = 4  # of an English word: among shorter ones, invented words are often right by chance
WORDS, KNOWN = 8, 1 / 3  # a page is in English if it has at least so many words, and this share is in the dictionary


@cache
def _dictionary() -> frozenset[str]:
    return frozenset(WORD_LIST.read_text(encoding="utf-8").lower().split())


def is_english(text: str) -> bool:
    """Whether a third of the words of a text are English.

    Of badly printed English pages, half are. Of words invented for another alphabet, rarely more than a quarter are.
    """
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text) if len(word) >= WORD_LETTERS]
    return len(words) >= WORDS and sum(word in _dictionary() for word in words) >= KNOWN * len(words)


def _has_accents(text: str) -> bool:
    """Whether a text has as many small Latin letters with accents as Czech, Latvian and Hungarian have.

    Of texts invented for other alphabets with a probability above READABLE_LINE, none has.
    """
    letters = [c for c in text if c.isalpha()]
    accented = sum(c.islower() and "\u0080" < c < "\u0250" for c in letters)
    return accented > 0 and accented >= ACCENTED * len(letters)


def is_readable(text: str, mean_probability: float) -> bool:
    """Whether a text with this mean probability is probably what is written on the page.

    The small letters of other alphabets often look like Latin capitals, as in "kauectBa". Words that change from small
    letters to capitals or digits therefore lower the probability of a page. A page with many English words, or with
    many accents, is judged like a line: it is badly printed, or in a language of which the model is less sure, rather
    than in another alphabet.
    """
    characters = sum(not c.isspace() for c in text)
    if characters < ENOUGH or mean_probability >= SURE:
        return True
    if characters < PAGE:
        return mean_probability >= READABLE_LINE
    words = [word.strip(".,:;") for word in text.split() if sum(c.isalpha() for c in word) >= LETTERS]
    mixed = sum(bool(_CHANGES.search(word)) and not {"@", "."} & set(word) for word in words) / max(1, len(words))
    limit = READABLE_LINE if _has_accents(text) else READABLE_PAGE
    if mean_probability - MIXED * mixed >= limit:
        return True
    return mean_probability >= READABLE_LINE and is_english(text)
