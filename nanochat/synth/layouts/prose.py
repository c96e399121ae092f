"""Running text: loose lines, symbols, cropped lines, paragraphs, lists, columns, articles, letters and code."""

import random
import string

from nanochat.synth.layouts.sheet import Cell, Sheet
from nanochat.synth.writer import Writer

FAINTEST = 25  # of 255, least contrast between paper and the ink of a comment


def lines(sheet: Sheet) -> None:
    """A few unrelated lines somewhere on the sheet: left-aligned, centred or ragged."""
    rng, writer = sheet.rng, sheet.writer
    room = max(sheet.rows_left(), 1)
    count = room if rng.random() < 0.5 else rng.randint(1, room)
    found: list[str] = []
    budget = sheet.chars_left
    while len(found) < count and budget > 0:
        typical = sheet.typical_chars(sheet.width)
        longest = max(1, min(budget, typical, max(2, int(typical * rng.uniform(0.3, 3)))))
        line = sheet.fit(writer.line(longest), sheet.width)
        if not line:
            break
        found.append(line)
        budget -= len(line)
    sheet.y += rng.uniform(0, max(sheet.bottom - sheet.y - len(found) * sheet.row_height(), 0))
    align = rng.choice(("left", "left", "centre", "ragged"))
    widths = [sheet.atlas().width(line) for line in found]
    shift = rng.uniform(0, max(sheet.width - max(widths, default=0), 0))
    for line, width in zip(found, widths):
        free = max(sheet.width - width, 0)
        x = {"left": min(shift, free), "centre": free / 2, "ragged": rng.uniform(0, free)}[align]
        sheet.row(Cell(line, sheet.left + x))


def entry(sheet: Sheet) -> None:
    """One line of a receipt, letterhead or form, somewhere on the sheet."""
    rng = sheet.rng
    text = sheet.fit(sheet.writer.entry(), sheet.width)
    sheet.y += rng.uniform(0, max(sheet.bottom - sheet.y - sheet.row_height(), 0))
    sheet.row(Cell(text, sheet.left + rng.uniform(0, max(sheet.width - sheet.atlas().width(text), 0))))


def symbols(sheet: Sheet) -> None:
    """As many lines as fit, dense with the punctuation and symbols that occur on receipts and forms."""
    rng = sheet.rng
    sheet.y += rng.uniform(0, 0.5) * max(sheet.bottom - sheet.y - sheet.row_height(), 0)
    while sheet.rows_left() and sheet.chars_left > 0:
        text = _marked(sheet.writer, rng)
        while rng.random() < 0.6 and len(text) + 4 < sheet.typical_chars(sheet.width):
            text += rng.choice((" ", " ", "  ", " / ", " - ", ", ")) + _marked(sheet.writer, rng)
        text = sheet.fit(" ".join(text.split()), sheet.width)
        if not text or not sheet.row(Cell(text, sheet.left + rng.random() * (sheet.width - sheet.atlas().width(text)))):
            break


def strings(sheet: Sheet) -> None:
    """Lines of long numbers, codes, URLs and machine-printed strings, some with a label."""
    rng, writer = sheet.rng, sheet.writer
    sheet.y += rng.uniform(0, 0.5) * max(sheet.bottom - sheet.y - sheet.row_height(), 0)
    labelled = rng.random() < 0.4
    while sheet.rows_left() and sheet.chars_left > 0:
        room = sheet.typical_chars(sheet.width) - 2
        label = f"{writer.field()[0]}: " if labelled else ""
        label = label if len(label) < room / 2 else ""
        text = sheet.fit(label + writer.long_string(max(room - len(label), 2)), sheet.width)
        free = max(sheet.width - sheet.atlas().width(text), 0)
        if not text or not sheet.row(Cell(text, sheet.left + (0.0 if labelled else rng.random() * free))):
            return


