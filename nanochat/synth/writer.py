"""What documents say: words, numbers, dates, amounts and codes of a wanted length, never the same twice."""

import random
import string

from nanochat.synth.lexicon import COMMON_WORDS, words_by_length

_LENGTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
_LENGTH_WEIGHTS = (4, 10, 14, 13, 13, 12, 10, 8, 6, 4, 3, 2, 1)
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_LOOKALIKES = "lI|Oo0`'"  # in a string without sense nothing tells these apart: drawn less often
_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_CODES = ("A99-999", "AA9999", "9999-AAA", "AAA/99/99", "#99999", "A9A 9A9", "99A-9999-A", "AA 99 99")
_ANY = string.ascii_letters * 2 + string.digits * 5 + _SYMBOLS


class Writer:
    """Writes text from `rng`; with `held_out` every dictionary word is one that training never sees.

    `extras` are the characters besides printable ASCII that may be used.
    """

    def __init__(self, rng: random.Random, held_out: bool = False, extras: str = ""):
        self.rng = rng
        self.extras = extras
        self._words = words_by_length(held_out)

    def word(self, longest: int = 14) -> str:
        """A word of at most `longest` letters (or as short as words get), in lower case but for proper names."""
        rng = self.rng
        if rng.random() < 0.25:
            word = rng.choice(COMMON_WORDS)
            if len(word) <= longest:
                return word
        for _ in range(4):
            length = rng.choices(_LENGTHS, _LENGTH_WEIGHTS)[0]
            if length <= longest and length in self._words:
                return rng.choice(self._words[length])
        return rng.choice(self._words[min(length for length in self._words)])

    def cased(self, longest: int = 14) -> str:
        """A word as it stands in running text: sometimes capitalised or in capitals, with a mark after it."""
        rng = self.rng
        word = self.word(longest)
        style = rng.random()
        if style < 0.22:
            word = word[0].upper() + word[1:]
        elif style < 0.34:
            word = word.upper()
        if len(word) + 2 <= longest:
            mark = rng.random()
            if mark < 0.16:
                word += rng.choice(",,,...:;!?-")
            elif mark < 0.20:
                word = rng.choice(('"{}"', "({})", "'{}'", "[{}]", "*{}*", "<{}>")).format(word)
            elif mark < 0.23:
                word += "'s"
        return word

    def number(self) -> str:
        """A plain number: grouped, decimal, signed, a percentage, an ordinal or a count."""
        rng = self.rng
        digits = rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 6))
        value = rng.randrange(10**digits)
        form = rng.random()
        if form < 0.35:
            return str(value)
        if form < 0.5:
            return f"{value:,}"
        if form < 0.7:
            return f"{value}.{rng.randrange(10 ** rng.choice((1, 2, 3))):0{rng.choice((1, 2))}d}"
        if form < 0.8:
            return f"{value % 101}%"
        if form < 0.88:
            return rng.choice("+-#~<>=@") + str(value)
        return (
            f"{value}{rng.choice(('x', 'kg', ' ml', 'cm', ' km', 'GB', 'th', 'pcs', '/' + str(rng.randrange(1, 100))))}"
        )

    def amount(self) -> str:
        """A sum of money, with or without its currency."""
        rng = self.rng
        value = rng.random() ** 3 * rng.choice((20, 200, 2000, 90000))
        text = f"{value:,.2f}" if rng.random() < 0.7 else f"{value:.2f}"
        if rng.random() < 0.12:
            text = text.replace(",", " ").replace(".", ",")
        signs = ["$", "$", "USD ", "EUR ", *(sign for sign in self.extras if sign in "£€")]
        form = rng.random()
        if form < 0.45:
            text = rng.choice(signs) + text
        elif form < 0.52:
            text = "-" + text
        return text

    def date(self) -> str:
        """A date, a time of day, or both."""
        rng = self.rng
        year, month, day = rng.randrange(1950, 2036), rng.randrange(1, 13), rng.randrange(1, 29)
        clock = f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"
        return rng.choice(
            (
                f"{year}-{month:02d}-{day:02d}",
                f"{day:02d}/{month:02d}/{year}",
                f"{month}/{day}/{year % 100:02d}",
                f"{day:02d}.{month:02d}.{year}",
                f"{day} {_MONTHS[month - 1]} {year}",
                f"{_MONTHS[month - 1]} {day}, {year}",
                f"{day:02d}-{_MONTHS[month - 1].upper()}-{year % 100:02d}",
                clock,
                f"{clock}:{rng.randrange(60):02d}",
                f"{rng.randrange(1, 13)}:{rng.randrange(60):02d} {rng.choice(('AM', 'PM', 'am', 'pm'))}",
            )
        )

    def code(self, longest: int = 14) -> str:
        """A string without sense: a reference, a serial or telephone number, a key, an address of the net."""
        rng = self.rng
        form = rng.random()
        if form < 0.45:
            length = rng.randint(min(2, longest), max(min(longest, 12), 1))
            return "".join(self.char() for _ in range(length))
        if form < 0.7:
            pattern = rng.choice(_CODES)
        elif form < 0.85:
            pattern = rng.choice(("999-9999", "(999) 999-9999", "+9 999 999 99 99", "9999 9999 9999", "999.999.999-99"))
        else:
            ends = rng.choice((".com", ".org", "@x.net", "/a.py", "_id", ".pdf", "=1;", "();", "[0]", "->x"))
            return (self.word(max(longest - len(ends), 3)).lower() + ends)[:longest]
        kinds = {"9": string.digits, "A": string.ascii_uppercase}
        return "".join(rng.choice(kinds.get(c, c)) for c in pattern)[:longest].strip()

    def char(self) -> str:
        """Any printable character but the space; digits and symbols far above their share, look-alikes below it."""
        while True:
            char = self.rng.choice(_ANY)
            if char not in _LOOKALIKES or self.rng.random() < 0.25:
                return char

    def token(self, longest: int = 14) -> str:
        """A piece of a line of at most `longest` characters, itself at most a few words: 60% words."""
        kind = self.rng.random()
        if kind < 0.62 and longest >= 2:
            return self.cased(longest)[:longest]
        if kind < 0.82:
            text = (self.number, self.amount, self.date)[int(self.rng.random() * 3)]()
            if len(text) > longest:
                text = str(self.rng.randrange(10 ** self.rng.randint(1, min(longest, 6))))
            return text[:longest].strip()
        return self.code(longest)

    def line(self, longest: int) -> str:
        """Tokens with spaces between them, at most `longest` characters, often close to it."""
        text = self.token(longest)
        while len(text) + 3 <= longest:
            text += " " + self.token(longest - len(text) - 1)
        return text
