"""Text from tokens as they arrive, without incomplete characters and without text that a stop text removes."""

import codecs
from collections.abc import Sequence

import tiktoken


class StoppedText:
    """Text that grows and ends before the first of the stop texts `stops`.

    Text that may be the beginning of a stop text is held back.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = stops
        self.held = ""
        self.text = ""
        """the final text so far"""
        self.stopped = False
        """whether a stop text occurred, after which there is no more text"""

    def add(self, text: str, final: bool = False) -> str:
        """Append text. Returns the further text that is final. `final`: this is the last text."""
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
        """The number of characters at the end of the text that may be the beginning of a stop text."""
        return next((n for n in range(min(len(stop) - 1, len(self.held)), 0, -1) if self.held.endswith(stop[:n])), 0)


class TextStream:
    """Converts the tokens of one answer to final text.

    All pieces together are the text of all tokens, up to the first of the stop texts `stops`.
    """

    def __init__(self, encoding: tiktoken.Encoding, stops: Sequence[str]) -> None:
        self.encoding, self.so_far = encoding, StoppedText(stops)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """The final text so far."""
        return self.so_far.text

    @property
    def stopped(self) -> bool:
        """Whether a stop text occurred, after which there is no more text."""
        return self.so_far.stopped

    def add(self, tokens: list[int], final: bool = False) -> str:
        """Append tokens. Returns the further text that is final. `final`: these are the last tokens."""
        data = b"".join(self.encoding.decode_tokens_bytes(tokens))
        return self.so_far.add(self.decoder.decode(data, final), final)
