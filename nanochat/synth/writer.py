"""Random text for documents: words, figures and codes of a requested length."""

import random
import re
import string
from collections.abc import Callable

from nanochat.synth.figures import CODES, PHONES, Figures
from nanochat.synth.fonts import PRINTED
from nanochat.synth.languages import Language, lower
from nanochat.synth.lexicon import COMMON_WORDS, names, sentences, words_by_length
from nanochat.synth.phrases import FIELDS, FIRMS, MONTHS, OFFICE, SHOP, SIZES, SPOKEN, STREETS
from nanochat.synth.signs import text_with_symbols

_LENGTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)
_LENGTH_WEIGHTS = (4, 10, 14, 13, 13, 12, 10, 8, 6, 4, 3, 2, 1)
_LOOKALIKES = "lI|Oo0`'"  # indistinguishable without context, therefore drawn less often in random strings
_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_ANY = string.ascii_letters * 2 + string.digits * 5 + _SYMBOLS
_TWINS = "авекмнорстухіјѕьзбАВЕКМНОРСТУХІЈЅЬЗαικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"  # look like Latin letters or digits
_SIGN_SHARES = (0.0, 0.0, 0.0, 0.02, 0.06, 0.16)  # of the tokens; one per writer


def _capitalised(text: str) -> str:
    """Capitalise every word. Other letters, and those after an apostrophe, are unchanged."""
    return " ".join(word[0].upper() + word[1:] for word in text.split())


