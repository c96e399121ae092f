"""Kinds of pages with a difficult reading order: columns that are not running text, and tables."""

import random
from collections.abc import Callable

from dev.ordered.press import FAMILIES, Press, overlaps
from dev.ordered.tables import draw_list, draw_receipt, draw_table, draw_wrapped_table
from nanochat.synth.writer import Writer

DARK = ("#263244", "#3a3a3a", "#1f4e4a", "#5a2a3a")
LEAST_COLUMN = 11.0  # in type sizes; narrower columns of running text would not fit long words
LIGHT = ("#e8eef4", "#f1ece0", "#e6e6e6")


def _section(press: Press, x: float, y: float, ink: str, heading: str) -> float:
    press.text(x, y, heading, press.rng.choice((1.0, 1.1)), True, ink=ink)
    return y + press.rng.choice((1.3, 1.6)) * press.pitch


def _sidebar(press: Press, x: float, y: float, width: float, ink: str) -> None:
    """Groups of short lines under headings."""
    rng, writer = press.rng, press.writer
    pitch = press.pitch * rng.choice((1.0, 1.0, 1.15, 1.3))
    for heading in rng.sample(("CONTACT", "SKILLS", "LANGUAGES", "INTERESTS", "TOOLS", "AWARDS"), rng.randint(2, 5)):
        if y > press.bottom - 5 * press.pitch:
            break
        y = _section(press, x, y, ink, heading)
        make = (
            [writer.phone, writer.email, writer.street, writer.place]
            if heading == "CONTACT"
            else [lambda: writer.title(rng.randint(1, 3))] * rng.randint(2, 6)
        )
        for one in make:
            for line in press.wrap(one(), width):
                if press.font().getlength(line) <= width and y < press.bottom:
                    press.text(x, y, line, ink=ink)
                    y += pitch
        y += rng.uniform(0.6, 1.4) * press.pitch


def _career(press: Press, x: float, y: float, width: float) -> None:
    """Headings with paragraphs below, some with a date at the right end of the first line."""
    rng, writer = press.rng, press.writer
    dated = rng.random() < 0.4
    for heading in rng.sample(("PROFILE", "WORK", "EDUCATION", "PROJECTS", "COURSES"), rng.randint(2, 4)):
        if y > press.bottom - 6 * press.pitch:
            break
        y = _section(press, x, y, "#263244", heading)
        for _ in range(rng.randint(1, 3)):
            if y > press.bottom - 6 * press.pitch:
                break
            if dated and heading != "PROFILE":
                years = f"{rng.randint(1990, 2010)} - {rng.randint(2011, 2024)}"
                press.text(x, y, press.wrap(writer.title(3), width - 8 * press.size)[0], 1.0, True)
                press.text(x + width, y, years, align="r")
                y += press.pitch
            y = press.flow(x, y, width, writer.sentences(rng.randint(60, 240)), bottom=press.bottom)
            y += rng.uniform(0.2, 0.7) * press.pitch
        y += rng.uniform(0.4, 1.0) * press.pitch


def draw_cv(press: Press) -> None:
    """A sidebar of short lines next to running text. The left one of the two is read first."""
    rng = press.rng
    if rng.random() < 0.35:
        press.text(press.left, press.y, press.writer.name(), 1.8, True)
        press.y += 2.6 * press.size
    share, gutter = rng.uniform(0.2, 0.33), rng.uniform(1.5, 3.5) * press.size
    side, first = (press.right - press.left) * share, rng.random() < 0.7
    main = press.right - press.left - side - gutter
    x_side = press.left if first else press.right - side
    x_main = press.left + side + gutter if first else press.left
    ground, ink = rng.random(), "black"
    edge = (x_side + side + gutter / 2) if first else (x_side - gutter / 2)
    if ground < 0.5:
        ink = "white" if ground < 0.3 else "black"
        paper = rng.choice(DARK if ink == "white" else LIGHT)
        box = (0, press.y, edge, press.height) if first else (edge, press.y, press.width, press.height)
        press.draw.rectangle(box, fill=paper)
        press.y += press.size
    elif ground < 0.65:
        press.rule(edge, press.y, edge, press.bottom)
    top = press.y
    parts = [lambda: _sidebar(press, x_side, top + rng.uniform(0, 2) * press.size, side, ink)]
    parts.insert(1 if first else 0, lambda: _career(press, x_main, top, main))
    for part in parts:
        part()


