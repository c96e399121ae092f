"""Errors that the user can fix."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """An error that the user can fix. The message is one line: what is wrong, where, and what to do."""


class PasswordNeeded(UserError):
    """A document is encrypted, and the password is missing or wrong."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Context manager for imports of packages that only the extra `name` of pyproject.toml installs.

    Raises UserError, with the command that installs the extra, when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "nanochat":  # a bug of ours
            raise
        raise UserError(f'{missing} is not installed: run `pip install "nano-deepseek-ocr[{name}]"`') from error
