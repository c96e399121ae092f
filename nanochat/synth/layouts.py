"""Where text stands on a sheet: plain lines."""

import random

from nanochat.synth.atlas import Atlas
from nanochat.synth.canvas import Canvas, Ink
from nanochat.synth.levels import Level
from nanochat.synth.writer import Writer


def fit(text: str, atlas: Atlas, width: float) -> str:
    """The longest run of whole words from the start of `text` no wider than `width` px; at least one character."""
    if atlas.width(text) <= width:
        return text
    used, cut, last_space = 0.0, len(text), 0
    for index, char in enumerate(text):
        used += atlas.glyph(char).advance
        if used > width:
            cut = index
            break
        if char == " ":
            last_space = index
    if text[cut] == " ":
        return text[:cut]
    return text[: last_space or max(cut, 1)]


def draw_lines(canvas: Canvas, level: Level, atlas: Atlas, ink: Ink, writer: Writer, rng: random.Random) -> None:
    """A few lines of unconnected text, somewhere on the sheet, flush left, centred or ragged."""
    margin = rng.randint(1, 4)
    width = canvas.width - 2 * margin
    step = int((atlas.ascent + atlas.descent) * rng.uniform(1.0, 1.4)) + 1
    room = max((canvas.height - 2 * margin) // step, 1)
    most = min(level.max_lines, room)
    count = most if rng.random() < 0.5 else rng.randint(1, most)
    budget = level.max_chars if rng.random() < 0.7 else rng.randint(max(1, level.max_chars // 4), level.max_chars)
    lines: list[str] = []
    while len(lines) < count and budget > 0:
        typical = int(width / (atlas.width("nesota1A") / 8)) + 2
        longest = min(budget, typical, max(2, int(typical * rng.uniform(0.3, 3))))
        line = fit(writer.line(max(longest, 1)), atlas, width).rstrip()
        if not line:
            continue
        lines.append(line)
        budget -= len(line)
    slack = canvas.height - 2 * margin - step * len(lines)
    y = margin + rng.randint(0, max(slack, 0)) + atlas.ascent
    align = rng.choice(("left", "left", "centre", "ragged"))
    widths = [atlas.width(line) for line in lines]
    shift = rng.uniform(0, max(width - max(widths), 0))
    for line, line_width in zip(lines, widths):
        free = max(width - line_width, 0)
        x = margin + {"left": min(shift, free), "centre": free / 2, "ragged": rng.uniform(0, free)}[align]
        canvas.write(x, y, line, atlas, ink)
        y += step