def _entry(press: Press) -> str:
    rng = press.rng
    pages = sorted(rng.sample(range(1, 400), rng.choice((1, 1, 2, 3))))
    return f"{press.writer.title(rng.randint(1, 3))}, {', '.join(map(str, pages))}"


def draw_index(press: Press) -> None:
    """An index in two to four columns, each read to its end."""
    rng = press.rng
    if rng.random() < 0.6:
        press.title(1.7)
    n, leaders = rng.choice((2, 2, 3, 3, 4)), rng.random() < 0.15
    heads, grid = rng.random() < 0.6, rng.choice((1.0, 1.0, 1.5))
    top, bottom = press.y + 0.5 * press.size, press.bottom - rng.choice((0.0, 0.3, 0.5)) * press.height
    letter = ord("A")
    for i, (x, width) in enumerate(press.columns(n, rng.uniform(1.2, 3.0) * press.size)):
        y, end = top, bottom - (rng.uniform(0, 0.4) * (bottom - top) if i == n - 1 else 0)
        while y + press.pitch < end:
            if heads and ((y == top and i == 0) or rng.random() < 0.12) and letter <= ord("Z"):
                y += grid * press.pitch * (y > top)
                if y + 3 * press.pitch > end:
                    break
                press.text(x, y, chr(letter), 1.0, True)
                letter += 1
                y += press.pitch
            inset = 1.2 * press.size * (rng.random() < 0.2 and y > top)
            if leaders:
                name = press.wrap(press.writer.title(2), width - 5 * press.size)[0]
                dots = int((width - press.font().getlength(name) - 3 * press.size) / press.font().getlength("."))
                press.text(x, y, f"{name} {'.' * dots} {rng.randint(2, 400)}")
                y += press.pitch
                continue
            hanging = inset + 1.2 * press.size
            lines = press.wrap(_entry(press), width - inset, hanging=1.2 * press.size)
            for k, line in enumerate(lines):
                if y + press.pitch <= end:
                    press.text(x + (hanging if k else inset), y, line)
                    y += press.pitch
    if rng.random() < 0.5:
        press.text((press.left + press.right) / 2, press.height - 2 * press.size, str(rng.randint(200, 400)), align="c")


def draw_footnotes(press: Press) -> None:
    """Two columns of text, each with footnotes of one or two lines below it."""
    rng = press.rng
    if rng.random() < 0.5:
        press.text(press.left, press.y, press.wrap(press.writer.title(4), 15 * press.size)[0])
        press.text(press.right, press.y, str(rng.randint(2, 400)), align="r")
        press.y += 2.2 * press.size
    if rng.random() < 0.6:
        press.title(1.6)
    justify, indent = rng.random() < 0.7, rng.choice((0.0, 1.2)) * press.size
    scale, top, number = rng.uniform(0.75, 0.88), press.y, 1
    both, ruled = rng.random() < 0.75, rng.random() < 0.6
    floor = press.bottom - rng.choice((0.0, 0.0, 0.25)) * press.height
    only = rng.randrange(2)
    for i, (x, width) in enumerate(press.columns(2, rng.uniform(1.2, 2.5) * press.size)):
        notes = [
            press.wrap(f"{number + k} {press.writer.sentences(rng.randint(40, 90))}", width, scale)[:2]
            for k in range(rng.choice((1, 1, 2)) if both or i == only else 0)
        ]
        number += len(notes)
        small = press.pitch * scale
        start = floor - sum(map(len, notes)) * small
        end = (start - 0.8 * press.size) if notes else floor
        last = press.prose(x, top, width, end - rng.choice((0, 0, 2, 4)) * press.pitch * (i == 1), justify, indent)
        if notes and rng.random() < 0.3:
            start = max(last, top) + rng.uniform(0.8, 1.4) * press.size
        if notes and ruled:
            press.rule(x, start - 0.3 * press.size, x + 0.3 * width, start - 0.3 * press.size)
        for note in notes:
            for line in note:
                press.text(x, start, line, scale)
                start += small
    if rng.random() < 0.5:
        press.text((press.left + press.right) / 2, press.height - 2 * press.size, str(rng.randint(2, 400)), align="c")


