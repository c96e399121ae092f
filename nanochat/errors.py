"""Errors that the user can fix."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """An error that the user can fix. The message is one line: what is wrong, where, and what to do."""


class PasswordNeeded(UserError):
    """A document is encrypted, and the password is missing or wrong."""


class OutOfMemory(UserError):
    """There is not enough memory even for the smallest batch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, of Python, PyTorch or ONNX Runtime, says that memory ran out on the CPU or the GPU."""
    if isinstance(error, MemoryError | OutOfMemory) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = str(error).lower()
    return not isinstance(error, UserError) and any(
        words in said for words in ("bad_alloc", "bad allocation", "allocate memory", "not enough memory")
    )


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
