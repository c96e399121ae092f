"""Text from tokens as they arrive, without incomplete characters and without text that a stop text removes."""

import codecs

import tiktoken


class TextStream:
    """Converts the tokens of one answer to final text.

    All pieces together are the text of all tokens, up to the first of the stop texts `stops`.
    """

    def __init__(self, encoding: tiktoken.Encoding, stops: list[str]) -> None:
        self.encoding, self.stops = encoding, stops
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.held = ""
        self.text = ""
        self.stopped = False
        """a stop text was met: there is no more"""

    def add(self, tokens: list[int], final: bool = False) -> str:
        """Append tokens. Returns the further text that is final. `final`: these are the last tokens."""
        if self.stopped:
            return ""
        data = b"".join(self.encoding.decode_tokens_bytes(tokens))
        self.held += self.decoder.decode(data, final)
        found = [place for stop in self.stops if (place := self.held.find(stop)) >= 0]
        if found:
            self.stopped, final = True, True
            self.held = self.held[: min(found)]
        keep = 0 if final else max((self._begun(stop) for stop in self.stops), default=0)
        piece, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        self.text += piece
        return piece

    def _begun(self, stop: str) -> int:
        """How many characters at the end of the text may be the beginning of a stop text."""
        return next((n for n in range(min(len(stop) - 1, len(self.held)), 0, -1) if self.held.endswith(stop[:n])), 0)
