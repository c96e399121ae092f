"""Text in natural scenes: signs, labels and plates on a busy background."""

import cv2
import numpy as np

from nanochat.synth.canvas import Canvas
from nanochat.synth.degrade import noise, to_bytes
from nanochat.synth.layouts.sheet import Cell, Sheet


def clutter(canvas: Canvas, rng, low: int = 0, high: int = 255) -> None:
    """Fill the canvas with a background without text: a gradient, blurred noise, shapes."""
    height, width = canvas.image.shape[:2]
    channels = canvas.image.shape[2:] or (1,)
    corners = np.array([[[rng.randint(low, high) for _ in range(channels[0])] for _ in range(2)] for _ in range(2)])
    ground = cv2.resize(corners.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    canvas.image[:] = to_bytes(ground.reshape(canvas.image.shape))
    for _ in range(rng.randint(0, 8)):
        ink = tuple(rng.randint(low, high) for _ in range(channels[0]))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        form = rng.random()
        if form < 0.4:
            canvas.fill(x, y, x + rng.uniform(0.05, 0.5) * width, y + rng.uniform(0.05, 0.5) * height, ink)
        elif form < 0.7:
            canvas.disc(x, y, rng.uniform(0.03, 0.25) * height, ink, rng.choice((-1, 1, 2)))
        else:
            canvas.stroke(np.array([[x, y], [rng.uniform(0, width), rng.uniform(0, height)]]), ink, rng.randint(1, 4))
    field = noise(canvas.image.shape, rng, rng.choice((1, 3, 24))) * rng.uniform(2, 18)
    canvas.image[:] = cv2.GaussianBlur(to_bytes(canvas.image + field), (0, 0), rng.uniform(0.6, 3))


def scene(sheet: Sheet) -> None:
    """One to three boards with a few large words on a blurred background."""
    rng, canvas = sheet.rng, sheet.canvas
    clutter(canvas, rng)
    boards = rng.randint(1, 3)
    top, floor = sheet.y, sheet.bottom
    for index in range(boards):
        sheet.y = top + (floor - top) * (index + rng.uniform(0.05, 0.2)) / boards
        sheet.bottom = top + (floor - top) * (index + 0.97) / boards
        scale = rng.uniform(1.0, 2.2)
        count = rng.randint(1, 3)
        bold = rng.random() < 0.6
        texts = []
        for _ in range(count):
            text = sheet.writer.item(rng.randint(1, 3)) if rng.random() < 0.7 else sheet.writer.token(12)
            texts.append(sheet.fit(text.upper() if rng.random() < 0.5 else text, 0.85 * sheet.width, scale, bold))
        widths = [sheet.atlas(scale, bold).width(text) for text in texts]
        height = sheet.row_height(sheet.atlas(scale, bold)) * len(texts)
        if sheet.y + height > sheet.bottom:
            continue
        left = sheet.left + rng.uniform(0, max(sheet.width - max(widths) - sheet.px, 0)) + 0.5 * sheet.px
        middle = left + max(widths) / 2
        dark = rng.random() < 0.5
        board, ink = (sheet.tone(10, 90), sheet.tone(190, 255)) if dark else (sheet.tone(180, 255), sheet.tone(0, 80))
        pad = rng.uniform(0.2, 0.8) * sheet.px
        y0, y1 = max(sheet.y - pad, 0), min(sheet.y + height + pad, canvas.height)
        canvas.fill(left - pad, y0, left + max(widths) + pad, y1, board)
        if rng.random() < 0.5:
            canvas.frame(left - pad + 2, y0 + 2, left + max(widths) + pad - 3, y1 - 3, ink, rng.randint(1, 2))
        for text in texts:
            sheet.row(Cell(text, middle, "c", bold, ink), scale=scale)
