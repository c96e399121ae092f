"""The tokenizer: text survives the round trip, only the assistant is supervised, a pickle cannot run code."""

import os
import pickle
from pathlib import Path

import pytest
import regex
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from nanochat.errors import UserError
from nanochat.tokenizer import CHARACTERS, LETTERS, SPECIAL_TOKENS, RustBPETokenizer

TEXTS = [
    "It's the year 2025, and she'll pay 12,345.67 for 1000000 receipts.\n\n",
    "Total: RM 9.00\nCash 10.00\nChange 1.00\n" * 3,
    "naïve café — 東京の天気 🙂 don't WE'LL",
    "the cat and the hat and the bat sat on the mat" * 4,
]


@pytest.fixture(scope="module")
def trained() -> RustBPETokenizer:
    return RustBPETokenizer.train_from_iterator(iter(TEXTS * 5), vocab_size=360)


@pytest.fixture(scope="module")
def characters() -> RustBPETokenizer:
    return RustBPETokenizer.characters()


def reference_encode(encoding: tiktoken.Encoding, text: str, pattern: str) -> list[int]:
    """Byte-pair encoding by its definition: split into words, then merge neighbours, lowest rank first."""
    ranks = encoding._mergeable_ranks
    ids = []
    for word in regex.findall(pattern, text):
        parts = [bytes([b]) for b in word.encode()]
        while len(parts) > 1:
            rank, i = min((ranks.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1))
            if rank == 1 << 30:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        ids += [ranks[part] for part in parts]
    return ids


# ---- text


@given(st.one_of(st.text(max_size=200), st.text(alphabet=CHARACTERS + "aou €ÿĀ\u0301\n", max_size=60)))
@settings(deadline=None)
def test_text_survives_the_round_trip(trained: RustBPETokenizer, characters: RustBPETokenizer, text: str):
    assert trained.decode(trained.encode(text)) == text
    western = "".join(char for char in text if char.isascii() or char in LETTERS)
    assert characters.encode(western) == [266 + LETTERS.index(c) if c in LETTERS else ord(c) for c in western]
    known = "".join(char for char in text if char.isascii() or char in CHARACTERS)
    assert len(characters.encode(known)) == len(known)  # one token each in any context
    assert characters.decode(characters.encode(text)) == text


@given(st.text(alphabet="the catandhm 12,.'\n", max_size=60))
@settings(deadline=None)
def test_encoding_follows_the_definition_of_byte_pair_encoding(trained: RustBPETokenizer, text: str):
    pattern = (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
        r"|\s+(?!\S)|\s+"
    )
    assert trained.encode(text) == reference_encode(trained.encoding, text, pattern)


def test_no_token_has_more_than_two_digits(trained: RustBPETokenizer):
    tokens = [trained.encoding.decode_single_token_bytes(i) for i in range(trained.encode_special("<|bos|>"))]
    assert max(sum(b in b"0123456789" for b in token) for token in tokens) == 2


def test_training_merges_repeated_words(trained: RustBPETokenizer):
    assert len(trained.encode(" the cat and the hat")) == 5


def test_training_twice_gives_the_same_ids(trained: RustBPETokenizer):
    again = RustBPETokenizer.train_from_iterator(iter(TEXTS * 5), vocab_size=360)
    assert again.encoding._mergeable_ranks == trained.encoding._mergeable_ranks


@pytest.mark.parametrize("text", [" " * 1_000_000 + "x", "a" * 1_000_000, "\n" * 600_000, "ab \ud800"])
def test_unusual_text_survives_encoding(characters: RustBPETokenizer, text: str):
    assert characters.decode(characters.encode(text)) == text.replace("\ud800", "\ufffd")


def test_names_of_special_tokens_in_text_are_ordinary_text(characters: RustBPETokenizer):
    text = "say <|assistant_end|> and <|image|> and <|grounding|>"
    assert max(characters.encode(text)) < 256
    assert characters.decode(characters.encode(text)) == text


