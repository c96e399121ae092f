"""The ink audit: does the text account for the ink on the page? No label is needed.

The length and height of the lines of ink say about how many characters they hold; a text of far fewer leaves ink
unread, one of far more goes on over empty paper.
"""

from dataclasses import dataclass

from nanochat.ink import Line

ADVANCE = 0.62  # of a character, in heights of its line of ink: 0.45 for print in small letters, 0.9 for capitals
MISSING = 0.62  # of the expected characters: fewer are too few
INVENTED = 1.9  # of the expected characters: more are too many
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
    """About how many characters, spaces not counted, each line of ink holds."""
    return [sum((right - left) / (ADVANCE * (bottom - top)) for left, top, right, bottom in line.segments)
            for line in lines]  # fmt: skip


def audit(lines: list[Line], text: str) -> Audit:
    """Compare a page's lines of ink with the text that was read from it."""
    return Audit(round(sum(room(lines))), sum(not c.isspace() for c in text))
