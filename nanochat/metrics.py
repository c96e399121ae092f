"""Comparison of two texts: error rates, similarities and shares of words, each as a pure function.

Every function takes the output first and the reference second, and compares them as they are: case, punctuation and
white space count. Words are separated by white space.

Where results are reported (`scores.py`), both texts first pass through `normalise_text`, and nothing else is changed.
It turns every run of white space, including newlines, into a single space; replaces typographic quotes and en dashes by
their ASCII forms, since references and readers differ in which they use; and composes a letter and its accent into one
character. Case counts, except for sets whose references are in capitals whatever is printed (SROIE receipts).
"""

import heapq
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby, pairwise, takewhile
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

CHARTQA_TOLERANCE = 0.05
LOOP_REPEATS = 4  # least number of consecutive repetitions of a loop
_AS_TYPED = str.maketrans("“”„‘’‚–", "\"\"\"'''-")
VALUES = ("amounts", "dates", "codes")
LEAST_CODE = 4  # least number of letters and digits in a code
_AMOUNT = re.compile(r"\d{1,3}(?:[,.']?\d{3})*[.,]\d{2}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"(?<![\w./-])(?:\d{1,4}([./-])\d{1,2}\1\d{1,4}"
    rf"|\d{{1,2}}\.?[ -]{_MONTH},?[ -]\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}})(?![\w/-])",
    re.IGNORECASE,
)
_AROUND = "()[]{}<>\"'`.,:;!?*=~|#$€£¥+-"  # symbols around an amount or a code that are not part of it
LOOP_CHARS = 20  # least length beyond the longest repetition in the reference (rules of dashes)


class WordScores(NamedTuple):
    """Shares from 0 to 1 of the words that two texts have in common."""

    precision: float
    recall: float
    f1: float


def normalise_text(text: str, fold_case: bool = False) -> str:
    """Replace every run of white space by one space, strip the ends, and convert to lower case if `fold_case` is set.

    Curly quotes become straight and en dashes become hyphens. An accent that follows its letter is composed with it
    (Unicode NFC), since text layers of PDFs often are not composed.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split())).translate(_AS_TYPED)
    return text.casefold() if fold_case else text


def character_error_rate(output: str, reference: str) -> float:
    """Levenshtein distance divided by the length of the reference: 0 is perfect, values above 1 are possible.

    An empty reference counts as one character long, so that an output of n characters has an error rate of n.
    """
    return Levenshtein.distance(output, reference) / max(1, len(reference))


def normalised_edit_similarity(output: str, reference: str) -> float:
    """1 - Levenshtein distance / length of the longer text: 1 if the texts are equal, 0 if they have nothing in common.

    Two empty texts are equal. This is one minus the normalised edit distance of the OmniDocBench benchmark.
    """
    return Levenshtein.normalized_similarity(output, reference)


class _Run(NamedTuple):
    """A run of consecutive words that two texts share.

    Runs sort by length, longest first, then by how far they moved, least first.
    """

    minus_length: int
    """minus the number of words"""
    moved: float
    """distance between its relative positions in the two texts"""
    found: int
    """index of its first word in the output"""
    wanted: int
    """index of its first word in the reference"""


def _common_runs(found: list[str], wanted: list[str]) -> list[_Run]:
    """Runs of words that both texts share, longest first. Each word belongs to at most one run."""
    places: dict[str, list[int]] = defaultdict(list)
    for j, word in enumerate(wanted):
        places[word].append(j)
    free = [True] * len(found), [True] * len(wanted)

    def stretches(i: int, j: int, length: int) -> Iterator[_Run]:
        """The parts of a run whose words are still free on both sides."""
        for usable, group in groupby(range(length), lambda k: free[0][i + k] and free[1][j + k]):
            first, *rest = group
            if usable:
                moved = abs((i + first) / len(found) - (j + first) / len(wanted))
                yield _Run(-1 - len(rest), moved, i + first, j + first)

    waiting: list[_Run] = []
    for i, word in enumerate(found):
        for j in places[word]:
            if i == 0 or j == 0 or found[i - 1] != wanted[j - 1]:  # a longest run begins here
                same = zip(found[i:], wanted[j:])
                waiting += stretches(i, j, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], same)))
    heapq.heapify(waiting)
    runs = []
    while waiting:
        run = heapq.heappop(waiting)
        left = list(stretches(run.found, run.wanted, -run.minus_length))
        if left == [run]:
            for k in range(-run.minus_length):
                free[0][run.found + k] = free[1][run.wanted + k] = False
            runs.append(run)
        else:
            for part in left:
                heapq.heappush(waiting, part)
    return runs


def order_errors(output: str, reference: str) -> int:
    """How many of the wrong characters are wrong only because the text is in another order.

    This is the Levenshtein distance of the output minus that of the output rearranged to the order of the reference,
    and at least 0. To rearrange it, the output is cut into the runs of words that it shares with the reference (longest
    first, each word once); other words stay with the longer one of their neighbouring runs. White space between words
    counts as one space.
    """
    found, wanted = output.split(), reference.split()
    output, reference = " ".join(found), " ".join(wanted)
    errors = Levenshtein.distance(output, reference)
    runs = sorted(_common_runs(found, wanted), key=lambda run: run.found)
    if errors == 0 or not runs:
        return 0
    starts = [0]
    for before, run in pairwise(runs):  # the words between two runs go with the longer one
        starts.append(run.found if before.minus_length <= run.minus_length else before.found - before.minus_length)
    pieces = [found[a:b] for a, b in zip(starts, [*starts[1:], len(found)])]
    ordered = sorted(zip(runs, pieces), key=lambda pair: pair[0].wanted)
    text = " ".join(word for _, piece in ordered for word in piece)
    return max(0, errors - Levenshtein.distance(text, reference))


def find_values(text: str) -> dict[str, list[str]]:
    """The values in a text in which every character matters, by kind; the kinds are those of VALUES.

    - dates: 12.03.2025, 2025-03-12, 3/12/25, 12 Mar 2025, March 12, 2025.
    - amounts: of the other words, numbers with two decimals, such as 9.00 or 1,234.50. Surrounding symbols are removed.
    - codes: at least four letters or digits with two digits among them, such as INV-2031, 555-0142 or 08:47.
    """
    dates = [match[0].lower() for match in _DATE.finditer(text)]
    words = [word.strip(_AROUND) for word in _DATE.sub(" ", text).split()]
    amounts = [word for word in words if _AMOUNT.fullmatch(word)]
    codes = [
        word
        for word in words
        if not _AMOUNT.fullmatch(word)
        and sum(map(str.isalnum, word)) >= LEAST_CODE
        and sum(map(str.isdigit, word)) >= 2
    ]
    return dict(zip(VALUES, (amounts, dates, codes)))


def values_right(output: str, reference: str) -> dict[str, tuple[int, int]]:
    """For each kind of `find_values`: (number of values read exactly, number of values in the reference).

    Order does not matter. A value that is in the reference twice must be in the output twice.
    """
    found, wanted = find_values(output), find_values(reference)
    return {kind: ((Counter(found[kind]) & Counter(wanted[kind])).total(), len(wanted[kind])) for kind in VALUES}


def word_precision_recall_f1(output: str, reference: str) -> WordScores:
    """Precision, recall and F1 over the *sets* of words, as the Fox benchmark computes them.

    Order and repetition do not count. Precision alone is misleading, since an output of one right word has a precision
    of 1. Two empty texts score 1; one empty text scores 0.
    """
    found, wanted = set(output.split()), set(reference.split())
    if not found and not wanted:
        return WordScores(1.0, 1.0, 1.0)
    common = len(found & wanted)
    precision, recall = common / max(1, len(found)), common / max(1, len(wanted))
    return WordScores(precision, recall, 2 * common / (len(found) + len(wanted)))


def word_overlap(output: str, reference: str) -> float:
    """Share (0 to 1) of the words of the reference that the output has, counting repeated words.

    1 means that every word was read. Order and additional words do not matter. An empty reference has an overlap of 1.
    """
    wanted = Counter(reference.split())
    if not wanted:
        return 1.0
    return (wanted & Counter(output.split())).total() / wanted.total()


def exact_match(output: str, reference: str) -> bool:
    """Whether the texts are equal, apart from white space at their ends."""
    return output.strip() == reference.strip()


def relaxed_accuracy(output: str, reference: str) -> bool:
    """Whether an answer is right by the rule of ChartQA (arXiv:2203.10244).

    A number may differ by 5% of the reference; other texts must be equal except for case. "12%" is
    the number 0.12. A reference of zero is compared as text.
    """
    found, wanted = _number(output), _number(reference)
    if found is not None and wanted:
        return abs(found - wanted) <= CHARTQA_TOLERANCE * abs(wanted)
    return normalise_text(output, fold_case=True) == normalise_text(reference, fold_case=True)


def longest_repetition(text: str) -> int:
    """Length in characters of the longest part of a text that repeats a unit LOOP_REPEATS times or more.

    The unit may have any length. 8 for "x abababab y", 0 for "ababab".
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
    """Whether the output repeats itself much more than the reference does, as a decoder does that lost its position."""
    return longest_repetition(output) - longest_repetition(reference) >= LOOP_CHARS


def _number(text: str) -> float | None:
    text = text.strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
