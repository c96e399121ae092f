"""The hub: if it is unreachable, one line names the file; a cached file needs no network."""

from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest
from huggingface_hub.utils import filter_repo_objects

from nanochat import hub
from nanochat.errors import UserError


@pytest.fixture(autouse=True)
def unreachable_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the address of a hub that does not respond."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", "http://127.0.0.1:9")
    return tmp_path


def cache_file(cache: Path, repo_folder: str, filename: str) -> Path:
    """Write a cached file in the layout of the hub client."""
    commit = "0" * 40
    (cache / repo_folder / "refs").mkdir(parents=True)
    (cache / repo_folder / "refs" / "main").write_text(commit)
    path = cache / repo_folder / "snapshots" / commit / filename
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


def test_unreachable_hub_is_reported_with_file_and_advice():
    with pytest.raises(UserError) as caught:
        hub.fetch("some-owner/some-model", "folder/model.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    assert "folder/model.safetensors" in message and "some-owner/some-model" in message
    assert "hf download some-owner/some-model" in message and "give the local path instead" in message


def test_unreachable_hub_is_reported_with_the_pattern_of_a_dataset():
    with pytest.raises(UserError, match=r"cannot fetch chartqa/\*\.parquet of the hub's dataset owner/name"):
        hub.fetch_matching("owner/name", "chartqa/*.parquet", "dataset")


def test_cached_file_needs_no_network(unreachable_hub: Path):
    path = cache_file(unreachable_hub, "models--owner--name", "tokenizer.pkl")
    assert hub.fetch("owner/name", "tokenizer.pkl") == path


def test_file_name_with_pattern_characters(unreachable_hub: Path, monkeypatch: pytest.MonkeyPatch):
    """Some files of OmniDocBench have such names."""
    name = "images/book_en_[#20][HTML5 Canvas]_page_208.png"
    path = unreachable_hub / name

    def download(repo_id: str, repo_type: str, allow_patterns: str) -> str:
        for wanted in filter_repo_objects([name, "images/other.png"], allow_patterns=allow_patterns):
            (unreachable_hub / wanted).parent.mkdir(exist_ok=True)
            (unreachable_hub / wanted).touch()
        return str(unreachable_hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert hub.fetch("owner/name", name, "dataset") == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_path_that_is_not_a_hub_id_is_reported_in_one_line():
    with pytest.raises(UserError, match="neither a local path nor a hub id"):
        hub.fetch("weights/of/mine.pt", "model.safetensors")
