"""A jar of jam on a kitchen counter: glass, a label around it, light from a window, a blurred room."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dev.showcase.paint import centred, clouds, drop_shadow, finish, font, gradient, shade, spaced

TEXT = (
    "A glass jar of orange jam stands on a wooden counter in a bright kitchen. It has a gold lid, and its cream label "
    'shows two apricots with a green leaf. The label reads "HILLTOP FARM", "Apricot Jam", "made by hand" and '
    '"NET 340 g". A small tag on the lid says "BATCH 27".'
)
SIZE = (1600, 1200)  # as drawn; the image is half as large
GLASS = (540, 300, 1060, 1040)  # the body of the jar
LABEL = (520, 430)  # size of the label before it is bent
BROWN = (92, 48, 24)


def draw_jar() -> Image.Image:
    """The scene, 800 x 600, RGB."""
    rng = np.random.default_rng(13)
    picture = _kitchen(rng)
    _counter(picture, rng)
    shape = Image.new("L", SIZE)
    ImageDraw.Draw(shape).ellipse([GLASS[0] + 40, 960, GLASS[2] + 330, 1080], fill=255)
    drop_shadow(picture, shape, (0, 0), 26, 0.55)
    _body(picture)
    _wrap(picture, _label(), (GLASS[0], 500, GLASS[2], 930), sag=26)
    _lid(picture)
    _gleam(picture)
    _tag(picture)
    return finish(picture, (SIZE[0] // 2, SIZE[1] // 2))


def _kitchen(rng: np.random.Generator) -> Image.Image:
    """The room out of focus: a window, tiles, a plant."""
    room = gradient(SIZE, (206, 216, 210), (176, 188, 180))
    draw = ImageDraw.Draw(room)
    for x in range(0, SIZE[0], 160):
        draw.line([(x, 0), (x, 800)], fill=(226, 232, 228), width=8)
    for y in range(0, 800, 160):
        draw.line([(0, y), (SIZE[0], y)], fill=(226, 232, 228), width=8)
    draw.rectangle([60, 0, 520, 520], fill=(252, 252, 244))
    draw.rectangle([276, 0, 304, 520], fill=(196, 190, 178))
    draw.rectangle([40, 520, 540, 566], fill=(214, 206, 192))
    draw.rounded_rectangle([1230, 540, 1470, 800], 40, fill=(198, 106, 70))
    for x, y, size in ((1200, 250, 150), (1300, 150, 170), (1400, 260, 160), (1260, 390, 170), (1400, 400, 150)):
        draw.ellipse([x, y, x + size, y + size * 1.1], fill=(92 + int(rng.integers(-16, 16)), 138, 82))
    draw.ellipse([170, 560, 330, 720], fill=(240, 150, 70))
    draw.ellipse([300, 600, 440, 730], fill=(232, 132, 62))
    return room.filter(ImageFilter.GaussianBlur(22))


def _counter(picture: Image.Image, rng: np.random.Generator) -> None:
    """The wooden counter, its grain across."""
    size = (SIZE[0], SIZE[1] - 760)
    wood = shade(gradient(size, (176, 124, 80), (140, 92, 56)), 0.90 + 0.2 * clouds(rng, size, (4, 26)))
    picture.paste(wood, (0, 760))
    edge = picture.crop((0, 720, SIZE[0], 800)).filter(ImageFilter.GaussianBlur(8))
    picture.paste(edge.crop((0, 20, SIZE[0], 60)), (0, 740))


def _body(picture: Image.Image) -> None:
    """The jam behind glass: darker at the sides, lighter where the light comes through."""
    left, top, right, bottom = GLASS
    width, height = right - left, bottom - top
    x = np.linspace(-1, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    light = 0.62 + 0.5 * np.exp(-(((x + 0.25) / 0.6) ** 2)) - 0.25 * np.abs(x) ** 6 + 0.10 * y
    jam = shade(Image.new("RGB", (width, height), (232, 126, 34)), light)
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.rounded_rectangle([0, 0, width - 1, height - 1], 90, fill=255)
    picture.paste(jam, (left, top), mask)
    neck = shade(
        Image.new("RGB", (width - 80, 70), (238, 206, 166)),
        np.repeat(0.72 + 0.34 * np.exp(-(((x[:, 40:-40] + 0.25) / 0.5) ** 2)), 70, 0),
    )
    picture.paste(neck, (left + 40, top - 40))


def _label() -> Image.Image:
    """The printed label, flat."""
    width, height = LABEL
    label = Image.new("RGB", LABEL, (252, 246, 228))
    draw = ImageDraw.Draw(label)
    draw.rectangle([0, 16, width, 24], fill=(206, 130, 52))
    draw.rectangle([0, height - 24, width, height - 16], fill=(206, 130, 52))
    spaced(draw, width / 2, 84, "HILLTOP FARM", font(34, "Serif-Bold"), BROWN, 4)
    _apricots(draw, width / 2, 160)
    centred(draw, width / 2, 296, "Apricot Jam", font(56, "Serif-BoldItalic"), (180, 74, 20))
    centred(draw, width / 2, 344, "made by hand", font(30, "Serif-Italic"), BROWN)
    spaced(draw, width / 2, 392, "NET 340 g", font(26, "Sans"), BROWN, 2)
    return label


def _apricots(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    for shift, low, colour in ((38, 8, (232, 132, 48)), (-30, 0, (246, 164, 72))):
        draw.ellipse([x + shift - 46, y + low - 44, x + shift + 46, y + low + 46], fill=colour)
        draw.arc([x + shift - 60, y + low - 42, x + shift + 14, y + low + 44], -62, 62, fill=(208, 104, 36), width=4)
    draw.polygon([(x, y - 38), (x + 30, y - 66), (x + 84, y - 58), (x + 46, y - 32)], fill=(86, 132, 66))
    draw.line([(x - 12, y - 28), (x + 60, y - 52)], fill=(58, 96, 46), width=4)


def _wrap(picture: Image.Image, label: Image.Image, box: tuple[int, int, int, int], sag: float) -> None:
    """Bend `label` around the jar: columns become narrower towards the sides and lower in the middle."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    flat = np.asarray(label, np.float32)  # (h, w, 3)
    x = (np.arange(width) + 0.5) / width * 2 - 1
    angle = np.arcsin(x * 0.998)
    source_x = ((angle / np.pi * 1.30 + 0.5) * flat.shape[1]).clip(0, flat.shape[1] - 1.001)
    drop = sag * np.cos(angle)  # lower in the middle
    y = (np.arange(height + round(sag))[:, None] - drop[None, :]) / height * flat.shape[0]  # (H, W)
    inside = (y >= 0) & (y < flat.shape[0] - 1)
    y = y.clip(0, flat.shape[0] - 1.001)
    row, column = y.astype(int), np.broadcast_to(source_x.astype(int)[None, :], y.shape)
    down, across = (y - row)[:, :, None], (source_x - source_x.astype(int))[None, :, None]
    above = flat[row, column] * (1 - across) + flat[row, column + 1] * across
    below = flat[row + 1, column] * (1 - across) + flat[row + 1, column + 1] * across
    light = (0.50 + 0.52 * np.cos(angle * 0.86 + 0.22))[None, :, None]
    bent = ((above * (1 - down) + below * down) * light).clip(0, 255).astype(np.uint8)
    picture.paste(Image.fromarray(bent), (left, top), Image.fromarray((inside * 255).astype(np.uint8)))


