"""The states of a page, from being opened to being read."""

from collections import Counter
from enum import StrEnum


class PageState(StrEnum):
    """The state of a page of the input; in JSON and files, its lower-case value."""

    WAITING = "page"
    """opened, but not read yet"""
    DONE = "done"
    """read by an earlier run"""
    OK = "ok"
    REPAIRED = "repaired"
    """the answer repeated itself once, and was continued without the repetition"""
    LOOPED = "looped"
    """the answer repeated itself and was stopped; the text before that is kept"""
    CUT = "cut"
    """the answer reached a limit of length or time"""
    FAILED = "failed"
    """the page could not be opened or read"""
    SKIPPED = "skipped"
    """the page was not selected, or is never read, such as the second image of an animation"""


READ = (PageState.OK, PageState.REPAIRED, PageState.LOOPED, PageState.CUT)  # states of pages with text
TRUSTED = (PageState.OK, PageState.REPAIRED)
STATES = (*READ, PageState.FAILED, PageState.SKIPPED)  # final states of pages in a ledger


def exit_code(states: Counter[PageState]) -> int:
    """The exit code of a command after it has read pages: 0, 1 if a page failed, 2 if there is no text at all."""
    if not any(states[state] for state in READ):
        return 2
    return 1 if states[PageState.FAILED] else 0
