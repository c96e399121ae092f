"""Reading several things together so that one that cannot be read costs nothing but itself."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_apart(read: Callable[[Sequence[Item]], Iterable[Result]], items: Sequence[Item]) -> list[Result | Exception]:
    """What `read` makes of the items, in order; where all together fail, each is read alone.

    An item that fails alone has its error, of whatever kind, in the place of its result.
    """
    try:
        return list(read(items))
    except Exception as error:  # also one that nobody thought of must not cost the other items
        if len(items) == 1:
            return [error]
    return [found for item in items for found in read_apart(read, [item])]
