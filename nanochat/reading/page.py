"""What was read from one picture: its text, its lines and their places, how sure the model was, how it ended."""

import re
from dataclasses import asdict, dataclass, field

from nanochat.lines.boxes import Box
from nanochat.reading.grounding import Block
from nanochat.reading.markdown import page_markdown
from nanochat.reading.state import PageState

READABLE_PAGE, READABLE_LINE = 0.94, 0.90
"""Mean probability under which a page or a line is probably not readable: in an alphabet that the model does not know,
handwriting, or a type unlike print. Its text may then be invented. Chosen on one half of the measured pages."""
SURE = 0.97  # mean probability from which it is readable anyway, as codes are that mix letters and digits
MIXED = 0.2  # what a text in which all words change from small letters to capitals or digits is less sure by
ENOUGH = 4  # characters of a text that its probability says something about
PAGE = 80  # characters from which a text counts as a page: the mean of fewer varies more
LETTERS = 3  # of a word that is looked at
_CHANGES = re.compile(r"[a-zß-ÿ][A-ZÀ-Þ0-9]")


def is_readable(text: str, mean_probability: float) -> bool:
    """Whether a text that was read with this mean probability is probably what stands there.

    The small letters of other alphabets often look like capitals, as in "kauectBa": words that change from small
    letters to capitals or digits count against a page that is not sure.
    """
    characters = sum(not c.isspace() for c in text)
    if characters < ENOUGH or mean_probability >= SURE:
        return True
    if characters < PAGE:
        return mean_probability >= READABLE_LINE
    words = [word.strip(".,:;") for word in text.split() if sum(c.isalpha() for c in word) >= LETTERS]
    mixed = sum(bool(_CHANGES.search(word)) and not {"@", "."} & set(word) for word in words) / max(1, len(words))
    return mean_probability - MIXED * mixed >= READABLE_PAGE


@dataclass
class Part:
    """A stretch of a line, with paper between it and the next: a price at the end of its row."""

    text: str
    box: Box
    word_boxes: list[Box] = field(default_factory=list)
    """of each word of the text, where they are known"""
    stroke_width: float = 0.0
    """how thick its strokes are, in heights of its type: more where it is bold; 0 where that is not known"""


@dataclass
class TextLine:
    """One line of the text."""

    text: str
    box: Box | None
    """where it stands, in pixels of the page: left, top, right, bottom; None where that is not known"""
    mean_probability: float
    min_probability: float
    attended: Box | None = None
    """of a view with many lines: the places that the model drew from most while it wrote this one"""
    parts: list[Part] = field(default_factory=list)
    """of a line that was cut into pieces: what was read of each, and its place; they add up to the line"""
    readable: bool = field(init=False)
    """whether it is probably what stands there, by `is_readable`"""

    def __post_init__(self) -> None:
        self.readable = is_readable(self.text, self.mean_probability)


@dataclass
class Page:
    """What was read from one picture."""

    text: str
    vision_tokens: int
    """of all views that were read, of every mode that was tried"""
    most_vision_tokens: int
    """what the last mode alone would have taken that `auto` may climb to; without `auto` the same"""
    tokens: int
    """generated"""
    seconds: float
    """of the model, this page's share of its batch"""
    stopped: str
    """end: the model ended it; loop: it repeated itself; length, context or time: it was cut"""
    mode: str = ""
    """how it was shown"""
    views: int = 1
    width: int = 0
    height: int = 0
    status: PageState = PageState.OK
    """ok; repaired: it looped and was read on without the loop; looped; cut"""
    mean_probability: float = 1.0
    """how sure the model was of its tokens on average"""
    min_probability: float = 1.0
    ink: str = "ok"
    """ok; missing: the page has more ink than the text accounts for; invented: the text has more than the page"""
    expected_characters: int = 0
    """by the ink, spaces not counted"""
    unclear: int = 0
    """pieces of lines left out of the text, because the model was less than LEAST_SURE of them"""
    turned: int = 0
    """degrees clockwise by which the picture had to be turned to be read: 0, 90, 180, 270; places are those before"""
    lines: list[TextLine] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    """of a grounded answer"""
    notes: list[str] = field(default_factory=list)
    """what a reader of the text should know: what was done with the picture, what speaks against the mode"""
    text_source: str = "read"
    """read: from the picture; text-layer: the text that a PDF carries itself"""
    readable: bool = field(init=False)
    """whether the text is probably what stands there, by `is_readable`"""

    def __post_init__(self) -> None:
        """A page is judged by the lines that were kept, unless most were left out."""
        lengths = [len(line.text) for line in self.lines]
        sure = sum(line.mean_probability * n for line, n in zip(self.lines, lengths)) / max(1, sum(lengths))
        readable = is_readable(self.text, sure if sum(lengths) else self.mean_probability)
        self.readable = readable and self.unclear <= max(1, len(self.lines))

    @property
    def markdown(self) -> str:
        """The text in Markdown: of a page read line by line, its paragraphs flow and its larger type is a heading."""
        return page_markdown(self.to_dict())

    def add_costs(self, other: "Page") -> None:
        """Count with this page what another reading of its picture took."""
        self.vision_tokens += other.vision_tokens
        self.tokens += other.tokens
        self.seconds += other.seconds

    def to_dict(self) -> dict:
        """As it stands in JSON."""
        return asdict(self)
