"""Pages of known text density, to measure how much text a view of a given size can hold.

A page is a square of running text in one face and size. Two causes of errors are separated: the height of the type in
pixels as the model sees it (legibility), and the number of characters per vision token (capacity). To do this, the same
page is shown at several sizes, and so with several numbers of vision tokens.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image, ImageDraw
from rapidfuzz.distance import Levenshtein

from nanochat.engine import Guard, prompts_about
from nanochat.errors import UserError
from nanochat.evaluation.losses import cycle, rendered
from nanochat.evaluation.scores import PageScore, score_page
from nanochat.image_process import show
from nanochat.metrics import normalise_text
from nanochat.modes import SIDE_STEP, Mode
from nanochat.multimodal_dataloader import IGNORE
from nanochat.reading.ocr import OCR, PROMPT
from nanochat.synth.fonts import find_fonts, open_font
from nanochat.synth.lexicon import sentences
from nanochat.tasks.eval_set import reading

KINDS = ("english", "shuffled", "pseudo", "codes")
"""Real sentences; their words in random order; those with their letters in random order too; digits and codes."""
JITTER = 15  # largest random shift of the text in px, right and down, relative to the grid of vision tokens
TENTHS = 10


@dataclass(frozen=True)
class DensePage:
    """A synthetic page with one text density."""

    id: str
    kind: str
    text: str
    """lines separated by newlines"""
    image: Image.Image
    type_px: int
    """type size in pixels, as drawn"""


def write_words(kind: str, characters: int, rng: random.Random) -> list[str]:
    """Random words of a `kind` of KINDS, with about `characters` characters including spaces.

    Raises UserError if the kind needs English text and WordNet, its source, is not installed.
    """
    words: list[str] = []
    if kind == "codes":
        while sum(map(len, words)) + len(words) < characters:
            digits = rng.choice((2, 3, 4, 5, 6, 8))
            words.append(
                "".join(rng.choices("0123456789" if rng.random() < 0.7 else "0123456789ABCDEFGHKLMNPRSTXZ", k=digits))
            )
        return words
    english = sentences(unseen=True)
    if not english:
        raise UserError("no English sentences are installed: run `bash runs/fonts.sh`")
    while sum(map(len, words)) + len(words) < characters:
        words += rng.choice(english).split()
    if kind != "english":
        rng.shuffle(words)
    if kind == "pseudo":
        words = ["".join(rng.sample(word, len(word))) for word in words]
    return words


def draw_dense_page(kind: str, side: int, type_px: int, seed: int) -> DensePage:
    """Draw a page of side x side pixels, filled with text of `kind` in a type size of `type_px` pixels.

    Equal arguments give equal pages on all machines with the same fonts.
    """
    rng = random.Random(f"{kind}/{side}/{type_px}/{seed}")
    face = find_fonts().pick(random.Random(seed), held_out=False, mono=False)  # the same face at all densities
    font = open_font(face.path, face.index, type_px)
    ascent, descent = font.getmetrics()
    leading = round((ascent + descent) * 1.1)
    left, top = 6 + rng.randint(0, JITTER), 4 + rng.randint(0, JITTER)
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    lines: list[str] = []
    line = ""
    for word in write_words(kind, 2 * side * side // (type_px * type_px // 3), rng):
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= side - 6 - left:
            line = longer
            continue
        if top + (len(lines) + 1) * leading > side - 4:
            break
        if line:
            draw.text((left, top + len(lines) * leading), line, fill="black", font=font)
            lines.append(line)
        line = word if font.getlength(word) <= side - 6 - left else ""
    return DensePage(f"{kind}-{side}-{type_px}px-{seed}", kind, "\n".join(lines), image, type_px)


@dataclass
class DensityPoint:
    """Pages of one kind and density at one view size, and how well they were read."""

    kind: str
    type_px: float
    """type size in pixels in the view"""
    side: int
    """side of the view in pixels"""
    vision_tokens: int
    """vision tokens of the view"""
    characters: float
    """mean number of characters of a page"""
    pages: list[PageScore] = field(default_factory=list)
    images: list[Image.Image] = field(default_factory=list)
    loops: int = 0
    """number of answers that repeated themselves"""
    encoding: float = 0.0
    """seconds per page for the encoder"""
    decoding: float = 0.0
    """seconds per page for the language model"""
    losses: dict[str, float] = field(default_factory=dict)
    """loss of the true text, in nats per token, with its own image, another page's, a blank one, and none"""
    wrong_by_tenth: list[float] = field(default_factory=list)
    """error rate in each tenth of the text of a page"""


