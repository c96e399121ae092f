"""Charts: bars, curves and pies, each with a title, labels and values. The reading order is from top to bottom."""

import numpy as np

from nanochat.synth.layouts.sheet import Cell, Sheet


def _title(sheet: Sheet) -> None:
    sheet.title(sheet.rng.randint(2, 5), centred=0.6, scale=1.2)
    sheet.skip(0.5)


def _value(value: float, most: float) -> str:
    if most >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if most > 20 else f"{value:.1f}"


def _labels(sheet: Sheet, count: int) -> list[str]:
    """Names of the categories: years, months, quarters, letters or words."""
    rng = sheet.rng
    first = rng.randint(1960, 2020)
    form = rng.random()
    if form < 0.3:
        return [str(first + index) for index in range(count)]
    if form < 0.45:
        start = rng.randrange(12)
        return [sheet.writer.months[(start + index) % 12][:3].capitalize() for index in range(count)]
    if form < 0.6:
        return [f"{rng.choice('QABS')}{index + 1}" for index in range(count)]
    return [sheet.writer.word(6).capitalize() for _ in range(count)]


def _axes(sheet: Sheet, most: float, height: float) -> tuple[float, float, float]:
    """Draw the frame and the y-axis values, each a line of text. Returns left, top and bottom of the plot, px."""
    rng = sheet.rng
    ticks = max(2, min(rng.randint(2, 6), int(height / (1.6 * sheet.row_height()))))
    texts = [_value(most * index / ticks, most) for index in range(ticks, -1, -1)]
    left = sheet.left + max(sheet.atlas().width(text) for text in texts) + 0.6 * sheet.px
    top = sheet.y + sheet.row_height() / 2
    bottom = top + height
    gridlines = rng.random() < 0.5
    for index, text in enumerate(texts):
        y = top + height * index / ticks
        sheet.y = y - sheet.row_height() / 2
        sheet.row(Cell(text, left - 0.4 * sheet.px, "r"))
        if gridlines:
            sheet.canvas.rule(left, sheet.right, y, sheet.shade(0.2))
        else:
            sheet.canvas.rule(left - 4, left, y, sheet.shade(0.8))
    sheet.canvas.fill(left, top, left + 1, bottom, sheet.shade(0.8))
    sheet.canvas.rule(left, sheet.right, bottom, sheet.shade(0.8))
    return left, top, bottom


def _plot_height(sheet: Sheet, rows_below: int) -> float:
    room = sheet.bottom - sheet.y - (rows_below + 1.5) * sheet.row_height()
    return max(room * sheet.rng.uniform(0.35, 1.0), 2.2 * sheet.row_height())


def _under(sheet: Sheet, labels: list[str], left: float, bottom: float) -> None:
    """Write the category names below the plot as one line of text."""
    sheet.y = bottom + 4
    step = (sheet.right - left) / len(labels)
    texts = [sheet.fit(label, step - 0.3 * sheet.px) for label in labels]
    sheet.row(*(Cell(text, left + (index + 0.5) * step, "c") for index, text in enumerate(texts)))


def bars(sheet: Sheet) -> None:
    """Vertical bars over a y axis, or horizontal bars between their name and their value."""
    rng = sheet.rng
    _title(sheet)
    count = rng.randint(2, max(2, min(9, int(sheet.width / (4.5 * sheet.px)))))
    most = rng.choice((5, 10, 50, 100, 100, 500, 1000, 20000))
    values = [rng.uniform(0.08, 1.0) * most for _ in range(count)]
    labels, colour = _labels(sheet, count), sheet.tone(70, 190)
    if rng.random() < 0.4:
        widest = max(sheet.atlas().width(label) for label in labels)
        start = sheet.left + min(widest, 0.4 * sheet.width) + 0.5 * sheet.px
        length = sheet.right - start - sheet.atlas().width(_value(most, most)) - 0.6 * sheet.px
        for label, value in zip(labels, values):
            end = start + length * value / most
            top, height = sheet.y, sheet.row_height()
            cells = (
                Cell(sheet.fit(label, start - sheet.left), sheet.left),
                Cell(_value(value, most), end + 0.3 * sheet.px),
            )
            if not sheet.row(*cells):
                return
            sheet.canvas.fill(start, top + 0.1 * height, end, top + 0.85 * height, colour)
            sheet.skip(0.25)
        return
    left, top, bottom = _axes(sheet, most, _plot_height(sheet, 1))
    step = (sheet.right - left) / count
    width = step * rng.uniform(0.4, 0.85)
    for index, value in enumerate(values):
        x = left + (index + 0.5) * step
        sheet.canvas.fill(x - width / 2, bottom - (bottom - top) * value / most, x + width / 2, bottom, colour)
    _under(sheet, labels, left, bottom)


