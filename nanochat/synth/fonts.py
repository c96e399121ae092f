"""The font faces that documents are drawn with: found on this machine, checked for legibility, some held out."""

import importlib.util
import os
import random
import re
import shutil
import subprocess
import unicodedata
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
from PIL import ImageFont

from nanochat.errors import UserError
from nanochat.synth.languages import MARKS
from nanochat.synth.signs import SIGNS
from nanochat.tokenizer import CHARACTERS, LETTERS

ASCII = "".join(map(chr, range(33, 127)))
_SAMPLE = "AaBbEeGgKkMmQqRrSsXxZz01489@#$%&~^_{]\\;'"  # a face that draws these correctly draws all of ASCII
PRINTED = "“”‘’–"  # typographic characters; transcribed as PLAIN, which is what keyboards have
PLAIN = "\"\"''-"
EXTRAS = "£€°—" + PRINTED  # used only with the faces that have them
_MISSING = "\U0010fffd"  # missing from every face, so it renders as the face's glyph for missing characters
CHECKED_PX = 24  # type size at which the characters of a face are compared
PACKED_FACES = "faces.tsv"  # in a folder of packed fonts: family, style, file name and index of each face

# Families that are never used in training: the set `unseen` is drawn with these alone. A grotesque, a humanist sans, an
# old-style serif, and two code fonts that share one design (so that training does not include its twin).
HELD_OUT_FAMILIES = (
    "Cabin",
    "DejaVu Sans Mono",
    "EB Garamond",
    "Hack",
    "Roboto",
    "Roboto Condensed",
)

# Families and styles whose Latin letters are not plain text: symbols, swashes, small capitals, hairlines, outlines.
_UNWANTED = re.compile(
    r"Math|Keyboard|Initials|Caps\b|Smallcaps|Symbol|Unslanted|Upright|Monoisome|Dunhill|Tamil|D050000L|Z003|Music"
    r"|Integrals|NonUnicode|Size.*Sym|Variants|Display$|Hairline|Thin|Extra ?Light|Ultra ?Light|Outline|cm[a-z]+\d+"
    # variants that would add one design a dozen times
    r"|(Semi ?bold|Demi|Extra ?bold|Medium|Light|Heavy|Black) (Italic|Oblique)|Retina|^([5-9]|17) "
    r"|Latin Modern Mono .|Latin Modern (Roman|Sans) (Demi|Slanted|Quotation)|OCRA.|Accanthis.*No\d|Verana Sans ."
    r"|Clear Sans .|Tiresias .* Z$|Unifont-JP|Spleen (6x12|32x64)"
    r"|Semi ?(Condensed|Expanded) .|(Narrow|Wide|Extended) .",
    re.IGNORECASE,
)
_MONO = re.compile(
    r"mono|courier|code|ocr|hack|inconsolata|agave|hermit|spleen|unifont|3270|tlwg|glass|dotgothic|proggy",
    re.IGNORECASE,
)
_NOTO = re.compile(r"Noto (?!(Sans|Serif|Mono|Sans Mono)$)")  # the others repeat Noto Sans's Latin letters


# The tallest letters with accents of all European alphabets.
_HIGHEST = LETTERS + "ČĎĚŇŘŠŤŮŽĹĽŔĆŃŚŹŻŐŰĂĞİĄĖŪĪĢЁЙЇҐЂЋΆΈΉΊΪΫ"


def capital(char: str) -> str:
    """The capital of a letter. A character without a single-letter capital is returned unchanged."""
    known = char.isascii() or (char in CHARACTERS and char not in "ßµªº")
    return char.upper() if known and len(char.upper()) == 1 else char


@lru_cache(maxsize=64)  # FreeType takes 100 KB or more per open font, far more than its rendered glyphs
def open_font(path: str, index: int, px: int) -> ImageFont.FreeTypeFont:
    """A face of a font file at one size, which draws characters independently of their neighbours."""
    return ImageFont.truetype(path, px, index, layout_engine=ImageFont.Layout.BASIC)