def _lid(picture: Image.Image) -> None:
    """A gold screw lid."""
    left, right, top, bottom = GLASS[0] + 14, GLASS[2] - 14, 156, 276
    width = right - left
    x = np.linspace(-1, 1, width)[None, :]
    ribs = 1 + 0.05 * np.sign(np.sin(np.arcsin(x * 0.999) * 46))
    light = (0.55 + 0.5 * np.exp(-(((x + 0.3) / 0.42) ** 2)) + 0.15 * np.exp(-(((x - 0.7) / 0.14) ** 2))) * ribs
    side = shade(Image.new("RGB", (width, bottom - top), (214, 170, 84)), np.repeat(light, bottom - top, 0))
    mask = Image.new("L", (width, bottom - top + 40))
    draw = ImageDraw.Draw(mask)
    draw.rectangle([0, 0, width, bottom - top - 24], fill=255)
    draw.ellipse([0, bottom - top - 52, width, bottom - top], fill=255)
    picture.paste(side, (left, top), mask.crop((0, 0, width, bottom - top)))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([left, top - 40, right, top + 40], fill=(246, 214, 138))
    draw.ellipse([left + 22, top - 30, right - 22, top + 28], fill=(226, 186, 100))
    draw.ellipse([left + 34, top - 24, right - 34, top + 24], fill=(236, 198, 116))


def _gleam(picture: Image.Image) -> None:
    """The reflection of the window in the glass."""
    left, top, _, bottom = GLASS
    gleam = Image.new("L", SIZE)
    draw = ImageDraw.Draw(gleam)
    draw.rounded_rectangle([left + 40, top + 24, left + 66, bottom - 90], 13, fill=110)
    draw.rounded_rectangle([left + 76, top + 24, left + 86, bottom - 120], 5, fill=70)
    draw.rounded_rectangle([GLASS[2] - 40, top + 60, GLASS[2] - 26, bottom - 140], 7, fill=60)
    picture.paste((255, 255, 255), mask=gleam.filter(ImageFilter.GaussianBlur(5)))


def _tag(picture: Image.Image) -> None:
    """A paper tag on a string from the lid."""
    tag = Image.new("RGBA", (270, 120))
    draw = ImageDraw.Draw(tag)
    draw.polygon([(30, 0), (269, 0), (269, 119), (30, 119), (0, 88), (0, 31)], fill=(226, 196, 150))
    draw.ellipse([18, 50, 38, 70], fill=(120, 88, 56))
    centred(draw, 150, 54, "BATCH", font(40, "Sans-Bold"), BROWN)
    centred(draw, 150, 104, "27", font(46, "Sans-Bold"), BROWN)
    tag = tag.rotate(-24, Image.Resampling.BICUBIC, expand=True)
    spot = (1074, 300)
    ImageDraw.Draw(picture).line([(1030, 262), (1066, 286), (1130, 350)], fill=(150, 116, 76), width=6, joint="curve")
    picture.paste(tag, spot, tag)