def curves(sheet: Sheet) -> None:
    """One to three curves over a y axis, with a legend below."""
    rng = sheet.rng
    _title(sheet)
    count = rng.randint(3, max(3, min(8, int(sheet.width / (4.5 * sheet.px)))))
    most = rng.choice((1, 10, 50, 100, 1000))
    series = rng.randint(1, 3)
    left, top, bottom = _axes(sheet, most, _plot_height(sheet, 1 + series))
    step = (sheet.right - left) / count
    colours = [sheet.tone(30, 180) for _ in range(series)]
    for colour in colours:
        heights = np.cumsum([rng.gauss(0, 0.25) for _ in range(count)])
        heights = (heights - heights.min()) / max(float(np.ptp(heights)), 0.3) * 0.9 + 0.05
        points = [(left + (index + 0.5) * step, bottom - (bottom - top) * h) for index, h in enumerate(heights)]
        sheet.canvas.stroke(np.array(points), colour, rng.randint(1, 3))
        if rng.random() < 0.5:
            for x, y in points:
                sheet.canvas.disc(x, y, 0.2 * sheet.px, colour)
    _under(sheet, _labels(sheet, count), left, bottom)
    for colour in colours if series > 1 else ():
        y = sheet.y + 0.5 * sheet.row_height()
        if sheet.row(Cell(sheet.fit(sheet.writer.title(1), sheet.width * 0.6), left + 2 * sheet.px)):
            sheet.canvas.rule(left, left + 1.4 * sheet.px, y, colour, 2)


def pie(sheet: Sheet) -> None:
    """A pie chart, with a legend of the shares beside or below it."""
    rng = sheet.rng
    _title(sheet)
    count = rng.randint(2, 6)
    shares = np.array([rng.uniform(0.15, 1.0) for _ in range(count)])
    percents = np.round(shares / shares.sum() * 100).astype(int)
    percents[-1] += 100 - percents.sum()
    beside = sheet.width > sheet.bottom - sheet.y
    legend = count * 1.3 * sheet.row_height()
    room = min(sheet.width * (0.45 if beside else 0.9), sheet.bottom - sheet.y - (0 if beside else legend))
    radius = max(room, 2.0 * sheet.px) / 2
    x = sheet.left + radius if beside else sheet.middle
    y = sheet.y + radius
    angle = rng.uniform(0, 2 * np.pi)
    colours = [sheet.tone(60, 220) for _ in range(count)]
    for percent, colour in zip(percents, colours):
        turn = 2 * np.pi * percent / 100
        arc = np.linspace(angle, angle + turn, 24)
        rim = np.stack([x + radius * np.cos(arc), y + radius * np.sin(arc)], axis=1)
        sheet.canvas.polygon(np.concatenate([[[x, y]], rim]), colour)
        angle += turn
    if rng.random() < 0.3:
        sheet.canvas.disc(x, y, radius * 0.5, sheet.shade(0.0))
    left = x + radius + sheet.px if beside else sheet.left + rng.uniform(0, 0.3) * sheet.width
    sheet.y = max(sheet.y, y - legend / 2) if beside else y + radius + 0.5 * sheet.px
    for percent, colour in zip(percents, colours):
        top = sheet.y + 0.15 * sheet.px
        label = sheet.fit(sheet.writer.word(10).capitalize(), sheet.right - left - 5 * sheet.px)
        if not sheet.row(Cell(f"{label} {percent}%" if label else f"{percent}%", left + 1.3 * sheet.px)):
            return
        sheet.canvas.fill(left, top, left + 0.9 * sheet.px, top + 0.9 * sheet.px, colour)
        sheet.skip(0.25)
    sheet.y = max(sheet.y, y + radius + 0.5 * sheet.px)
