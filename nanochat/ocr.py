"""Reading pages with a trained model: what the command line, the demo and a Python program share."""

import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from nanochat.audit import Audit, audit
from nanochat.checkpoint import load_model
from nanochat.common import UserError, autodetect_device_type
from nanochat.engine import Engine, Generation, Guard
from nanochat.grounding import Block, parse_grounding
from nanochat.image_process import ImageViews, expand_image_tokens, native_view, open_image, view_function
from nanochat.ink import Box, Line, find_lines, ink_map
from nanochat.lines import Piece, cut_lines, join, line_boxes
from nanochat.machine import choose_precision
from nanochat.modes import MODES, get_mode
from nanochat.prompts import PROMPTS, TEXT_TASKS

PROMPT = PROMPTS["free"]
HOME = Path(__file__).parents[1] / "models"  # models that come with the project, by name
LINE_TOKENS = 200  # longest answer about one line: twice what 512 pixels hold
SURE = 0.75  # mean probability under which `auto` looks again
LADDERS = {"square": ("tiny", "small", "base", "large", "gundam"), "native": ("native", "lines")}
READING_MODES = (*MODES, "lines", "auto")
T = TypeVar("T")


@dataclass
class TextLine:
    """One line of the text."""

    text: str
    box: Box | None
    """where it stands, in pixels of the page: left, top, right, bottom; None where that is not known"""
    mean_probability: float
    min_probability: float


@dataclass
class Page:
    """What was read from one picture."""

    text: str
    vision_tokens: int
    """of all views that were read, of every mode that was tried"""
    tokens: int
    """generated"""
    seconds: float
    """of the model, this page's share of its batch"""
    stopped: str
    """end: the model ended it; loop: it repeated itself; length, context or time: it was cut"""
    mode: str = ""
    """how it was shown"""
    views: int = 1
    width: int = 0
    height: int = 0
    status: str = "ok"
    """ok; repaired: it looped and was read on without the loop; looped; cut"""
    mean_probability: float = 1.0
    """how sure the model was of its tokens on average"""
    min_probability: float = 1.0
    ink: str = "ok"
    """ok; missing: the page has more ink than the text accounts for; invented: the text has more than the page"""
    expected_characters: int = 0
    """by the ink, spaces not counted"""
    lines: list[TextLine] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    """of a grounded answer"""

    def to_dict(self) -> dict:
        """As it stands in JSON."""
        return asdict(self)


@dataclass
class _Shown:
    """One picture in one mode: its views, and the lines that they are, where it was cut."""

    mode: str
    views: list[ImageViews]
    pieces: list[Piece]


def find_model(name: str | Path) -> Path:
    """A checkpoint or folder by path, or by the name of a model that comes with the project (`nano`).

    Raises UserError when there is none.
    """
    path = Path(name)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path  # what is wrong with a path, load_model says
    home = HOME / path
    if not (home / "config.json").is_file():
        raise UserError(
            f"no model called {str(name)!r} here ({home}/config.json is not there): train one, or give --checkpoint "
            f"step_N.pt or a folder with config.json, model.safetensors and tokenizer.pkl"
        )
    return home


