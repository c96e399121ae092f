"""Reading pages with a trained model: what the command line, the demo and a Python program share."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image

from nanochat.checkpoint import load_model
from nanochat.common import choose_device
from nanochat.deepencoder import VisionConfig
from nanochat.engine import Engine, Generation, Guard
from nanochat.engine.attended import attended_box, line_attention, lines_of_ink, picture_attention
from nanochat.engine.int8 import to_int8
from nanochat.errors import UserError
from nanochat.image_process import ImageViews, expand_image_tokens, native_view, open_image, show, view_mode
from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import Piece, join, show_in_lines
from nanochat.lines.layout import Line, find_lines
from nanochat.machine import choose_precision
from nanochat.modes import MODES, Mode, get_mode
from nanochat.prompts import PROMPTS, TEXT_TASKS, one_picture
from nanochat.reading.grounding import Block, parse_grounding
from nanochat.reading.ink_audit import Audit, audit, room
from nanochat.reading.orientation import find_turns, in_doubt, turn, turn_back
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.reread import Read, keep_surer, unsure_pieces
from nanochat.threads import Threads

PROMPT = PROMPTS["free"]
HOME = Path(__file__).parents[2] / "models"  # models that come with the project, by name
LINE_TOKENS = 200  # longest answer about one line: twice what 512 pixels hold
LEAST_SURE = 0.6  # mean probability under which a piece of a line is left out: stains and pictures get 0.2 to 0.6
SURE = 0.75  # mean probability under which `auto` looks again
LADDERS = {  # of `auto`, by how the model was taught
    "square": ("tiny", "small", "base", "large", "gundam"),
    "native": ("native", "lines"),
    "lines": ("lines", "native"),
}
READING_MODES = (*MODES, "lines", "auto")
T = TypeVar("T")


@dataclass
class _Shown:
    """One picture in one mode: its views, and the lines that they are, where it was cut."""

    mode: str
    views: list[ImageViews]
    pieces: list[Piece]
    lines: list[Line]
    """of the whole picture"""
    view_mode: Mode | None = None
    """of a whole view"""
    spare_vision_tokens: int = 0
    """of views that were read, but not kept"""
    spare_tokens: int = 0
    """generated about them"""


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


def learnt_mode(meta: dict[str, Any], vision: VisionConfig) -> str:
    """What a checkpoint reads best: `reading_mode` of its meta; lines, if it learnt from drawn ones; its view."""
    drawn = vision.view == "native" and meta.get("training", {}).get("synth", False)
    return meta.get("reading_mode") or ("lines" if drawn else vision.view)


class OCR:
    """A model ready to read: `OCR("nano").read("receipt.png").text`.

    `checkpoint`: step_N.pt, an exported folder, or `nano`, the model that comes with the project. `mode`: one of
    READING_MODES; by default how the model was taught: `lines` if from drawn lines, else its own view. `batch_size`:
    views that are read at one time; the text does not depend on it. `int8`: on a CPU, the language model's weights at 8
    bits; then batches may round otherwise, and an answer may depend on its company.
    """

    def __init__(
        self,
        checkpoint: str | Path = "nano",
        device: str = "",
        mode: str = "",
        max_vision_tokens: int | None = None,
        batch_size: int = 16,
        int8: bool = False,
    ) -> None:
        self.threads = Threads()
        self.device = choose_device(device)
        if int8 and self.device.type != "cpu":
            raise UserError(f"--int8 is for reading on a CPU, not on {self.device.type}")
        self.model, self.tokenizer, self.meta = load_model(find_model(checkpoint), self.device)
        self.precision = choose_precision("auto" if self.device.type == "cuda" else "float32", self.device)
        self.model.requires_grad_(False)  # position tables of frozen weights are fitted to a size once, not per call
        if int8:
            to_int8(self.model.gpt)
        self.engine = Engine(self.model, self.tokenizer)
        self.vision = self.model.config.vision
        self.attend = True  # find the lines of whole views by one more pass over each answer
        self.look_again = True  # show lines once more, larger, that the model was not sure of
        self.turn_pages = True  # look the other ways at pages that may lie on their side or upside down
        self.batch_size, self.max_vision_tokens = batch_size, max_vision_tokens
        self.own_mode = learnt_mode(self.meta, self.vision)
        self.mode = self._check_mode(mode or self.own_mode)

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
        one_picture(prompt)
        for some in _chunks(pictures, self.batch_size):
            yield from self._read_batch(some, prompt, max_tokens, seconds)

    def _read_batch(
        self, pictures: list[Image.Image], prompt: str, max_tokens: int | None, seconds: float | None
    ) -> list[Page]:
        self.threads.adapt()
        pictures = [open_image(picture) for picture in pictures]  # RGB
        ladder = self._ladder(whole_pages=not _asks_for_text(prompt))

        def read(pictures: list[Image.Image], lines: list[list[Line]], ladder: tuple[str, ...]) -> list[Page]:
            return self._read_as_they_lie(pictures, lines, ladder, prompt, max_tokens, seconds)

        pages = read(pictures, [find_lines(picture) for picture in pictures], ladder)
        if not self.turn_pages:
            return pages
        doubtful = [i for i, page in enumerate(pages) if page.mode == "lines" and in_doubt(page)]
        turns = find_turns(
            [pictures[i] for i in doubtful],
            [pages[i] for i in doubtful],
            lambda pictures, lines: read(pictures, lines, ("lines",)),
        )
        turned = {i: degrees for i, degrees in zip(doubtful, turns) if degrees}
        upright = [turn(pictures[i], degrees) for i, degrees in turned.items()]
        again = read(upright, [find_lines(picture) for picture in upright], ladder)
        for (i, degrees), page in zip(turned.items(), again):
            page.add_costs(pages[i])
            page.most_vision_tokens += pages[i].most_vision_tokens
            pages[i] = turn_back(page, degrees)
        return pages

    def _read_as_they_lie(
        self,
        pictures: list[Image.Image],
        lines: list[list[Line]],
        ladder: tuple[str, ...],
        prompt: str,
        max_tokens: int | None,
        seconds: float | None,
    ) -> list[Page]:
        """One page of each picture, RGB, of these lines, in the first mode of the ladder that is to be trusted."""
        pages: dict[int, Page] = {}
        for mode in ladder:
            again = [i for i in range(len(pictures)) if i not in pages or not _trusted(pages[i])]
            shown = [self._show(pictures[i], lines[i], mode) for i in again]
            for i, page in zip(again, self._answer(shown, [pictures[i] for i in again], prompt, max_tokens, seconds)):
                verdict = audit(lines[i], page.text) if _asks_for_text(prompt) else Audit(0, 0)
                page.ink, page.expected_characters = verdict.verdict, verdict.expected
                pages[i] = _better(pages[i], page) if i in pages else page
        for i, page in pages.items():
            if page.mode != ladder[-1]:
                page.most_vision_tokens = _n_tokens(self._show(pictures[i], lines[i], ladder[-1]))
        return [pages[i] for i in range(len(pictures))]

    def _ladder(self, whole_pages: bool) -> tuple[str, ...]:
        """The modes to try, in order; a question about the whole page is not for one line of it."""
        ladder: tuple[str, ...] = (self.mode,)
        if self.mode == "auto":
            kind = "lines" if self.own_mode == "lines" else self.vision.view
            ladder = LADDERS.get(kind, LADDERS["square"])
        return tuple(dict.fromkeys("native" if whole_pages and mode == "lines" else mode for mode in ladder))

    def view(self, picture: Image.Image) -> ImageViews:
        """A whole picture as the model was taught to see it."""
        return show(picture, view_mode(self.vision.view, self.vision.image_size, self.vision.page))

    def _show(self, picture: Image.Image, lines: list[Line], mode: str) -> _Shown:
        size, page = self.vision.image_size, self.vision.page
        if mode == "lines":
            pieces = show_in_lines(picture, lines, size)
            return _Shown(mode, [native_view(piece.picture, size) for piece in pieces], pieces, lines)
        budget = self.max_vision_tokens if mode == "native" else None
        how = view_mode(mode, size, page, budget)
        return _Shown(mode, [show(picture, how)], [], lines, how)

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
        guard = Guard(retry=True, seconds=seconds)

        def read(views: list[ImageViews], are_pieces: bool, again: bool = False) -> list[Generation]:
            prompts = [expand_image_tokens(ids, image_token_id, [view.layout.n_tokens]) for view in views]
            limit = min(max_tokens or LINE_TOKENS, LINE_TOKENS) if are_pieces else max_tokens
            with self.precision.autocast(self.device):
                return self.engine.generate_batch(
                    prompts, views, limit, guard=guard, at_once=self.batch_size, again=again
                )

        started = time.perf_counter()
        are_pieces = bool(shown and shown[0].pieces)  # all are shown in one mode
        found = iter(read([view for which in shown for view in which.views], are_pieces))
        answers = [list(islice(found, len(which.views))) for which in shown]
        if self.look_again:
            self._look_again(shown, pictures, answers, lambda views: read(views, True, again=True))
        spent = (time.perf_counter() - started) / max(1, sum(len(which.views) for which in shown))  # a view
        for which, picture, own in zip(shown, pictures, answers):
            page = self._page(which, picture, own, spent * len(own))
            if which.view_mode is not None and page.lines:
                started = time.perf_counter()
                prompt_ids = expand_image_tokens(ids, image_token_id, [which.views[0].layout.n_tokens])
                self._place_lines(page, which, which.view_mode, prompt_ids, own[0])
                page.seconds += time.perf_counter() - started
            yield page

    def _look_again(
        self,
        shown: list[_Shown],
        pictures: list[Image.Image],
        answers: list[list[Generation]],
        read: Callable[[list[ImageViews]], list[Generation]],
    ) -> None:
        """Show unsure lines once more, and put the surer readings in the place of the first ones."""
        firsts = [list(map(Read, which.pieces, which.views, own)) for which, own in zip(shown, answers)]
        size = self.vision.image_size
        pieces = [
            unsure_pieces(picture, which.lines, some, size) for picture, which, some in zip(pictures, shown, firsts)
        ]
        views = [[native_view(piece.picture, size) for piece in some] for some in pieces]
        again = iter(read([view for some in views for view in some]))
        for i, first in enumerate(firsts):
            if pieces[i]:
                kept, spare = keep_surer(first, list(map(Read, pieces[i], views[i], again)))
                shown[i].pieces, shown[i].views = [r.piece for r in kept], [r.view for r in kept]
                answers[i] = [r.answer for r in kept]
                shown[i].spare_vision_tokens = sum(r.view.layout.n_tokens for r in spare)
                shown[i].spare_tokens = sum(len(r.answer.tokens) for r in spare)

    def _place_lines(self, page: Page, shown: _Shown, mode: Mode, prompt: list[int], answer: Generation) -> None:
        """Give the lines of a whole view their boxes: what the model drew from, and the line of ink that it fell on."""
        places = mode.places(page.width, page.height)
        ink = [line.box for line in shown.lines]
        shares = torch.full((len(page.lines), len(places)), 1 / len(places))
        if self.attend:
            with self.precision.autocast(self.device):
                attention = picture_attention(self.model, prompt, answer.tokens, shown.views[0])
            shares = line_attention(attention, [tokens for _, tokens in self._token_rows(answer)])
            for line, share in zip(page.lines, shares):
                line.attended = attended_box(share, places)
        texts = [line.text for line in page.lines]
        for line, which in zip(page.lines, lines_of_ink(shares, places, ink, texts, room(shown.lines))):
            line.box = line.attended if which is None else ink[which]

    def _page(self, shown: _Shown, picture: Image.Image, answers: list[Generation], seconds: float) -> Page:
        texts = [self.tokenizer.decode(answer.tokens) for answer in answers]
        blocks: list[Block] = []
        unclear = [False] * len(texts)
        if shown.pieces:
            unclear = [bool(text) and a.mean_probability < LEAST_SURE for text, a in zip(texts, answers)]
            texts = ["" if left_out else text for text, left_out in zip(texts, unclear)]
            text = join(texts, shown.pieces)
            lines = self._piece_lines(shown.pieces, texts, answers)
        else:
            text, blocks = parse_grounding(texts[0], *picture.size)
            rows = self._token_rows(answers[0]) if not blocks else []
            lines = [_line(row, None, [answers[0].probabilities[i] for i in tokens]) for row, tokens in rows]
        probabilities = [p for answer in answers for p in answer.probabilities]
        stopped = next((a.stopped for a in answers if a.stopped not in ("end", None)), "end")
        status = "looped" if stopped == "loop" else "cut" if stopped != "end" else "ok"
        if status == "ok" and any(answer.repaired for answer in answers):
            status = "repaired"
        return Page(
            text=text, vision_tokens=_n_tokens(shown), most_vision_tokens=_n_tokens(shown),
            tokens=sum(len(answer.tokens) for answer in answers) + shown.spare_tokens, seconds=seconds,
            stopped=str(stopped), mode=shown.mode, views=len(shown.views), width=picture.width, height=picture.height,
            status=status,
            mean_probability=sum(probabilities) / max(1, len(probabilities)),
            min_probability=min(probabilities, default=1.0), unclear=sum(unclear), lines=lines, blocks=blocks,
        )  # fmt: skip

    def _piece_lines(self, pieces: list[Piece], texts: list[str], answers: list[Generation]) -> list[TextLine]:
        """The lines of which something was read, from their pieces that have a text."""
        rows: dict[int, list[int]] = {}
        for i, (piece, text) in enumerate(zip(pieces, texts)):
            if text.strip():
                rows.setdefault(piece.row, []).append(i)
        lines = []
        for members in rows.values():
            text = join([texts[i] for i in members], [pieces[i] for i in members])
            line = _line(text, None, [p for i in members for p in answers[i].probabilities])
            line.parts = [Part(" ".join(texts[i].split()), pieces[i].box) for i in members]
            line.box = union(part.box for part in line.parts)
            lines.append(line)
        return lines

    def _token_rows(self, answer: Generation) -> list[tuple[str, list[int]]]:
        """The lines of one answer that are not empty: text, and which tokens it is."""
        rows: list[list[int]] = [[]]
        for i, token in enumerate(answer.tokens):
            rows[-1].append(i)
            if "\n" in self.tokenizer.decode([token]):
                rows.append([])
        texts = [self.tokenizer.decode([answer.tokens[i] for i in tokens]).strip() for tokens in rows]
        return [(text, tokens) for text, tokens in zip(texts, rows) if text]


def _asks_for_text(prompt: str) -> bool:
    """Whether it is the text that is wanted, and not an answer about the page."""
    return prompt in [PROMPTS[task] for task in TEXT_TASKS]


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last shorter; no item is asked for before its list."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _line(text: str, box: Box | None, probabilities: list[float]) -> TextLine:
    return TextLine(text, box, sum(probabilities) / max(1, len(probabilities)), min(probabilities, default=1.0))


def _n_tokens(shown: _Shown) -> int:
    return sum(view.layout.n_tokens for view in shown.views) + shown.spare_vision_tokens


def _better(before: Page, page: Page) -> Page:
    """Of a page read twice the one to be trusted more, with what both cost."""
    best = max(page, before, key=lambda p: (p.status in ("ok", "repaired"), p.ink == "ok", p.mean_probability))
    best.add_costs(before if best is page else page)
    return best


def _trusted(page: Page) -> bool:
    return page.status in ("ok", "repaired") and page.mean_probability >= SURE and page.ink == "ok"
