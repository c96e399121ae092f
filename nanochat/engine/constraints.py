"""What an answer may not say next: small rules that are put together freely, each a function of the answer so far."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


class Constraint(Protocol):
    """A rule about the next token."""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        """Tokens that may not follow the answer's `tokens`."""


@dataclass(frozen=True)
class Suppress:
    """Tokens that are never said."""

    tokens: frozenset[int]

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        return self.tokens


@dataclass(frozen=True)
class Forbid:
    """One token that may not stand at one place; the rest of the answer is free."""

    token: int
    place: int
    """how many tokens of the answer come before it"""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        return (self.token,) if len(tokens) == self.place else ()


@dataclass(frozen=True)
class NoRepeatNgram:
    """No run of `size` tokens stands twice within the last `window` tokens of the answer.

    The defaults are those of DeepSeek-OCR's own inference [architecture facts, section 3].
    """

    size: int = 30
    window: int = 90
    allowed: frozenset[int] = frozenset()
    """tokens that are never banned, such as the tags of table cells"""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        n = self.size - 1  # the run that would be completed by the next token
        if len(tokens) < self.size:
            return ()
        if not n:
            return set(tokens[-self.window :]) - self.allowed
        run, last = list(tokens[-n:]), tokens[-1]
        starts = range(max(0, len(tokens) - self.window), len(tokens) - n)
        following = {tokens[i + n] for i in starts if tokens[i + n - 1] == last and list(tokens[i : i + n]) == run}
        return following - self.allowed