def _marked(writer: Writer, rng: random.Random) -> str:
    """A word or a number with its typical punctuation."""
    word, number, digits = writer.word(9), str(rng.randrange(10 ** rng.randint(1, 3))), writer.reference()
    word = word.upper() if rng.random() < 0.5 else word.capitalize() if rng.random() < 0.5 else word
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4)))
    mark = rng.choice("@#%&*+=/\\-_:;.,!?$~^|<>")
    left, right = rng.choice(("()", "[]", "<>", "**", "{}", '""', "##", "--"))
    return rng.choice(
        (
            f"@ {number}%", f"@{number}%", f"({number}%)", f"{word}({letters})", f"{word} ({digits})", f"#{digits}",
            f"{letters}# {digits}", f"{word}#: {digits}", f"**{word}**", f"* {word} *", f"*{word}", f"{word}:-{word}",
            f"{left}{word}{right}", f"{left}{digits}{right}", f"{left}{writer.date()}{right}", f"{word} :", f": {word}",
            f"{letters[0]}&{letters[1]}", f"{letters[0]} & {letters[1:]}", ".".join(letters) + ".", f"{word}...",
            f"{number}{mark}{number}", f"{word}{mark}{number}", f"{word}{mark}", f"{mark}{word}", f"({word})",
            f"{number} x {writer.amount()}", f"{number}*{number}", f"{word}=", f"${number}", f"$ {writer.amount()}",
            f"{word} {mark} {number}", f"({letters[0]})", f"{word}({number[0]})", f"{word[0]}/{letters[0]}",
            f"({writer.amount()})", f"{number}'{letters[0]}", f'{number[0]}"x{number[0]}"', f"{digits}-{letters[0]}",
            f"{word}(s)", f"{word}.{word}", f"{number} %",
        )
    )  # fmt: skip


def crop(sheet: Sheet) -> None:
    """One line, tightly cropped, with the edges of the lines above and below still visible."""
    sheet.lines_left = 1
    sheet.rng.choice((lines, entry))(sheet)
    if not sheet.canvas.lines:
        return
    boxes = sheet.canvas.glyphs()[0]
    top, bottom = boxes[0, 1], boxes[0, 3]
    atlas = sheet.atlas()
    # the remnants are not text: less than half a line is visible, which is illegible
    for baseline in (top - atlas.descent + 0.15 * atlas.px, bottom + atlas.ascent - 0.15 * atlas.px):
        visible = baseline + atlas.descent if baseline < top else sheet.canvas.height - (baseline - atlas.ascent)
        if sheet.rng.random() < 0.5 and 0 < visible < 0.45 * (atlas.ascent + atlas.descent):
            sheet.canvas.scrap(sheet.left, round(baseline), sheet.writer.line(30), atlas, sheet.ink)


def heading(sheet: Sheet) -> None:
    """A title in larger or bolder type, sometimes underlined."""
    rng = sheet.rng
    scale, bold = rng.uniform(1.0, 1.7), rng.random() < 0.7
    if sheet.title(rng.randint(1, 4), centred=0.3, scale=scale, bold=bold):
        if rng.random() < 0.2:
            sheet.canvas.rule(sheet.left, sheet.right, sheet.y + 1, sheet.shade(0.7), rng.randint(1, 2))
        sheet.skip(0.3)


