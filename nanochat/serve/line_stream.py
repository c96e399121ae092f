"""Streams the text of a page line by line, while it is read in mode `lines`.

A line is sent once it and all lines before it are final, which includes rereading. No line is sent before it is clear
that the page is the right way up, because otherwise it is read again.
"""

from collections.abc import Callable

from nanochat.engine.answers import Generation
from nanochat.lines.cut import join
from nanochat.lines.layout import Line
from nanochat.reading.assemble import piece_texts
from nanochat.reading.ocr import OCR
from nanochat.reading.orientation import DOUBT, FEW, covers_little
from nanochat.reading.shown import Shown


class LineStream:
    """Receives the lines of one page as they are read (`OCR.on_lines`) and passes on their text.

    `ocr`: reads the page; after the first line has been sent, it no longer tries other orientations. `size`: of the
    page in pixels. `tell`: called with further text; the pieces joined are the beginning of the text of the page.
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
        if shown.lines is not self.lines:  # these are lines of the turned page
            return
        text = join(piece_texts(shown.pieces, answers, self.ocr.tokenizer)[0], shown.pieces)
        self.characters += len(text)
        self.probabilities += [p for answer in answers for p in answer.probabilities]
        self.waiting += [text] if text else []
        if self.waiting and (self.has_told or self._is_upright()):
            self.ocr.turn = False
            self.tell(("\n" if self.has_told else "") + "\n".join(self.waiting))
            self.waiting, self.has_told = [], True

    def _is_upright(self) -> bool:
        """Whether the lines read so far leave no doubt about the orientation of the page."""
        assert self.lines is not None
        sure = sum(self.probabilities) >= DOUBT * len(self.probabilities)
        return sure and self.characters >= FEW and not covers_little([line.box for line in self.lines], self.size)
