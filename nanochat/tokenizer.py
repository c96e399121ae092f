"""From text to tokens and back: nanochat's byte-pair encoding, nano's characters, conversations as tokens.

A conversation is `{"messages": [{"role", "content"}, ...], "images": [...]}`. It becomes
`<|bos|>`, then for each message `<|user_start|> ... <|user_end|>` or `<|assistant_start|> ... <|assistant_end|>`;
a placeholder `<image>` in a user message becomes one `<|image|>`, which is later repeated for each vision token.
"""

import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, overload

import tiktoken

from nanochat.errors import UserError, extra
from nanochat.files import atomic_path

SPECIAL_TOKENS = (
    "<|bos|>",
    "<|user_start|>",
    "<|user_end|>",
    "<|assistant_start|>",
    "<|assistant_end|>",
    "<|python_start|>",
    "<|python_end|>",
    "<|output_start|>",
    "<|output_end|>",
)
IMAGE_TOKEN = "<|image|>"
IMAGE_PLACEHOLDER = "<image>"
# GPT-4's pattern, but with numbers split into groups of at most two digits: otherwise three-digit numbers would fill a
# small vocabulary.
SPLIT_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_SMALL = "àáâãäåæçèéêëìíîïñòóôõöøœùúûü"
LETTERS = _SMALL + _SMALL.upper() + "ß"  # letters of western Europe beyond ASCII, two bytes each in UTF-8
SYMBOLS = "€£¥¢§©®™°±×÷≤≥≠≈µ•…–—½¼¾²³¹ªº¡¿«»„“”‘’‚†←→✓☐☑₀₁₂₃₄₅₆₇₈₉⁰⁴⁵⁶⁷⁸⁹"
_CENTRAL = "ąćčďđęěėğģīįıķļľĺłńňņőŕřśšşșţťțűůųūýźžżāăēċħġŵŷðþ"
_GREEK = "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋΐΰ"
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўђјљњћџ"


def _both_cases(small: str) -> str:
    capitals = (letter.upper() for letter in small)
    return small + "".join(letter for letter in capitals if len(letter) == 1 and not letter.isascii())


CHARACTERS = "".join(
    dict.fromkeys(LETTERS + SYMBOLS + _both_cases(_CENTRAL) + "İ" + _both_cases(_GREEK) + _both_cases(_CYRILLIC))
)
"""The characters beyond ASCII that are single tokens of nano: letters of Europe's alphabets, symbols of documents."""
LONG_SPACE = re.compile(r"\s{50000}")  # tiktoken's matcher overflows its stack on half a million spaces
HOW_TO_GET_ONE = (
    "get one with `uv run hf download nanochat-students/base-d20 tokenizer.pkl --local-dir tokenizer`, train one with "
    "`uv run python -m scripts.tok_train`, or use --model=nano, which needs none"
)


