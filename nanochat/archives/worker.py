"""The work of the processes of a batch: opening pages, and reading them with a model. They exchange plain rows."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from nanochat.archives.files import File
from nanochat.archives.pages import pages_in
from nanochat.archives.settings import BatchSettings
from nanochat.errors import UserError
from nanochat.image_process import NOTE
from nanochat.prompts import asked
from nanochat.reading.documents import InputPage
from nanochat.reading.job import Job, read_together
from nanochat.reading.ocr import OCR
from nanochat.reading.sources import Selection, Source
from nanochat.reading.state import PageState
from nanochat.reading.text_layer import LAYER, TextLayer

Rows = dict[str, Any]  # column -> values, Ray's format of batches
KEYS = ("source", "page", "last", "state", "why", "fingerprint")
READ_KEYS = ("result", "call", "spent")
BROKEN = "broken"  # state of a row without a page, because the worker has no model


@dataclass(frozen=True)
class Opening:
    """Opens the pages of files, except those that are done."""

    selection: Selection
    """which pages of each document are opened"""
    dpi: int
    """resolution at which PDFs are rendered"""
    password: str
    """of encrypted PDFs"""
    most: int | None = None
    """most pages of each file; None: all"""
    layers: bool = False
    """also read the text layers of PDF pages"""

    def __call__(self, rows: Rows) -> Iterator[Rows]:
        """Yield the pages of files, one row each.

        `rows`: columns `address`, `fingerprint`, and `done`, a JSON list of (name, page) to leave out.
        """
        for address, fingerprint, done in zip(rows["address"], rows["fingerprint"], rows["done"]):
            known = {(name, number) for name, number in json.loads(done)}
            file = File(str(address), str(fingerprint))
            pages = pages_in(
                file, self.selection, self.dpi, self.password, lambda *page, known=known: page in known, self.layers
            )
            read = 0
            for page in pages:
                yield _row(page)
                read += page.state != PageState.SKIPPED
                if read == self.most:
                    break


def _row(page: InputPage) -> Rows:
    image = page.image
    width, height = image.size if image is not None else (0, 0)
    return {
        "source": [page.source.name], "page": [page.number], "last": [page.last], "state": [page.state.value],
        "why": [page.why], "fingerprint": [page.fingerprint], "width": [width], "height": [height],
        "pixels": [b"" if image is None else image.tobytes()], "info": [_info(image)],
    }  # fmt: skip


def _info(image: Image.Image | None) -> str:
    """Information on a page besides its pixels, as JSON: a note, and its text layer."""
    if image is None:
        return "{}"
    layer: TextLayer | None = image.info.get(LAYER)
    return json.dumps({"note": image.info.get(NOTE), "layer": layer and layer.to_dict()})


def _set_info(image: Image.Image, info: str) -> None:
    """Set the information of `_info` on an image."""
    known = json.loads(info)
    if known.get("note"):
        image.info[NOTE] = known["note"]
    if known.get("layer"):
        image.info[LAYER] = TextLayer.from_dict(known["layer"])


def _page(rows: Rows, i: int) -> InputPage:
    image = None
    if rows["state"][i] == PageState.WAITING:
        image = Image.frombytes("RGB", (int(rows["width"][i]), int(rows["height"][i])), rows["pixels"][i])
        _set_info(image, str(rows["info"][i]))
    return InputPage(
        Source(str(rows["source"][i])), int(rows["page"][i]), PageState(rows["state"][i]), str(rows["why"][i]), image,
        bool(rows["last"][i]), str(rows["fingerprint"][i]),
    )  # fmt: skip


class Reader:
    """A model that turns opened pages into rows of the ledger. A page that it cannot read is a row with the reason.

    If the model cannot be loaded, for example because a file is missing on that machine, all rows have the state BROKEN
    and the reason. An exception would only appear in the logs of Ray.
    """

    def __init__(self, checkpoint: str, device: str, mode: str, max_vision_tokens: int | None, job: Job) -> None:
        self.job, self.broken = job, ""
        try:
            self.ocr = OCR(checkpoint, device, mode, max_vision_tokens)
        except UserError as error:
            self.broken = str(error)

    def __call__(self, rows: Rows) -> Rows:
        """Read pages. Returns the columns KEYS, `result`, `call` and `spent`.

        `result` is JSON of what was read, or null. `call` is the duration of this call in seconds, and `spent` its
        equal share for each page.
        """
        if self.broken:
            values = ("", 0, True, BROKEN, f"{socket.gethostname()}: {self.broken}", "", "", 0.0, 0.0)
            return {key: [value] for key, value in zip((*KEYS, *READ_KEYS), values)}
        started = time.perf_counter()
        pages = [_page(rows, i) for i in range(len(rows["source"]))]
        found: list[list[Any]] = []
        for page, result in read_together(self.ocr, pages, self.job):
            record = json.dumps(None if result is None else result.to_dict())
            found.append([page.source.name, page.number, page.last, page.state, page.why, page.fingerprint, record])
        call = time.perf_counter() - started
        found = [[*row, call, call / len(found)] for row in found]
        return {key: list(values) for key, values in zip((*KEYS, *READ_KEYS), zip(*found))}


@dataclass(frozen=True)
class Work:
    """What is done with every file of an archive."""

    settings: BatchSettings
    checkpoint: str
    mode: str

    @property
    def job(self) -> Job:
        """How a page is read."""
        s = self.settings
        prompt = asked(s.task or "free", s.prompt)
        return Job([], prompt, max_tokens=s.max_tokens, seconds=s.seconds, text_layer=s.text_layer)

    def opening(self, most: int | None) -> Opening:
        """Opens the pages of files, `most` of each; None: all."""
        s = self.settings
        return Opening(Selection(s.pages), s.dpi, s.password, most, self.job.takes_layers)

    def reader_arguments(self, device: str) -> tuple[str, str, str, int | None, Job]:
        """The arguments of `Reader`, for a model on `device`."""
        return self.checkpoint, device, self.mode, self.settings.max_vision_tokens, self.job
