"""The pages of the files of an archive, opened one at a time."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from nanochat.archives.files import File, documents_in
from nanochat.errors import UserError
from nanochat.reading.ahead import PageOptions, read_ahead
from nanochat.reading.documents import InputPage, open_document
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState

IsDone = Callable[[str, int], bool]  # name of a document, number of its page


def pages_in(
    file: File,
    selection: Selection,
    dpi: int,
    password: str,
    done: IsDone = lambda name, number: False,
    layers: bool = False,
) -> Iterator[InputPage]:
    """Every page of every document in a file, except those for which `done(name, number)` is true.

    Documents and pages that cannot be opened are yielded as failed pages. All pages have the fingerprint of the file,
    since it is known before the file is opened. `layers`: include the text layers of PDF pages, in `info[LAYER]` of
    their images.
    """
    documents = _until_it_breaks(file)
    for document in documents:
        if isinstance(document, InputPage):
            yield document
            continue
        options = PageOptions(dpi, password, layers)
        for page in read_ahead([document], selection, options, 0, 1, lambda s, n, _: done(s.name, n)):
            if page.state != PageState.DONE:
                yield replace(page, fingerprint=file.fingerprint)


def _until_it_breaks(file: File) -> Iterator[Source | InputPage]:
    try:
        yield from documents_in(file)
    except UserError as error:
        yield InputPage(Source(file.address), 1, PageState.FAILED, str(error), last=True, fingerprint=file.fingerprint)


def count_pages(file: File, selection: Selection, dpi: int, password: str, most: float = math.inf) -> int:
    """The number of selected pages of all documents in a file. A document that cannot be opened counts as one.

    `most`: stop at the document with which this number is reached.
    """
    n_pages = 0
    for document in _until_it_breaks(file):
        if n_pages >= most:
            break
        try:
            if isinstance(document, InputPage):
                raise UserError(document.why)
            opened = open_document(document, dpi, password)
            n_pages += sum(n in selection and not opened.skipped(n) for n in range(1, opened.n_pages + 1))
            opened.close()
        except UserError:
            n_pages += 1
    return n_pages
