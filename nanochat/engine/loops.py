"""Detecting that an answer repeats itself without end (a loop), without mistaking a table of equal rows for one.

An answer loops if it ends in at least four consecutive copies of a unit of up to 200 tokens (a number counts as one
token, however long it is), and the copies go on for longer than they can on a page:

- if the unit contains no row end (a newline or `</tr>`): for more than 512 tokens, which is longer than any dotted line
  or row of empty cells;
- if it contains row ends: for more rows than a page has (100, or the number that the caller gives), or for more than
  4,096 tokens;
- in either case, if the answer reaches its length limit after more than 128 tokens of copies.

Numbers in the unit may change from copy to copy if they increase by a constant step. Of a loop, only the first copy is
kept, because it may be on the page.
"""

import numpy as np

from nanochat.tokenizer import RustBPETokenizer

PERIOD = 200  # longest unit, in tokens
COPIES = 4  # fewest copies of a unit in a loop
LINE_TOKENS = 512
PAGE_ROWS = 100
PAGE_TOKENS = 4096
CUT_TOKENS = 128
EVERY = 8
LAGS = np.arange(PERIOD, 0, -1)
NUMBER, NOTHING = -1, -2  # symbols in addition to token ids: a number; a position before the answer
NUMBER_TOKENS = 9  # most tokens of a number; more are split, so that endless digits are a loop too


class LoopGuard:
    """Loop detection for the answers of one tokenizer: knows which tokens are digits and how to decode tokens."""

    def __init__(self, tokenizer: RustBPETokenizer) -> None:
        self.tokenizer = tokenizer
        self.digits: dict[int, str] = {}
        for token in range(tokenizer.get_vocab_size()):
            try:
                text = tokenizer.encoding.decode_single_token_bytes(token)
            except KeyError:  # an id without a token
                continue
            if text.isdigit():  # bytes: ASCII digits only
                self.digits[token] = text.decode()

    def watch(self, rows: int | None = None) -> "LoopWatch":
        """A detector for one answer. `rows`: how many rows of text the page has; None: PAGE_ROWS."""
        return LoopWatch(self, PAGE_ROWS if rows is None else rows)


class LoopWatch:
    """Follows one answer token by token, at the cost of a few operations on 200 numbers for each token.

    The answer is stored as symbols: one for each token, except that a number is one symbol. For each lag up to 200,
    `run` counts how many of the last symbols equal the symbol that many positions before them.
    """

    def __init__(self, guard: LoopGuard, rows: int) -> None:
        self.guard, self.rows = guard, rows
        self.restart([])

    def restart(self, tokens: list[int]) -> None:
        """Reset the detector to an answer that consists of `tokens` (ids)."""
        self.n_tokens, self.tokens = 0, np.zeros(1024, np.int64)
        self.n = 2 * PERIOD  # number of symbols, including padding before the first so that every lag is valid
        self.symbols = np.full(1024 + self.n, NOTHING, np.int64)
        self.values, self.starts = np.zeros_like(self.symbols), np.zeros_like(self.symbols)
        self.run = np.zeros(PERIOD, np.int64)  # of lag 200, 199, ..., 1
        self.number, self.number_tokens = "", 0  # digits so far of a number that may continue
        self.waiting = list(tokens)  # processed later, several at once, which is faster

    def add(self, token: int) -> None:
        """Append a token id to the answer."""
        self.waiting.append(token)

    def _catch_up(self) -> None:
        for token in self.waiting:
            self._follow(token)
        self.waiting.clear()

    def _follow(self, token: int) -> None:
        if self.n_tokens == len(self.tokens):
            self.tokens = np.concatenate([self.tokens, np.zeros_like(self.tokens)])
        self.tokens[self.n_tokens] = token
        self.n_tokens += 1
        digits = self.guard.digits.get(token)
        if self.number and (digits is None or self.number_tokens == NUMBER_TOKENS):
            self._close_number()
        if digits is None:
            self._push(token)
            return
        if not self.number:
            self.run_before = self.run.copy()
            self._push(NUMBER)
        self.number += digits
        self.number_tokens += 1

    def _push(self, symbol: int) -> None:
        if self.n == len(self.symbols):
            for name in ("symbols", "values", "starts"):
                setattr(self, name, np.concatenate([getattr(self, name), np.zeros(self.n, np.int64)]))
        n = self.n
        self.run += 1
        self.run *= self.symbols[n - PERIOD : n] == symbol
        self.symbols[n], self.starts[n] = symbol, self.n_tokens - 1
        self.n = n + 1

    def _close_number(self) -> None:
        """Store the value of the last symbol, a complete number, and end the runs of lags at which it does not fit."""
        n, value = self.n - 1, int(self.number) % 10**15
        self.values[n] = value
        before = self.values[n - PERIOD : n]
        step, last_step = value - before, before - self.values[n - 2 * PERIOD : n : 2]
        known = self.run_before >= LAGS  # a whole unit has matched: the step of this number is known
        self.run *= np.where(known, step == last_step, step >= 0)
        self.number, self.number_tokens = "", 0

    @property
    def repeated(self) -> int:
        """How many of the last tokens repeat earlier ones at some lag. Loop detection never removes any others."""
        self._catch_up()
        longest = int(self.run.max())
        return self.n_tokens - int(self.starts[self.n - longest]) if longest else 0

    def loop(self, at_limit: bool = False) -> int | None:
        """If the answer loops, the number of tokens to keep; otherwise None.

        `at_limit`: the answer has reached its length limit. Detection runs only at every eighth token and at the limit.
        """
        n = self.n_tokens + len(self.waiting)
        if not at_limit and (n % EVERY or n <= min(LINE_TOKENS, self.rows)):  # too short to be one
            return None
        self._catch_up()
        long_enough = np.flatnonzero(self.run >= (COPIES - 1) * LAGS)
        if not len(long_enough):
            return None
        lag = PERIOD - int(long_enough[-1])  # the shortest unit
        run = int(self.run[PERIOD - lag])
        first, second = self.starts[self.n - run - lag], self.starts[self.n - run]  # start of its first two copies
        stretch = self.n_tokens - int(first)
        if stretch <= (CUT_TOKENS if at_limit else min(LINE_TOKENS, self.rows)):
            return None
        unit = self.guard.tokenizer.decode(self.tokens[first:second].tolist()).lower()
        ends = max(unit.count("\n"), unit.count("</tr>"))
        if at_limit:
            return int(second)
        if ends:
            return int(second) if ends * (run + lag) > self.rows * lag or stretch > PAGE_TOKENS else None
        return int(second) if stretch > LINE_TOKENS else None