class Writer(Figures):
    """Writes text; every choice is drawn from `rng`.

    held_out: use only held-out dictionary words and no real English sentences. extras: characters besides printable
    ASCII that may be used; of the writers that can, half use typographic quotes and dashes. language: other than
    English; words, names and many phrases are from it, and two words in five have a non-ASCII letter, all such letters
    equally often. symbols: the characters of `signs.SIGNS` that may be used, by half of the writers.
    """

    def __init__(
        self, rng: random.Random, held_out: bool = False, extras: str = "", language: Language | None = None,
        symbols: str = "",
    ) -> None:  # fmt: skip
        months, currencies = (language.months, language.currencies) if language else (MONTHS, ())
        super().__init__(rng, extras, months, abroad=language is not None, currencies=currencies)
        self._language = language
        self._words = language.words if language else words_by_length(held_out)
        self._names = language.names if language else names(held_out)
        self._common = language.common if language else COMMON_WORDS
        self._spoken = language.common if language else SPOKEN
        self._shop = language.phrases + SHOP[:: 40 if language.own_script else 4] if language else SHOP
        self._own_labels = 0.85 if language and language.letters else 0.3  # share of form labels in its own language
        self._office = language.phrases if language else OFFICE
        self._english = () if held_out or language else sentences()
        self._accented = tuple(language.having.values()) if language else ()  # words, grouped by letter
        self._printer = set(PRINTED) <= set(extras) and rng.random() < 0.5
        self._signed = rng.choice(_SIGN_SHARES) if symbols else 0.0
        self.symbols = symbols if self._signed else ""

    def _sign(self, longest: int) -> str:
        """Occasionally a text with symbols, at most `longest` characters; usually empty."""
        if not self.symbols or self.rng.random() > self._signed:
            return ""
        text = text_with_symbols(self.symbols, self.rng, lambda: self.word(8))
        return text if len(text) + 2 * text.count("…") <= longest else ""

    def _latin(self, longest: int) -> str:
        """A word for addresses and programs: lower-case Latin letters in every language."""
        if self._language and self._language.own_script:
            return self.rng.choice(self._language.latin_words)[:longest]
        return lower(self.word(longest))

    def word(self, longest: int = 14) -> str:
        """A word of at most `longest` letters (or the shortest there is), in lower case except proper names."""
        rng = self.rng
        if self._language and rng.random() < 0.35:
            word = rng.choice(rng.choice(self._accented))
            if len(word) <= longest:
                return word
        if rng.random() < 0.25:
            word = rng.choice(self._common)
            if len(word) <= longest:
                return word
        for _ in range(4):
            length = rng.choices(_LENGTHS, _LENGTH_WEIGHTS)[0]
            if length <= longest and length in self._words:
                return rng.choice(self._words[length])
        return rng.choice(self._words[min(length for length in self._words)])

    def cased(self, longest: int = 14) -> str:
        """A word of running text: sometimes capitalised or in capitals, sometimes followed by a punctuation mark."""
        rng = self.rng
        word = self.word(longest)
        if rng.random() < 0.04 and longest >= 5:
            word = rng.choice(self._spoken)
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

    def code(self, longest: int = 14) -> str:
        """A random string: a reference, serial or phone number, a key, a URL."""
        rng = self.rng
        form = rng.random()
        if form < 0.45:
            length = rng.randint(min(2, longest), max(min(longest, 12), 1))
            return "".join(self.char() for _ in range(length))
        if form < 0.85:
            text = self.filled(rng.choice(CODES if form < 0.7 else PHONES))
            return (text[-longest:] if text[0] == "*" else text[:longest]).strip()  # asterisks alone say nothing
        ends = rng.choice((".com", ".org", "@x.net", "/a.py", "_id", ".pdf", "=1;", "();", "[0]", "->x"))
        return (self._latin(max(longest - len(ends), 3)) + ends)[:longest]

    def char(self) -> str:
        """A printable character other than space; digits and symbols are over-, look-alikes under-represented."""
        if self._language and self.rng.random() < 0.2:
            letters = [*self._language.having]
            if self._language.own_script:  # in a random string the others cannot be told from Latin letters
                letters = [letter for letter in letters if letter not in _TWINS and letter.upper() not in _TWINS]
            char = self.rng.choice(letters)
            return char.upper() if self.rng.random() < 0.4 and char != "ß" else char
        while True:
            char = self.rng.choice(_ANY)
            if char not in _LOOKALIKES or self.rng.random() < 0.25:
                return char

    def token(self, longest: int = 14) -> str:
        """A token of a line, at most `longest` characters and a few words; about 60% are words."""
        signed = self._sign(longest)
        if signed:
            return signed
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
        """Tokens separated by spaces, at most `longest` characters and often close to it."""
        text = self.english(longest) if self._english and self.rng.random() < 0.2 else self.token(longest)
        while len(text) + 3 <= longest:
            text += " " + self.token(longest - len(text) - 1)
        return self._set(text)

    def english(self, longest: int) -> str:
        """Some words of real English, at most `longest` characters, sometimes in capitals."""
        rng = self.rng
        words = rng.choice(self._english).split()
        words = words[rng.randrange(len(words)) if rng.random() < 0.5 else 0 :]
        while len(words) > 1 and len(" ".join(words)) > longest:
            words.pop()
        text = " ".join(words)[:longest]
        style = rng.random()
        if style < 0.15:
            return text.upper()
        return _capitalised(text) if style < 0.25 else text[0].upper() + text[1:] if style < 0.6 else text

    def sentences(self, chars: int) -> str:
        """Running text of about `chars` characters: real English, or random words with function words and numbers."""
        english = self._english and self.rng.random() < 0.5
        text = ""
        while len(text) < chars:
            text += self._sentence(self.rng.choice(self._english) if english else self._invented()) + " "
        return self._set(text.rstrip())

    def _sentence(self, words: str) -> str:
        """The words as a sentence: capitalised, with a final mark, sometimes as direct speech."""
        rng = self.rng
        words = words[0].upper() + words[1:]
        if self._language:
            return self._said_abroad(words)
        if rng.random() > 0.15:
            return words + rng.choice("......?!;:")
        quote = rng.choice('"""\'')
        said = f"{quote}{words}{rng.choice(',.,.?!')}{quote}"
        form = rng.random()
        return f"{said} said {rng.choice(self._names)}." if form < 0.25 else f"{said} I said." if form < 0.35 else said

    def _said_abroad(self, words: str) -> str:
        """A sentence with the punctuation that its language uses for questions, exclamations and speech."""
        rng, language = self.rng, self._language
        assert language is not None
        space = " " if language.name == "French" and rng.random() < 0.6 else ""  # before marks of two parts
        mark = rng.choice("......??!!;:")
        if mark in "?!" and language.name == "Spanish":
            words = {"?": "¿", "!": "¡"}[mark] + words
        if language.name == "Greek":
            mark = mark.replace("?", ";")
        text = words + (mark if mark == "." else space + mark)
        return rng.choice(language.quotes).format(text) if rng.random() < 0.15 else text

    def _invented(self) -> str:
        """3 to 14 words, mixed with function words, names and numbers, without a final mark."""
        rng = self.rng
        words: list[str] = []
        for _ in range(rng.randint(3, 14)):
            signed = self._sign(20)
            if signed:
                words.append(signed)
                continue
            draw = rng.random()
            if draw < 0.36:
                word = rng.choice(self._common if draw < 0.32 else self._spoken)
            elif draw < 0.88:
                word = self.word()
            elif draw < 0.92:
                word = rng.choice(self._names)
            elif draw < 0.96:
                word = rng.choice((self.number, self.amount, self.date))()
            elif draw < 0.98:
                word = rng.choice(('"{}"', "({})", "'{}'", "{}-{}", "{}/{}")).format(self.word(), self.word())
            else:
                dash = "—" if "—" in self.extras else "--"
                word = rng.choice(("{}{}{}", "{}{}{}", "{} {} {}")).format(self.word(), dash, self.word())
            words.append(word + "," if rng.random() < 0.1 else word)
        return " ".join(words).rstrip(",")

    def _set(self, text: str) -> str:
        """`text` with typographic quotes and some en dashes, if this writer uses them."""
        if not self._printer:
            return text
        text = re.sub(r"(?<![^\s(\[—-])\"", "“", text).replace('"', "”")
        text = re.sub(r"(?<![^\s(\[—“-])'(?!tis)", "‘", text).replace("'", "’")
        return re.sub(r"(?<=\d)-(?=\d)| - ", lambda found: found[0].replace("-", "–"), text)

    def title(self, count: int) -> str:
        """A heading of `count` words in title case, sentence case or capitals, or a standard one."""
        if count > 1 and self.rng.random() < 0.12:
            text = self.rng.choice(self._office)
            return text.upper() if self.rng.random() < 0.4 else text
        words = [self.word(11) for _ in range(count)]
        style = self.rng.random()
        if style < 0.5:
            return _capitalised(" ".join(words))
        text = " ".join(words)
        return text.upper() if style < 0.7 else text[0].upper() + text[1:]

    def item(self, count: int) -> str:
        """The name of an article: `count` words, sometimes with a size or a number."""
        text = self.title(count)
        if self.rng.random() < 0.25:
            text += " " + self.rng.choice(SIZES)
        return text

    def name(self) -> str:
        """A person's name, sometimes with an initial or in capitals."""
        rng = self.rng
        first, last = rng.choice(self._names), rng.choice(self._names)
        form = rng.random()
        if form < 0.15:
            first = first[0] + "."
        elif form < 0.25:
            own = self._language is not None and self._language.own_script
            first += f" {rng.choice(self._names)[0] if own else rng.choice(string.ascii_uppercase)}."
        return f"{first} {last}".upper() if form > 0.85 else f"{first} {last}"

    def company(self) -> str:
        """The name of a company or shop."""
        word = self.rng.choice(self._names) if self.rng.random() < 0.5 else self.word(10).capitalize()
        return f"{word} {self.rng.choice(FIRMS)}" if self.rng.random() < 0.7 else f"{word} {self.word(9).capitalize()}"

    def street(self) -> str:
        """House number and street."""
        rng = self.rng
        name = f"{rng.choice(self._names)} {rng.choice(STREETS)}"
        return f"{rng.randint(1, 999)} {name}" if rng.random() < 0.7 else f"No. {rng.randint(1, 99)}, {name}"

    def place(self) -> str:
        """City and postcode."""
        town, code = self.word(10).capitalize(), f"{self.rng.randrange(100000):05d}"
        return self.rng.choice((f"{town}, {self.rng.choice(('CA', 'NY', 'TX', 'WA'))} {code}", f"{code} {town}", town))

    def email(self) -> str:
        """An e-mail address or a URL."""
        word, host = self._latin(8), self._latin(8)
        end = self.rng.choice(("com", "org", "net", "de", "co.uk"))
        return f"{word}@{host}.{end}" if self.rng.random() < 0.6 else f"www.{host}.{end}"

    def field(self) -> tuple[str, str]:
        """The label of a form field and its value."""
        kind = self.rng.choice(tuple(FIELDS))
        labels = self._office if self.rng.random() < self._own_labels else FIELDS[kind]
        return self.rng.choice(labels), self.cell(kind)

    def cell(self, kind: str) -> str:
        """A value of one kind for a form or table: "word", or a key of `FIELDS`."""
        signed = self._sign(12)
        if signed:
            return signed
        if kind == "word":
            return self.item(1)
        if kind == "title":
            return self.title(self.rng.randint(1, 3))
        if kind == "code":
            return self.reference() if self.rng.random() < 0.7 else self.code(10)
        write: dict[str, Callable[[], str]] = {
            "name": self.name, "date": self.date, "amount": self.amount, "number": self.number,
            "phone": self.phone, "email": self.email, "place": self.place,
        }  # fmt: skip
        return write[kind]()

    def comb_text(self, longest: int) -> str:
        """The content of a comb field (one box per character): a name, word, number or code, mostly in capitals."""
        rng = self.rng
        if longest < 3 or rng.random() < 0.45:
            return super().comb_text(longest)
        text = rng.choice((lambda: self.word(longest), self.name, lambda: f"{self.word(8)} {self.word(8)}"))()
        return (text.upper() if rng.random() < 0.85 else text)[:longest].strip()

    def phrase(self) -> str:
        """A standard phrase of receipts: as listed, in title case, or in capitals."""
        text, style = self.rng.choice(self._shop), self.rng.random()
        return text.upper() if style < 0.45 else _capitalised(text) if style < 0.7 else text

    def spaced(self, text: str) -> str:
        """`text` as typed into a till: sometimes without the spaces around marks, or with additional ones."""
        form = self.rng.random()
        if form < 0.14:
            return re.sub(r"(?<=[^\W\d])([.,:;]) ", r"\1", text)
        if form < 0.2:
            return " ".join(re.sub(r"(?<!\d) ?: ?|: ?(?!\d)", " : ", text).split())
        if form < 0.24:
            return re.sub(r"(?<=[^\W\d])([-/&])(?=[^\W\d])", r" \1 ", text)
        return text

    def entry(self) -> str:
        """One line of a receipt, a letterhead or a form, often in capitals."""
        rng = self.rng
        label, value = self.field()
        choices: tuple[Callable[[], str], ...] = (
            lambda: f"{label}{rng.choice((':', ': ', ' : ', ' ', '. '))}{value}",
            lambda: f"{self.item(rng.randint(1, 3))} {self.amount()}",
            lambda: f"{rng.randint(1, 20)} {rng.choice(('x', 'X', '@'))} {self.item(1)} {self.amount()}",
            lambda: f"{rng.choice(('TOTAL', 'Total', 'Subtotal', 'CASH', 'Change', 'VAT 20%', 'Tax'))} {self.amount()}",
            self.phrase,
            lambda: f"{self.phrase()}{rng.choice((' ', ': ', ' : ', '  '))}{rng.choice((self.amount, self.number))()}",
            lambda: (
                f"{self.phrase()}{rng.choice((': ', ' : ', ' '))}{rng.choice((self.date, self.reference, self.name))()}"
            ),
            lambda: f"{rng.choice(('*', '@', 'x', '@ '))}{rng.randint(1, 20)} {rng.choice(('', '@'))}{self.amount()}",
            lambda: (
                f"{self.item(2)} {rng.choice(('@', '@ ', 'x'))}{self.amount()} {rng.choice(('', 'SR', 'ZR', 'S', 'T'))}"
            ),
            lambda: (
                f"{rng.choice(('SR', 'ZR', 'S', 'T', 'GST'))} {rng.choice(('(6%)', '@ 6%', '= 10%'))} {self.amount()}"
            ),
            lambda: f"{self.date()} {rng.choice((self.date, self.reference, self.name))()}",
            lambda: f"{self.reference()} {rng.choice((self.date, self.reference, self.amount))()}",
            lambda: rng.choice((self.company, self.street, self.place, self.email, self.name, self.phone))(),
            lambda: f"{self.street()}, {self.place()}",
            lambda: rng.choice(("Tel: ", "Fax ", "TEL.", "GST ID ", "Order #", "(", "*")) + self.reference(),
            lambda: f"{rng.choice(('VISA', 'Card', 'Card No', 'Acct #'))}{rng.choice((' ', ': ', ':'))}{self.card()}",
            lambda: f"{self.title(1)}(s){rng.choice((' ', ': ', ' : '))}{rng.randint(1, 30)}",
            self.amount,
        )
        signed = self._sign(24)
        if signed:
            choices = (lambda: f"{self.item(1)} {signed}", lambda: f"{signed} {self.amount()}", lambda: signed)
        text = self.spaced(self._set(" ".join(rng.choice(choices)().split())))
        return text.upper() if rng.random() < 0.45 else text

    def code_line(self, depth: int) -> tuple[str, int]:
        """(a line of a program without indentation, change of the indentation depth for the next line)."""
        rng = self.rng
        a, b, c = (self._latin(7) for _ in range(3))
        n = rng.randrange(rng.choice((10, 100, 1000)))
        if depth < 3 and rng.random() < 0.35:
            openers = (
                f"def {a}({b}, {c}={n}):", f"for {a} in range({n}):", f"if {a} > {n}:", f"while {a}[{n}] != {b}:",
                f"class {a.capitalize()}:", f"for (i = 0; i < {n}; i++) {{", f"if ({a} == NULL) {{", "try {",
            )  # fmt: skip
            return rng.choice(openers), 1
        statements = (
            f"{a} = {b} + {n}", f"return {a}", f"{a}_{b}({c})", f"self.{a} = {b}[{n}]", f'print("{a} {b}")', "}",
            f"{a}.{b}({c}, {n})", f"# {a} {b}", f"// {a}: {b}", f"int {a} = {n};", f"{a} = '{b}'", f"import {a}",
            f"{a}[{b}] = {n}.{n % 7}", f"assert {a} <= {b}", f"x{n} = {a} * (y - {n})", f"0x{n:02X}", f"$ {a} --{b}",
        )  # fmt: skip
        return rng.choice(statements), -1 if depth and rng.random() < 0.4 else 0
