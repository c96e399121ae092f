"""Assembles a page from the answers about its views: text, lines with boxes, probabilities, status."""

from collections.abc import Iterable, Sequence

from PIL import Image

from nanochat.engine.answers import Generation
from nanochat.image_process import NOTE
from nanochat.lines.boxes import union
from nanochat.lines.cut import Piece, join
from nanochat.lines.words import strip_of, stroke_width, word_boxes
from nanochat.reading.alphabet import in_one_alphabet
from nanochat.reading.blocks import BlockRow, PageBlock, divide_words
from nanochat.reading.grounding import GroundedBlock, parse_grounding
from nanochat.reading.marks import count_marks
from nanochat.reading.matching import match_rows
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.shapes import restore_signs
from nanochat.reading.shown import Shown
from nanochat.reading.state import PageState
from nanochat.reading.symbols import doubtful_signs, symbols_note
from nanochat.tokenizer import RustBPETokenizer

LEAST_SURE = 0.6  # pieces of lines with a lower mean probability are left out: stains and pictures have 0.2 to 0.6


def assemble(
    shown: Shown, picture: Image.Image, answers: list[Generation], tokenizer: RustBPETokenizer, seconds: float
) -> Page:
    """The page made from `answers`, one for each view in `shown`, about the RGB image `picture`.

    `seconds`: the time the model took for all views. The lines of a whole view have no boxes yet.
    """
    grounded: list[GroundedBlock] = []
    unclear = 0
    if shown.blocks:
        lines, unclear = block_lines(shown.blocks, answers, tokenizer)
        text = "\n".join(line.text for line in lines)
    elif shown.pieces:
        texts, unclear = piece_texts(shown.pieces, answers, tokenizer)
        text = join(texts, shown.pieces)
        lines = piece_lines(shown.pieces, texts, answers)
    else:
        text, grounded = parse_grounding(tokenizer.decode(answers[0].tokens), *picture.size)
        rows = token_rows(answers[0], tokenizer) if not grounded else []
        lines = [_line(row, [answers[0].probabilities[i] for i in tokens]) for row, tokens in rows]
    probabilities = [p for answer in answers for p in answer.probabilities]
    stopped = _stopped(answers)
    notes = [picture.info[NOTE]] if NOTE in picture.info else []
    if shown.pieces and (note := _symbols_note(answers, texts, tokenizer)):
        notes.append(note)
    return Page(
        text=text, vision_tokens=shown.n_tokens, most_vision_tokens=shown.n_tokens,
        tokens=sum(len(answer.tokens) for answer in answers) + shown.spare_tokens, seconds=seconds,
        stopped=stopped, mode=shown.mode, views=len(shown.views), width=picture.width, height=picture.height,
        status=_status(stopped, answers),
        mean_probability=sum(probabilities) / max(1, len(probabilities)),
        min_probability=min(probabilities, default=1.0), unclear=unclear, lines=lines, blocks=grounded,
        notes=notes,
    )  # fmt: skip


def _symbols_note(answers: Sequence[Generation], texts: Sequence[str], tokenizer: RustBPETokenizer) -> str:
    """A note about uncertain signs in the pieces with text; empty if there are few."""
    kept = [answer for answer, text in zip(answers, texts) if text]
    return symbols_note(
        sum(doubtful_signs([tokenizer.decode([t]) for t in a.tokens], a.probabilities) for a in kept), texts
    )


def _stopped(answers: Iterable[Generation]) -> str:
    """Why the first answer that the model did not end itself was stopped; `end` if there is none."""
    return str(next((a.stopped for a in answers if a.stopped not in ("end", None)), "end"))


def _status(stopped: str, answers: Iterable[Generation]) -> PageState:
    if stopped != "end":
        return PageState.LOOPED if stopped == "loop" else PageState.CUT
    return PageState.REPAIRED if any(answer.repaired for answer in answers) else PageState.OK