class _Ink:
    """The renderings of a face's characters, for comparison. Raises OSError if the file is not a font."""

    def __init__(self, path: str, index: int) -> None:
        self._font = open_font(path, index, CHECKED_PX)
        self._missing = self._draw(_MISSING)

    def of(self, char: str) -> bytes:
        """The rendering of a character; empty if the face lacks it, or if it has no ink."""
        drawn = self._draw(char)
        return b"" if drawn == self._missing else drawn

    def _draw(self, char: str) -> bytes:
        mask = self._font.getmask(char, "L")
        return bytes([*mask.size]) + np.array(mask, np.uint8).tobytes() if mask.size[0] * mask.size[1] else b""


@dataclass(frozen=True, eq=False)
class Face:
    """One face of a font file."""

    family: str
    style: str
    path: str
    index: int
    extras: str  # the characters of EXTRAS that it has, besides printable ASCII
    small_capitals: bool = False  # draws lower-case letters as capitals of a smaller size
    highest: str = ""  # letters that set the height of accents; "": western Europe's, see `for_all_letters`

    @cached_property
    def plain(self) -> bool:
        """Upright and of normal weight, as most text is."""
        return re.search(r"bold|italic|oblique|light|black|heavy|demi|condensed", self.style, re.I) is None

    @cached_property
    def mono(self) -> bool:
        """Whether it is a typewriter or code face, judging by its family name."""
        return _MONO.search(self.family) is not None

    @cached_property
    def western(self) -> bool:
        """Whether it has all letters and marks of the western languages, each accented letter unlike its base."""
        ink = _Ink(self.path, self.index)
        letters = [ink.of(char) for char in LETTERS + "aceinouACEINOU"]
        return b"" not in {*letters, *map(ink.of, MARKS)} and len({*letters}) == len(letters)

    @cached_property
    def symbols(self) -> str:
        """The characters of `signs.SIGNS` that it has, each unlike the digit or letter that it is a small form of."""
        ink = _Ink(self.path, self.index)
        found = []
        for char in SIGNS:
            drawn, plain = ink.of(char), unicodedata.normalize("NFKC", char)
            if drawn and (plain == char or len(plain) > 1 or drawn != ink.of(plain)):
                found.append(char)
        return "".join(found)


@cache
def draws(face: Face, letters: str, marks: str) -> bool:
    """Whether `face` has all of both, with every letter distinct from the others and from its unaccented base."""
    ink = _Ink(face.path, face.index)
    bases = {unicodedata.normalize("NFD", letter)[0] for letter in letters}
    if not {*letters} & {*"αб"}:
        bases |= {*"dDlLiI"}  # đ, ł and ı without their stroke, or with a dot
    plain = {ink.of(base) for base in bases - {*letters}}
    return len({*map(ink.of, letters)} - plain - {b""}) == len(letters) and all(map(ink.of, marks))


@cache
def for_all_letters(face: Face) -> Face:
    """A copy of `face` with room above its rows for the accents of all European letters that it has."""
    return replace(face, highest="".join(filter(_Ink(face.path, face.index).of, _HIGHEST)))


class FontSet:
    """The usable faces, grouped by family in alphabetical order. `trained` and `held_out` have no family in common."""

    def __init__(self, faces: list[Face]):
        families: dict[str, list[Face]] = {}
        for face in sorted(faces, key=lambda face: (face.family, face.style)):
            families.setdefault(face.family, []).append(face)
        self.trained = {name: found for name, found in families.items() if name not in HELD_OUT_FAMILIES}
        self.held_out = {name: found for name, found in families.items() if name in HELD_OUT_FAMILIES}
        self._by_width = {
            (held_out, mono): [found for found in chosen.values() if found[0].mono == mono] or list(chosen.values())
            for held_out, chosen in ((False, self.trained), (True, self.held_out))
            for mono in (False, True)
        }

    def trained_faces(self) -> list[Face]:
        """Every face that training may use."""
        return [face for family in self.trained.values() for face in family]

    def pick(self, rng: random.Random, held_out: bool, mono: bool) -> Face:
        """A random face: first a family, all equally likely, then with probability 0.6 a plain style, otherwise any.

        mono: True for a typewriter or code face, False for any other; ignored if there is none of that kind. Raises
        UserError if no family of the requested group is installed.
        """
        families = self._by_width[held_out, mono]
        if not families:
            which = "none of the held-out font families" if held_out else "no font family to train on"
            raise UserError(f"{which} is installed: run `bash runs/fonts.sh`")
        faces = rng.choice(families)
        plain = [face for face in faces if face.plain]
        return rng.choice(plain if plain and rng.random() < 0.6 else faces)

    def bold(self, face: Face) -> Face:
        """The bold face of the family of `face`, or `face` itself if there is none."""
        family = self.trained.get(face.family) or self.held_out[face.family]
        found = [other for other in family if re.fullmatch(r"(semi|demi|extra)?\s*bold", other.style, re.I)]
        return found[0] if found else face


