"""The text of a page line by line, while the page is read in mode `lines`.

A line is told once it is final: all before it are, and it has been read again where the model was not sure of it. None
is told before it is clear that the page is the right way up, since a page that is not is read anew.
"""

from collections.abc import Callable

from nanochat.engine.batching import Generation
from nanochat.lines.cut import join
from nanochat.lines.layout import Line
from nanochat.reading.assemble import piece_texts
from nanochat.reading.ocr import OCR
from nanochat.reading.orientation import DOUBT, FEW, covers_little
from nanochat.reading.shown import Shown


class LineStream:
    """Hears of the lines of one page as they are read (`OCR.on_lines`) and tells their text.

    `ocr`: reads the page. Once a line has been told, it will not try the other orientations of the page. `size`: of the
    page in pixels. `tell`: called with further text; the texts together begin the text of the page.
    """

    def __init__(self, ocr: OCR, size: tuple[int, int], tell: Callable[[str], None]) -> None:
        self.ocr, self.size, self.tell = ocr, size, tell
        self.lines: list[Line] | None = None
        self.waiting: list[str] = []
        self.characters, self.probabilities = 0, list[float]()
        self.has_told = False

    def __call__(self, shown: Shown, answers: list[Generation]) -> None:
        if self.lines is None:
            self.lines = shown.lines
        if shown.lines is not self.lines:  # of the page turned
            return
        text = join(piece_texts(answers, self.ocr.tokenizer)[0], shown.pieces)
        self.characters += len(text)
        self.probabilities += [p for answer in answers for p in answer.probabilities]
        self.waiting += [text] if text else []
        if self.waiting and (self.has_told or self._is_upright()):
            self.ocr.turn = False
            self.tell(("\n" if self.has_told else "") + "\n".join(self.waiting))
            self.waiting, self.has_told = [], True

    def _is_upright(self) -> bool:
        """Whether what has been read so far leaves no doubt about the page's orientation."""
        assert self.lines is not None
        sure = sum(self.probabilities) >= DOUBT * len(self.probabilities)
        return sure and self.characters >= FEW and not covers_little([line.box for line in self.lines], self.size)
