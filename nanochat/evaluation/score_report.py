"""The results on an evaluation set as an HTML page: figures of every reader, compression curve, example images."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from nanochat.evaluation.measure import Measured
from nanochat.evaluation.report import framed_table, mark_differences, pairs_html, write_page
from nanochat.evaluation.scores import ALL, PageScore, by_tier, worst_and_median
from nanochat.reading.inline import jpeg_url

SHOWN = 6  # number of the worst, and also of the median, images of each tier that are shown


def write_score_report(
    path: str | Path,
    title: str,
    measured: Measured,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    facts: Mapping[str, str],
    curve: str = "",
) -> Path:
    """Write the page and return its path.

    `headings`, `rows`: the table of results. `facts`: shown at the top, after the image gain and feature similarity of
    the model. `curve`: an SVG to show. Raises UserError if the file cannot be written.
    """
    gain, similarity = measured.summary.image_gain, measured.summary.similarity
    shown = {
        "Image gain": "-" if gain is None else f"{gain:.2f} nats a token",
        "Feature similarity": "-" if similarity is None else f"{similarity:.3f}",
        **facts,
    }
    body = [f"<header><h1>{escape(title)}</h1></header>", pairs_html(shown), table_html(headings, rows)]
    if curve:
        body.append(plot_html(curve))
    places = {reading.id: place for place, reading in enumerate(measured.readings)}
    ours = next(iter(measured.pages))
    for tier, pages in by_tier(measured.pages[ours]).items():
        if tier == ALL:
            continue
        for name, found in zip(("worst", "median"), worst_and_median(pages, SHOWN)):
            if found:
                body.append(f'<h2 class="part-title">{escape(tier)}: {name}</h2>')
                body += [_card(measured, places[page.id]) for page in found]
    return write_page(path, title, body)


def table_html(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts as HTML."""
    lines = ("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return framed_table(headings, lines)


def _card(measured: Measured, place: int) -> str:
    """A card for the image at index `place` of the set: its expected text, and what each reader read."""
    reading = measured.readings[place]
    wrong = "-" if reading.wrong_loss is None else f"{reading.wrong_loss:.3f}"
    tokens = measured.vision_tokens[place]
    about = f"{tokens} vision tokens · loss {reading.loss:.3f} · with a wrong picture {wrong}"
    return card_html(reading.picture, about, [(reader, pages[place]) for reader, pages in measured.pages.items()])


def card_html(picture: Image.Image, about: str, readers: Sequence[tuple[str, PageScore]]) -> str:
    """A card with an image, its expected text, and what each reader read, with differences marked.

    `about`: a line shown at the top. `readers`: (name, score) of each.
    """
    page = readers[0][1]
    marked = [mark_differences(found.expected, found.read) for _, found in readers]
    texts = [("Expected", marked[0][0])]
    for (reader, found), (_, read) in zip(readers, marked):
        loop = ", looped" if found.looping else ""
        order = f", {found.order_errors} by the order of the text alone" if found.order_errors else ""
        texts.append((f"Read by {reader}: {found.errors} of {found.characters} characters wrong{order}{loop}", read))
    columns = "".join(f"<div><h3>{escape(name)}</h3><pre>{text}</pre></div>" for name, text in texts)
    return (
        f'<article id="{escape(page.id)}"><h2>{escape(page.id)}</h2><p class="figures">{escape(about)}</p>'
        f'<div class="columns"><figure><img src="{jpeg_url(picture)}" alt="{escape(page.id)}"></figure>{columns}</div>'
        "</article>"
    )


def plot_html(svg: str) -> str:
    """An SVG plot as a section of the page."""
    return f'<section class="table plot">{svg[svg.index("<svg") :]}</section>'
