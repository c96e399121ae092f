"""Train a tokenizer on text and write `tokenizer/tokenizer.pkl`.

uv run python -m nanochat.dataset -n 8          # text to train on
uv run python -m scripts.tok_train
uv run python -m scripts.tok_train --data=book.txt --vocab_size=4096 --out=/tmp/tokenizer     # a small one
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nanochat.command import entry_point, parse_args
from nanochat.dataset import DATA_DIR, iter_documents
from nanochat.errors import UserError
from nanochat.tokenizer import RustBPETokenizer

HELD_OUT_EVERY = 20  # one of this many documents is held out to measure the compression
HELD_OUT_CHARS = 1_000_000


@dataclass
class TokenizerConfig:
    data: Path = DATA_DIR
    """a parquet file with a column named text, a text file, or a folder of such files"""
    vocab_size: int = 65_536
    """number of tokens, including the nine special ones; <|image|> is added to these"""
    max_chars: int = 2_000_000_000
    """stop reading after this many characters"""
    out: Path = Path("tokenizer")
    """folder for tokenizer.pkl"""


def training_documents(documents: Iterable[str], max_chars: int, held_out: list[str]) -> Iterator[str]:
    """Yield documents of `max_chars` characters in all; one in 20 goes to `held_out` instead."""
    n_train = n_held_out = 0
    for number, text in enumerate(documents, start=1):
        if number % HELD_OUT_EVERY == 0 and n_held_out < HELD_OUT_CHARS:
            held_out.append(text)
            n_held_out += len(text)
        else:
            n_train += len(text)
            yield text
        if n_train >= max_chars:
            break


@entry_point
def main() -> None:
    """Train a tokenizer on text."""
    config = parse_args(TokenizerConfig, description=main.__doc__)
    held_out: list[str] = []
    start = time.perf_counter()
    texts = training_documents(iter_documents(config.data), config.max_chars, held_out)
    tokenizer = RustBPETokenizer.train_from_iterator(texts, config.vocab_size)
    print(f"trained {tokenizer.get_vocab_size():,} tokens in {time.perf_counter() - start:.1f} s")
    if tokenizer.get_vocab_size() < config.vocab_size + 1:
        raise UserError(
            f"{config.data} has too little text for --vocab_size={config.vocab_size}: it gives "
            f"{tokenizer.get_vocab_size() - 1:,} tokens; lower it to that, or add text"
        )
    if held_out:
        n_bytes, n_tokens = sum(len(text.encode()) for text in held_out), sum(map(len, tokenizer.encode(held_out)))
        print(f"compression: {n_bytes / n_tokens:.2f} bytes per token on {len(held_out):,} documents held out")
    else:
        print(f"compression: not measured, because it needs at least {HELD_OUT_EVERY} documents")
    tokenizer.save(config.out)
    print(f"wrote {config.out / 'tokenizer.pkl'}")


if __name__ == "__main__":
    main()
