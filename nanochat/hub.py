"""Files of the Hugging Face hub, from its cache or its servers, with one clear error when neither has them."""

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError

from nanochat.common import UserError


def fetch(repo_id: str, filename: str, repo_type: str = "model") -> Path:
    """The local path of one file of a hub repository, downloaded unless the hub's cache already has it.

    Raises UserError, naming the file and how to give a local one, when the hub cannot be reached or has no such file.
    """
    try:
        return Path(hf_hub_download(repo_id, filename, repo_type=repo_type))
    except HFValidationError as error:
        raise UserError(f"{repo_id!r} is neither a local path nor a hub id of the form owner/name") from error
    except Exception as error:  # the hub's client lets errors of its HTTP library, of the disk and its own through
        raise _cannot_fetch(repo_id, filename, repo_type, error) from error


def fetch_matching(repo_id: str, pattern: str, repo_type: str = "model") -> list[Path]:
    """The local paths, sorted, of every file of a hub repository that matches a glob such as `chartqa/*.parquet`.

    Raises UserError as `fetch` does.
    """
    try:
        folder = snapshot_download(repo_id, repo_type=repo_type, allow_patterns=pattern)
    except Exception as error:
        raise _cannot_fetch(repo_id, pattern, repo_type, error) from error
    files = sorted(Path(folder).glob(pattern))
    if not files:
        missing = FileNotFoundError("no such file, or it is not in the cache")
        raise _cannot_fetch(repo_id, pattern, repo_type, missing)
    return files


def _cannot_fetch(repo_id: str, what: str, repo_type: str, error: Exception) -> UserError:
    said = str(error).strip().splitlines()
    by_hand = f"hf download {repo_id} --repo-type {repo_type} --include '{what}' --local-dir FOLDER"
    return UserError(
        f"cannot fetch {what} of the hub's {repo_type} {repo_id} ({type(error).__name__}: "
        f"{said[0] if said else 'no reason'}); fetch it elsewhere with `{by_hand}` and give the local path instead"
    )
