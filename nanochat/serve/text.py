"""Text as it comes: no half characters, and nothing that a stop text will take back."""

import codecs
from collections.abc import Sequence

import tiktoken


class StoppedText:
    """A text that grows and ends before the first of some stop texts. What may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = stops
        self.held = ""
        self.text = ""
        """what is certain so far"""
        self.stopped = False
        """a stop text was met: there is no more"""

    def add(self, text: str, final: bool = False) -> str:
        """Further text, the last if `final`; returns the further text that is certain."""
        if self.stopped:
            return ""
        self.held += text
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped, final = True, True
            self.held = self.held[: min(found)]
        keep = 0 if final else max((self._begun(stop) for stop in self.stops), default=0)
        piece, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        self.text += piece
        return piece

    def _begun(self, stop: str) -> int:
        """How many of the last characters may be the beginning of a stop text."""
        return next((n for n in range(min(len(stop) - 1, len(self.held)), 0, -1) if self.held.endswith(stop[:n])), 0)


class TextStream:
    """Turns one answer's tokens into text that is final; the pieces together are the tokenizer's text of the whole."""

    def __init__(self, encoding: tiktoken.Encoding, stops: Sequence[str]) -> None:
        self.encoding, self.so_far = encoding, StoppedText(stops)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """What is certain so far."""
        return self.so_far.text

    @property
    def stopped(self) -> bool:
        """A stop text was met: there is no more."""
        return self.so_far.stopped

    def add(self, tokens: list[int], final: bool = False) -> str:
        """Further tokens; returns the further text that is certain."""
        data = b"".join(self.encoding.decode_tokens_bytes(tokens))
        return self.so_far.add(self.decoder.decode(data, final), final)
