"""Training a tokenizer: its file is usable, and its compression is measured on unseen text."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shared_data import shared_data

from nanochat.tokenizer import RustBPETokenizer
from scripts import tok_train


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tok_train", *arguments])
    tok_train.main()


def test_tokenizer_of_real_books_compresses_unseen_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    data = shared_data("text/base_parquet")
    run(monkeypatch, f"--data={data}", "--vocab_size", "2048", "--max-chars=400000", f"--out={tmp_path / 'new'}")
    tokenizer = RustBPETokenizer.from_directory(tmp_path / "new")
    assert tokenizer.get_vocab_size() == 2049
    documents = pq.read_table(data / "shard_00000.parquet")["text"].to_pylist()
    trained_on, n = 0, 0
    while trained_on < 400_000:
        n += 1
        trained_on += len(documents[n - 1]) if n % 20 else 0
    held_out = documents[19:n:20]
    expected = sum(len(text.encode()) for text in held_out) / sum(len(tokenizer.encode(text)) for text in held_out)
    assert f"compression: {expected:.2f} bytes per token on {len(held_out)} documents" in capsys.readouterr().out
    assert 2.5 < expected < 5


def test_held_out_documents_are_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    texts = ["held " * 4000 if (i + 1) % 20 == 0 else "abcdefgh " * 2 for i in range(40)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "data.parquet")
    run(monkeypatch, f"--data={tmp_path / 'data.parquet'}", "--vocab_size=270", f"--out={tmp_path}")
    tokenizer = RustBPETokenizer.from_directory(tmp_path)
    assert len(tokenizer.encode("abcdefgh")) < 8
    assert len(tokenizer.encode("held")) == 4
    assert "2 documents held out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "vocab_size", "complaint"),
    [
        (None, 300, "no text in"),
        ("a b c d", 300, "too little text for --vocab_size=300: it gives 268 tokens"),
        ("a b", 100, "vocabulary of 100 is too small"),
    ],
)
def test_untrainable_input_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, text: str | None, vocab_size: int, complaint: str
):
    if text is not None:
        (tmp_path / "a.txt").write_text(text)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, f"--data={tmp_path / 'a.txt'}", f"--vocab_size={vocab_size}", f"--out={tmp_path / 'out'}")
    assert ended.value.code == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1 and complaint in errors[0]
    assert not (tmp_path / "out").exists()
