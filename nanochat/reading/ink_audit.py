"""The ink audit: does the text account for the ink on the page? No label is needed.

The length and height of the lines that were found say about how many characters they hold; a text of far fewer leaves
ink unread, one of far more goes on over empty paper.
"""

from dataclasses import dataclass

from nanochat.lines.layout import Line

ADVANCE = 0.5  # of a character and its share of the spaces, in type heights: 0.42 for narrow type, 0.59 for wide
MISSING = 0.62  # of the expected characters: fewer are too few
INVENTED = 1.6  # of the expected characters: more are too many; right texts of 124 training pages have 1.55 at most
SLACK = 12  # characters that never count: a page number, a stray mark


@dataclass(frozen=True)
class Audit:
    """What the ink of a page lets one expect, and what the text has."""

    expected: int
    """characters, spaces not counted, by the ink"""
    characters: int
    """characters, spaces not counted, of the text"""

    @property
    def verdict(self) -> str:
        """`ok`; `missing`: there is more ink than text; `invented`: there is more text than ink."""
        if self.characters + SLACK < MISSING * self.expected:
            return "missing"
        return "invented" if self.characters > INVENTED * self.expected + SLACK else "ok"


def room(lines: list[Line]) -> list[float]:
    """About how many characters, spaces not counted, each line holds."""
    return [sum(segment.length / (ADVANCE * segment.height) for segment in line.segments) for line in lines]


def audit(lines: list[Line], text: str) -> Audit:
    """Compare a page's lines with the text that was read from it."""
    return Audit(round(sum(room(lines))), sum(not c.isspace() for c in text))
