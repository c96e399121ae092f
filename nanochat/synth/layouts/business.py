"""Business documents: receipts, invoices, forms and tables. Their sums are correct."""

from itertools import pairwise

from nanochat.synth.layouts.sheet import Cell, Sheet


def _money(cents: int, sign: str = "") -> str:
    return f"{sign}{cents // 100:,}.{cents % 100:02d}"


def _divider(sheet: Sheet, style: str, left: float, right: float) -> None:
    """A dividing line across the sheet. It is not text; transcripts of real receipts omit it as well."""
    y = sheet.y + 0.25 * sheet.row_height()
    if style != "none":
        dash = {"dash": max(sheet.px // 3, 2), "dot": max(sheet.px // 8, 1)}.get(style, 0)
        sheet.canvas.rule(left, right, y, sheet.shade(0.8), 1, dash)
        if style == "double":
            sheet.canvas.rule(left, right, y + 3, sheet.shade(0.8), 1)
    sheet.skip(0.5)


def _barcode(sheet: Sheet, left: float, right: float) -> None:
    rng = sheet.rng
    x, bar = left, max(sheet.px / 9, 1)
    height = rng.uniform(1.2, 2.5) * sheet.px
    while x < right:
        width = bar * rng.randint(1, 3)
        sheet.canvas.fill(x, sheet.y, min(x + width, right), sheet.y + height, sheet.ink)
        x += width + bar * rng.randint(1, 3)
    sheet.y += height + 0.2 * sheet.px


def receipt(sheet: Sheet) -> None:
    """A receipt: name and address of the shop, items with prices, correct totals, a greeting."""
    rng, writer = sheet.rng, sheet.writer
    if rng.random() < 0.5:  # narrower than the sheet
        slack = sheet.width * rng.uniform(0, 0.35)
        sheet.left, sheet.right = sheet.left + slack * 0.5, sheet.right - slack * 0.5
    left, right, middle = sheet.left, sheet.right, sheet.middle
    divider = rng.choice(("dash", "dot", "line", "double", "none", "dash"))
    sign = rng.choice(("", "", "", "$", "RM", "RM ", *(sign if sign in writer.extras else "" for sign in "£€")))
    upper = rng.random() < 0.45
    large = rng.uniform(1.0, 1.5)

    def case(text: str) -> str:
        text = writer.spaced(text)
        return text.upper() if upper else text

    sheet.row(Cell(sheet.fit(case(writer.company()), sheet.width, large, True), middle, "c", True), scale=large)
    for text in (writer.street(), writer.place(), f"{rng.choice(('TEL', 'Tel:', 'Phone:'))} {writer.phone()}"):
        if rng.random() < 0.6 and sheet.chars_left > 80:
            sheet.row(Cell(sheet.fit(case(text), sheet.width), middle, "c"))
    if rng.random() < 0.3 and sheet.chars_left > 80:
        sheet.row(Cell(sheet.fit(writer.phrase(), sheet.width), middle, "c"))
    _divider(sheet, divider, left, right)
    if rng.random() < 0.7:
        reference = f"{rng.choice(('No.', 'Receipt #', 'Inv:', 'Order', 'Doc No:'))} {writer.reference()}"
        if not sheet.row(Cell(writer.date(), left), Cell(reference, right, "r")):
            sheet.row(Cell(reference, left))
    quantities, total = rng.random() < 0.5, 0
    count = max(1, min(int((sheet.chars_left - 90) / 22), sheet.rows_left() - 5, rng.randint(1, 14)))
    for _ in range(count):
        number = rng.randint(1, 9) if quantities and rng.random() < 0.5 else 1
        cents = int(rng.random() ** 2 * 4000) * 5 // (4 if rng.random() < 0.5 else 1) + 5
        price = _money(cents * number, sign if rng.random() < 0.3 else "")
        room = right - left - sheet.atlas().width(price) - sheet.px
        name = sheet.fit(f"{number} x " * quantities + case(writer.item(rng.randint(1, 3))), room)
        if not sheet.row(Cell(name, left), Cell(price, right, "r")):
            break
        total += cents * number
    _divider(sheet, divider, left, right)
    _sums(sheet, total, sign, case)
    _divider(sheet, divider, left, right)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        sheet.row(Cell(sheet.fit(case(writer.phrase()), sheet.width), middle, "c"))
    if rng.random() < 0.3 and sheet.bottom - sheet.y > 3 * sheet.px:
        _barcode(sheet, left + 0.1 * sheet.width, right - 0.1 * sheet.width)


def _sums(sheet: Sheet, total: int, sign: str, case) -> None:
    """Some of subtotal, tax, total, cash and change; labels on the left or in the middle, amounts on the right."""
    rng = sheet.rng
    rate = rng.choice((0, 0, 5, 6, 8, 10, 19, 20))
    tax = total * rate // 100
    paid = -(-(total + tax) // 500) * 500
    rows: list[tuple[str, int, bool]] = []
    if rate:
        rows += [(rng.choice(("Subtotal", "Sub-total", "Net")), total, False)]
        rows += [(f"{rng.choice(('Tax', 'VAT', 'GST'))} {rate}%", tax, False)]
    rows += [(rng.choice(("Total", "TOTAL", "Amount due", "Balance")), total + tax, rng.random() < 0.7)]
    if rng.random() < 0.5:
        rows += [("Cash", paid, False), ("Change", paid - total - tax, False)]
    elif rng.random() < 0.5:
        rows += [(f"{rng.choice(('VISA', 'Card', 'MASTERCARD'))} {sheet.writer.card()}", total + tax, False)]
    longest = max(sheet.atlas(bold=True).width(f"{label}   {_money(cents, sign)}") for label, cents, _ in rows)
    x = sheet.left + rng.choice((0.0, 0.0, 0.5)) * max(sheet.width - longest, 0)
    for label, cents, bold in rows:
        sheet.row(Cell(case(label), x, bold=bold), Cell(_money(cents, sign), sheet.right, "r", bold))


def form(sheet: Sheet) -> None:
    """A form: labels and values in one or two columns, with colons, dots, rules or boxes."""
    rng, writer = sheet.rng, sheet.writer
    if rng.random() < 0.6 and sheet.rows_left() > 3:
        sheet.title(rng.randint(1, 3), centred=0.4, scale=1.4)
        sheet.skip(0.4)
    style = rng.choice(("plain", "line", "box", "ticks"))
    bold = rng.random() < 0.4
    pairs = 2 if sheet.width > 26 * sheet.px and rng.random() < 0.5 else 1
    share = rng.choice((0.0, rng.uniform(0.3, 0.45)))  # 0: the value directly follows its label
    column = sheet.width / pairs
    for _ in range(rng.randint(3, 16)):
        cells, spans, top = [], [], sheet.y
        for index in range(pairs):
            x = sheet.left + index * column
            label, value = writer.field()
            label = label.rstrip(":") + rng.choice((":", ":", "", ":"))
            start = x + (share * column or sheet.atlas(1, bold).width(label) + 0.5 * sheet.px)
            end = x + column - 0.4 * sheet.px
            label = sheet.fit(label, start - x - 0.3 * sheet.px, 1, bold) if share else label
            cells += [Cell(label, x, bold=bold), Cell(sheet.fit(value, max(end - start, 1)), start)]
            spans.append((start, end))
        if not sheet.row(*cells):
            return
        for start, end in spans:
            if style == "box" and start < end:
                sheet.canvas.frame(start - 2, top - 1, end, sheet.y - 2, sheet.shade(0.5))
            elif style == "line" and start < end:
                sheet.canvas.rule(start, end, sheet.y - 1, sheet.shade(0.6), 1)
        if style == "ticks" and rng.random() < 0.4 and sheet.rows_left() > 0:
            _ticks(sheet)
        sheet.skip(rng.choice((0.15, 0.3)) if style != "plain" else rng.choice((0.0, 0.3)))


def combs(sheet: Sheet) -> None:
    """Comb fields, with one box per character. The boxes are not text."""
    rng, writer = sheet.rng, sheet.writer
    style = rng.choice(("boxes", "boxes", "comb", "gaps"))
    labelled = sheet.lines_left > 1 or rng.random() < 0.5
    for _ in range(rng.randint(1, 12)):
        label = sheet.fit(writer.field()[0], 0.4 * sheet.width) if labelled and rng.random() < 0.8 else ""
        x = sheet.left + (sheet.atlas().width(label) + 0.6 * sheet.px if label else rng.uniform(0, sheet.px))
        pitch = sheet.px * rng.uniform(0.8, 1.4)
        places = int((sheet.right - x) / pitch)
        text = writer.comb_text(min(places, sheet.chars_left - len(label) - 1))
        count = min(places, len(text) + (rng.randint(0, 6) if rng.random() < 0.5 else 0))
        top, height = sheet.y, sheet.atlas().ascent + sheet.atlas().descent
        if not sheet.comb(label, text, x, pitch):
            return
        _boxes(sheet, style, [x + k * pitch for k in range(count + 1)], top, top + height)
        sheet.skip(rng.choice((0.15, 0.4)))


def _boxes(sheet: Sheet, style: str, edges: list[float], top: float, bottom: float) -> None:
    """The boxes of one field with cell edges at `edges` px. The style "comb" draws only their lower part."""
    line = sheet.shade(sheet.rng.uniform(0.3, 0.9))
    if style == "gaps":  # separate boxes
        for left, right in pairwise(edges):
            sheet.canvas.frame(left + 1, top, right - 1, bottom, line)
        return
    high = top if style == "boxes" else bottom - 0.35 * (bottom - top)
    for x in edges:
        sheet.canvas.fill(x, high, x + 1, bottom, line)
    for y in (top, bottom) if style == "boxes" else (bottom,):
        sheet.canvas.rule(edges[0], edges[-1] + 1, y, line)


def _ticks(sheet: Sheet) -> None:
    """A row of labelled tick boxes. The boxes and ticks are not text."""
    rng = sheet.rng
    x, side, cells, boxes = sheet.left, 0.6 * sheet.px, [], []
    for _ in range(rng.randint(2, 3)):
        word = sheet.writer.word(8).capitalize()
        end = x + 1.2 * sheet.px + sheet.atlas().width(word)
        if end > sheet.right:
            break
        cells.append(Cell(word, x + 1.2 * sheet.px))
        boxes.append((x, sheet.y + sheet.atlas().ascent - side))
        x = end + sheet.px
    if not sheet.row(*cells):
        return
    for x, y in boxes:
        sheet.canvas.frame(x, y, x + side, y + side, sheet.shade(0.8))
        if rng.random() < 0.4:
            sheet.canvas.fill(x + 2, y + 2, x + side - 1, y + side - 1, sheet.shade(0.8))


def table(sheet: Sheet) -> None:
    """A header and rows of words and numbers, with or without a grid, stripes or a filled header."""
    rng = sheet.rng
    if rng.random() < 0.4 and sheet.rows_left() > 4:
        text = sheet.fit(sheet.writer.title(rng.randint(1, 4)), sheet.width, 1.2, True)
        sheet.row(Cell(text, sheet.left, bold=True), scale=1.2)
        sheet.skip(0.3)
    most = max(2, min(6, int(sheet.width / (6 * sheet.px))))
    grid(sheet, rng.randint(2, most), rng.randint(2, 18))


def grid(sheet: Sheet, n_columns: int, n_rows: int) -> None:
    """The body of a table: words in the first column, mostly right-aligned numbers in the others."""
    rng, writer = sheet.rng, sheet.writer
    weights = [rng.uniform(1.4, 2.4), *(rng.uniform(0.8, 1.3) for _ in range(n_columns - 1))]
    edges = [sheet.left]
    for weight in weights:
        edges.append(edges[-1] + sheet.width * weight / sum(weights))
    kinds = ["word", *(rng.choice(("number", "amount", "number", "date", "code", "word")) for _ in weights[1:])]
    style = rng.choice(("grid", "rows", "header", "stripes", "none"))
    pad = 0.35 * sheet.px
    dark_header = style in ("header", "stripes", "grid") and rng.random() < 0.4
    tops = [sheet.y]
    for index in range(n_rows + 1):
        cells, top = [], sheet.y
        for column, kind in enumerate(kinds):
            room = edges[column + 1] - edges[column] - 2 * pad
            text = writer.title(1) if index == 0 else writer.cell(kind)
            text = sheet.fit(text, room, 1, index == 0) if kind in ("word", "code") or index == 0 else text
            if sheet.atlas(1, index == 0).width(text) > room:
                text = str(rng.randrange(1000))
            right = kind in ("number", "amount")
            x = edges[column + 1] - pad if right else edges[column] + pad
            ink = sheet.shade(0.0) if index == 0 and dark_header else None
            cells.append(Cell(text, x, "r" if right else "l", index == 0, ink))
        height = sheet.row_height()
        if sheet.chars_left < sum(len(cell.text) + 1 for cell in cells) or sheet.rows_left() < 1:
            break
        if index == 0 and dark_header:
            sheet.canvas.fill(sheet.left, top, sheet.right, top + height, sheet.shade(0.85))
        elif style == "stripes" and index % 2:
            sheet.canvas.fill(sheet.left, top, sheet.right, top + height, sheet.shade(0.12))
        sheet.row(*cells)
        sheet.y += round(0.1 * sheet.px)
        tops.append(sheet.y)
    line = sheet.shade(rng.uniform(0.3, 0.9))
    if style in ("grid", "rows"):
        for y in tops:
            sheet.canvas.rule(sheet.left, sheet.right, y - 1, line)
    elif style == "header" and len(tops) > 1:
        sheet.canvas.rule(sheet.left, sheet.right, tops[1] - 1, line)
    if style == "grid":
        for x in edges:
            sheet.canvas.fill(x, tops[0], x + 1, tops[-1], line)
    sheet.skip(0.3)


def invoice(sheet: Sheet) -> None:
    """An invoice: seller, buyer, date, number, a table of items, totals and terms."""
    rng, writer = sheet.rng, sheet.writer
    word = rng.choice(("INVOICE", "Invoice", "TAX INVOICE", "Statement", "Quotation", "DELIVERY NOTE"))
    scale = rng.uniform(1.2, 1.9)
    company = sheet.fit(writer.company(), sheet.width * 0.55, 1, True)
    if not sheet.row(Cell(company, sheet.left, bold=True), Cell(word, sheet.right, "r", True), scale=scale):
        return
    for _ in range(rng.randint(1, 3)):
        label, value = rng.choice((("No.", writer.reference()), ("Date", writer.date()), ("Due", writer.date())))
        left = sheet.fit(rng.choice((writer.street(), writer.place(), writer.email())), sheet.width * 0.5)
        sheet.row(Cell(left, sheet.left), Cell(f"{label}: {value}", sheet.right, "r"))
    sheet.skip(0.5)
    if rng.random() < 0.6:
        sheet.row(Cell(rng.choice(("Bill to:", "To", "Customer:", "Ship to")), sheet.left, bold=True))
        for text in (writer.name(), writer.street(), writer.place())[: rng.randint(1, 3)]:
            sheet.row(Cell(sheet.fit(text, sheet.width * 0.6), sheet.left))
        sheet.skip(0.4)
    total = _items(sheet)
    _sums(sheet, total, rng.choice(("", "$", "$")), str)
    sheet.skip(0.6)
    if rng.random() < 0.5:
        sheet.prose(sheet.left, sheet.right, rng.randint(30, 90))


def _items(sheet: Sheet) -> int:
    """The table of items: description, quantity, price, amount. Returns the sum of the amounts in cents."""
    rng, total = sheet.rng, 0
    ends = [sheet.left + share * sheet.width for share in (0.58, 0.78, 1.0)]
    top = sheet.y
    labels = (rng.choice(("Description", "Item", "Article")), rng.choice(("Qty", "Units")), "Price", "Amount")
    cells = [Cell(labels[0], sheet.left, bold=True)]
    sheet.row(*cells, *(Cell(label, end, "r", True) for label, end in zip(labels[1:], ends)))
    sheet.canvas.rule(sheet.left, sheet.right, sheet.y, sheet.shade(0.7), rng.randint(1, 2))
    sheet.y += 3
    for _ in range(rng.randint(1, 8)):
        if sheet.chars_left < 90:
            break
        quantity, cents = rng.randint(1, 20), rng.randint(50, 9999)
        name = sheet.fit(sheet.writer.item(rng.randint(1, 3)), 0.46 * sheet.width)
        sums = (str(quantity), _money(cents), _money(quantity * cents))
        if not sheet.row(Cell(name, sheet.left), *(Cell(text, end, "r") for text, end in zip(sums, ends))):
            break
        total += quantity * cents
    if rng.random() < 0.4:
        sheet.canvas.frame(sheet.left - 2, top - 2, sheet.right + 1, sheet.y + 1, sheet.shade(0.6))
    sheet.y += 3
    return total
