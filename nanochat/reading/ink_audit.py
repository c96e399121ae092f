"""The ink audit: does the text match the amount of ink on the page? It needs no labels.

The lengths and heights of the detected lines predict the number of characters. A text with far fewer characters leaves
ink unread; a text with far more was partly invented.
"""

from dataclasses import dataclass

from nanochat.lines.layout import Line

ADVANCE = 0.5  # of a character and its share of the spaces, in type heights: 0.42 for narrow type, 0.59 for wide
MISSING = 0.62  # of the expected characters: below this, text is missing
INVENTED = 1.6  # of the expected characters: above this, text is invented (correct texts of 124 training pages: 1.55)
WORD = 5  # characters of a word of prose: what the expected number allows for spaces
SLACK = 12  # characters of difference that are ignored: a page number, a stray mark


@dataclass(frozen=True)
class Audit:
    """The number of characters predicted by the ink of a page, and that of the text."""

    expected: int
    """characters predicted by the ink, without spaces"""
    characters: int
    """characters of the text, without spaces"""
    words: int = 0
    """words of the text"""

    @property
    def verdict(self) -> str:
        """`ok`; `missing`: more ink than text; `invented`: more text than ink."""
        spaces = max(0.0, self.words - self.characters / WORD)  # more of them than in prose, as in tables of numbers
        if self.characters + spaces + SLACK < MISSING * self.expected:
            return "missing"
        return "invented" if self.characters > INVENTED * self.expected + SLACK else "ok"


def room(lines: list[Line]) -> list[float]:
    """The approximate number of characters of each line, without spaces."""
    return [sum(segment.length / (ADVANCE * segment.height) for segment in line.segments) for line in lines]


def audit(lines: list[Line], text: str) -> Audit:
    """Compare the detected lines of a page with its text."""
    return Audit(round(sum(room(lines))), sum(not c.isspace() for c in text), len(text.split()))
