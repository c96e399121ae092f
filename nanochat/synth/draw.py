"""Draws the document of a seed: face, colours, layout, then the degradations of a camera."""

import random

import numpy as np

from nanochat.errors import UserError
from nanochat.synth import geometry
from nanochat.synth.canvas import Canvas, Colour
from nanochat.synth.degrade import camera, strokes
from nanochat.synth.document import DrawnDocument
from nanochat.synth.fonts import PLAIN, PRINTED, FontSet, draws, find_fonts, for_all_letters
from nanochat.synth.languages import (
    CENTRAL_LANGUAGES,
    MARKS,
    Language,
    language,
    pick_language,
    pick_taught_language,
)
from nanochat.synth.layouts import LAYOUTS, Sheet, draw
from nanochat.synth.layouts.scene import clutter
from nanochat.synth.layouts.sheet import Faces
from nanochat.synth.levels import Level
from nanochat.synth.signs import FINE, LEAST_PX_OF_FINE
from nanochat.synth.writer import Writer

SPLITS = ("train", "val", "unseen", "hard", "latin", "central")
_SIZES = (8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 22, 24, 26, 28, 30, 32)  # px; few, for the glyph cache
_LARGE = (12, 14, 18, 24, 28, 32, 40, 48, 56)  # px, before the sheet is scaled down
_LEAST_CONTRAST = 70  # between paper and ink, of 255, before light and wear
_AS_TYPED = str.maketrans(PRINTED + "„‚", PLAIN + "\"'")
ABROAD = 0.35  # share of the training documents that are not in English
ELLIPSIS = "…"
# Shares of the training documents whose kind is not one of their level's: long strings, and combs.
STRINGS, COMBS = 0.05, 0.03
EMPTY_SHARE = 0.02  # share of images without text: the model must learn to output nothing


def draw_document(level: Level, seed: int, split: str = "train", fonts: FontSet | None = None) -> DrawnDocument:
    """Draw the document of `level` and `seed`. The same arguments give the same document in any process.

    split: "train"; "val", the same with other seeds; "unseen", only held-out font families and words; "hard", the fonts
    and words of training with the heaviest degradations; "latin", only the other languages of western Europe, with
    other seeds; "central", only the languages of central Europe, in turn, with other seeds. fonts: by default those
    installed on this machine, which the drawing depends on. Raises UserError if no font is usable, or none of those
    required: held-out ones for "unseen", or ones with the letters of a language.

    Symbols, languages outside western Europe and "…" occur only in "train" and "central": the other splits are measured
    from release to release and must not change by a single pixel.
    """
    assert split in SPLITS, split
    rng = random.Random(f"{split}/{level.name}/{seed}")
    strength = 1.0 if split == "hard" else level.degrade
    paper, ink = _colours(rng, strength)
    kind = rng.choice(level.kinds)
    if split == "train":
        kind = _other_kind(kind, level, rng)
    px = _type_size(level, LAYOUTS[kind].columns, rng)
    if rng.random() < EMPTY_SHARE:
        canvas = Canvas(level.width, level.height, paper)
        if rng.random() < 0.6:
            clutter(canvas, rng)
    else:
        wide, tall = _proportions(level, px, kind, rng)
        canvas = Canvas(round(level.width * wide), round(level.height * tall), paper)
        spoken = _language(split, seed, rng)
        fonts = fonts or find_fonts()
        try:
            faces = _faces(fonts, LAYOUTS[kind].mono, rng, split, spoken)
        except UserError:
            if split != "train" or spoken is None:
                raise
            spoken = None  # with few fonts installed, training uses only the languages that they support
            faces = _faces(fonts, LAYOUTS[kind].mono, rng, split, spoken)
        if split == "latin":
            spoken = pick_language(rng)
        symbols = _symbols(faces, px) if split == "train" else ""
        writer = Writer(rng, split == "unseen", faces.plain.extras, spoken, symbols)
        draw(kind, Sheet(canvas, level, faces, round(px * tall), ink, writer))
    boxes, centres, line_ids = canvas.glyphs()
    image = canvas.image
    if strength > 0:
        image = strokes(image, sum(ink) < sum(paper), px, strength, rng)
    image, boxes, centres = _lay(image, boxes, centres, canvas.rise, level, strength, rng)
    image = camera(image, px, strength, rng)
    text = "\n".join(canvas.lines).translate(_AS_TYPED)
    if ELLIPSIS in text:
        boxes, centres, line_ids = _three_dots(text.replace("\n", ""), boxes, centres, line_ids)
        text = text.replace(ELLIPSIS, "...")
    return DrawnDocument(np.ascontiguousarray(image), text, text.replace("\n", ""), boxes, centres, line_ids)


