"""What can become of a page, from being opened to being read."""

from enum import StrEnum


class PageState(StrEnum):
    """How a page of the input stands; as JSON and in files, its lower-case value."""

    WAITING = "page"
    """opened, and still to be read"""
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
    """the page was not asked for, or is never read, such as the second picture of an animation"""


READ = (PageState.OK, PageState.REPAIRED, PageState.LOOPED, PageState.CUT)  # states of pages that have text
TRUSTED = (PageState.OK, PageState.REPAIRED)
STATES = (*READ, PageState.FAILED, PageState.SKIPPED)  # how a page of a ledger can have ended