def measure_point(ocr: OCR, pages: Sequence[DensePage], side: int) -> DensityPoint:
    """Read pages of one kind and density greedily, each in one view of side x side pixels, and measure the losses."""
    shown = [
        page.image if page.image.width == side else page.image.resize((side, side), Image.Resampling.LANCZOS)
        for page in pages
    ]
    mode = replace(ocr.vision.mode("native"), side=side)
    views = [show(image, mode) for image in shown]
    n_tokens = views[0].layout.n_tokens
    model, tokenizer = ocr.model, ocr.tokenizer
    point = DensityPoint(
        pages[0].kind, pages[0].type_px * side / pages[0].image.width, side, n_tokens,
        float(np.mean([len(page.text) for page in pages])),
    )  # fmt: skip
    with torch.inference_mode():
        started = time.perf_counter()
        embeds = model.encode_images(views)
        point.encoding = (time.perf_counter() - started) / len(views)
        started = time.perf_counter()
        answers = ocr.engine.generate_batch(prompts_about(tokenizer, PROMPT, views), views, guard=Guard(retry=False))
        point.decoding = (time.perf_counter() - started) / len(views) - point.encoding
        blank = model.encode_images([show(Image.new("RGB", (side, side), "white"), mode)])
        items = [reading(image, page.text) for image, page in zip(shown, pages)]
        point.losses = {
            "own picture": _loss(ocr, items, mode, embeds),
            "another page's": _loss(ocr, items, mode, [*embeds[1:], embeds[0]]) if len(embeds) > 1 else float("nan"),
            "blank": _loss(ocr, items, mode, cycle(blank, len(items))),
            "none": _loss(ocr, [_without_picture(item) for item in items], mode, None),
        }
    for page, image, answer in zip(pages, shown, answers):
        text = tokenizer.decode(answer.tokens)
        point.pages.append(score_page(page.id, page.kind, page.text, text, looped=answer.stopped == "loop"))
        point.images.append(image)
        point.loops += answer.stopped == "loop"
    point.wrong_by_tenth = wrong_by_tenth([(page.expected, page.read) for page in point.pages])
    return point


def _without_picture(item: dict) -> dict:
    user, assistant = item["messages"]
    return {"messages": [{**user, "content": user["content"].replace("<image>", "")}, assistant], "images": []}


def _loss(ocr: OCR, items: list[dict], mode: Mode, embeds: Sequence[torch.Tensor] | None) -> float:
    """Mean loss of the true texts per token, in nats, with the vision tokens `embeds` as those of the images."""
    inputs, targets = rendered(items, ocr.tokenizer, mode, ocr.model.config.gpt.reach, ocr.model.device)
    vision = None if embeds is None else torch.cat(list(embeds))
    total = ocr.model(inputs, targets, vision_embeds=vision, loss_reduction="sum")
    return float(total) / int((targets != IGNORE).sum())


def wrong_by_tenth(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Error rate in each tenth of the expected texts, from pairs (expected, read), after `normalise_text`.

    An edit counts at its position in the expected text. Text that is added at the end counts in the last tenth.
    """
    wrong, characters = np.zeros(TENTHS), np.zeros(TENTHS)
    for expected, read in pairs:
        want, found = normalise_text(expected), normalise_text(read)
        for place in range(len(want)):
            characters[place * TENTHS // len(want)] += 1
        for edit in Levenshtein.editops(want, found):
            wrong[min(edit.src_pos, max(len(want) - 1, 0)) * TENTHS // max(len(want), 1)] += 1
    return (wrong / np.maximum(characters, 1)).tolist()


def study(
    ocr: OCR,
    n: int,
    type_sizes: Sequence[int],
    budgets: Sequence[int],
    side: int,
    progress: Callable[[DensityPoint], None] = lambda point: None,
    kinds: Sequence[str] = KINDS,
) -> list[DensityPoint]:
    """Measure `n` pages of each kind and type size, drawn side x side pixels, with each view size in `budgets` (px).

    `progress` is called with each result. Raises UserError if a side is not a multiple of 64 or too large for the
    model.
    """
    most = ocr.vision.image_size
    for size in budgets:
        if size % SIDE_STEP or not 0 < size <= most:
            raise UserError(f"a view of {size} pixels: give multiples of {SIDE_STEP} up to this model's {most}")
    points = []
    for kind in kinds:
        for type_px in type_sizes:
            pages = [draw_dense_page(kind, side, type_px, seed) for seed in range(n)]
            for size in budgets:
                points.append(measure_point(ocr, pages, size))
                progress(points[-1])
    return points