def _three_dots(
    chars: str, boxes: np.ndarray, centres: np.ndarray, line_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(boxes, centres, line ids) with three entries side by side for each "…", which is transcribed as three dots."""
    dots = np.array([char == ELLIPSIS for char in chars], bool)
    times = np.where(dots, 3, 1)
    third = (boxes[:, 2] - boxes[:, 0]) / 3
    boxes, centres, line_ids = (np.repeat(field, times, axis=0) for field in (boxes, centres, line_ids))
    first = np.cumsum(times)[dots] - 3
    for k in range(3):
        boxes[first + k, 0] += k * third[dots]
        boxes[first + k, 2] = boxes[first + k, 0] + third[dots]
        centres[first + k, 0] += (k - 1) * third[dots]
    return boxes, centres, line_ids


def _language(split: str, seed: int, rng: random.Random) -> Language | None:
    """The language if it is chosen before the font; None for English, and in "latin", where it is chosen after it."""
    if split == "central":
        return language(CENTRAL_LANGUAGES[seed % len(CENTRAL_LANGUAGES)])
    return pick_taught_language(rng) if split == "train" and rng.random() < ABROAD else None


def _other_kind(kind: str, level: Level, rng: random.Random) -> str:
    """`kind`, or occasionally one that no level lists, if the level has room for it."""
    form = rng.random()
    if level.max_chars < 20 or form > STRINGS + COMBS:
        return kind
    return "strings" if form < STRINGS else "combs"


def _symbols(faces: Faces, px: int) -> str:
    """The symbols that both faces have and that are distinguishable at `px`."""
    common = [char for char in faces.plain.symbols if char in faces.bold.symbols]
    return "".join(char for char in common if px >= LEAST_PX_OF_FINE or char not in FINE)


def _type_size(level: Level, columns: int, rng: random.Random) -> int:
    """Pages mostly use the smaller sizes of their level, single lines any; `columns` letters must fit in a row."""
    low, high = level.font_px
    sizes = [px for px in _SIZES if low <= px <= max(low, min(high, level.width / columns / 0.55))]
    return sizes[int(len(sizes) * rng.random() ** (1.0 if level.max_chars < 100 else 1.8))]


def _proportions(level: Level, px: int, kind: str, rng: random.Random) -> tuple[float, float]:
    """(x, y) factors by which the canvas is larger than the final image.

    Wider only: condensed type, as receipt printers produce. Narrower: double-width type. Both: type drawn large and
    scaled down, as a scanner does.
    """
    form = rng.random()
    if level.degrade == 0 or form < 0.6:
        return 1.0, 1.0
    if form < 0.64:
        return rng.uniform(0.55, 0.9), 1.0
    if form < 0.85:  # at least about 5 px per letter in condensed type
        most = min(1.6 if kind in ("receipt", "lines", "crop") else 1.25, px / 9)
        return rng.uniform(0.9, max(most, 1.0)), 1.0
    factor = rng.choice([large for large in _LARGE if 1.2 * px <= large <= 2 * px]) / px
    return factor, factor


def _faces(fonts: FontSet, mono_share: float, rng: random.Random, split: str, spoken: Language | None) -> Faces:
    mono = rng.random() < mono_share
    for _ in range(100):
        face = fonts.pick(rng, split == "unseen", mono)
        faces = Faces(face, fonts.bold(face))
        if spoken is not None and spoken.letters:
            marks = "".join({*MARKS} & {*"".join(spoken.quotes)}) + "€"
            if all(draws(face, spoken.letters, marks) for face in faces):
                return Faces(*map(for_all_letters, faces))
        elif (spoken is None and split != "latin") or (faces.plain.western and faces.bold.western):
            return faces
    letters = f"of {spoken.name}" if spoken is not None and spoken.letters else "of western Europe"
    raise UserError(f"no font with the letters {letters} is installed: run `bash runs/fonts.sh`")


def _lay(
    image: np.ndarray, boxes: np.ndarray, centres: np.ndarray, rise: int, level: Level, strength: float,
    rng: random.Random,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Place the sheet on an image of the level's size: straight, or rotated, in perspective, curled or on a desk.

    rise: how far accents reach above the boxes, px; they stay inside the image as well. Returns the image, the boxes
    (N, 4) and the centres (N, 2), both float32 in px of that image.
    """
    size = (level.width, level.height)
    source = (image.shape[1], image.shape[0])
    plain = rng.random() < 0.85 - 0.7 * strength or strength <= 0
    if plain and source == size:
        return image, boxes, centres
    large = level.height >= 128 and level.width >= 128
    inset, backdrop, curl = 0.0, None, None
    if plain:
        matrix = np.diag([size[0] / source[0], size[1] / source[1], 1.0])
    else:
        if large and rng.random() < 0.25:
            inset = rng.uniform(0.0, 0.04)
            desk = Canvas(*size, (0,) * (image.shape[2] if image.ndim == 3 else 1))
            clutter(desk, rng, 20, 150)
            backdrop = desk.image
        matrix = geometry.random_homography(source, size, inset, strength, rng)
        if large and rng.random() < 0.15 + 0.2 * strength:
            curl = geometry.Curl(size, rng.uniform(0.3, 1.0) * (1 + 2 * strength) * level.height / 256, rng)
    margin = rise + (0.0 if plain else 0.5 + (curl.reach if curl else 0.0))
    matrix = geometry.keep_inside(matrix, boxes, size, margin)
    image = geometry.warp(image, matrix, size, backdrop)
    corners = geometry.map_points(geometry.corners_of(boxes), matrix)
    centres = geometry.map_points(centres, matrix)
    if curl:
        image, corners, centres = curl.image(image), curl.points(corners), curl.points(centres)
    return image, geometry.around(corners), centres


def _colours(rng: random.Random, strength: float) -> tuple[Colour, Colour]:
    """(paper, ink): dark on light in 90% of cases, grey in 70%; the contrast falls with the strength of degradation."""
    light = rng.randint(int(215 - 45 * strength), 255)
    dark = rng.randint(0, int(40 + 45 * strength)) if rng.random() < 0.6 else rng.randint(0, 30)
    pale: Colour = (light,)
    deep: Colour = (dark,)
    if rng.random() < 0.3:
        pale = tuple(max(light - rng.randint(0, 50), 0) for _ in range(3))
        most = min(light - 50 - _LEAST_CONTRAST, dark + 70)  # of any channel
        deep = tuple(rng.randint(min(dark, most), most) for _ in range(3))
    return (deep, pale) if rng.random() < 0.1 else (pale, deep)