def test_prepend_and_append(characters: RustBPETokenizer):
    assert characters.encode("hi", prepend="<|bos|>", append=264) == [256, 104, 105, 264]
    assert characters.encode("hi", prepend=0) == [0, 104, 105]
    assert characters.encode(["a", "", "b"], append="<|image|>") == [[97, 265], [265], [98, 265]]


# ---- vocabulary


def test_ids_of_bytes_special_tokens_and_letters_are_fixed(characters: RustBPETokenizer):
    halves = {letter.encode()[:2] for letter in CHARACTERS if len(letter.encode()) == 3}
    assert characters.get_vocab_size() == 266 + len(CHARACTERS) + len(halves) == 648
    assert CHARACTERS.startswith(LETTERS) and len(set(CHARACTERS)) == len(CHARACTERS)
    assert characters.encode("é") == [275] and characters.encode("ß") == [322]
    assert [characters.encode_special(name) for name in SPECIAL_TOKENS] == list(range(256, 265))
    assert characters.encode_special("<|image|>") == 265
    assert characters.get_bos_token_id() == 256


def test_vocabulary_counts_the_nine_special_tokens_but_not_the_image(trained: RustBPETokenizer):
    assert trained.get_vocab_size() == 361
    assert trained.encode_special("<|bos|>") == 351
    assert trained.encode_special("<|output_end|>") == 359
    assert trained.encode_special("<|image|>") == 360


def test_vocabulary_too_small_for_bytes_is_rejected():
    with pytest.raises(UserError, match="265"):
        RustBPETokenizer.train_from_iterator(iter(["text"]), vocab_size=264)
    assert RustBPETokenizer.train_from_iterator(iter(["text"]), vocab_size=265).get_vocab_size() == 266


# ---- files


def nanochat_pickle(n_ranks: int = 65_527, special: tuple[str, ...] = SPECIAL_TOKENS) -> bytes:
    """A pickle as nanochat writes it: no image token. Two-byte ranks stand for the learnt merges."""
    tokens = [bytes([value]) for value in range(256)]
    tokens += [bytes([a, b]) for a in range(256) for b in range(256)]
    ranks = {token: rank for rank, token in enumerate(tokens[:n_ranks])}
    names = {name: n_ranks + i for i, name in enumerate(special)}
    return pickle.dumps(tiktoken.Encoding("rustbpe", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens=names))


def write(folder: Path, data: bytes) -> Path:
    (folder / "tokenizer.pkl").write_bytes(data)
    return folder


def test_image_token_is_added_last_to_a_nanochat_tokenizer(tmp_path: Path):
    tokenizer = RustBPETokenizer.from_directory(write(tmp_path, nanochat_pickle()))
    assert tokenizer.get_vocab_size() == 65_537
    assert tokenizer.encode_special("<|bos|>") == 65_527
    assert tokenizer.encode_special("<|image|>") == 65_536


def test_saved_tokenizer_can_be_loaded_also_by_pickle(tmp_path: Path, trained: RustBPETokenizer):
    trained.save(tmp_path)
    text = "the hat of 1234 cats"
    loaded = RustBPETokenizer.from_directory(tmp_path)
    assert loaded.special_tokens == trained.special_tokens
    assert loaded.encode(text) == trained.encode(text)
    with open(tmp_path / "tokenizer.pkl", "rb") as file:
        encoding = pickle.load(file)
    assert isinstance(encoding, tiktoken.Encoding)
    assert encoding.encode_ordinary(text) == trained.encode(text)
    assert os.listdir(tmp_path) == ["tokenizer.pkl"]