class OCR:
    """A model ready to read: `OCR("nano").read("receipt.png").text`.

    `checkpoint`: step_N.pt, an exported folder, or `nano`, the model that comes with the project. `mode`: one of
    READING_MODES; by default how the model was taught: `lines` if from drawn lines, else its own view. `batch_size`:
    views that are read at one time; the text does not depend on it.
    """

    def __init__(
        self,
        checkpoint: str | Path = "nano",
        device: str = "",
        mode: str = "",
        max_vision_tokens: int | None = None,
        batch_size: int = 16,
    ) -> None:
        self.device = torch.device(device or autodetect_device_type())
        self.model, self.tokenizer, self.meta = load_model(find_model(checkpoint), self.device)
        self.precision = choose_precision("auto" if self.device.type == "cuda" else "float32", self.device)
        self.model.requires_grad_(False)  # position tables of frozen weights are fitted to a size once, not per call
        self.engine = Engine(self.model, self.tokenizer)
        self.vision = self.model.config.vision
        self.view = view_function(self.vision.view, self.vision.image_size, self.vision.page)
        self.batch_size, self.max_vision_tokens = batch_size, max_vision_tokens
        self.own_mode = self._learnt_mode()
        self.mode = self._check_mode(mode or self.own_mode)

    def _learnt_mode(self) -> str:
        """What the checkpoint reads best: `reading_mode` of its meta; lines, if it learnt from drawn ones; its view."""
        drawn = self.vision.view == "native" and self.meta.get("training", {}).get("synth", False)
        return self.meta.get("reading_mode") or ("lines" if drawn else self.vision.view)

    def _check_mode(self, mode: str) -> str:
        """Refuse a mode that there is not, warn of one that the checkpoint was not trained for."""
        if mode not in (*READING_MODES, self.own_mode):
            raise UserError(f"no mode called {mode!r}: choose one of {', '.join(READING_MODES)}")
        budget = self.max_vision_tokens
        if budget is not None and mode != "native":
            raise UserError(f"--max_vision_tokens is for mode native, not {mode}")
        if mode in MODES:
            get_mode(mode, self.vision.page, budget)
        trained = {"native": ("native", "auto"), "square": ("base",)}.get(self.vision.view, ())
        if mode not in (*trained, self.own_mode):
            own = f"views in mode {self.own_mode}"
            warnings.warn(f"this checkpoint was trained with {own}, not {mode}: expect worse text", stacklevel=3)
        return mode

    def read(
        self, picture: str | Path | bytes | Image.Image, prompt: str = PROMPT, max_tokens: int | None = None
    ) -> Page:
        """Read one picture. Raises UserError when it cannot be opened, or the prompt has not one `<image>`."""
        return next(self.read_many([open_image(picture)], prompt, max_tokens))

    def read_many(
        self,
        pictures: Iterable[Image.Image],
        prompt: str = PROMPT,
        max_tokens: int | None = None,
        seconds: float | None = None,
    ) -> Iterator[Page]:
        """Read pictures, `batch_size` at a time, in order; each text is what the picture alone would give.

        `max_tokens`: longest answer, of each view; `seconds`: longest time for one.
        """
        if prompt.count("<image>") != 1:
            raise UserError(
                f"a prompt needs one <image>, where the picture goes; this one has {prompt.count('<image>')}"
            )
        for some in _chunks(pictures, self.batch_size):
            yield from self._read_batch(some, prompt, max_tokens, seconds)

    def _read_batch(
        self, pictures: list[Image.Image], prompt: str, max_tokens: int | None, seconds: float | None
    ) -> list[Page]:
        pictures = [open_image(picture) for picture in pictures]  # upright RGB
        inks = [find_lines(ink_map(picture)) for picture in pictures]
        whole_pages = prompt not in [PROMPTS[task] for task in TEXT_TASKS]
        ladder = (
            LADDERS["native" if self.vision.view == "native" else "square"] if self.mode == "auto" else (self.mode,)
        )
        if whole_pages:  # a question about the whole page is not for one line of it
            ladder = tuple("native" if mode == "lines" else mode for mode in ladder)
        pages: dict[int, Page] = {}
        for mode in ladder:
            again = [i for i in range(len(pictures)) if i not in pages or not _trusted(pages[i])]
            shown = [self._show(pictures[i], mode) for i in again]
            for i, page in zip(again, self._answer(shown, [pictures[i] for i in again], prompt, max_tokens, seconds)):
                verdict = Audit(0, 0) if whole_pages else audit(inks[i], page.text)
                page.ink, page.expected_characters = verdict.verdict, verdict.expected
                _place_lines(page, inks[i])
                if i in pages:
                    page.vision_tokens += pages[i].vision_tokens
                    page.tokens += pages[i].tokens
                    page.seconds += pages[i].seconds
                pages[i] = page
        return [pages[i] for i in range(len(pictures))]

    def _show(self, picture: Image.Image, mode: str) -> _Shown:
        if mode == "lines":
            side = self.vision.image_size
            pieces = cut_lines(picture, side)
            views = [native_view(piece.picture, side) for piece in pieces] or [native_view(picture, side)]
            return _Shown(mode, views, pieces)
        size, page = self.vision.image_size, self.vision.page
        view = self.view if mode == self.own_mode else view_function(mode, size, page, self.max_vision_tokens)
        return _Shown(mode, [view(picture)], [])

    def _answer(
        self,
        shown: list[_Shown],
        pictures: list[Image.Image],
        prompt: str,
        max_tokens: int | None,
        seconds: float | None,
    ) -> Iterator[Page]:
        """One page for each picture, from one answer for each of its views."""
        ids = self.tokenizer.render_for_completion(
            {"messages": [{"role": "user", "content": prompt}], "images": pictures[:1]}
        )
        image_token_id = self.tokenizer.encode_special("<|image|>")
        work = [(which, view) for which in shown for view in which.views]
        answers: list[Generation] = []
        spent: list[float] = []
        for some in _chunks(work, self.batch_size):
            started = time.perf_counter()
            prompts = [expand_image_tokens(ids, image_token_id, [view.layout.n_tokens]) for _, view in some]
            views = [view.to(self.device) for _, view in some]
            guards = [Guard(retry=True, seconds=seconds) for _ in some]
            limit = (
                min(max_tokens or LINE_TOKENS, LINE_TOKENS) if all(which.pieces for which, _ in some) else max_tokens
            )
            with self.precision.autocast(self.device):
                answers += self.engine.generate_batch(prompts, views, limit, guard=guards)
            spent += [(time.perf_counter() - started) / len(some)] * len(some)
        position = 0
        for which, picture in zip(shown, pictures):
            end = position + len(which.views)
            yield self._page(which, picture, answers[position:end], sum(spent[position:end]))
            position = end

    def _page(self, shown: _Shown, picture: Image.Image, answers: list[Generation], seconds: float) -> Page:
        texts = [self.tokenizer.decode(answer.tokens) for answer in answers]
        blocks: list[Block] = []
        if shown.pieces:
            text = join(texts, shown.pieces)
            lines = self._piece_lines(shown.pieces, texts, answers)
        else:
            text, blocks = parse_grounding(texts[0], *picture.size)
            lines = self._token_lines(answers[0]) if not blocks else []
        probabilities = [p for answer in answers for p in answer.probabilities]
        stopped = next((a.stopped for a in answers if a.stopped not in ("end", None)), "end")
        status = "looped" if stopped == "loop" else "cut" if stopped != "end" else "ok"
        if status == "ok" and any(answer.repaired for answer in answers):
            status = "repaired"
        return Page(
            text=text, vision_tokens=sum(view.layout.n_tokens for view in shown.views),
            tokens=sum(len(answer.tokens) for answer in answers), seconds=seconds, stopped=str(stopped),
            mode=shown.mode, views=len(shown.views), width=picture.width, height=picture.height, status=status,
            mean_probability=sum(probabilities) / max(1, len(probabilities)),
            min_probability=min(probabilities, default=1.0), lines=lines, blocks=blocks,
        )  # fmt: skip

    def _piece_lines(self, pieces: list[Piece], texts: list[str], answers: list[Generation]) -> list[TextLine]:
        found: dict[int, list[int]] = {}
        for i, piece in enumerate(pieces):
            found.setdefault(piece.row, []).append(i)
        lines = []
        for members, box in zip(found.values(), line_boxes(pieces)):
            text = join([texts[i] for i in members], [pieces[i] for i in members])
            if text:
                lines.append(_line(text, box, [p for i in members for p in answers[i].probabilities]))
        return lines

    def _token_lines(self, answer: Generation) -> list[TextLine]:
        """The lines of one answer, with the probabilities of their tokens; where they stand is not known."""
        rows: list[tuple[list[int], list[float]]] = [([], [])]
        for token, probability in zip(answer.tokens, answer.probabilities):
            rows[-1][0].append(token)
            rows[-1][1].append(probability)
            if "\n" in self.tokenizer.decode([token]):
                rows.append(([], []))
        lines = [(self.tokenizer.decode(tokens).strip(), probabilities) for tokens, probabilities in rows]
        return [_line(text, None, probabilities) for text, probabilities in lines if text]


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last shorter; no item is asked for before its list."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _line(text: str, box: Box | None, probabilities: list[float]) -> TextLine:
    return TextLine(text, box, sum(probabilities) / max(1, len(probabilities)), min(probabilities, default=1.0))


def _trusted(page: Page) -> bool:
    return page.status in ("ok", "repaired") and page.mean_probability >= SURE and page.ink == "ok"


def _place_lines(page: Page, ink: list[Line]) -> None:
    """Give lines of a whole view the boxes of the page's lines of ink, where there are as many of them."""
    if len(page.lines) == len(ink):
        for line, found in zip(page.lines, ink):
            line.box = line.box or found.box
