"""Returning freed memory to the system.

The C library keeps what is freed, for later use. Images of pages and arrays of their size come and go by the dozen, and
leave holes that others do not fit into: a process that reads many pages would grow to several times what it uses.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


@cache
def _trim() -> Callable[[int], int] | None:
    """`malloc_trim` of glibc; None with another C library or on another system."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def return_freed_memory() -> None:
    """Return the memory that this process has freed to the system. Takes milliseconds; does nothing without glibc."""
    trim = _trim()
    if trim is not None:
        trim(0)
