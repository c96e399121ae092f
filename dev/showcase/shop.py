"""A bakery at dusk: brick, a sign with two lamps, an awning, a lit window, a door, a board on the pavement."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dev.showcase.paint import centred, clouds, drop_shadow, finish, font, gradient, perspective, shade, spaced

TEXT = (
    "A bakery seen from the street at dusk. Two lamps light a dark green sign with gold letters that read "
    '"MARLOW & FINCH" and below "BAKERY SINCE 1987". Under a red striped awning, loaves lie in a bright window. '
    'A card on the door says "OPEN". A board on the pavement reads "TODAY RYE LOAF 4.50".'
)
SIZE = (1600, 1200)  # as drawn; the image is half as large
GOLD = (236, 200, 120)
GREEN = (24, 58, 50)


def draw_shop() -> Image.Image:
    """The scene, 800 x 600, RGB."""
    rng = np.random.default_rng(11)
    wall = _brick_wall(rng)
    _window(wall, (150, 620, 960, 1010))
    _door(wall, (1090, 600, 1420, 1160))
    _awning(wall, 90, 1020, 520, 150)
    _sign(wall, (90, 240, 1510, 470))
    for x in (430, 1170):
        _lamp(wall, x, 130)
    picture = _street(rng)
    corners = ((-90.0, -150.0), (1690.0, 20.0), (1690.0, 1010.0), (-90.0, 1090.0))
    front = perspective(wall.convert("RGBA"), corners, SIZE)
    picture.paste(front, mask=front.getchannel("A"))
    _board(picture, (1310, 800))
    return finish(_evening(picture), (SIZE[0] // 2, SIZE[1] // 2))


def _brick_wall(rng: np.random.Generator) -> Image.Image:
    """A brick wall above a stone base."""
    wall = Image.new("RGB", SIZE, (104, 84, 76))
    draw = ImageDraw.Draw(wall)
    height, length = 40, 100
    for row in range(SIZE[1] // height + 1):
        for column in range(-1, SIZE[0] // length + 1):
            left = column * length + (row % 2) * length // 2
            tone = int(rng.integers(-4, 5)) * 4
            colour = (142 + tone, 84 + tone // 2, 70 + tone // 2)
            draw.rectangle([left + 3, row * height + 3, left + length - 3, row * height + height - 3], fill=colour)
    draw.rectangle([0, 1080, SIZE[0], SIZE[1]], fill=(96, 92, 90))
    return wall


def _window(wall: Image.Image, box: tuple[int, int, int, int]) -> None:
    """A lit shop window with two shelves of bread."""
    left, top, right, bottom = box
    draw = ImageDraw.Draw(wall)
    draw.rectangle([left - 36, top - 100, right + 36, bottom + 46], fill=GREEN)
    wall.paste(gradient((right - left, bottom - top), (255, 226, 158), (238, 172, 96)), (left, top))
    for shelf in (top + 180, bottom - 30):
        draw.rectangle([left, shelf, right, shelf + 18], fill=(120, 76, 44))
        draw.rectangle([left, shelf + 18, right, shelf + 30], fill=(206, 140, 76))
    for i in range(5):
        _round_loaf(draw, left + 95 + i * 155, top + 180, 66)
    for i in range(6):
        _long_loaf(draw, left + 40 + i * 128, bottom - 30, 100)
    glare = Image.new("L", wall.size)
    ImageDraw.Draw(glare).polygon([(left, bottom), (left, top + 130), (left + 150, top), (left + 330, top)], fill=34)
    wall.paste((255, 255, 255), mask=glare)
    draw.line([((left + right) // 2, top), ((left + right) // 2, bottom)], fill=GREEN, width=16)


def _round_loaf(draw: ImageDraw.ImageDraw, x: int, floor: int, radius: int) -> None:
    draw.pieslice([x - radius, floor - radius, x + radius, floor + radius], 180, 360, fill=(150, 88, 42))
    draw.pieslice(
        [x - radius + 7, floor - radius + 4, x + radius - 12, floor + radius - 8], 180, 360, fill=(188, 118, 60)
    )
    for shift in (-26, 2, 30):
        draw.line([(x + shift - 12, floor - 30), (x + shift + 4, floor - 48)], fill=(240, 208, 150), width=7)


def _long_loaf(draw: ImageDraw.ImageDraw, x: int, floor: int, length: int) -> None:
    draw.rounded_rectangle([x, floor - 62, x + length, floor], 30, fill=(136, 78, 38))
    draw.rounded_rectangle([x + 5, floor - 60, x + length - 8, floor - 12], 26, fill=(200, 132, 70))
    for shift in (22, 46, 70):
        draw.line([(x + shift, floor - 28), (x + shift + 12, floor - 54)], fill=(246, 216, 160), width=7)


def _door(wall: Image.Image, box: tuple[int, int, int, int]) -> None:
    """A green door with a lit pane and a card that says OPEN."""
    left, top, right, bottom = box
    draw = ImageDraw.Draw(wall)
    draw.rectangle([left - 24, top - 30, right + 24, bottom], fill=(16, 40, 35))
    draw.rectangle([left, top, right, bottom], fill=(32, 74, 64))
    pane = (left + 50, top + 50, right - 50, top + 300)
    wall.paste(gradient((pane[2] - pane[0], pane[3] - pane[1]), (252, 214, 140), (226, 158, 88)), pane[:2])
    draw.rectangle(pane, outline=(16, 40, 35), width=8)
    draw.rectangle([left + 50, top + 340, right - 50, bottom - 40], outline=(20, 50, 44), width=8)
    draw.ellipse([right - 40, top + 310, right - 14, top + 336], fill=GOLD)
    middle = (left + right) // 2
    draw.line([(middle - 50, top + 150), (middle, top + 70), (middle + 50, top + 150)], fill=(80, 60, 40), width=5)
    draw.rounded_rectangle([middle - 96, top + 145, middle + 96, top + 245], 14, fill=(250, 246, 236))
    draw.rounded_rectangle([middle - 88, top + 153, middle + 88, top + 237], 10, outline=(168, 44, 44), width=4)
    spaced(draw, middle, top + 213, "OPEN", font(48, "Sans-Bold"), (168, 44, 44), 3)


def _awning(wall: Image.Image, left: int, right: int, top: int, drop: int) -> None:
    """Striped cloth with a scalloped hem, and its shadow on the window."""
    stripes = 12
    width = (right - left) / stripes
    cloth = Image.new("RGBA", wall.size)
    draw = ImageDraw.Draw(cloth)
    for i in range(stripes):
        colour = (178, 48, 48) if i % 2 == 0 else (246, 236, 220)
        x, spread = left + i * width, 0.06 * (i - stripes / 2) * width
        after = spread + 0.06 * width
        draw.polygon(
            [(x, top), (x + width, top), (x + width + after, top + drop), (x + spread, top + drop)], fill=colour
        )
        dark = tuple(round(value * 0.86) for value in colour)
        draw.pieslice([x + spread, top + drop - 34, x + width + after, top + drop + 34], 0, 180, fill=dark)
    drop_shadow(wall, cloth.getchannel("A"), (0, 56), 16, 0.5)
    wall.paste(cloth, mask=cloth.getchannel("A"))


def _sign(wall: Image.Image, box: tuple[int, int, int, int]) -> None:
    """The sign with the name of the shop in gold."""
    left, top, right, bottom = box
    shape = Image.new("L", wall.size)
    ImageDraw.Draw(shape).rectangle(box, fill=255)
    drop_shadow(wall, shape, (0, 22), 14, 0.6)
    wall.paste(gradient((right - left, bottom - top), (34, 80, 68), (20, 52, 44)), (left, top))
    draw = ImageDraw.Draw(wall)
    draw.rectangle([left, top, right, bottom], outline=(14, 36, 30), width=10)
    draw.rectangle([left + 22, top + 22, right - 22, bottom - 22], outline=GOLD, width=4)
    middle = (left + right) / 2
    for shift, colour in ((5, (10, 30, 25)), (0, GOLD)):
        spaced(draw, middle + shift, top + 136 + shift, "MARLOW & FINCH", font(108, "Serif-Bold"), colour, 10)
        spaced(draw, middle + shift / 2, top + 192 + shift / 2, "BAKERY SINCE 1987", font(42, "Serif"), colour, 14)


def _lamp(wall: Image.Image, x: int, y: int) -> None:
    """A lamp on a bent arm, and its light on the wall and the sign."""
    glow = Image.new("L", wall.size)
    ImageDraw.Draw(glow).polygon([(x - 60, y + 60), (x + 60, y + 60), (x + 330, y + 420), (x - 330, y + 420)], fill=92)
    wall.paste((255, 214, 140), mask=glow.filter(ImageFilter.GaussianBlur(60)))
    draw = ImageDraw.Draw(wall)
    draw.arc([x - 8, y - 70, x + 90, y + 40], 180, 340, fill=(20, 22, 24), width=9)
    draw.pieslice([x - 62, y - 30, x + 62, y + 120], 180, 360, fill=(28, 32, 34))
    draw.ellipse([x - 62, y + 34, x + 62, y + 60], fill=(255, 240, 196))


def _street(rng: np.random.Generator) -> Image.Image:
    """Flagstones towards the viewer."""
    picture = gradient(SIZE, (84, 82, 88), (120, 112, 110))
    draw = ImageDraw.Draw(picture)
    for y in (1040, 1095, 1165):
        draw.line([(0, y + 22), (SIZE[0], y - 26)], fill=(74, 72, 78), width=5)
    for x in range(-400, 2200, 210):
        draw.line([(800 + (x - 800) * 0.8, 1000), (800 + (x - 800) * 1.25, 1200)], fill=(78, 76, 82), width=5)
    return shade(picture, 0.92 + 0.14 * clouds(rng, SIZE, (12, 9)))


def _board(picture: Image.Image, corner: tuple[int, int]) -> None:
    """A chalk board that leans back slightly."""
    board = Image.new("RGB", (300, 400), (128, 88, 52))
    draw = ImageDraw.Draw(board)
    draw.rectangle([18, 18, 282, 382], fill=(40, 44, 46))
    centred(draw, 150, 100, "TODAY", font(54, "Sans-Bold"), (250, 214, 120))
    draw.line([(60, 124), (240, 124)], fill=(220, 220, 214), width=4)
    centred(draw, 150, 198, "RYE LOAF", font(41, "Sans-Bold"), (244, 244, 238))
    centred(draw, 150, 306, "4.50", font(88, "Sans-Bold"), (244, 244, 238))
    x, y = corner
    corners = ((x + 14.0, y + 0.0), (x + 236.0, y - 10.0), (x + 254.0, y + 330.0), (x + 0.0, y + 346.0))
    layer = perspective(board.convert("RGBA"), corners, picture.size)
    shape = layer.getchannel("A")
    drop_shadow(picture, shape, (-36, 14), 16, 0.6)
    picture.paste(layer, mask=shape)


def _evening(picture: Image.Image) -> Image.Image:
    """Blue light from above, and warm light in front of the window."""
    width, height = picture.size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    warm = np.exp(-(((x - 0.36 * width) / (0.5 * width)) ** 2) - ((y - 0.68 * height) / (0.42 * height)) ** 2)
    lamps = np.exp(-(((x - 0.5 * width) / (0.6 * width)) ** 2) - ((y - 0.27 * height) / (0.22 * height)) ** 2)
    light = np.clip(0.58 + 0.42 * warm + 0.36 * lamps, 0, 1.02)[:, :, None]
    tint = np.array([0.86, 0.94, 1.12]) + np.array([0.16, 0.06, -0.12]) * np.clip(warm + lamps, 0, 1)[:, :, None]
    return shade(picture, light * tint)
