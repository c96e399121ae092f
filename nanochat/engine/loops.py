"""Noticing that an answer repeats itself without end, without taking a table of equal rows for that.

The rule. An answer loops when its tail is one unit of up to 200 tokens (a number, however long, counts as one) at
least four times in a row, and that goes on for longer than a page can:

- a unit that ends no row: for more than 512 tokens, which is longer than any line of dots or row of empty cells;
- a unit that ends rows (a line end or `</tr>`): for more rows than a page has (100, or what the caller knows of this
  page), or more than 4,096 tokens;
- either, when the answer's room ends in the middle of at least 128 tokens of it.

Copies are equal when they differ only in numbers that count up by the same step from copy to copy (or stay the same).
Of a loop the first copy is kept: the text before it, and what may have stood on the page once.
"""

import numpy as np

from nanochat.tokenizer import RustBPETokenizer

PERIOD = 200  # longest unit
COPIES = 4  # fewest copies of a unit that can be a loop
LINE_TOKENS = 512
PAGE_ROWS = 100
PAGE_TOKENS = 4096
CUT_TOKENS = 128
EVERY = 8
LAGS = np.arange(PERIOD, 0, -1)
NUMBER, NOTHING = -1, -2  # symbols beside the token ids: a number; what lies before the answer
NUMBER_TOKENS = 9  # longest number in tokens: what is longer is several, so that digits without end are a loop too


class LoopGuard:
    """What the guards of all answers share: which tokens are digits, and how tokens read as text."""

    def __init__(self, tokenizer: RustBPETokenizer) -> None:
        self.tokenizer = tokenizer
        self.digits: dict[int, str] = {}
        for token in range(tokenizer.get_vocab_size()):
            try:
                text = tokenizer.encoding.decode_single_token_bytes(token)
            except KeyError:  # an id without a token
                continue
            if text.isdigit():  # of bytes: ASCII alone
                self.digits[token] = text.decode()

    def watch(self, rows: int | None = None) -> "LoopWatch":
        """A guard for one answer; `rows`: how many rows the page has, where that is known."""
        return LoopWatch(self, PAGE_ROWS if rows is None else rows)


class LoopWatch:
    """Follows one answer token by token; a few operations on 200 numbers each.

    The answer is held as symbols, one for each token but one for each number. For every lag up to 200 `run` counts how
    many of the last symbols are what stands that many symbols before them.
    """

    def __init__(self, guard: LoopGuard, rows: int) -> None:
        self.guard, self.rows = guard, rows
        self.restart([])

    def restart(self, tokens: list[int]) -> None:
        """Begin again with the answer at `tokens`."""
        self.n_tokens, self.tokens = 0, np.zeros(1024, np.int64)
        self.n = 2 * PERIOD  # symbols, with room before the first so that every lag can be looked up
        self.symbols = np.full(1024 + self.n, NOTHING, np.int64)
        self.values, self.starts = np.zeros_like(self.symbols), np.zeros_like(self.symbols)
        self.run = np.zeros(PERIOD, np.int64)  # of lag 200, 199, ..., 1
        self.number, self.number_tokens = "", 0  # digits so far of a number that may go on
        self.waiting = list(tokens)  # not followed yet: several in a row cost less than each between two model steps

    def add(self, token: int) -> None:
        """The answer has one more token."""
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
        """The last symbol, a number, is complete: at which lags is it what is due?"""
        n, value = self.n - 1, int(self.number) % 10**15
        self.values[n] = value
        before = self.values[n - PERIOD : n]
        step, last_step = value - before, before - self.values[n - 2 * PERIOD : n : 2]
        known = self.run_before >= LAGS  # a whole unit has matched: the step of this number is known
        self.run *= np.where(known, step == last_step, step >= 0)
        self.number, self.number_tokens = "", 0

    @property
    def repeated(self) -> int:
        """How many of the last tokens repeat earlier ones at some lag: what a loop would drop is always among them."""
        self._catch_up()
        longest = int(self.run.max())
        return self.n_tokens - int(self.starts[self.n - longest]) if longest else 0

    def loop(self, at_limit: bool = False) -> int | None:
        """Of an answer that loops, how many tokens to keep; None: it does not. `at_limit`: its room has ended.

        Looks closely at every eighth token only, and at the last.
        """
        if (self.n_tokens + len(self.waiting)) % EVERY and not at_limit:
            return None
        self._catch_up()
        long_enough = np.flatnonzero(self.run >= (COPIES - 1) * LAGS)
        if not len(long_enough):
            return None
        lag = PERIOD - int(long_enough[-1])  # the shortest unit
        run = int(self.run[PERIOD - lag])
        first, second = self.starts[self.n - run - lag], self.starts[self.n - run]  # where its first two copies begin
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
