"""Errors that a person can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something a person can mend: the message is one line saying what is wrong, where, and what to do."""


class PasswordNeeded(UserError):
    """A document is encrypted, and no password was given, or a wrong one."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports of packages that only the extra `name` installs (pyproject.toml lists the extras).

    Raises UserError, with the command that installs the extra, when one of them is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "nanochat":  # a bug of ours
            raise
        raise UserError(f'{missing} is not installed: run `pip install "nano-deepseek-ocr[{name}]"`') from error
