"""A word has letters of one alphabet: those of another that look the same are replaced."""

import re

_GREEK_AND_CYRILLIC = "АВЗЕКМНОРСТХаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_LATIN = "AB3EKMHOPCTXaeopcyxijsABEZHIKMNOPTYXo"
TO_LATIN = str.maketrans(_GREEK_AND_CYRILLIC, _LATIN)
_WORD = re.compile(r"[^\W\d_]+")


def in_one_alphabet(text: str) -> str:
    """A text whose words with more Latin letters than others have only Latin letters, where they look the same."""
    return text if text.isascii() else _WORD.sub(lambda word: _to_latin(word[0]), text)


def _to_latin(word: str) -> str:
    latin = sum(c < "\u0370" for c in word)
    return word.translate(TO_LATIN) if 2 * latin > len(word) > latin else word
