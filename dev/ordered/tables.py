"""Pages that are read row by row: tables with and without wrapped cells, lists of labels and values, receipts."""

from dev.ordered.press import Press

WHOLE_CELLS = False  # whether a wrapped cell is read to its end before the next cell of the row


def _widths(press: Press, n: int, total: float, wide: list[int]) -> list[float]:
    shares = [press.rng.uniform(1.8, 3.0) if i in wide else press.rng.uniform(0.8, 1.2) for i in range(n)]
    return [total * share / sum(shares) for share in shares]


def _head(press: Press) -> None:
    rng = press.rng
    if rng.random() < 0.6:
        press.title(1.5)
    if rng.random() < 0.4:
        text = press.writer.sentences(rng.randint(100, 400))
        press.y = press.flow(press.left, press.y, press.right - press.left, text) + press.pitch


def draw_wrapped_table(press: Press) -> None:
    """A table with cells of several lines, whose rows are separated by rules, shading or space."""
    rng, writer = press.rng, press.writer
    _head(press)
    n = rng.choice((2, 3, 3, 4, 5))
    wide = rng.sample(range(n), rng.randint(1, min(n, 3 if n < 5 else 2)))
    kinds = ["prose" if i in wide else rng.choice(("amount", "date", "title", "code", "number")) for i in range(n)]
    total = press.right - press.left
    widths, pad = _widths(press, n, total, wide), rng.uniform(0.6, 1.0) * press.size
    look = rng.choice(("ruled", "ruled", "lines", "zebra", "room"))
    room = rng.uniform(0.2, 0.5) if look in ("ruled", "lines") else rng.uniform(0.4, 0.9)
    middled = rng.random() < 0.15
    edges = [press.left + sum(widths[:i]) for i in range(n + 1)]
    first_top = press.y
    for row in range(rng.randint(5, 14)):
        cells = []
        for kind, width in zip(kinds, widths):
            if row == 0:
                text = writer.title(1)
            else:
                text = writer.sentences(rng.randint(15, 150)) if kind == "prose" else writer.cell(kind)
            cells.append(press.wrap(text, width - pad))
            if any(press.font(bold=row == 0).getlength(line) > width - 0.5 * pad for line in cells[-1]):
                cells[-1] = [str(rng.randint(1, 99))]
        deep = max(map(len, cells))
        top, height = press.y, (deep + room) * press.pitch
        if top + height > press.bottom:
            break
        if look == "zebra" and row % 2:
            press.draw.rectangle((edges[0] - 4, top, edges[-1], top + height), fill="#e4e8ee")
        if look in ("ruled", "lines"):
            press.rule(edges[0] - 4, top, edges[-1], top)
        _write_cells(press, cells, edges, top + room / 2 * press.pitch, deep if middled else 0, row == 0)
        press.y += height
    if look in ("ruled", "lines"):
        press.rule(edges[0] - 4, press.y, edges[-1], press.y)
    if look == "ruled":
        for x in edges:
            press.rule(x - 4, first_top, x - 4, press.y)
    press.y += press.pitch
    if press.y + 4 * press.pitch < press.bottom and rng.random() < 0.5:
        press.flow(press.left, press.y, total, writer.sentences(250), bottom=press.bottom)


def _write_cells(
    press: Press, cells: list[list[str]], edges: list[float], top: float, middle_of: int, bold: bool
) -> None:
    """Write the cells of a row, aligned at the top or, given the number of lines of the row, centred vertically."""
    first = len(press.written)
    for cell, x in zip(cells, edges):
        y = top + (middle_of - len(cell)) / 2 * press.pitch if middle_of else top
        for line in cell:
            press.text(x, y, line, bold=bold)
            y += press.pitch
    if not WHOLE_CELLS:
        press.written[first:] = sorted(press.written[first:], key=lambda line: round(line.middle))


def draw_table(press: Press) -> None:
    """A table with cells of one line."""
    rng, writer = press.rng, press.writer
    _head(press)
    n = rng.choice((2, 3, 4, 5, 6))
    kinds = [rng.choice(("title", "title", "amount", "date", "code", "number", "name")) for _ in range(n)]
    widths = _widths(press, n, press.right - press.left, [i for i, kind in enumerate(kinds) if kind == "title"])
    edges = [press.left + sum(widths[:i]) for i in range(n + 1)]
    pitch, ruled = press.pitch * rng.uniform(1.0, 1.7), rng.random() < 0.4
    for row in range(rng.randint(4, 25)):
        if press.y + 2 * pitch > press.bottom:
            break
        for i, (kind, x, width) in enumerate(zip(kinds, edges, widths)):
            if row and i and rng.random() < 0.06:
                continue
            text = press.wrap(writer.title(1) if row == 0 else writer.cell(kind), width - press.size)[0]
            if press.font(bold=row == 0).getlength(text) > width - press.size:
                text = str(rng.randint(1, 99))
            right = kind in ("amount", "number") and i
            at, align = (x + width - press.size, "r") if right else (x, "l")
            press.text(at, press.y, text, bold=row == 0, align=align)
        if ruled:
            press.rule(edges[0], press.y + 1.25 * press.size, edges[-1], press.y + 1.25 * press.size)
        press.y += pitch
    press.y += press.pitch


def draw_list(press: Press) -> None:
    """Labels with values at a tab stop, or titles with page numbers, with or without dot leaders."""
    rng, writer = press.rng, press.writer
    press.title(1.6)
    contents, stop = rng.random() < 0.5, press.left + rng.uniform(9, 16) * press.size
    dots, pitch = rng.random() < 0.5, press.pitch * rng.uniform(1.0, 1.6)
    for _ in range(rng.randint(6, 25)):
        if press.y + 2 * pitch > press.bottom:
            break
        label, value = (writer.title(rng.randint(1, 4)), str(rng.randint(1, 300))) if contents else writer.field()
        room = (press.right - 5 * press.size if contents else stop) - press.left - press.size
        label = press.wrap(label, room)[0]
        if press.font().getlength(label) > room:
            label = "Note"
        if contents and dots:
            free = press.right - press.left - press.font().getlength(label) - 4 * press.size
            label += " " + "." * int(free / press.font().getlength("."))
        press.text(press.left, press.y, label)
        if contents:
            press.text(press.right, press.y, value, align="r")
        else:
            press.text(stop, press.y, press.wrap(value, press.right - stop)[0])
        press.y += pitch


def draw_receipt(press: Press) -> None:
    """A receipt: a centred head, then items and their amounts."""
    rng, writer = press.rng, press.writer
    left, right = press.left, min(press.right, press.left + rng.uniform(20, 32) * press.size)
    for text in (writer.company(), writer.street(), writer.place(), writer.phone()):
        press.text((left + right) / 2, press.y, press.wrap(text, right - left)[0], align="c")
        press.y += press.pitch
    press.y += press.pitch
    for _ in range(rng.randint(4, 20)):
        if press.y + 4 * press.pitch > press.bottom:
            break
        item = press.wrap(f"{rng.randint(1, 9)} {writer.item(rng.randint(1, 3))}", right - left - 5 * press.size)[0]
        press.text(left, press.y, item)
        press.text(right, press.y, f"{rng.uniform(1, 99):.2f}", align="r")
        press.y += press.pitch
    press.text(left, press.y, "TOTAL", bold=True)
    press.text(right, press.y, f"{rng.uniform(100, 400):.2f}", bold=True, align="r")
