"""Scans with their transcripts, and which part of a transcript each line of a scan says.

A folder of pictures, each with a transcript of the same name beside it: `.txt`, or `.xml` as transcribers export it
(PAGE-XML or ALTO). The lines found on a picture are read by the present model, and each reading is looked for in the
transcript: what is most like it there is what the line says. Lines without such a place are left out.
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
from nanochat.lines.cut import Piece
from nanochat.tasks.folder_set import SUFFIXES

LEAST_ALIKE = 60.0  # rapidfuzz's partial ratio of a reading and its place in the transcript
MOST_WRONG = 0.4  # edit distance of a reading and its label, for each character of the longer one
SHORTEST = 2  # characters of a reading that is looked for: shorter ones stand in many places


@dataclass(frozen=True)
class Scan:
    """A picture and all that is written on it."""

    name: str
    picture: Path
    text: str


@dataclass(frozen=True)
class Labelled:
    """A piece of a line as the model is shown it, and what it says."""

    picture: Image.Image
    text: str


def find_scans(folder: str | Path) -> list[Scan]:
    """The pictures of a folder that have a transcript, sorted by name.

    Raises UserError when there is none, or one cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    scans = []
    for picture in sorted(folder.iterdir()):
        if picture.suffix.lower() not in SUFFIXES:
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
    """The lines of a PAGE-XML or ALTO file, one a line, in the order of the file.

    Raises UserError when it is neither.
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
    """The text of a PAGE-XML line: its own TextEquiv, not those of its words."""
    for own in line:
        if own.tag.endswith("TextEquiv"):
            return next((part.text or "" for part in own if part.tag.endswith("Unicode")), "")
    return ""


def fold_case(text: str) -> str:
    """`text` without case, character by character, so that places in it stay where they are: ß stays ß, not ss."""
    return "".join(folded if len(folded := char.casefold()) == 1 else char for char in text)


def _is_too_short(reading: str) -> bool:
    return len(reading.replace(" ", "")) < SHORTEST


def find_exact(reading: str, text: str) -> tuple[int, int] | None:
    """Where `text` has what was read, as whole words and whatever the case: (start, end); None where it does not."""
    reading = " ".join(fold_case(reading).split())
    if _is_too_short(reading):
        return None
    found = re.search(rf"(?<!\S){re.escape(reading)}(?!\S)", fold_case(text))
    return found.span() if found else None


def find_place(reading: str, text: str) -> tuple[int, int] | None:
    """Where `text` says most nearly what was read, as whole words: (start, end); None where nothing is alike."""
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
    """Words are dropped at the ends of a place as long as what is left is more like the reading."""
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
    """The pieces of a page with what they say by the transcript, and the readings that have no place in it.

    Readings that the transcript has word for word choose first, then the others, each time the longer ones first, and a
    place is given once: a misread amount does not take the place of one that was read right. A transcript without one
    small letter has lost its case: letters then keep the case in which they were read.
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
            text = text[: place[0]] + "\n" * (place[1] - place[0]) + text[place[1] :]  # given once
            labels[i] = with_case_of(readings[i], said) if lost_case else said
    found = [Labelled(pieces[i].picture, labels[i]) for i in sorted(labels)]
    return found, [reading for i, reading in enumerate(readings) if i not in labels and reading.strip()]


def with_case_of(reading: str, said: str) -> str:
    """`said`, in capitals, with the case of the letters in `reading` that it is aligned with."""
    letters = list(said)
    for edit in Levenshtein.opcodes(fold_case(reading), fold_case(said)):
        for k in range(min(edit.src_end - edit.src_start, edit.dest_end - edit.dest_start)):
            if reading[edit.src_start + k].islower():
                letters[edit.dest_start + k] = letters[edit.dest_start + k].lower()
    return "".join(letters)
