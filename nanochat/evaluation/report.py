"""A report as a single HTML file: image, expected text and read text of every document, and loss curves.

Images (as data URIs) and curves (as SVG) are inside the file, so it can be sent, archived or opened offline.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from nanochat.evaluation.losses import Reading, Summary, format_share, summarise
from nanochat.files import write_text
from nanochat.reading.inline import jpeg_url

STYLE = Path(__file__).with_name("report.css")
CHART = (560, 260)  # width and height of one panel
MARGIN = (46, 14, 14, 34)  # left, top, right, bottom of its frame
MAX_POINTS = 400  # a longer curve is thinned out


@dataclass(frozen=True)
class Curve:
    """Losses over steps. Curves with the same `panel` are plotted together."""

    panel: str
    name: str
    points: Sequence[tuple[int, float]]


def write_report(
    path: str | Path,
    title: str,
    readings: Sequence[Reading],
    curves: Sequence[Curve] = (),
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write the report to `path` and return it.

    `readings`: at least one; their means are shown at the top. `facts`: further facts to show there, by name. Raises
    UserError if the file cannot be written.
    """
    summary = summarise(readings)
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    charts = "".join(_chart(panel, [c for c in curves if c.panel == panel]) for panel in panels)
    body = [
        f"<header><h1>{escape(title)}</h1>{_verdict(summary)}</header>",
        _facts(summary, facts or {}),
        f'<section class="charts">{charts}</section>' if charts else "",
        _table(readings),
        *map(_document, readings),
    ]
    return write_page(path, title, body)


def write_page(path: str | Path, title: str, body: Sequence[str]) -> Path:
    """Write parts of HTML as one page in the style of the report. Raises UserError if the file cannot be written."""
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style>"
    )
    page = f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(body)}</main></body></html>\n'
    write_text(path, page)
    return Path(path)


def mark_differences(expected: str, read: str) -> tuple[str, str]:
    """Both texts as HTML, compared word by word: missing words in <del>, additional ones in <ins>."""
    left, right = _pieces(expected), _pieces(read)
    marked: tuple[list[str], list[str]] = ([], [])
    for step in Levenshtein.opcodes(left, right):
        texts = "".join(left[step.src_start : step.src_end]), "".join(right[step.dest_start : step.dest_end])
        for side, tag, text in zip(marked, ("del", "ins"), texts):
            text = escape(text)
            if text and step.tag != "equal":
                text = f"<{tag}>{text}</{tag}>"
            side.append(text)
    return "".join(marked[0]), "".join(marked[1])


def _pieces(text: str) -> list[str]:
    """Split a text into words and single white space characters."""
    return re.findall(r"\S+|\s", text)


def _number(value: float | None, pattern: str = "{:.4f}") -> str:
    return "-" if value is None else pattern.format(value)


def _verdict(summary: Summary) -> str:
    kind = "good" if summary.complete == summary.documents else "part"
    return f'<p class="verdict {kind}">{summary.complete} of {summary.documents} documents read completely</p>'


def _facts(summary: Summary, facts: Mapping[str, str]) -> str:
    """The means and the facts of the run as a list of pairs."""
    shown = {
        "Word overlap": format_share(summary.overlap),
        "Character error rate": _number(100 * summary.cer, "{:.2f}%"),
        "Loss": _number(summary.loss),
        "Loss, wrong picture": _number(summary.wrong_loss),
        "Image gain": _number(summary.image_gain, "{:.2f} nats"),
        **facts,
    }
    return pairs_html(shown)


def pairs_html(pairs: Mapping[str, str]) -> str:
    """Names and figures as a row of small cards, as HTML."""
    cards = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs.items())
    return f'<dl class="facts">{cards}</dl>'


def _table(readings: Iterable[Reading]) -> str:
    """A table with one row for each document, linked to its card."""
    rows = (
        f'<tr><td><a href="#{escape(r.id)}">{escape(r.id)}</a></td>'
        f"<td>{r.loss:.4f}</td><td>{_number(r.wrong_loss)}</td>"
        f'<td class="bar" style="--share:{r.overlap:.4f}">{format_share(r.overlap)}</td><td>{_tick(r)}</td></tr>'
        for r in readings
    )
    return framed_table(("ID", "Loss", "Wrong picture", "Overlap", ""), rows)


def framed_table(headings: Iterable[str], rows: Iterable[str]) -> str:
    """A table in the style of the page. `rows`: its rows as HTML."""
    names = "".join(f"<th>{escape(name)}</th>" for name in headings)
    return (
        f'<section class="table"><table><thead><tr>{names}</tr></thead><tbody>{"".join(rows)}</tbody></table></section>'
    )


def _tick(reading: Reading) -> str:
    return '<b class="good">&#10003;</b>' if reading.overlap == 1 else '<b class="bad">&#10007;</b>'


def _document(reading: Reading) -> str:
    """A card with the image and both texts side by side."""
    expected, read = mark_differences(reading.expected, reading.read)
    same = '<p class="note">Every character is as expected.</p>' if reading.expected == reading.read else ""
    return (
        f'<article id="{escape(reading.id)}"><h2>{escape(reading.id)} {_tick(reading)}</h2>'
        f'<p class="figures">overlap {format_share(reading.overlap)} &middot; CER {100 * reading.cer:.2f}% &middot; '
        f"loss {reading.loss:.4f} &middot; with a wrong picture {_number(reading.wrong_loss)}</p>"
        f'<div class="columns"><figure><img src="{jpeg_url(reading.picture)}" alt="{escape(reading.id)}"></figure>'
        f"<div><h3>Expected</h3><pre>{expected}</pre></div><div><h3>Read</h3><pre>{read}</pre>{same}</div></div></article>"
    )


def _chart(title: str, curves: Sequence[Curve]) -> str:
    """The curves as SVG with a logarithmic axis. Its colours come from the style of the page."""
    kept = {c.name: _thin([(x, y) for x, y in c.points if math.isfinite(y) and y > 0]) for c in curves}
    points = [point for curve in kept.values() for point in curve]
    if not points:
        return ""
    last = max(1, max(x for x, _ in points))
    low = math.floor(math.log10(min(y for _, y in points)))
    high = max(low + 1, math.ceil(math.log10(max(y for _, y in points))))
    left, top, right, bottom = MARGIN[0], MARGIN[1], CHART[0] - MARGIN[2], CHART[1] - MARGIN[3]

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(y) - low) / (high - low)
        return left + x / last * (right - left), bottom - share * (bottom - top)

    parts = []
    for power in range(low, high + 1):
        y = place(0, 10.0**power)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}</text>')
    for step in range(0, last + 1, _tick_distance(last)):
        x = place(step, 1)[0]
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{step}</text>')
    for i, curve in enumerate(kept.values()):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline class="curve c{i % 4}" points="{line}"/>')
        if len(curve) <= 12:
            dots = (place(*point) for point in curve)
            parts += [f'<circle class="dot c{i % 4}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in dots]
    key = "".join(f'<span class="key c{i % 4}">{escape(name)}</span>' for i, name in enumerate(kept))
    label = f"{title}: loss over steps"
    svg = f'<svg viewBox="0 0 {CHART[0]} {CHART[1]}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{escape(label)} {key}</figcaption>{svg}</figure>"


def _tick_distance(last: int) -> int:
    """The smallest 1, 2 or 5 times a power of ten that divides 0 to `last` into at most six intervals."""
    distances = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    return next(distance for distance in distances if last <= 6 * distance)


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """About MAX_POINTS of the points, always including the last."""
    stride = max(1, len(points) // MAX_POINTS)
    return points if stride == 1 else points[::stride] + points[-1:]
