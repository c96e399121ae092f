"""From images to answers: show each image in a mode, ask the model about every view, reread uncertain lines.

`Answerer.read` returns one page for each image, assembled by `assemble.py`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from nanochat.engine import Generation, Guard, prompts_about
from nanochat.engine.generator import Generator
from nanochat.image_process import ImageViews, show
from nanochat.lines.cut import show_in_lines
from nanochat.lines.layout import Line
from nanochat.model_config import VisionConfig
from nanochat.precision import Precision
from nanochat.prompts import PROMPTS, TEXT_TASKS
from nanochat.reading.assemble import assemble, token_rows
from nanochat.reading.blocks import cut_blocks
from nanochat.reading.ink_audit import room
from nanochat.reading.marks import split_after_runs
from nanochat.reading.matching import match_lines
from nanochat.reading.page import Page
from nanochat.reading.reread import PieceAnswer, keep_surer, unsure_pieces
from nanochat.reading.shown import Shown, few_lines, together
from nanochat.tokenizer import RustBPETokenizer

LINE_TOKENS = 200  # longest answer about one line: twice what 512 pixels hold


@dataclass(frozen=True)
class Ask:
    """The prompt for each view, and the limits of an answer."""

    prompt: str
    """prompt with one `<image>`"""
    max_tokens: int | None = None
    """length limit of the answer about one view, in tokens; None: the context of the model"""
    seconds: float | None = None
    """time limit for one answer"""

    @property
    def is_for_text(self) -> bool:
        """Whether the prompt asks for the text of the page, rather than something else about it."""
        return self.prompt in [PROMPTS[task] for task in TEXT_TASKS]


@dataclass(frozen=True)
class Answerer:
    """Reads images in a given mode with one model, `batch_size` views at a time."""

    engine: Generator
    tokenizer: RustBPETokenizer
    vision: VisionConfig
    precision: Precision
    device: Any
    batch_size: int
    max_vision_tokens: int | None
    """limit of vision tokens per image in mode `native`"""
    locate_lines: bool
    """find the boxes of the lines of whole views by one more pass over each answer"""
    reread: bool
    """reread uncertain lines at a larger size"""
    on_lines: Callable[[Shown, list[Generation]], None] | None = None
    """if a single image is read: called with the final answers about every few lines, in order"""

    def show(self, picture: Image.Image, lines: list[Line], mode: str) -> Shown:
        """The views of an RGB image with these lines in a mode. Raises UserError as `get_mode` does."""
        native = self.vision.mode("native")
        if mode == "lines":
            pieces = split_after_runs(show_in_lines(picture, lines, self.vision.image_size))
            return Shown(mode, [show(piece.picture, native) for piece in pieces], lines, pieces)
        if mode == "blocks":
            blocks = cut_blocks(picture, lines, self.vision.image_size)
            return Shown(mode, [show(block.picture, native) for block in blocks], lines, [], blocks)
        how = self.vision.mode(mode, self.max_vision_tokens if mode == "native" else None)
        return Shown(mode, [show(picture, how)], lines, [], view_mode=how)

    def read(self, shown: Sequence[Shown], pictures: Sequence[Image.Image], ask: Ask) -> list[Page]:
        """One page for each image, from one answer about each of its views; all are shown in the same mode."""
        if not shown:
            return []
        started = time.perf_counter()
        shown, answers = self._answers(shown, pictures, ask)
        spent = (time.perf_counter() - started) / max(1, sum(len(which.views) for which in shown))  # for each view
        pages = []
        for which, picture, own in zip(shown, pictures, answers, strict=True):
            page = assemble(which, picture, own, self.tokenizer, spent * len(own))
            if which.view_mode is not None and page.lines:
                started = time.perf_counter()
                self._place_lines(page, which, ask, own[0])
                page.seconds += time.perf_counter() - started
            pages.append(page)
        return pages

    def _answers(
        self, shown: Sequence[Shown], pictures: Sequence[Image.Image], ask: Ask
    ) -> tuple[list[Shown], list[list[Generation]]]:
        """The views of each image and the answers about them; for a line read twice, the more probable reading."""
        if self.on_lines is not None and len(shown) == 1 and shown[0].pieces:
            parts = []
            for few in few_lines(shown[0]):
                (part,), (own,) = self._answers_together([few], pictures, ask)
                self.on_lines(part, own)
                parts.append((part, own))
            return [together([part for part, _ in parts])], [[answer for _, own in parts for answer in own]]
        return self._answers_together(shown, pictures, ask)

    def _answers_together(
        self, shown: Sequence[Shown], pictures: Sequence[Image.Image], ask: Ask
    ) -> tuple[list[Shown], list[list[Generation]]]:
        answers = self._ask_about([which.views for which in shown], ask, bool(shown[0].pieces))
        return self._reread(shown, pictures, answers, ask) if self.reread else (list(shown), answers)

    def _ask_about(
        self, views: Sequence[list[ImageViews]], ask: Ask, are_pieces: bool, again: bool = False
    ) -> list[list[Generation]]:
        """The answers about the views of each image. `again`: whether the views show lines that were read before."""
        flat = [view for some in views for view in some]
        limit = min(ask.max_tokens or LINE_TOKENS, LINE_TOKENS) if are_pieces else ask.max_tokens
        guard = Guard(retry=True, seconds=ask.seconds)
        prompts = prompts_about(self.tokenizer, ask.prompt, flat)
        with self.precision.autocast(self.device):
            found = iter(
                self.engine.generate_batch(prompts, flat, limit, guard=guard, at_once=self.batch_size, again=again)
            )
        return [list(islice(found, len(some))) for some in views]

    def _reread(
        self, shown: Sequence[Shown], pictures: Sequence[Image.Image], answers: list[list[Generation]], ask: Ask
    ) -> tuple[list[Shown], list[list[Generation]]]:
        """Reread uncertain lines: the views and answers, with each better second reading in place of the first."""
        size, native = self.vision.image_size, self.vision.mode("native")
        firsts = [list(map(PieceAnswer, which.pieces, which.views, own)) for which, own in zip(shown, answers)]
        pieces = [unsure_pieces(picture, s.lines, some, size) for picture, s, some in zip(pictures, shown, firsts)]
        views = [[show(piece.picture, native) for piece in some] for some in pieces]
        seconds = [
            list(map(PieceAnswer, *read)) for read in zip(pieces, views, self._ask_about(views, ask, True, again=True))
        ]
        kept_shown, kept_answers = list(shown), list(answers)
        for i, (first, second) in enumerate(zip(firsts, seconds)):
            if second:
                kept, spare = keep_surer(first, second)
                kept_answers[i] = [r.answer for r in kept]
                kept_shown[i] = replace(
                    shown[i],
                    pieces=[r.piece for r in kept],
                    views=[r.view for r in kept],
                    spare_vision_tokens=sum(r.view.layout.n_tokens for r in spare),
                    spare_tokens=sum(len(r.answer.tokens) for r in spare),
                )
        return kept_shown, kept_answers

    def _place_lines(self, page: Page, shown: Shown, ask: Ask, answer: Generation) -> None:
        """Set the boxes of the lines of a whole view: the detected lines closest to where the model attended."""
        assert shown.view_mode is not None
        places = shown.view_mode.places(page.width, page.height)
        ink = [line.box for line in shown.lines]
        shares = np.full((len(page.lines), len(places)), 1 / len(places), np.float32)
        if self.locate_lines:
            from nanochat.engine.attended import attended_box, line_attention, picture_attention  # needs torch

            view = shown.views[0]
            (prompt,) = prompts_about(self.tokenizer, ask.prompt, [view])
            with self.precision.autocast(self.device):
                attention = picture_attention(self.engine.model, prompt, answer.tokens, view)
            drawn = line_attention(attention, [tokens for _, tokens in token_rows(answer, self.tokenizer)])
            for line, share in zip(page.lines, drawn):
                line.attended = attended_box(share, places)
            shares = drawn.numpy()
        texts = [line.text for line in page.lines]
        for line, which in zip(page.lines, match_lines(shares, places, ink, texts, room(shown.lines))):
            line.box = line.attended if which is None else ink[which]
