"""Backgrounds of the receipts: wood, slate, linen and painted boards, made of smooth noise to keep PNGs small."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dev.showcase.paint import Colour, clouds, drop_shadow, gradient, shade


def wood(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Vertical boards of warm oak, with a cup of coffee in the lower corner."""
    picture = _boards(rng, size, [(156, 104, 62), (168, 114, 70), (147, 97, 57), (162, 109, 66)])
    _coffee(picture, (size[0] * 0.93, size[1] * 0.93), size[0] * 0.15)
    return picture


def slate(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Dark stone, and two screws."""
    light = 0.82 + 0.36 * clouds(rng, size, (4, 5))
    picture = shade(Image.new("RGB", size, (62, 68, 76)), light)
    unit = size[0] / 100
    _screw(picture, (5.5 * unit, 118 * unit), unit)
    _screw(picture, (94.5 * unit, 26 * unit), unit)
    return picture


def linen(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Blue cloth with a woven stripe."""
    picture = shade(Image.new("RGB", size, (92, 124, 150)), 0.9 + 0.16 * clouds(rng, size, (5, 7)))
    draw = ImageDraw.Draw(picture)
    step = size[0] // 12
    for x in range(step // 2, size[0], step):
        draw.rectangle([x, 0, x + step // 10, size[1]], fill=(224, 228, 226))
        draw.rectangle([x + step // 5, 0, x + step // 5 + step // 24, size[1]], fill=(224, 228, 226))
    return picture


def painted(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Market boards painted green."""
    return _boards(rng, size, [(86, 128, 106), (92, 136, 113), (81, 121, 100), (89, 132, 109)])


def _boards(rng: np.random.Generator, size: tuple[int, int], colours: list[Colour]) -> Image.Image:
    """Vertical boards with alternating `colours`, a long soft grain and dark joints."""
    width, height = size
    picture = Image.new("RGB", size)
    board = width // len(colours) + 1
    for i, colour in enumerate(colours):
        grain = 0.90 + 0.18 * clouds(rng, (board, height), (16, 4))
        picture.paste(shade(Image.new("RGB", (board, height), colour), grain), (i * board, 0))
    draw = ImageDraw.Draw(picture)
    for i in range(1, len(colours)):
        joint = tuple(round(value * 0.45) for value in colours[i])
        draw.line([(i * board, 0), (i * board, height)], fill=joint, width=width // 220)
    return picture


def _coffee(picture: Image.Image, centre: tuple[float, float], radius: float) -> None:
    """A saucer and a cup of coffee, seen from above."""

    def disc(share: float, shift: float = 0.0) -> list[float]:
        x, y, r = centre[0] + shift * radius, centre[1] + shift * radius, radius * share
        return [x - r, y - r, x + r, y + r]

    shape = Image.new("L", picture.size)
    ImageDraw.Draw(shape).ellipse(disc(1.7), fill=255)
    drop_shadow(picture, shape, (round(radius * 0.1), round(radius * 0.14)), radius * 0.12, 0.5)
    draw = ImageDraw.Draw(picture)
    for share, colour in [
        (1.7, (226, 222, 214)),
        (1.62, (242, 239, 233)),
        (1.2, (228, 224, 217)),
        (1.02, (203, 198, 190)),
        (1.0, (250, 248, 244)),
        (0.88, (214, 208, 198)),
        (0.86, (92, 54, 30)),
        (0.80, (112, 68, 38)),
    ]:
        draw.ellipse(disc(share), fill=colour)
    foam = Image.new("L", picture.size)
    ImageDraw.Draw(foam).ellipse(disc(0.5, -0.1), fill=150)
    picture.paste((196, 150, 104), mask=foam.filter(ImageFilter.GaussianBlur(radius * 0.16)))


def _screw(picture: Image.Image, head: tuple[float, float], unit: float) -> None:
    """A screw that points down, with its head at `head`; `unit` is a hundredth of the width of the image."""
    x, y = head
    body = [
        (x - 0.9 * unit, y),
        (x + 0.9 * unit, y),
        (x + 0.6 * unit, y + 14 * unit),
        (x, y + 17 * unit),
        (x - 0.6 * unit, y + 14 * unit),
    ]
    cap = [x - 2.3 * unit, y - 1.4 * unit, x + 2.3 * unit, y + 0.6 * unit]
    shape = Image.new("L", picture.size)
    mask = ImageDraw.Draw(shape)
    mask.polygon(body, fill=255)
    for turn in range(12):
        top = y + (2.2 + turn) * unit
        mask.polygon(
            [
                (x - 1.5 * unit, top),
                (x + 1.5 * unit, top - 0.5 * unit),
                (x + 1.5 * unit, top),
                (x - 1.5 * unit, top + 0.5 * unit),
            ],
            fill=255,
        )
    mask.rounded_rectangle(cap, 0.9 * unit, fill=255)
    drop_shadow(picture, shape, (round(unit), round(1.3 * unit)), unit, 0.6)
    metal = gradient((round(5 * unit), picture.height), (216, 212, 200), (128, 122, 110), across=True)
    picture.paste(
        metal.resize((round(5 * unit), picture.height)),
        (round(x - 2.5 * unit), 0),
        shape.crop((round(x - 2.5 * unit), 0, round(x - 2.5 * unit) + round(5 * unit), picture.height)),
    )