class RustBPETokenizer:
    """A `tiktoken.Encoding` with nanochat's nine special tokens, followed by `<|image|>` as the last one."""

    def __init__(self, encoding: tiktoken.Encoding):
        self.encoding = encoding
        self.special_tokens = {name: encoding.encode_single_token(name) for name in (*SPECIAL_TOKENS, IMAGE_TOKEN)}

    @classmethod
    def from_directory(cls, directory: str | Path) -> "RustBPETokenizer":
        """Read `tokenizer.pkl` in `directory`; `<|image|>` is added as the last token if it is absent.

        Raises UserError if the file is missing, damaged, not a nanochat tokenizer, or would run code.
        """
        path = Path(directory) / "tokenizer.pkl"
        try:
            file = open(path, "rb")
        except OSError as error:
            raise UserError(f"no tokenizer at {path} ({error.strerror}): {HOW_TO_GET_ONE}") from error
        with file:
            try:
                fields = _EncodingUnpickler(file, path).load().fields
                name, pattern = fields["name"], fields["pat_str"]
                ranks, special_tokens = dict(fields["mergeable_ranks"]), dict(fields["special_tokens"])
                _check_vocabulary(ranks, special_tokens)
                special_tokens.setdefault(IMAGE_TOKEN, len(ranks) + len(special_tokens))
                return cls(_encoding(ranks, special_tokens, pattern, name))
            except UserError:
                raise
            except Exception as error:  # a damaged pickle can raise almost any exception
                reason = f"{type(error).__name__}: {error}"
                raise UserError(f"{path} is not a tokenizer or is damaged ({reason}): {HOW_TO_GET_ONE}") from error

    @classmethod
    def train_from_iterator(cls, iterator: Iterable[str], vocab_size: int) -> "RustBPETokenizer":
        """Learn merges from texts. `vocab_size` counts the nine special tokens but not `<|image|>`, as nanochat does.

        65,536 therefore gives 65,527 ranks and, with `<|image|>`, 65,537 tokens; too little text gives fewer ranks.
        """
        n_ranks = vocab_size - len(SPECIAL_TOKENS)
        if n_ranks < 256:
            raise UserError(f"a vocabulary of {vocab_size} is too small: 256 bytes and 9 special tokens make 265")
        with extra("train"):
            import rustbpe
        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(iterator, n_ranks, pattern=SPLIT_PATTERN)
        return cls(_encoding({bytes(token): rank for token, rank in trainer.get_mergeable_ranks()}))

    @classmethod
    def characters(cls) -> "RustBPETokenizer":
        """The tokenizer that needs no file: 256 bytes (id = value), the special tokens 256 to 264, `<|image|>` 265, and
        from 266 on CHARACTERS, so that what is one character to the eye is one token."""
        ranks = {bytes([value]): value for value in range(256)}
        special_tokens = {token: 256 + i for i, token in enumerate((*SPECIAL_TOKENS, IMAGE_TOKEN))}
        letters = [letter.encode() for letter in CHARACTERS]
        # merges are of pairs, so three bytes need their first two as a token
        halves = [letter[:2] for letter in letters if len(letter) == 3]
        first = 256 + len(special_tokens)
        merged = dict.fromkeys([*letters[: len(LETTERS)], *halves, *letters[len(LETTERS) :]])
        return cls(_encoding(ranks | {token: first + i for i, token in enumerate(merged)}, special_tokens))

    def save(self, directory: str | Path) -> None:
        """Write `tokenizer.pkl`, a pickled `tiktoken.Encoding`, into `directory`."""
        with atomic_path(Path(directory) / "tokenizer.pkl") as path, open(path, "wb") as file:
            pickle.dump(self.encoding, file, protocol=4)

    def get_vocab_size(self) -> int:
        """The number of tokens, including special ones."""
        return self.encoding.n_vocab

    def begins(self, longer: "RustBPETokenizer") -> bool:
        """Whether the vocabulary of `longer` is this one, or this one with tokens appended."""
        mine, its = self.encoding, longer.encoding
        return mine.n_vocab <= its.n_vocab and all(
            mine.decode_single_token_bytes(i) == its.decode_single_token_bytes(i) for i in range(mine.n_vocab)
        )

    def encode_special(self, name: str) -> int:
        """The id of a special token, such as `<|image|>`. Raises KeyError for an unknown name."""
        return self.special_tokens[name]

    def get_bos_token_id(self) -> int:
        """The id of `<|bos|>`, with which every document and conversation begins."""
        return self.encode_special("<|bos|>")

    @overload
    def encode(self, text: str, prepend: str | int | None = None, append: str | int | None = None) -> list[int]: ...

    @overload
    def encode(
        self, text: list[str], prepend: str | int | None = None, append: str | int | None = None
    ) -> list[list[int]]: ...

    def encode(self, text, prepend=None, append=None):
        """Ids of a text, or of each text of a list; `prepend` and `append` are special tokens, by name or id.

        Names of special tokens within the text are encoded as ordinary text.
        """
        if isinstance(text, list):
            return [self.encode(one, prepend, append) for one in text]
        before, after = ([] if token is None else [self._special_id(token)] for token in (prepend, append))
        return before + self._encode_ordinary(text) + after

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`; special tokens appear by name, invalid UTF-8 as U+FFFD."""
        return self.encoding.decode(ids)

    def render_conversation(self, conversation: dict[str, Any]) -> tuple[list[int], list[int]]:
        """(ids, mask) of a conversation. The mask is 1 on supervised tokens: assistant text and `<|assistant_end|>`.

        User and assistant must alternate, starting with the user. A system message may come first; it is prepended to
        the first user message. There must be a placeholder for every image. Otherwise raises UserError, which says
        what is wrong.
        """
        images = conversation.get("images")
        n_placeholders = -1 if images is None else len(images)  # -1: as many as are in the text
        ids, mask = [self.get_bos_token_id()], [0]
        for role, content in _turns(conversation["messages"]):
            text = [content]
            if role == "user":
                text = content.split(IMAGE_PLACEHOLDER, n_placeholders)  # further `<image>` are ordinary text
                n_placeholders -= 0 if images is None else len(text) - 1
            span = self._encode_ordinary(text[0])
            for after_image in text[1:]:
                span += [self.encode_special(IMAGE_TOKEN), *self._encode_ordinary(after_image)]
            ids += [self.encode_special(f"<|{role}_start|>"), *span, self.encode_special(f"<|{role}_end|>")]
            mask += [0] + [int(role == "assistant")] * (len(span) + 1)
        if images is not None and n_placeholders:
            raise UserError(
                f"the conversation has {len(images)} images but {len(images) - n_placeholders} {IMAGE_PLACEHOLDER} "
                "placeholders: its user messages need one for each image"
            )
        return ids, mask

    def render_for_completion(self, conversation: dict[str, Any]) -> list[int]:
        """Prompt for the next answer: the conversation without a final assistant message, and `<|assistant_start|>`.

        Raises UserError as `render_conversation` does.
        """
        messages = conversation["messages"]
        if messages and messages[-1].get("role") == "assistant":
            messages = messages[:-1]
        ids, _ = self.render_conversation({**conversation, "messages": messages})
        return ids + [self.encode_special("<|assistant_start|>")]

    def _special_id(self, token: str | int) -> int:
        return self.encode_special(token) if isinstance(token, str) else token

    def _encode_ordinary(self, text: str) -> list[int]:
        """Ids of a text without special tokens. Runs of 50,000 spaces are split, which the pattern would not do."""
        ids: list[int] = []
        start = 0
        for match in LONG_SPACE.finditer(text):
            ids += self.encoding.encode_ordinary(text[start : match.end()])
            start = match.end()
        return ids + self.encoding.encode_ordinary(text[start:])


def _encoding(
    ranks: dict[bytes, int],
    special_tokens: dict[str, int] | None = None,
    pattern: str = SPLIT_PATTERN,
    name: str = "rustbpe",
) -> tiktoken.Encoding:
    """An encoding of `ranks`; unless given, the special tokens follow in their fixed order, with `<|image|>` last."""
    if special_tokens is None:
        special_tokens = {token: len(ranks) + i for i, token in enumerate((*SPECIAL_TOKENS, IMAGE_TOKEN))}
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_tokens)


def _turns(messages: list[dict[str, str]]) -> list[tuple[str, str]]:
    """(role, content) of a checked conversation: roles alternate, a system message is merged into the first.

    Raises UserError, which names the wrong message.
    """
    for number, message in enumerate(messages, start=1):
        if not isinstance(message.get("content"), str):
            raise UserError(f"message {number} of the conversation: its content is not a string")
    turns = [(message.get("role", ""), message["content"]) for message in messages]
    first = 1
    if turns and turns[0][0] == "system":
        first = 2
        (_, system), turns = turns[0], turns[1:]
        if turns:
            turns[0] = (turns[0][0], f"{system}\n\n{turns[0][1]}")
    if not turns:
        raise UserError("the conversation has no user message")
    for i, (role, _) in enumerate(turns):
        expected = ("user", "assistant")[i % 2]
        if role != expected:
            raise UserError(f"message {first + i} of the conversation: its role is {role!r} where {expected!r} belongs")
    return turns


class _EncodingFields:
    """Replaces `tiktoken.Encoding` while a pickle is read: it stores the state and runs nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.fields = state


class _EncodingUnpickler(pickle.Unpickler):
    """Unpickler that allows a single global name, `tiktoken.Encoding`."""

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> type[_EncodingFields]:
        if (module, name) != ("tiktoken.core", "Encoding"):
            raise UserError(f"{self.path} asks for {module}.{name}, which no tokenizer needs: refused, nothing was run")
        return _EncodingFields


def _check_vocabulary(ranks: dict[bytes, int], special_tokens: dict[str, int]) -> None:
    """Raise ValueError unless every byte and all nine special tokens have an id, and ids run from 0 without a gap."""
    missing = [name for name in SPECIAL_TOKENS if name not in special_tokens]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if any(bytes([value]) not in ranks for value in range(256)):
        raise ValueError("it lacks single bytes")
    if sorted([*ranks.values(), *special_tokens.values()]) != list(range(len(ranks) + len(special_tokens))):
        raise ValueError("its ids do not run from 0 without a gap")
