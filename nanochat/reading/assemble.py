"""A page from the answers about its views: text, lines with boxes, probabilities, and how the reading ended."""

from collections.abc import Iterable

from PIL import Image

from nanochat.engine.batching import Generation
from nanochat.lines.boxes import Box, union
from nanochat.lines.cut import Piece, join
from nanochat.reading.grounding import Block, parse_grounding
from nanochat.reading.page import Page, Part, TextLine
from nanochat.reading.shown import Shown
from nanochat.reading.state import PageState
from nanochat.tokenizer import RustBPETokenizer

LEAST_SURE = 0.6  # a piece of a line with a lower mean probability is left out: stains and pictures get 0.2 to 0.6


def assemble(
    shown: Shown, picture: Image.Image, answers: list[Generation], tokenizer: RustBPETokenizer, seconds: float
) -> Page:
    """The page that `answers`, one for each view in `shown`, make up; `picture` is the RGB page they are about.

    `seconds`: the time the model took for all views. The lines of a whole view have no boxes yet.
    """
    texts = [tokenizer.decode(answer.tokens) for answer in answers]
    blocks: list[Block] = []
    unclear = [False] * len(texts)
    if shown.pieces:
        unclear = [bool(text) and a.mean_probability < LEAST_SURE for text, a in zip(texts, answers)]
        texts = ["" if left_out else text for text, left_out in zip(texts, unclear)]
        text = join(texts, shown.pieces)
        lines = piece_lines(shown.pieces, texts, answers)
    else:
        text, blocks = parse_grounding(texts[0], *picture.size)
        rows = token_rows(answers[0], tokenizer) if not blocks else []
        lines = [_line(row, None, [answers[0].probabilities[i] for i in tokens]) for row, tokens in rows]
    probabilities = [p for answer in answers for p in answer.probabilities]
    stopped = _stopped(answers)
    return Page(
        text=text, vision_tokens=shown.n_tokens, most_vision_tokens=shown.n_tokens,
        tokens=sum(len(answer.tokens) for answer in answers) + shown.spare_tokens, seconds=seconds,
        stopped=stopped, mode=shown.mode, views=len(shown.views), width=picture.width, height=picture.height,
        status=_status(stopped, answers),
        mean_probability=sum(probabilities) / max(1, len(probabilities)),
        min_probability=min(probabilities, default=1.0), unclear=sum(unclear), lines=lines, blocks=blocks,
    )  # fmt: skip


def _stopped(answers: Iterable[Generation]) -> str:
    """What stopped the first answer that the model did not end itself; `end` if there is none."""
    return str(next((a.stopped for a in answers if a.stopped not in ("end", None)), "end"))


def _status(stopped: str, answers: Iterable[Generation]) -> PageState:
    if stopped != "end":
        return PageState.LOOPED if stopped == "loop" else PageState.CUT
    return PageState.REPAIRED if any(answer.repaired for answer in answers) else PageState.OK


def piece_lines(pieces: list[Piece], texts: list[str], answers: list[Generation]) -> list[TextLine]:
    """The lines in which something was read, from the pieces that have a text."""
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


def token_rows(answer: Generation, tokenizer: RustBPETokenizer) -> list[tuple[str, list[int]]]:
    """The lines of one answer that are not empty: the text of each, and the positions of its tokens."""
    rows: list[list[int]] = [[]]
    for i, token in enumerate(answer.tokens):
        rows[-1].append(i)
        if "\n" in tokenizer.decode([token]):
            rows.append([])
    texts = [tokenizer.decode([answer.tokens[i] for i in tokens]).strip() for tokens in rows]
    return [(text, tokens) for text, tokens in zip(texts, rows) if text]


def _line(text: str, box: Box | None, probabilities: list[float]) -> TextLine:
    return TextLine(text, box, sum(probabilities) / max(1, len(probabilities)), min(probabilities, default=1.0))