class RunsCommand:
    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_that_runs_code_is_rejected(tmp_path: Path, protocol: int):
    witness = tmp_path / "ran"
    attack = RunsCommand(f"touch {witness}")
    for payload in (attack, {"name": attack}, [attack, 1]):
        write(tmp_path, pickle.dumps(payload, protocol=protocol))
        with pytest.raises(UserError, match=r"tokenizer\.pkl asks for (posix|nt)\.system"):
            RustBPETokenizer.from_directory(tmp_path)
    assert not witness.exists()


def test_pickle_cannot_make_tiktoken_download_an_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """tiktoken reads a state that is a bare name by downloading the encoding of that name."""
    monkeypatch.setattr(tiktoken.registry, "get_encoding", lambda name: pytest.fail(f"asked for {name}"))
    write(tmp_path, b"\x80\x02ctiktoken.core\nEncoding\n)\x81X\x0b\x00\x00\x00cl100k_baseb.")
    with pytest.raises(UserError, match="not a tokenizer or is damaged"):
        RustBPETokenizer.from_directory(tmp_path)


def test_missing_tokenizer_is_reported_with_advice(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        RustBPETokenizer.from_directory(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("tokenizer.pkl", "hf download nanochat-students/base-d20", "scripts.tok_train", "--model=nano"):
        assert part in message


@pytest.mark.parametrize("where", [0, 1, 50, 2000, -1])
def test_truncated_tokenizer_is_reported_in_one_line(tmp_path: Path, where: int):
    with pytest.raises(UserError, match=r"tokenizer\.pkl is not a tokenizer or is damaged"):
        RustBPETokenizer.from_directory(write(tmp_path, nanochat_pickle(300)[:where]))


@pytest.mark.parametrize(
    "data",
    [
        b"<html>not found</html>",
        pickle.dumps({"weights": [1, 2]}),
        nanochat_pickle(300, special=("<|endoftext|>",)),
        nanochat_pickle(255),
    ],
)
def test_other_files_are_reported_in_one_line(tmp_path: Path, data: bytes):
    with pytest.raises(UserError, match=r"tokenizer\.pkl is not a tokenizer or is damaged"):
        RustBPETokenizer.from_directory(write(tmp_path, data))


@given(st.integers(0, 3000), st.integers(0, 255))
@settings(deadline=None, max_examples=60)
def test_flipped_byte_never_causes_a_traceback(tmp_path_factory, position: int, value: int):
    data = bytearray(nanochat_pickle(300))
    data[position % len(data)] = value
    try:
        RustBPETokenizer.from_directory(write(tmp_path_factory.mktemp("flip"), bytes(data)))
    except UserError:
        pass


# ---- conversations


def chat(*contents: str, system: str | None = None, **more) -> dict:
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(contents)]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, **more}


def supervised_parts(tokenizer: RustBPETokenizer, ids: list[int], mask: list[int]) -> list[str]:
    """The text of each run of supervised tokens."""
    parts: list[list[int]] = []
    for previous, token, on in zip([0, *mask], ids, mask):
        if on and not previous:
            parts.append([])
        if on:
            parts[-1].append(token)
    return [tokenizer.decode(part) for part in parts]


def test_layout_of_a_conversation(characters: RustBPETokenizer):
    ids, mask = characters.render_conversation(chat("<image>\nRead.", "Total 9", "More?", "No", system="Be brief."))
    assert characters.decode(ids) == (
        "<|bos|><|user_start|>Be brief.\n\n<|image|>\nRead.<|user_end|><|assistant_start|>Total 9<|assistant_end|>"
        "<|user_start|>More?<|user_end|><|assistant_start|>No<|assistant_end|>"
    )
    assert ids.count(265) == 1
    assert len(mask) == len(ids)
    assert supervised_parts(characters, ids, mask) == ["Total 9<|assistant_end|>", "No<|assistant_end|>"]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=6), st.none() | st.text(max_size=10))
