"""Files of the Hugging Face hub, from the local cache or the server, with one clear error if neither has them."""

from glob import escape
from pathlib import Path

from nanochat.errors import UserError, extra


def fetch(repo_id: str, filename: str, repo_type: str = "model") -> Path:
    """The local path of one file of a hub repository, downloaded unless it is already in the cache.

    Raises UserError, which says how to use a local file instead, if the hub cannot be reached or has no such file.
    """
    with extra("train"):
        from huggingface_hub import try_to_load_from_cache
    try:
        cached = try_to_load_from_cache(repo_id, filename, repo_type=repo_type)
    except ValueError as error:
        raise UserError(f"{repo_id!r} is neither a local path nor a hub id of the form owner/name") from error
    return Path(cached) if isinstance(cached, str) else fetch_matching(repo_id, escape(filename), repo_type)[0]


def fetch_matching(repo_id: str, pattern: str, repo_type: str = "model") -> list[Path]:
    """The local paths, sorted, of every file of a hub repository that matches a glob such as `chartqa/*.parquet`.

    Raises UserError as `fetch` does.
    """
    with extra("train"):
        from huggingface_hub import snapshot_download
    by_hand = f"hf download {repo_id} --repo-type {repo_type} --include '{pattern}' --local-dir FOLDER"
    instead = f"download it elsewhere with `{by_hand}` and give the local path instead"
    try:
        folder = snapshot_download(repo_id, repo_type=repo_type, allow_patterns=pattern)
    except Exception as error:  # the client raises its own errors and those of its HTTP library and of the disk
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason'}"
        raise UserError(f"cannot fetch {pattern} of the hub's {repo_type} {repo_id} ({reason}); {instead}") from error
    files = sorted(Path(folder).glob(pattern))
    if not files:
        raise UserError(f"the hub's {repo_type} {repo_id} has no file {pattern}, or it is not in the cache; {instead}")
    return files
