"""Constraints: rules that ban tokens from coming next, given the answer so far. They can be combined freely."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


class Constraint(Protocol):
    """A rule that bans tokens from coming next."""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        """Ids that must not come next after the answer so far, `tokens` (ids, without the prompt)."""


@dataclass(frozen=True)
class Forbid:
    """Bans one token at one position of the answer."""

    token: int
    """the banned id"""
    place: int
    """the position, counted from 0"""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        return (self.token,) if len(tokens) == self.place else ()


@dataclass(frozen=True)
class NoRepeatNgram:
    """Bans every token that would complete a run of `size` tokens that is already among the last `window` tokens.

    The default size and window are those of DeepSeek-OCR's inference code.
    """

    size: int = 30
    """length of a run, in tokens"""
    window: int = 90
    """how many of the last tokens are searched for the run"""
    allowed: frozenset[int] = frozenset()
    """ids that are never banned, such as the tags of table cells"""

    def banned(self, tokens: Sequence[int]) -> Collection[int]:
        n = self.size - 1  # tokens of a run before the one that completes it
        if len(tokens) < self.size:
            return ()
        if not n:
            return set(tokens[-self.window :]) - self.allowed
        run, last = list(tokens[-n:]), tokens[-1]
        starts = range(max(0, len(tokens) - self.window), len(tokens) - n)
        following = {tokens[i + n] for i in starts if tokens[i + n - 1] == last and list(tokens[i : i + n]) == run}
        return following - self.allowed