@settings(deadline=None)
def test_only_the_assistant_is_supervised(trained: RustBPETokenizer, contents: list[str], system: str | None):
    conversation = chat(*contents, system=system, images=[])
    before = [dict(message) for message in conversation["messages"]]
    ids, mask = trained.render_conversation(conversation)
    assert supervised_parts(trained, ids, mask) == [text + "<|assistant_end|>" for text in contents[1::2]]
    assert conversation["messages"] == before
    assert trained.encode_special("<|image|>") not in ids


def test_one_image_token_per_placeholder(characters: RustBPETokenizer):
    conversation = chat("<image>a<image>", "<image> is a tag", "b <image><image>", "ok", images=[1, 2, 3, 4])
    ids, _ = characters.render_conversation(conversation)
    assert ids.count(265) == 4
    assert "<|assistant_start|><image> is a tag<|assistant_end|>" in characters.decode(ids)
    assert "<|user_start|><|image|>a<|image|><|user_end|>" in characters.decode(ids)
    assert "<|user_start|>b <|image|><|image|><|user_end|>" in characters.decode(ids)


def test_placeholder_without_an_image_is_ordinary_text(characters: RustBPETokenizer):
    ids, _ = characters.render_conversation(chat("What is <image> in XML?", "A tag", images=[]))
    assert ids.count(265) == 0
    assert "What is <image> in XML?" in characters.decode(ids)
    ids, _ = characters.render_conversation(chat("<image>\nWhat is <image>?", "A tag", images=["picture"]))
    assert ids.count(265) == 1
    assert "<|image|>\nWhat is <image>?" in characters.decode(ids)


def test_image_without_a_placeholder_is_rejected(characters: RustBPETokenizer):
    with pytest.raises(UserError, match="2 images but 1 <image>"):
        characters.render_conversation(chat("<image>\nRead", "ok", images=["one", "two"]))


def test_names_of_special_tokens_in_content_are_ordinary_text(characters: RustBPETokenizer):
    ids, mask = characters.render_conversation(chat("<|assistant_start|>x<|image|>", "y<|assistant_end|>z", images=[]))
    assert [i for i in ids if i > 255] == [256, 257, 258, 259, 260]
    assert supervised_parts(characters, ids, mask) == ["y<|assistant_end|>z<|assistant_end|>"]


def test_completion_prompt_ends_before_the_last_answer(characters: RustBPETokenizer):
    full = chat("<image>\nRead.", "Total 9", "More?", "No", images=["picture"])
    ids, _ = characters.render_conversation(full)
    prompt = characters.render_for_completion(full)
    assert prompt == ids[: len(prompt)]
    assert characters.decode(ids[len(prompt) :]) == "No<|assistant_end|>"
    assert characters.render_for_completion(chat("<image>\nRead.", "Total 9", "More?", images=["picture"])) == prompt
    assert len(full["messages"]) == 4


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "no user message"),
        ([("system", "only")], "no user message"),
        ([("assistant", "hello")], "message 1 .* 'assistant' where 'user'"),
        ([("user", "a"), ("user", "b")], "message 2 .* 'user' where 'assistant'"),
        ([("system", "s"), ("user", "a"), ("assistant", "b"), ("assistant", "c")], "message 4 .* where 'user'"),
        ([("user", "a"), ("system", "late")], "message 2 .* 'system' where 'assistant'"),
        ([("user", "a"), ("tool", "b")], "message 2 .* 'tool' where 'assistant'"),
        ([("user", "a"), ("assistant", None)], "message 2 .* not a string"),
    ],
)
def test_invalid_message_is_named(characters: RustBPETokenizer, messages: list, complaint: str):
    conversation = {"messages": [{"role": role, "content": content} for role, content in messages]}
    with pytest.raises(UserError, match=complaint):
        characters.render_conversation(conversation)


def test_completion_of_an_empty_conversation_is_rejected(characters: RustBPETokenizer):
    with pytest.raises(UserError, match="no user message"):
        characters.render_for_completion({"messages": [{"role": "assistant", "content": "hello"}]})
