"""`OCR`: reads pages with a trained model, for the command line, the server and Python programs.

It chooses the modes of a page and turns pages that lie on their side. `answer.py` asks the model, and `assemble.py`
makes pages from its answers.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar, get_args

from PIL import Image

from nanochat.engine import Engine, Generation
from nanochat.engine.generator import Generator
from nanochat.engine.loading import load_reader
from nanochat.errors import UserError
from nanochat.files import models_folder
from nanochat.freed import return_freed_memory
from nanochat.image_process import ImageViews, PictureSource, open_image, show
from nanochat.lines.layout import Line, find_lines
from nanochat.model_config import VisionConfig
from nanochat.modes import MODES
from nanochat.prompts import PROMPTS, one_picture
from nanochat.reading.answer import Answerer, Ask
from nanochat.reading.comb import close_combs
from nanochat.reading.documents import open_document
from nanochat.reading.ink_audit import Audit, audit
from nanochat.reading.layer_check import read_with_layers
from nanochat.reading.options import TextLayerMode
from nanochat.reading.orientation import find_turns, in_doubt, turn_back
from nanochat.reading.orientation import turn as turn_picture
from nanochat.reading.page import Page
from nanochat.reading.shown import Lined, Shown
from nanochat.reading.sources import Selection, Source
from nanochat.reading.standing import add_lines, lines_given_up, read_standing, without_standing
from nanochat.reading.state import TRUSTED
from nanochat.reading.text_layer import load_page
from nanochat.threads import adapt_threads

PROMPT = PROMPTS["free"]
HOME = models_folder()  # folder of the models that come with the project
SURE = 0.75  # mean probability below which `auto` tries the next mode
LADDERS = {  # modes that `auto` tries in order, by the model's own view or mode
    "square": ("tiny", "small", "base", "large", "gundam"),
    "native": ("native", "lines"),
    "lines": ("lines", "native"),
}
READABLE = 10.0  # px: type height in a view below which reading is unreliable
DENSEST = 12.0  # characters per 64 x 64 pixels of a view: models were not trained on denser pages
CUT = ("lines", "blocks")  # modes that show a page as several small views
READING_MODES = (*MODES, "lines", "blocks", "auto")
T = TypeVar("T")


def find_model(name: str | Path) -> Path:
    """The path of a checkpoint or folder, given as a path or as the name of a model of the project (`nano`).

    Raises UserError if there is no such model.
    """
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path  # load_model reports errors of a path
    home = HOME / path
    if not (home / "config.json").is_file():
        raise UserError(
            f"no model called {str(name)!r} here ({home}/config.json is not there): train one, or give --checkpoint "
            f"step_N.pt or a folder with config.json, model.safetensors and tokenizer.pkl"
        )
    return home


def learnt_modes(meta: dict[str, Any], vision: VisionConfig) -> tuple[str, ...]:
    """The modes that a checkpoint was trained to read in, the best one first, according to its metadata.

    `reading_mode` is the best one and `reading_modes` all of them. If the metadata has neither: for a model trained on
    synthetic documents, lines, and whole pages too after the course of pages; otherwise the model's own view.
    """
    training = meta.get("training", {})
    taught = tuple(meta.get("reading_modes", ()))
    if not taught and vision.view == "native" and training.get("synth", False):
        taught = ("lines", "native", "blocks") if training.get("course") == "pages" else ("lines",)
    best = meta.get("reading_mode") or (taught or (vision.view,))[0]
    return tuple(dict.fromkeys((best, *taught)))


def learnt_mode(meta: dict[str, Any], vision: VisionConfig) -> str:
    """The mode in which a checkpoint reads best."""
    return learnt_modes(meta, vision)[0]


class OCR:
    """A model ready to read: `OCR("nano").read("receipt.png").text`.

    `checkpoint`: step_N.pt, an exported folder, or `nano`, the model that comes with the project. `mode`: one of
    READING_MODES; by default the one that the model was trained for. `batch_size`: number of views that are read at a
    time; the text does not depend on it. `int8`: on a CPU, store the language model's weights in 8 bits; the text may
    then vary with the batch.

    `locate_lines`: find the boxes of the lines of whole views, by one more pass over each answer. `reread`: read
    uncertain lines a second time, at a larger size. `turn`: try the other orientations of pages that may lie on their
    side or upside down. `backend`: `torch`; `onnx`, ONNX Runtime on the CPU, which ignores `locate_lines`; or `auto`,
    torch on a GPU, otherwise onnx if the checkpoint has graphs. The text is the same.
    """

    def __init__(
        self,
        checkpoint: str | Path = "nano",
        device: str = "",
        mode: str = "",
        max_vision_tokens: int | None = None,
        batch_size: int = 16,
        int8: bool = False,
        *,
        locate_lines: bool = True,
        reread: bool = True,
        turn: bool = True,
        backend: str = "auto",
    ) -> None:
        loaded = load_reader(find_model(checkpoint), device, backend, int8)
        self.model, self.tokenizer, self.meta = loaded.model, loaded.tokenizer, loaded.meta
        self.device, self.precision = loaded.device, loaded.precision
        self.adapts_threads = loaded.by_torch  # False too if another thread computes and does so itself
        self.engine = Engine(self.model, self.tokenizer)
        self.generator: Generator = self.engine
        self.vision = self.model.config.vision
        self.locate_lines = locate_lines and loaded.by_torch  # ONNX graphs do not return attention
        self.reread, self.turn = reread, turn
        self.on_lines: Callable[[Shown, list[Generation]], None] | None = None  # as in `Answerer`
        self.batch_size, self.max_vision_tokens = batch_size, max_vision_tokens
        self.own_mode, *_ = self.taught = learnt_modes(self.meta, self.vision)
        self.mode = self._check_mode(mode or self.own_mode)

    @property
    def learnt_modes(self) -> tuple[str, ...]:
        """The modes that the checkpoint was trained for, its own first."""
        further = {"native": ("auto",), "square": ("base",)}.get(self.vision.view, ())
        return tuple(dict.fromkeys([*self.taught, *further]))

    def _check_mode(self, mode: str) -> str:
        """Refuse an unknown mode, and warn about one that the checkpoint was not trained for."""
        if mode not in (*READING_MODES, self.own_mode):
            raise UserError(f"no mode called {mode!r}: choose one of {', '.join(READING_MODES)}")
        budget = self.max_vision_tokens
        if budget is not None and mode != "native":
            raise UserError(f"--max_vision_tokens is for mode native, not {mode}")
        if mode in MODES:
            self.vision.mode(mode, budget)
        if mode not in self.learnt_modes:
            own = f"views in mode {' and '.join(self.taught)}"
            warnings.warn(f"this model was trained with {own}, not {mode}: the text will be worse", stacklevel=3)
        return mode

    def read(
        self,
        source: PictureSource,
        prompt: str = PROMPT,
        max_tokens: int | None = None,
        *,
        pages: str = "",
        dpi: int = 150,
        password: str = "",
        text_layer: TextLayerMode = "auto",
    ) -> Page | Any:
        """Read an image or a PDF. Returns a `Page` for an image, a list of them for a PDF.

        `source`: a path, the bytes of a file, a Pillow image, or an array of pixels as `open_image` takes it.
        `max_tokens`: length limit of the answer about each view. For a PDF: `pages`, the pages to read, such as
        "1-3,7" (by default all); `dpi`, the resolution at which they are rendered; `password`, if it is encrypted;
        `text_layer`, whether the text layer of a page is used if it agrees with the image (`auto`), `only`, or `never`.
        Raises UserError if the source cannot be opened, or if the prompt does not have exactly one `<image>`.
        """
        if not _is_pdf(source):
            return next(self.read_many([open_image(source)], prompt, max_tokens))
        if text_layer not in get_args(TextLayerMode):
            raise UserError(f"text_layer {text_layer!r}: choose one of {', '.join(get_args(TextLayerMode))}")
        layered = text_layer != "never" and Ask(one_picture(prompt)).is_for_text
        wanted = Selection(pages)
        file = Source("the PDF", source) if isinstance(source, bytes) else Source(str(source))
        with closing(open_document(file, dpi, password)) as document:
            numbers = [n for n in range(1, document.n_pages + 1) if n in wanted]
            if not numbers:
                raise UserError(f"{file.name} has {document.n_pages} pages, none of which is in {pages}")
            found: list[Page] = []
            for some in _chunks(numbers, self.batch_size):
                found += read_with_layers(
                    self,
                    [load_page(document, n, layer=layered) for n in some],
                    text_layer,
                    lambda pictures: self.read_many(pictures, prompt, max_tokens),
                )
            return found

    def read_many(
        self,
        pictures: Iterable[PictureSource | Lined],
        prompt: str = PROMPT,
        max_tokens: int | None = None,
        seconds: float | None = None,
    ) -> Iterator[Page]:
        """Read images in order, `batch_size` at a time; the text of each does not depend on the others.

        `max_tokens`: length limit of the answer about each view. `seconds`: time limit for an answer.
        """
        ask = Ask(one_picture(prompt), max_tokens, seconds)
        for some in _chunks(pictures, self.batch_size):
            if self.adapts_threads:
                adapt_threads()
            pages = self._read_batch([_with_lines(picture) for picture in some], ask)
            return_freed_memory()
            yield from pages

    def read_lines(self, picture: Image.Image, lines: Sequence[Line]) -> list[str]:
        """The text of each of these lines of an RGB image. Raises UserError if the model was not trained on lines."""
        return [page.text for page in self.read_line_pages(picture, lines)]

    def read_line_pages(self, picture: Image.Image, lines: Sequence[Line]) -> list[Page]:
        """Each of these lines of an RGB image as a page. Raises UserError if the model was not trained on lines."""
        if "lines" not in self.taught:
            raise UserError("this model does not read single lines")
        return self._climb([picture] * len(lines), [[line] for line in lines], ("lines",), Ask(PROMPT))

    def view(self, picture: Image.Image) -> ImageViews:
        """The view of a whole image that the model was trained on."""
        return show(picture, self.vision.mode())

    def answerer(self) -> Answerer:
        """An Answerer with the present settings, which reads images in a given mode."""
        return Answerer(
            self.generator, self.tokenizer, self.vision, self.precision, self.device, self.batch_size,
            self.max_vision_tokens, self.locate_lines, self.reread, self.on_lines,
        )  # fmt: skip

    def _read_batch(self, lined: list[Lined], ask: Ask) -> list[Page]:
        """One page for each image; pages that seem to lie on their side or upside down are turned."""
        ladder = self._ladder(ask)
        pictures = [one.picture for one in lined]
        pages = self._climb(pictures, [one.lines for one in lined], ladder, ask)
        if not self.turn:
            return pages
        doubtful = [i for i, page in enumerate(pages) if page.mode in CUT and in_doubt(page)]
        turns = find_turns(
            [pictures[i] for i in doubtful],
            [pages[i] for i in doubtful],
            lambda pictures, lines: self._climb(pictures, lines, ("lines",), ask),
        )
        turned = {i: degrees for i, degrees in zip(doubtful, turns, strict=True) if degrees}
        upright = [_find_lined(turn_picture(pictures[i], degrees)) for i, degrees in turned.items()]
        again = self._climb([one.picture for one in upright], [one.lines for one in upright], ladder, ask)
        for (i, degrees), page in zip(turned.items(), again, strict=True):
            page.add_reading(pages[i])
            back = turn_back(page, degrees)
            pages[i] = add_lines(back, lines_given_up(pages[i], back), "some lines are rotated: they come last")
        if ask.is_for_text:
            for i, page in enumerate(pages):
                if page.mode in CUT and not page.turned:
                    pages[i] = self._add_standing(page, lined[i], ask)
        return pages

    def _add_standing(self, page: Page, lined: Lined, ask: Ask) -> Page:
        """An upright page, with its vertical text added."""
        more, spent = read_standing(
            lined.picture, lined.lines, page.lines,
            lambda pictures, lines: self._climb(pictures, lines, ("lines",), ask),
        )  # fmt: skip
        for other in spent:
            page.add_reading(other)
        return add_lines(without_standing(page, more), more, "some text is vertical: it comes last")

    def _climb(
        self, pictures: list[Image.Image], lines: list[list[Line]], ladder: tuple[str, ...], ask: Ask
    ) -> list[Page]:
        """One page for each RGB image with these lines, in the first mode of the ladder whose result can be trusted."""
        answerer = self.answerer()
        pages: dict[int, Page] = {}
        for mode in ladder:
            left = [i for i in range(len(pictures)) if i not in pages or not _trusted(pages[i])]
            shown = [answerer.show(pictures[i], lines[i], mode) for i in left]
            for i, page in zip(left, answerer.read(shown, [pictures[i] for i in left], ask), strict=True):
                verdict = audit(lines[i], page.text) if ask.is_for_text else Audit(0, 0)
                page.ink, page.expected_characters = verdict.verdict, verdict.expected
                if mode == "native" and ask.is_for_text:
                    self._doubt_one_view(page, lines[i])
                pages[i] = _better(pages[i], page) if i in pages else page
        for i, page in pages.items():
            if page.mode != ladder[-1]:
                page.most_vision_tokens = answerer.show(pictures[i], lines[i], ladder[-1]).n_tokens
        return [pages[i] for i in range(len(pictures))]

    def _doubt_one_view(self, page: Page, lines: list[Line]) -> None:
        """Add a note if a page is too large or dense for one view; remove invented text from a page without lines."""
        if not lines:
            if page.ink != "ok" or page.mean_probability < SURE:
                page.text, page.lines, page.ink = "", [], "ok"
            return
        mode = self.vision.mode("native", self.max_vision_tokens)
        scale = mode.scaled(page.width, page.height)[1] / page.height
        type_height = scale * median(segment.height for line in lines for segment in line.segments)
        height, width = mode.layout(page.width, page.height).view
        density = page.expected_characters * 64**2 / (height * width)
        if type_height < READABLE or density > DENSEST:
            other = next((name for name in self.taught if name in CUT), "lines")
            page.notes.append(
                f"in one view its type is {type_height:.0f} pixels high, with {density:.0f} characters to 64 x 64 "
                f"pixels: too small or dense to be read well; take --mode {other}"
            )

    def _ladder(self, ask: Ask) -> tuple[str, ...]:
        """The modes to try, in order; a question about the whole page is never asked about single lines."""
        ladder: tuple[str, ...] = (self.mode,)
        if self.mode == "auto":
            kind = "lines" if self.own_mode == "lines" else self.vision.view
            ladder = LADDERS.get(kind, LADDERS["square"])
        return tuple(dict.fromkeys("native" if mode in CUT and not ask.is_for_text else mode for mode in ladder))


def _find_lined(picture: Image.Image, lines: list[Line] | None = None) -> Lined:
    """An RGB image with its comb fields closed, and its lines. `lines`: the lines of the image, if known."""
    closed = close_combs(picture)
    return Lined(closed, find_lines(closed) if lines is None or closed is not picture else lines)


def _with_lines(source: PictureSource | Lined) -> Lined:
    """An image, opened, and its lines. Raises UserError as `open_image` does."""
    return _find_lined(source.picture, source.lines) if isinstance(source, Lined) else _find_lined(open_image(source))


def _is_pdf(source: object) -> bool:
    """Whether a path or the bytes of a file are a PDF, whatever the file is called."""
    if isinstance(source, bytes):
        return b"%PDF-" in source[:1024]
    if not isinstance(source, str | Path):
        return False
    try:
        with open(source, "rb") as file:
            return b"%PDF-" in file.read(1024)
    except (OSError, ValueError):  # opening it as an image reports the error
        return False


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last may be shorter; items are not requested before their list."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _better(before: Page, page: Page) -> Page:
    """The more trustworthy of two readings of a page, with the costs of both."""
    best = max(page, before, key=lambda p: (p.status in TRUSTED, p.ink == "ok", p.mean_probability))
    best.add_costs(before if best is page else page)
    return best


def _trusted(page: Page) -> bool:
    return page.status in TRUSTED and page.mean_probability >= SURE and page.ink == "ok"