def _candidates() -> list[tuple[str, str, str, int]]:
    """(family, style, path, index) of every available font, sorted: from NANO_FONTS, or fontconfig and matplotlib."""
    folder = os.environ.get("NANO_FONTS")
    if folder:
        if not Path(folder).is_dir():
            raise UserError(f"NANO_FONTS names no folder: {folder}; unset it or run `bash runs/fonts.sh`")
        return _scan(Path(folder))
    found = []
    spec = importlib.util.find_spec("matplotlib")
    if spec and spec.submodule_search_locations:  # includes DejaVu and STIX, so there is always a font
        found += _scan(Path(spec.submodule_search_locations[0]) / "mpl-data/fonts/ttf")
    if shutil.which("fc-list"):
        pattern = "%{family[0]}\t%{style[0]}\t%{file}\t%{index}\x1e"  # a name may contain a line break
        listing = subprocess.run(
            ["fc-list", ":charset=20-7e", "--format", pattern], capture_output=True, text=True, check=True
        ).stdout
        for record in listing.split("\x1e")[:-1]:
            family, style, path, index = map(str.strip, record.split("\t"))
            if int(index) < 1 << 16:  # larger numbers are named instances of variable fonts
                found.append((family, style, path, int(index)))
    return sorted(set(found))


def _scan(folder: Path) -> list[tuple[str, str, str, int]]:
    """The fonts in a folder, named by themselves, or as listed in the file packed with them (dev/gpu_day.py)."""
    packed = folder / PACKED_FACES
    if packed.is_file():
        rows = (line.split("\t") for line in packed.read_text(encoding="utf-8").splitlines())
        return sorted((family, style, str(folder / name), int(index)) for family, style, name, index in rows)
    found = []
    for path in sorted([*folder.rglob("*.ttf"), *folder.rglob("*.otf"), *folder.rglob("*.ttc")]):
        try:
            family, style = ImageFont.truetype(str(path), 16).getname()
        except OSError:
            continue  # not a font
        found.append((family or path.stem, style or "Regular", str(path), 0))
    return found


def _check(family: str, style: str, path: str, index: int) -> Face | None:
    """The face if it draws printable ASCII with distinct characters and real lower-case letters, otherwise None."""
    try:
        ink = _Ink(path, index)
    except OSError:
        return None
    drawn = {*map(ink.of, _SAMPLE)}
    if b"" in drawn or len(drawn) < len(_SAMPLE):
        return None
    font = open_font(path, index, CHECKED_PX)
    if min(font.getlength(char) for char in " " + ASCII) < 2:
        return None
    x_top, d_top = font.getbbox("x", anchor="ls")[1], font.getbbox("d", anchor="ls")[1]
    if d_top > 1.15 * x_top or font.getbbox("p", anchor="ls")[3] < 2:  # (tops are negative) capitals, small or large
        return None
    return Face(family, style, path, index, "".join(filter(ink.of, EXTRAS)))


@cache
def find_fonts() -> FontSet:
    """Every usable face on this machine, or in the folder given by NANO_FONTS; each family and style once.

    Raises UserError if there is none.
    """
    faces: dict[tuple[str, str], Face] = {}
    for family, style, path, index in _candidates():
        if Path(path).suffix.lower() not in (".ttf", ".otf", ".ttc") or (family, style) in faces:
            continue
        if _UNWANTED.search(family) or _UNWANTED.search(style) or _NOTO.match(family):
            continue
        face = _check(family, style, path, index)
        if face:
            faces[family, style] = face
    if not faces:
        raise UserError("no usable font on this machine: run `bash runs/fonts.sh`, or set NANO_FONTS to a folder")
    return FontSet(list(faces.values()))
