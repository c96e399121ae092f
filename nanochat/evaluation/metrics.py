"""How well a text was read: error rates, similarities and shares of words, each a pure function of two texts.

Every function takes the output first and the reference second, and compares them as they are: case, punctuation and
white space count. A word is what white space parts.

Where results are reported (`scores.py`), both texts pass through `normalise_text` first, and that is all that is done
to them: a line end is a space like any other, several are one; a printer's quotes and en dashes are what a typewriter
has in their place, for some references keep them, some do not, and so do readers; a letter and its accent are one
character. Case counts, but not for the sets whose references are in capitals whatever stands in the picture (receipts
of SROIE).
"""

import unicodedata
from collections import Counter
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

CHARTQA_TOLERANCE = 0.05
LOOP_REPEATS = 4  # so often the same characters, one after the other, are a loop
_AS_TYPED = str.maketrans("“”„‘’‚–", "\"\"\"'''-")
LOOP_CHARS = 20  # if they are so many more than the reference itself repeats (rules of dashes)


class WordScores(NamedTuple):
    """Shares from 0 to 1 of the words that two texts have in common."""

    precision: float
    recall: float
    f1: float


def normalise_text(text: str, fold_case: bool = False) -> str:
    """Every run of white space, line ends included, becomes one space, none at the ends; lower case if asked for.

    Curly quotes become straight, en dashes hyphens; an accent that follows its letter becomes part of it (Unicode's
    NFC, as text layers of PDFs may not have it).
    """
    text = unicodedata.normalize("NFC", " ".join(text.split())).translate(_AS_TYPED)
    return text.casefold() if fold_case else text


def character_error_rate(output: str, reference: str) -> float:
    """Levenshtein distance over the reference's length: 0 is perfect, above 1 is possible.

    An empty reference counts as one character long, so that reading n characters where there are none costs n.
    """
    return Levenshtein.distance(output, reference) / max(1, len(reference))


def word_error_rate(output: str, reference: str) -> float:
    """`character_error_rate` with words in place of characters."""
    words = reference.split()
    return Levenshtein.distance(output.split(), words) / max(1, len(words))


def normalised_edit_similarity(output: str, reference: str) -> float:
    """1 - Levenshtein distance / length of the longer text: 1 is equal (two empty texts are), 0 nothing in common.

    One minus the normalised edit distance of OmniDocBench's tables.
    """
    return Levenshtein.normalized_similarity(output, reference)


def word_precision_recall_f1(output: str, reference: str) -> WordScores:
    """Precision, recall and F1 over *sets* of words, as the Fox benchmark counts them.

    Order and repetition do not count, and precision alone is easily gamed: an output of one right word scores 1. Give
    recall beside it. Two empty texts score 1; one empty text scores 0.
    """
    found, wanted = set(output.split()), set(reference.split())
    if not found and not wanted:
        return WordScores(1.0, 1.0, 1.0)
    common = len(found & wanted)
    precision, recall = common / max(1, len(found)), common / max(1, len(wanted))
    return WordScores(precision, recall, 2 * common / (len(found) + len(wanted)))


def word_overlap(output: str, reference: str) -> float:
    """Share of the reference's words that the output has, a word as often as the reference has it.

    The recipe's "Overlap": 1 means that every word is there. Order and superfluous words do not count; an empty
    reference has all its words.
    """
    wanted = Counter(reference.split())
    if not wanted:
        return 1.0
    return (wanted & Counter(output.split())).total() / wanted.total()


def exact_match(output: str, reference: str) -> bool:
    """Are the texts equal but for white space at their ends?"""
    return output.strip() == reference.strip()


def relaxed_accuracy(output: str, reference: str, tolerance: float = CHARTQA_TOLERANCE) -> bool:
    """ChartQA's rule: a number may be off by `tolerance` of the reference, a text must be equal, whatever its case.

    "12%" is the number 0.12. A reference of zero has no relative error and is compared as text.
    """
    found, wanted = _number(output), _number(reference)
    if found is not None and wanted:
        return abs(found - wanted) <= tolerance * abs(wanted)
    return normalise_text(output, fold_case=True) == normalise_text(reference, fold_case=True)


def longest_repetition(text: str) -> int:
    """How many characters say the same at least LOOP_REPEATS times over: 8 for "x abababab y", 0 for "ababab".

    The longest such stretch, of a unit of any length.
    """
    chars = np.frombuffer(text.encode("utf-32-le"), np.uint32)  # (n,)
    longest = 0
    for unit in range(1, len(chars) // LOOP_REPEATS + 1):
        differs = np.flatnonzero(chars[unit:] != chars[:-unit])
        stretches = np.diff(differs, prepend=-1, append=len(chars) - unit) - 1  # between two differences all repeats
        stretch = int(stretches.max()) + unit
        if stretch >= LOOP_REPEATS * unit:
            longest = max(longest, stretch)
    return longest


def is_looping(output: str, reference: str) -> bool:
    """Did reading fall into a loop, as decoders do that lose their page? A reference may repeat itself, too."""
    return longest_repetition(output) - longest_repetition(reference) >= LOOP_CHARS


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
