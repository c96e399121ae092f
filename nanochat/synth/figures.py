"""Figures as they are printed on documents: numbers, amounts, dates, phone numbers, references and codes."""

import random
import string
from collections.abc import Sequence

CODES = (
    *("A99-999", "AA9999", "9999-AAA", "AAA/99/99", "#99999", "A9A 9A9", "99A-9999-A", "AA 99 99", "AA 9A", "A9-99"),
    *("9999999999999", "999999999999", "9-999999-999999", "****9999", "XXXX9999", "************9999", "XXXX-XXXX-9999"),
)
PHONES = (
    *("999-9999", "(999) 999-9999", "+9 999 999 99 99", "9999 9999 9999", "999.999.999-99", "+99-99-9999 9999"),
    *("999-999-9999", "99-9999 9999", "999-9999999"),
)
_REFERENCES = (
    *("99999", "999999", "AA-9999", "A999999", "9999/99", "AA99/9999", "99-9999-A", "#9999", "9999999999"),
    *("999999-A", "999999999999", "AAA99999999", "99999/999/A9999"),
)
_LONG = (
    *(
        "99999999999999999999",
        "9999 9999 9999 9999",
        "9999-9999-9999-9999",
        "999999-999999-999999-9999",
        "AAAA-AAAA-AAAA",
    ),
    *("9.999.999,99", "9'999'999.99", "99'999.90", "9,999,999.99", "(999,999.99)", "9.999.999.999", "-99,999.99"),
    *("AA99 9999 9999 9999 9999 99", "AA99AAAA9999999999", "AA999999999", "99A999999999999", "AAAAAAAA999"),
    *(
        "9999999999999-9",
        "99.999.999/9999-99",
        "99:99:99:99:99:99",
        "9999-99-99A99:99:99",
        "A9A9A9A9A9",
        "AAA-99999-AAA",
    ),
)
_ALIKE = "0O8B6G5S1I2Z0D85B60"  # characters that receipt printers and dot matrices make hard to distinguish
_KINDS = {"9": string.digits, "A": string.ascii_uppercase}