def paragraph(sheet: Sheet) -> None:
    """One to three paragraphs, perhaps under a heading."""
    rng = sheet.rng
    if rng.random() < 0.3 and sheet.rows_left() > 3:
        heading(sheet)
    count = rng.randint(1, 3)
    indent = rng.choice((0.0, 0.0, 1.5)) * sheet.px
    justify = rng.random() < 0.4
    for _ in range(count):
        sheet.prose(sheet.left, sheet.right, sheet.chars_left // count + 10, justify, indent)
        sheet.skip(rng.choice((0.0, 0.5, 1.0)))


def bullets(sheet: Sheet) -> None:
    """A list with bullets (drawn or written), numbers or letters, sometimes under a heading."""
    rng = sheet.rng
    if rng.random() < 0.5 and sheet.rows_left() > 3:
        heading(sheet)
    marks = ("-", "*", "#.", "#)", "a)", "disc", "box", "+")
    mark = rng.choice((*marks, "•", "•") if "•" in sheet.writer.symbols else marks)
    number = rng.choice((1, 1, 1, 4, 8, 23))
    inset = sheet.left + rng.uniform(0, 1.5) * sheet.px
    for _ in range(rng.randint(3, 12)):
        label = {"#.": f"{number}.", "#)": f"{number})", "a)": f"{chr(96 + (number - 1) % 26 + 1)})"}.get(mark, mark)
        start = inset + sheet.atlas().width("00. ")
        text = sheet.writer.item(rng.randint(1, 5)) if rng.random() < 0.8 else sheet.writer.line(20)
        y = sheet.y
        if mark in ("disc", "box"):
            written = sheet.row(Cell(sheet.fit(text, sheet.right - start), start))
            if written:
                x, y = inset + 0.5 * sheet.px, y + 0.6 * sheet.row_height() / sheet.leading
                if mark == "disc":
                    sheet.canvas.disc(x, y, sheet.px * 0.16, sheet.ink)
                else:
                    side = sheet.px * 0.32
                    sheet.canvas.frame(x - side, y - side, x + side, y + side, sheet.ink)
        else:
            line = sheet.fit(f"{label} {text}", sheet.right - inset)
            written = len(line) > len(label) + 1 and sheet.row(Cell(line, inset))
        if not written:
            return
        number += 1
        sheet.skip(rng.choice((0, 0, 0.2)))


def columns(sheet: Sheet, gutters: tuple[float, float] = (1.0, 2.0)) -> None:
    """Two columns of text, left one first, sometimes under a heading. gutters: range of the gap, in type sizes."""
    rng = sheet.rng
    if rng.random() < 0.6:
        heading(sheet)
    gutter = rng.uniform(*gutters) * sheet.px
    justify = rng.random() < 0.6
    top, chars = sheet.y, int(sheet.chars_left * rng.uniform(0.6, 1.0))
    half = (sheet.width - gutter) / 2
    rows = max(int(chars / 2 / max(sheet.typical_chars(half) - 2, 1)), 2)
    floor = sheet.bottom
    lowest = top
    for left in (sheet.left, sheet.left + half + gutter):
        sheet.y, sheet.bottom = top, min(floor, top + (rows + 1) * sheet.row_height())
        sheet.prose(left, left + half, chars // 2, justify)
        lowest = max(lowest, sheet.y)
    if rng.random() < 0.3:
        x = sheet.left + half + gutter / 2
        sheet.canvas.fill(x, top, x + 1, lowest, sheet.shade(0.5))
    sheet.y, sheet.bottom = lowest, floor


def close_columns(sheet: Sheet) -> None:
    """Two columns with hardly more space between them than between words."""
    columns(sheet, gutters=(0.65, 1.2))


def article(sheet: Sheet) -> None:
    """Headings, paragraphs and lists, one after another."""
    rng = sheet.rng
    heading(sheet)
    while sheet.rows_left() > 1 and sheet.chars_left > 20:
        part = rng.random()
        if part < 0.55:
            sheet.prose(sheet.left, sheet.right, rng.randint(60, 180), rng.random() < 0.3)
        elif part < 0.75:
            heading(sheet)
        else:
            before = sheet.lines_left
            bullets(sheet)
            if sheet.lines_left == before:
                return
        sheet.skip(0.5)


def letter(sheet: Sheet) -> None:
    """A letter: sender, date, address, one or two paragraphs, a name."""
    rng, writer = sheet.rng, sheet.writer
    right = rng.random() < 0.5
    x, align = (sheet.right, "r") if right else (sheet.left, "l")
    for text in (writer.company(), writer.street(), writer.place(), writer.date()):
        sheet.row(Cell(sheet.fit(text, sheet.width), x, align))
    sheet.skip(0.7)
    sheet.row(Cell(f"Dear {writer.name()},", sheet.left))
    sheet.skip(0.4)
    sheet.prose(sheet.left, sheet.right, int(sheet.chars_left * rng.uniform(0.5, 0.85)))
    sheet.skip(0.5)
    sheet.row(Cell(rng.choice(("Yours sincerely,", "Kind regards,", "Best wishes,")), sheet.left))
    sheet.row(Cell(writer.name(), sheet.left))


def code(sheet: Sheet) -> None:
    """A program: indented lines, sometimes numbered, in a monospaced face if there is one."""
    rng, writer = sheet.rng, sheet.writer
    numbers = rng.random() < 0.3
    number = rng.randint(1, 90)
    depth, step = 0, rng.choice((2, 4))
    accent = sheet.tone(20, 110) if sum(sheet.ink) < 240 else sheet.ink
    if max(abs(a - p) for a, p in zip(accent, sheet.shade(0))) < FAINTEST:  # too faint to read
        accent = sheet.ink
    while sheet.rows_left() > 0 and sheet.chars_left > 4:
        statement, deeper = writer.code_line(depth)
        line = sheet.fit(" " * (depth * step) + statement, sheet.right - sheet.left - 3 * sheet.px)
        if not line.strip():
            return
        ink = accent if statement.startswith(("#", "//")) else sheet.ink
        cells = [Cell(line, sheet.left + (2 * sheet.px if numbers else 0), ink=ink)]
        if numbers:
            cells.insert(0, Cell(str(number), sheet.left, ink=sheet.shade(0.75)))
        if not sheet.row(*cells):
            return
        number += 1
        depth = max(0, min(depth + deeper, 3))
