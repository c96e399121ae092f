"""Labels for the lines of scans: which part of a transcript each line is.

The input is a folder of images, each with a transcript of the same name: `.txt`, or `.xml` in PAGE-XML or ALTO, which
transcription tools export. The lines that are detected in an image are read by the current model, and the most similar
place in the transcript becomes the label of the line. Lines without a similar place are left out.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from nanochat.errors import UserError
from nanochat.files import IMAGE_SUFFIXES
from nanochat.lines.cut import Piece

LEAST_ALIKE = 60.0  # rapidfuzz's partial ratio of a reading and its place in the transcript
MOST_WRONG = 0.4  # edit distance of a reading and its label, for each character of the longer one
SHORTEST = 2  # least length of a reading in characters: shorter ones occur in many places


@dataclass(frozen=True)
class Scan:
    """An image and the text on it."""

    name: str
    """file name without its suffix"""
    picture: Path
    text: str
    """the transcript"""


@dataclass(frozen=True)
class Labelled:
    """The image of a line, or of a part of one, as it is shown to the model, and its text."""

    picture: Image.Image
    text: str


def find_scans(folder: str | Path) -> list[Scan]:
    """The images in a folder that have a transcript, sorted by name.

    Raises UserError if there is none, or if a transcript cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    scans = []
    for picture in sorted(folder.iterdir()):
        if picture.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        for suffix, read in ((".txt", _read_text), (".xml", read_xml)):
            if (path := picture.with_suffix(suffix)).is_file():
                scans.append(Scan(picture.name, picture, read(path)))
                break
    if not scans:
        raise UserError(
            f"{folder}: no picture has a transcript (.txt, or .xml in PAGE-XML or ALTO) of its name beside it"
        )
    return scans


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error


def read_xml(path: Path) -> str:
    """The lines of a PAGE-XML or ALTO file, in the order of the file, separated by newlines.

    Raises UserError if it is neither.
    """
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise UserError(f"{path}: broken XML ({error})") from error
    kind = root.tag.rpartition("}")[2].lower()
    if kind == "alto":
        rows = [
            " ".join(part.get("CONTENT", "") for part in line if part.tag.endswith("String"))
            for line in root.iter()
            if line.tag.endswith("TextLine")
        ]
    elif kind == "pcgts":
        rows = [_page_line(line) for line in root.iter() if line.tag.endswith("TextLine")]
    else:
        raise UserError(f"{path}: neither PAGE-XML nor ALTO (its root is {kind!r})")
    return "\n".join(row for row in rows if row.strip())


def _page_line(line: ET.Element) -> str:
    """The text of a PAGE-XML line: its own TextEquiv, not that of its words."""
    for own in line:
        if own.tag.endswith("TextEquiv"):
            return next((part.text or "" for part in own if part.tag.endswith("Unicode")), "")
    return ""


def fold_case(text: str) -> str:
    """`text` in lower case, character by character, so that positions in it do not change: ß stays ß, not ss."""
    return "".join(folded if len(folded := char.casefold()) == 1 else char for char in text)


def _is_too_short(reading: str) -> bool:
    return len(reading.replace(" ", "")) < SHORTEST


def find_exact(reading: str, text: str) -> tuple[int, int] | None:
    """(start, end) of the place where `text` has `reading` as whole words, whatever the case; None if there is none."""
    reading = " ".join(fold_case(reading).split())
    if _is_too_short(reading):
        return None
    found = re.search(rf"(?<!\S){re.escape(reading)}(?!\S)", fold_case(text))
    return found.span() if found else None


def find_place(reading: str, text: str) -> tuple[int, int] | None:
    """(start, end) of the place in `text` most similar to `reading`, in whole words; None if nothing is similar."""
    reading = " ".join(reading.split())
    if _is_too_short(reading):
        return None
    found = fuzz.partial_ratio_alignment(fold_case(reading), fold_case(text), score_cutoff=LEAST_ALIKE)
    if found is None or found.dest_start == found.dest_end:
        return None
    start, end = found.dest_start, found.dest_end
    if len(reading) > len(text):
        start, end = 0, len(text)
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    if not text[start:end].strip():
        return None
    start, end = _best_words(reading, text, start, end)
    label = fold_case(text[start:end].strip())
    return (start, end) if Levenshtein.normalized_distance(fold_case(reading), label) <= MOST_WRONG else None


def _best_words(reading: str, text: str, start: int, end: int) -> tuple[int, int]:
    """Drop words at both ends of a place as long as it becomes more similar to the reading. Returns (start, end)."""
    read = fold_case(reading)

    def distance(a: int, b: int) -> int:
        return Levenshtein.distance(read, fold_case(text[a:b].strip()))

    while True:
        here = distance(start, end)
        inner = text[start:end]
        first, last = len(inner) - len(inner[len(inner.split()[0]) :].lstrip()), inner.rfind(" ")
        shorter = [(start + first, end), (start, start + last)] if len(inner.split()) > 1 and last > 0 else []
        better = [pair for pair in shorter if distance(*pair) < here]
        if not better:
            return start, end
        start, end = min(better, key=lambda pair: distance(*pair))


def align(pieces: Sequence[Piece], readings: Sequence[str], transcript: str) -> tuple[list[Labelled], list[str]]:
    """Assign a place in the transcript to each piece of a page, given the model's `readings` of the pieces.

    Returns (pieces with their labels, readings without a place). Readings that occur literally in the transcript are
    assigned first, then the others, longer ones first each time. Each place is assigned once, so a misread amount
    cannot take the place of one that was read correctly. If the transcript has no lower-case letter, labels keep the
    case in which they were read.
    """
    text = " ".join(transcript.split())
    lost_case = not any(char.islower() for char in text)
    labels: dict[int, str] = {}
    longest_first = sorted(range(len(pieces)), key=lambda i: -len(readings[i]))
    for find in (find_exact, find_place):
        for i in longest_first:
            place = None if i in labels else find(readings[i], text)
            if place is None or "\n" in (said := text[slice(*place)].strip()):
                continue
            text = text[: place[0]] + "\n" * (place[1] - place[0]) + text[place[1] :]  # used only once
            labels[i] = with_case_of(readings[i], said) if lost_case else said
    found = [Labelled(pieces[i].picture, labels[i]) for i in sorted(labels)]
    return found, [reading for i, reading in enumerate(readings) if i not in labels and reading.strip()]


def with_case_of(reading: str, said: str) -> str:
    """`said`, which is in capitals, with the case of those letters in `reading` that it aligns with."""
    letters = list(said)
    for edit in Levenshtein.opcodes(fold_case(reading), fold_case(said)):
        for k in range(min(edit.src_end - edit.src_start, edit.dest_end - edit.dest_start)):
            if reading[edit.src_start + k].islower():
                letters[edit.dest_start + k] = letters[edit.dest_start + k].lower()
    return "".join(letters)
