"""Reading several items together, so that one unreadable item does not affect the others."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_apart(read: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item]) -> list[Result | Exception]:
    """The result of `read` for each item, in order. If reading them together fails, each is read alone.

    For an item that also fails alone, its exception, of any type, takes the place of its result.
    """
    try:
        return list(read(items))
    except Exception as error:  # of any type: an unexpected one must not affect the other items either
        if len(items) == 1:
            return [error]
    return [found for item in items for found in read_apart(read, [item])]