def piece_texts(
    pieces: Sequence[Piece], answers: Sequence[Generation], tokenizer: RustBPETokenizer
) -> tuple[list[str], int]:
    """(the text of each piece of a line, empty if it is left out as unclear; how many are left out)."""
    texts = [in_one_alphabet(tokenizer.decode(answer.tokens)) for answer in answers]
    texts = [restore_signs(count_marks(text, piece), piece) for text, piece in zip(texts, pieces)]
    left_out = [bool(text) and a.mean_probability < LEAST_SURE for text, a in zip(texts, answers)]
    return ["" if out else text for text, out in zip(texts, left_out)], sum(left_out)


def piece_lines(pieces: list[Piece], texts: list[str], answers: list[Generation]) -> list[TextLine]:
    """The lines of a page, from the pieces that have text."""
    rows: dict[int, list[int]] = {}
    for i, (piece, text) in enumerate(zip(pieces, texts)):
        if text.strip():
            rows.setdefault(piece.row, []).append(i)
    lines = []
    for members in rows.values():
        text = join([texts[i] for i in members], [pieces[i] for i in members])
        line = _line(text, [p for i in members for p in answers[i].probabilities])
        line.parts = [part_of(pieces[i], texts[i]) for i in members]
        line.box = union(part.box for part in line.parts)
        lines.append(line)
    return lines


def part_of(piece: Piece, text: str) -> Part:
    """The part of a line that a piece shows, with word boxes and stroke width measured in its image.

    Runs of spaces in its text become single spaces.
    """
    strip = strip_of(piece)
    return Part(" ".join(text.split()), piece.box, word_boxes(piece, text, strip), round(stroke_width(strip), 3))


def block_lines(
    blocks: list[PageBlock], answers: list[Generation], tokenizer: RustBPETokenizer
) -> tuple[list[TextLine], int]:
    """(the lines of a page, assembled from the rows of its blocks; how many rows were left out as unclear)."""
    read: dict[int, list[tuple[BlockRow, str, list[float]]]] = {}  # line -> its rows with text
    unclear = 0
    for block, answer in zip(blocks, answers):
        said = token_rows(answer, tokenizer)
        texts: list[list[str]] = [[] for _ in block.rows]
        sure: list[list[float]] = [[] for _ in block.rows]
        for (text, tokens), row in zip(said, match_rows([text for text, _ in said], [r.room for r in block.rows])):
            texts[row].append(text)
            sure[row] += [answer.probabilities[i] for i in tokens]
        for block_row, some, probabilities in zip(block.rows, texts, sure):
            if some and sum(probabilities) / len(probabilities) < LEAST_SURE:
                unclear += 1
            elif some:
                read.setdefault(block_row.line, []).append((block_row, " ".join(some), probabilities))
    lines = []
    for rows in read.values():
        line = _line(" ".join(text for _, text, _ in rows), [p for _, _, some in rows for p in some])
        divided = [(divide_words(text, row.widths), row.pieces) for row, text, _ in rows]
        line.parts = [part_of(piece, text) for texts, pieces in divided for text, piece in zip(texts, pieces) if text]
        line.box = union(part.box for part in line.parts)
        lines.append(line)
    return lines, unclear


def token_rows(answer: Generation, tokenizer: RustBPETokenizer) -> list[tuple[str, list[int]]]:
    """The text of each non-empty line of an answer, and the positions of its tokens."""
    rows: list[list[int]] = [[]]
    for i, token in enumerate(answer.tokens):
        rows[-1].append(i)
        if "\n" in tokenizer.decode([token]):
            rows.append([])
    texts = [tokenizer.decode([answer.tokens[i] for i in tokens]).strip() for tokens in rows]
    return [(text, tokens) for text, tokens in zip(texts, rows) if text]


def _line(text: str, probabilities: list[float]) -> TextLine:
    return TextLine(text, None, sum(probabilities) / max(1, len(probabilities)), min(probabilities, default=1.0))