class Figures:
    """Writes figures with characters from printable ASCII and `extras`; every choice is drawn from `rng`.

    months: the names used in dates; English ones are mostly shortened to three letters. abroad: whether amounts follow
    continental European convention, with a decimal comma. currencies: what may follow an amount abroad; empty for those
    of western Europe.
    """

    def __init__(
        self, rng: random.Random, extras: str, months: Sequence[str], abroad: bool, currencies: Sequence[str] = ()
    ) -> None:
        self.rng, self.extras, self.months, self.abroad, self.currencies = rng, extras, months, abroad, currencies

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
            return f"{value % 101}{rng.choice(('%', '%', '%', ' %'))}"
        if form < 0.88:
            return rng.choice("+-#~<>=@") + str(value)
        if form < 0.93:
            return f"{value}/{rng.randrange(1, 100)}"
        units = ["x", "kg", " ml", "cm", " km", "GB", "th", " pcs", *(["°C", "°"] if "°" in self.extras else [])]
        return f"{value}{rng.choice(units)}"

    def amount(self) -> str:
        """An amount of money, with or without its currency."""
        rng = self.rng
        value = rng.random() ** 3 * rng.choice((20, 200, 2000, 90000))
        text = f"{value:,.2f}" if rng.random() < 0.7 else f"{value:.2f}"
        if rng.random() < (0.7 if self.abroad else 0.12):
            text = text.translate({ord(","): rng.choice(" ..") if self.abroad else " ", ord("."): ","})
        signs = ["$", "$", "$ ", "USD ", "EUR ", "RM", "RM ", *(sign for sign in self.extras if sign in "£€")]
        if self.abroad:
            signs = ["€", "€ ", "EUR "] if self.currencies else ["€", "€ ", "EUR ", "kr ", "CHF "]
        form = rng.random()
        if self.abroad and form < 0.3:
            text += rng.choice(self.currencies or (" €", " €", "€", " EUR", " kr"))
        elif form < 0.45:
            text = rng.choice(signs) + text
        elif form < 0.52:
            text = "-" + text
        return text

    def date(self) -> str:
        """A date, a time of day, or both."""
        rng = self.rng
        year, month, day = rng.randrange(1950, 2036), rng.randrange(1, 13), rng.randrange(1, 29)
        name = self.months[month - 1]
        if not self.abroad and rng.random() < 0.7:
            name = name[:3]
        short = f"{year % 100:02d}"
        mark = rng.choice("-/.")
        if rng.random() < 0.3:
            return self._clock()
        text = rng.choice(
            (
                f"{year}{mark}{month:02d}{mark}{day:02d}",
                f"{day:02d}{mark}{month:02d}{mark}{year}",
                f"{day:02d}{mark}{month:02d}{mark}{short}",
                f"{month}/{day}/{rng.choice((short, year))}",
                f"{day} {name} {year}",
                f"{name} {day}, {year}",
                f"{day:02d}-{rng.choice((name, name.upper()))}-{rng.choice((short, year))}",
            )
        )
        return f"{text} {self._clock()}" if rng.random() < 0.12 else text

    def _clock(self) -> str:
        """A time of day in 24-hour or 12-hour format."""
        rng = self.rng
        form = rng.random()
        minutes = f":{rng.randrange(60):02d}" + (f":{rng.randrange(60):02d}" if form < 0.35 else "")
        if rng.random() < 0.6:
            return f"{rng.randrange(24):02d}{minutes}"
        hour = rng.randrange(1, 13)
        half = rng.choice(("AM", "PM", "am", "pm", "a.m.", "p.m."))
        return f"{hour if rng.random() < 0.6 else f'{hour:02d}'}{minutes}{rng.choice((' ', ' ', ''))}{half}"

    def phone(self) -> str:
        """A telephone number."""
        return self.filled(self.rng.choice(PHONES))

    def reference(self) -> str:
        """The number of an order, invoice or account."""
        return self.filled(self.rng.choice(_REFERENCES))

    def card(self) -> str:
        """A card number as receipts print it: all but the last four digits masked or omitted."""
        return self.filled(self.rng.choice(("9999", "****9999", "XXXX9999", "XXXXXXXXXXXX9999", "**** **** **** 9999")))

    def long_string(self, longest: int) -> str:
        """A string of at most `longest` characters that all matter: a long number, a hash or a machine code."""
        rng = self.rng
        form = rng.random()
        if form < 0.4:
            return self.filled(rng.choice(_LONG))[:longest].strip()
        length = rng.randint(min(8, longest), max(min(longest, 40), 1))
        if form < 0.55:  # characters that are easily confused
            return "".join(rng.choices(_ALIKE, k=min(length, 20)))
        if form < 0.65:  # one digit repeated, with another one in between
            digits = [rng.choice("0123456789")] * min(length, 16)
            digits[rng.randrange(len(digits))] = rng.choice(string.digits)
            return "".join(digits)
        if form < 0.75:
            return "".join(rng.choices("0123456789abcdef", k=length))
        if form < 0.83:
            return "".join(rng.choices(string.ascii_letters + string.digits + "-_+/", k=length))
        if form < 0.92:  # the machine-readable lines of a passport
            parts = (
                "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 9))) for _ in range(rng.randint(1, 3))
            )
            start = self.filled(rng.choice(("A<AAA", "A9999999<9AAA9999999A", "AAAAA<<", "")))
            return (start + "".join(part + "<" * rng.choice((1, 1, 2, 3)) for part in parts)).ljust(length, "<")[
                :longest
            ]
        return self._address(longest)

    def _address(self, longest: int) -> str:
        """A long URL of made-up parts."""
        rng = self.rng
        start = rng.choice(("https://", "http://", "www.", "ftp://", "https://www."))
        parts = ["".join(rng.choices(string.ascii_lowercase + "0123456789", k=rng.randint(2, 9))) for _ in range(5)]
        text = f"{start}{parts[0]}.{rng.choice(('com', 'org', 'net', 'io', 'co.uk'))}/{parts[1]}"
        for part in parts[2:]:
            text += rng.choice(("/", "/", "?id=", "&q=", "-", "_", "#", "%20", ".")) + part
        return text[:longest]

    def comb_text(self, longest: int) -> str:
        """The content of a comb field (one box per character), at most `longest` characters: a code or number."""
        rng = self.rng
        pattern = rng.choice(
            (*_REFERENCES, "AA99999999999999999999", "99999999", "999999", "99 99 9999", "A99999999", "99999")
        )
        return self.filled(pattern)[: max(longest, 0)].strip()

    def filled(self, pattern: str) -> str:
        """The pattern with each 9 replaced by a random digit and each A by a random capital."""
        return "".join(self.rng.choice(_KINDS.get(char, char)) for char in pattern)