def draw_row_above(press: Press) -> None:
    """Columns of text below a row of a few parts over the whole width, such as the dateline of a newspaper."""
    rng, writer = press.rng, press.writer
    press.title(rng.uniform(1.8, 2.6), True)
    ruled = rng.random() < 0.6
    if ruled:
        press.rule(press.left, press.y, press.right, press.y)
    press.y += 0.4 * press.size
    pieces = rng.choice((("l", "r"), ("l", "c", "r")))
    texts = [f"No. {rng.randint(10, 9999):,}", writer.date(), f"Price {rng.randint(2, 9)}.50"]
    for align, text in zip(pieces, rng.sample(texts, len(pieces))):
        x = {"l": press.left, "c": (press.left + press.right) / 2, "r": press.right}[align]
        press.text(x, press.y, text, align=align)
    press.y += rng.uniform(1.5, 2.2) * press.size
    if ruled:
        press.rule(press.left, press.y - 0.2 * press.size, press.right, press.y - 0.2 * press.size)
        press.y += 0.4 * press.size
    n, gutter, justify = rng.choice((2, 3, 4, 5)), rng.uniform(0.9, 2.2) * press.size, rng.random() < 0.7
    n = min(n, int((press.right - press.left) / (LEAST_COLUMN * press.size)))
    top, headed, between = press.y, rng.random() < 0.6, rng.random() < 0.4
    for i, (x, width) in enumerate(press.columns(n, gutter)):
        y, end = top, press.bottom - rng.choice((0.0, 0.0, 0.2, 0.4)) * press.height
        while y + 4 * press.pitch < end:
            if headed and (i == 0 or rng.random() < 0.8):
                heading = press.wrap(writer.title(2).upper(), width, 1.1)[0]
                if press.font(1.1, True).getlength(heading) < width:
                    press.text(x + width / 2, y, heading, 1.1, True, "c")
                    y += 1.6 * press.size
            text = writer.sentences(rng.randint(150, 700))
            y = press.flow(x, y, width, text, justify, bottom=end) + 0.5 * press.pitch
        if between and i:
            press.rule(x - gutter / 2, top, x - gutter / 2, press.bottom)


def _address(press: Press, width: float) -> list[str]:
    rng, writer = press.rng, press.writer
    lines = [rng.choice((writer.company, writer.name))(), writer.street(), writer.place()]
    if rng.random() < 0.4:
        lines.insert(1, writer.name())
    lines += [one() for one in rng.sample((writer.phone, writer.email), rng.choice((0, 0, 1, 2)))]
    lines = [press.wrap(line, width)[0] for line in lines]
    fitting = [line for line in lines if press.font().getlength(line) <= width]
    return fitting if len(fitting) >= 3 else lines


def draw_addresses(press: Press) -> None:
    """Rows of addresses, as on a bill, an imprint or a sheet of labels, read block by block."""
    rng, writer = press.rng, press.writer
    bill = rng.random() < 0.5
    if rng.random() < 0.6:
        press.title(1.6)
    n, tiers = (rng.choice((2, 2, 3)), 1) if bill else (rng.choice((2, 3, 4)), rng.randint(1, 6))
    columns = press.columns(n, rng.uniform(1.5, 3.0) * press.size)
    headed = rng.random() < (0.7 if bill else 0.2)
    for _ in range(tiers):
        top, lowest = press.y, press.y
        heads = rng.sample(("Bill to", "Ship to", "From", "Seller", "Buyer"), n) if headed else [""] * n
        for (x, width), head in zip(columns, heads):
            y = top
            if head:
                press.text(x, y, head, 1.0, True)
                y += rng.choice((1.0, 1.3)) * press.pitch
            for line in _address(press, width):
                press.text(x, y, line)
                y += press.pitch
            lowest = max(lowest, y)
        press.y = lowest + rng.uniform(0.8, 2.0) * press.pitch
        if press.y + 8 * press.pitch > press.bottom:
            break
    if bill and rng.random() < 0.7:
        draw_table(press)
    elif bill:
        press.flow(press.left, press.y, press.right - press.left, writer.sentences(300), bottom=press.bottom)


