"""The result of reading one image: its text, lines and boxes, probabilities, and how the reading ended."""

from dataclasses import asdict, dataclass, field

from nanochat.lines.boxes import Box
from nanochat.reading.grounding import GroundedBlock
from nanochat.reading.markdown import page_markdown
from nanochat.reading.readable import is_readable
from nanochat.reading.state import PageState


@dataclass
class Part:
    """A part of a line with blank space between it and the next, such as a price at the end of its row."""

    text: str
    box: Box
    word_boxes: list[Box] = field(default_factory=list)
    """box of each word of the text, if known"""
    stroke_width: float = 0.0
    """thickness of the strokes in type heights, larger in bold type; 0 if unknown"""


@dataclass
class TextLine:
    """One line of the text."""

    text: str
    box: Box | None
    """left, top, right, bottom in pixels of the page; None if unknown"""
    mean_probability: float
    min_probability: float
    attended: Box | None = None
    """in a view with many lines: the box that the model attended to most while it generated this line"""
    parts: list[Part] = field(default_factory=list)
    """if the line was cut into pieces: the text and box of each; together they are the line"""
    readable: bool = field(init=False)
    """whether the text is probably right, by `is_readable`"""

    def __post_init__(self) -> None:
        self.readable = is_readable(self.text, self.mean_probability)


@dataclass
class Page:
    """The result of reading one image."""

    text: str
    vision_tokens: int
    """number of vision tokens of all views that were read, in all modes that were tried"""
    most_vision_tokens: int
    """number of vision tokens that the last mode of `auto` alone would take; without `auto`, those of the mode used"""
    tokens: int
    """number of generated tokens"""
    seconds: float
    """time of the model: this page's share of its batch"""
    stopped: str
    """end: the model ended it; loop: it repeated itself; length, context or time: it was cut"""
    mode: str = ""
    """how the page was shown to the model"""
    views: int = 1
    width: int = 0
    height: int = 0
    status: PageState = PageState.OK
    """ok; repaired: it looped and was continued without the repetition; looped; cut"""
    mean_probability: float = 1.0
    """mean probability of the tokens"""
    min_probability: float = 1.0
    ink: str = "ok"
    """ok; missing: the page has more ink than the text accounts for; invented: the text has more than the page"""
    expected_characters: int = 0
    """number of characters predicted by the ink, without spaces"""
    unclear: int = 0
    """number of pieces of lines that were left out because their mean probability is below LEAST_SURE"""
    turned: int = 0
    """degrees clockwise by which the image was turned (0, 90, 180, 270); boxes refer to the image as given"""
    lines: list[TextLine] = field(default_factory=list)
    blocks: list[GroundedBlock] = field(default_factory=list)
    """the labelled parts of a grounded answer"""
    notes: list[str] = field(default_factory=list)
    """remarks about the page, such as what was done with the image, or why another mode is better"""
    text_source: str = "read"
    """read: from the image; text-layer: the text that the PDF contains"""
    readable: bool = field(init=False)
    """whether the text is probably right, by `is_readable`"""

    def __post_init__(self) -> None:
        """Judge `readable` by the lines that were kept; if most were left out, the page is not readable."""
        lengths = [len(line.text) for line in self.lines]
        sure = sum(line.mean_probability * n for line, n in zip(self.lines, lengths)) / max(1, sum(lengths))
        readable = is_readable(self.text, sure if sum(lengths) else self.mean_probability)
        self.readable = readable and self.unclear <= max(1, len(self.lines))

    @property
    def markdown(self) -> str:
        """The text as Markdown; a page read line by line gets paragraphs, headings, lists and tables."""
        return page_markdown(self.to_dict())

    def add_costs(self, other: "Page") -> None:
        """Add the tokens and the time of the same image read in another mode."""
        self.vision_tokens += other.vision_tokens
        self.tokens += other.tokens
        self.seconds += other.seconds

    def add_reading(self, other: "Page") -> None:
        """Add the costs of a further reading that is needed in every mode, such as that of vertical text."""
        self.add_costs(other)
        self.most_vision_tokens += other.most_vision_tokens

    def to_dict(self) -> dict:
        """As a dict for JSON."""
        return asdict(self)
