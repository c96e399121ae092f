"""Rotary positions: the index of a token, or, for text that is read from a page, its column and its line.

By default the position of a token is its index in the sequence. A model that finds its place on a page by that index
must count the characters before each place, and one wrong count shifts all that follows. With `GPTConfig.line_stride`,
a token has two positions. Its `column` rotates the fast channel pairs of each head and starts again at each line of an
answer. Its `line` rotates the slow pairs, and lines start `line_stride` apart. Before an answer and in its first line,
both are the index. `GPT.positions` computes the same for whole sequences.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nanochat.model_config import GPTConfig


class Place(NamedTuple):
    """Where a token is in its answer."""

    answer: int = -1
    """index of the token that starts the answer; -1 before any answer"""
    lines: int = 0
    """number of complete lines of the answer before the token"""
    line: int = -1
    """index of the token that starts the line: that of the answer, or a newline"""


class RowPlaces:
    """The places of the tokens in each row of a KV cache. Those beyond a row's length are not valid.

    Has no rows if the positions of the model are indices.
    """

    def __init__(self, rows: int) -> None:
        self.rows: list[list[Place]] = [[] for _ in range(rows)]

    def extend(
        self, lengths: Sequence[int], tokens: Sequence[Sequence[int]], config: "GPTConfig"
    ) -> list[list[tuple[int, int]]]:
        """Append `tokens` (B, T) to the first `lengths[b]` ones of each row. Returns their (column, line), (B, T).

        A newline is the first token of the line that it starts, because there the model predicts the first character.
        """
        start_answer, newline = config.line_tokens
        found = []
        for row, length, new in zip(self.rows, lengths, tokens, strict=True):
            del row[length:]
            place, positions = row[-1] if row else Place(), []
            for index, token in enumerate(new, length):
                if token == start_answer:
                    place = Place(index, 0, index)
                elif token == newline and place.answer >= 0:
                    place = Place(place.answer, place.lines + 1, index)
                row.append(place)
                column = index if place.answer < 0 else place.answer + index - place.line
                positions.append((column, column + place.lines * config.line_stride))
            found.append(positions)
        return found

    def join(self, other: "RowPlaces", sources: Sequence[int]) -> None:
        """Append copies of the rows `sources` of `other`."""
        if other.rows:
            self.rows += [list(other.rows[source]) for source in sources]

    def leave(self, row: int) -> None:
        """Remove a row; the last row moves to its index."""
        if self.rows:
            self.rows[row] = self.rows[-1]
            del self.rows[-1]
