"""The ledger: each page of the input becomes exactly one line, with its result, as soon as it is read.

JSON lines, appended and flushed page by page, so that they can be relied on even if the run is killed: an incomplete
line is dropped, and its page is read again. A page that is tried again gets a new line, and the last one counts. The
output files are generated from the ledger.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nanochat.errors import UserError
from nanochat.reading.state import STATES, PageState


def _has_pages(path: Path) -> bool:
    """Whether the ledger has more than the settings of a run that read nothing."""
    if not path.exists():
        return False
    with open(path, "rb") as file:
        file.readline()
        return bool(file.readline())


class Ledger:
    """The ledger of one run. `settings`: the options that the texts depend on; resuming must not change them.

    Raises UserError if the file cannot be written, or contains an earlier run and `resume` is false, or one with other
    settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], resume: bool = False, retry_failed: bool = False) -> None:
        self.path, self.retry_failed = path, retry_failed
        self._places: dict[tuple[str, int], tuple[int, PageState, str]] = {}  # page -> offset, state, fingerprint
        self._n_pages: dict[str, int] = {}  # page counts of the sources whose last page is recorded
        settings = json.loads(json.dumps(settings))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            going_on = _has_pages(path)
            if going_on and not (resume or retry_failed):
                raise UserError(f"{path} is from an earlier run: continue with --resume, or choose another --out")
            self._file = open(path, "r+b" if going_on else "w+b")
            if going_on:
                self._read(settings)
            else:
                self._append({"settings": settings})
        except OSError as error:
            raise UserError(f"cannot write to {path.parent}: {error.strerror}") from error

    def _read(self, settings: dict[str, Any]) -> None:
        """Find every complete line, and truncate the file after the last."""
        end = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                break
            if end == 0:
                self._check(entry.get("settings"), settings)
            else:
                self._remember(end, entry)
            end += len(line)
        self._file.seek(end)
        self._file.truncate()
        if end == 0:
            self._append({"settings": settings})

    def _check(self, before: Any, now: dict[str, Any]) -> None:
        if before != now:
            changed = sorted(key for key in now if not isinstance(before, dict) or before.get(key) != now[key])
            raise UserError(
                f"{self.path} is from a run with other settings ({', '.join(changed)}): choose another --out"
            )

    def _remember(self, start: int, entry: dict[str, Any]) -> None:
        if entry["state"] not in STATES:
            raise UserError(f"{self.path}: a page ended as {entry['state']!r}, which this version does not know")
        self._places[entry["source"], entry["page"]] = start, PageState(entry["state"]), entry["fingerprint"]
        if entry["last"]:
            for page in range(entry["page"] + 1, self._n_pages.get(entry["source"], 0) + 1):
                self._places.pop((entry["source"], page), None)  # of an older version of the file, which had more pages
            self._n_pages[entry["source"]] = entry["page"]

    def _append(self, entry: dict[str, Any]) -> int:
        start = self._file.seek(0, os.SEEK_END)
        line = json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace")  # for odd file names
        self._file.write(line + b"\n")
        self._file.flush()
        return start

    def record(
        self,
        source: str,
        page: int,
        state: PageState,
        why: str = "",
        fingerprint: str = "",
        result: dict | None = None,
        last: bool = False,
    ) -> None:
        """Record the final state of a page. `result`: as in JSON. `last`: whether it is the last page of its source."""
        assert state in STATES
        entry = {"source": source, "page": page, "last": last, "state": state, "why": why, "fingerprint": fingerprint}
        try:
            start = self._append({**entry, "result": result})
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
        self._remember(start, entry)

    def done(self, source: str, page: int, fingerprint: str) -> bool:
        """Whether a page need not be read: it was read from the present file, and is not to be retried."""
        if (source, page) not in self._places:
            return False
        _, state, before = self._places[source, page]
        try_again = self.retry_failed and state in (PageState.FAILED, PageState.LOOPED, PageState.CUT)
        return before == fingerprint and not try_again

    def finished(self, source: str, fingerprint: str) -> bool:
        """Whether a source need not be read, because all its pages are done."""
        n_pages = self._n_pages.get(source, 0)
        return n_pages > 0 and all(self.done(source, page, fingerprint) for page in range(1, n_pages + 1))

    def pages(self) -> Iterator[tuple[str, int, str]]:
        """(source, page, fingerprint) of every recorded page, in the order of recording."""
        for (source, page), (_, _, fingerprint) in self._places.items():
            yield source, page, fingerprint

    def entry(self, source: str, page: int) -> dict[str, Any]:
        """The line of a page."""
        self._file.seek(self._places[source, page][0])
        return json.loads(self._file.readline())

    def entries(self, source: str, n_pages: int) -> Iterator[dict[str, Any]]:
        """The lines of a source's pages, in order; one at a time, since their texts may not fit in memory."""
        for page in range(1, n_pages + 1):
            if (source, page) in self._places:
                yield self.entry(source, page)

    def state(self, source: str, page: int) -> PageState:
        """The final state of a page."""
        return self._places[source, page][1]

    def counts(self) -> Counter[PageState]:
        """Number of pages by final state."""
        return Counter(state for _, state, _ in self._places.values())

    def close(self) -> None:
        with suppress(OSError):  # complete lines are flushed; on a full disk a part may still be buffered
            self._file.close()