def _half(press: Press, x: float, y: float, width: float, n: int, style: str, pitch: float) -> float:
    """Fields of a form: values after their labels, at a tab stop, or below them."""
    writer = press.writer
    fields = [writer.field() for _ in range(n)]
    stop = min(0.5 * width, max(press.font().getlength(label + ":") for label, _ in fields) + 1.2 * press.size)
    for label, value in fields:
        label = press.wrap(label, stop - press.size)[0] + ":" * (style != "below")
        if style == "below":
            press.text(x, y, label, 0.8)
            y += 0.9 * press.size + 0.2 * press.pitch
            press.text(x, y, press.wrap(value, width)[0])
        elif style == "stop":
            press.text(x, y, label)
            press.text(x + stop, y, press.wrap(value, width - stop)[0])
            line = press.written.pop()
            press.written[-1].words += line.words
        else:
            press.text(x, y, press.wrap(f"{label} {value}", width)[0])
        y += pitch
    return y


def draw_form(press: Press) -> None:
    """Two columns of fields, read row by row, or one after the other if they have headings or labels above values."""
    rng, writer = press.rng, press.writer
    press.title(1.5)
    style, sections = rng.choice(("after", "stop", "below")), rng.randint(1, 2)
    headed, pitch = rng.random() < 0.6, press.pitch * rng.uniform(1.1, 1.8)
    gutter, frame = rng.uniform(2.0, 3.5) * press.size, rng.random() < 0.3
    for _ in range(sections):
        n = [rng.randint(4, 9), 0]
        n[1] = n[0] if rng.random() < 0.4 else rng.randint(max(3, n[0] - 3), n[0] + 2)
        top, ends, first = press.y, [], len(press.written)
        for (x, width), count in zip(press.columns(2, gutter), n):
            y = top
            if headed:
                press.text(x, y, press.wrap(writer.title(2), width)[0], 1.05, True)
                y += 1.3 * pitch
            ends.append(_half(press, x, y, width, count, style, pitch))
        press.y = max(ends) + press.size
        if not headed and style != "below":
            fields = press.written[first:]
            press.written[first:] = sorted(fields, key=lambda line: (round(line.middle), line.words[0][1]))
        if frame and headed:
            _frames(press, top)
        if press.y + 14 * pitch > press.bottom:
            break
    if press.y + 4 * press.pitch < press.bottom and rng.random() < 0.6:
        press.flow(press.left, press.y, press.right - press.left, writer.sentences(260), bottom=press.bottom)


def _frames(press: Press, top: float) -> None:
    """Draw a frame around each of two columns."""
    middle = (press.left + press.right) / 2
    for a, b in ((press.left - 0.6 * press.size, middle), (middle, press.right + 0.6 * press.size)):
        box = (a, top - 0.4 * press.size, b, press.y - 0.6 * press.size)
        press.draw.rectangle(box, outline="#777777")


def draw_narrow_gutter(press: Press) -> None:
    """Columns of text with a gutter of less than a letter."""
    rng = press.rng
    if rng.random() < 0.6:
        press.title(1.6)
    justify, n = rng.random() < 0.6, rng.choice((2, 2, 3))
    indent, top = rng.choice((0.0, 1.2)) * press.size, press.y
    for i, (x, width) in enumerate(press.columns(n, rng.uniform(0.35, 0.6) * press.size)):
        short = rng.choice((0.0, 0.0, 0.3)) * (press.bottom - top) * (i == n - 1)
        press.prose(x, top, width, press.bottom - short, justify, indent)


KINDS: dict[str, Callable[[Press], None]] = {
    "cv": draw_cv,
    "index": draw_index,
    "footnotes": draw_footnotes,
    "row above": draw_row_above,
    "addresses": draw_addresses,
    "form": draw_form,
    "narrow gutter": draw_narrow_gutter,
    "wrapped table": draw_wrapped_table,
    "table": draw_table,
    "list": draw_list,
    "receipt": draw_receipt,
}
"""The last three are read row by row."""


def draw_page(kind: str, seed: int, families: tuple[tuple, ...] = FAMILIES) -> Press:
    """Draw a page of a kind, determined by the seed. `families`: (plain, bold) faces to choose from."""
    for again in range(20):
        rng = random.Random(f"{kind} {seed} {again}")
        size = rng.randint(16, 26)
        width = round(size * rng.uniform(42, 58))
        press = Press(rng, Writer(rng), rng.choice(families), size, width, round(width * rng.uniform(1.1, 1.4)))
        KINDS[kind](press)
        if not overlaps(press) and all(line.words[-1][2] < press.width for line in press.written):
            return press
    raise AssertionError(f"no good page of kind {kind} from seed {seed}")
