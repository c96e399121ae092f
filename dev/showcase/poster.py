"""A concert poster pasted on a concrete wall, seen from the side, under the shadow of a tree."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dev.showcase.paint import centred, clouds, drop_shadow, finish, font, gradient, perspective, shade, spaced

TEXT = (
    "A street poster on a grey concrete wall in dappled sunlight. It shows a yellow moon above a dark river with a "
    'small sailing boat. Large cream letters at the top say "RIVER JAZZ NIGHT". Below the boat it reads "SAT 14 JUNE '
    '8 PM" and "OLD QUAY BOATHOUSE". A red badge says "FREE ENTRY".'
)
SIZE = (1600, 1200)  # as drawn; the image is half as large
SHEET = (800, 1120)  # size of the poster before the perspective
CREAM = (250, 236, 206)


def draw_poster() -> Image.Image:
    """The scene, 800 x 600, RGB."""
    rng = np.random.default_rng(12)
    picture = _wall(rng)
    corners = ((500.0, 62.0), (1160.0, 118.0), (1150.0, 1048.0), (484.0, 1108.0))
    sheet = perspective(_sheet(rng).convert("RGBA"), corners, SIZE)
    shape = sheet.getchannel("A")
    drop_shadow(picture, shape, (12, 12), 9, 0.5)
    picture.paste(sheet, mask=shape)
    picture = shade(picture, _leaf_light(rng))
    return finish(picture, (SIZE[0] // 2, SIZE[1] // 2))


def _wall(rng: np.random.Generator) -> Image.Image:
    """Concrete slabs with anchor holes and water marks."""
    wall = gradient(SIZE, (186, 182, 174), (160, 155, 147))
    draw = ImageDraw.Draw(wall)
    for x in (330, 1310):
        draw.line([(x, 0), (x - 8, SIZE[1])], fill=(122, 118, 112), width=7)
        draw.line([(x + 7, 0), (x - 1, SIZE[1])], fill=(202, 198, 190), width=4)
    draw.line([(0, 560), (SIZE[0], 590)], fill=(126, 122, 116), width=6)
    draw.line([(0, 566), (SIZE[0], 596)], fill=(200, 196, 188), width=3)
    for x in (150, 1430):
        for y in (230, 880):
            draw.ellipse([x - 17, y - 17, x + 17, y + 17], fill=(112, 108, 102))
            draw.ellipse([x - 11, y - 9, x + 17, y + 17], fill=(138, 134, 127))
    stains = 0.93 + 0.10 * clouds(rng, SIZE, (22, 4)) + 0.05 * clouds(rng, SIZE, (7, 9))
    return shade(wall, stains)


def _sheet(rng: np.random.Generator) -> Image.Image:
    """The printed poster, flat, with two folds."""
    width, height = SHEET
    sheet = gradient(SHEET, (20, 38, 84), (64, 74, 128))
    _moon_and_river(sheet, rng)
    draw = ImageDraw.Draw(sheet)
    spaced(draw, width / 2, 158, "RIVER", font(150, "Sans-Bold"), CREAM, 14)
    spaced(draw, width / 2, 306, "JAZZ", font(150, "Sans-Bold"), (250, 196, 84), 26)
    spaced(draw, width / 2, 454, "NIGHT", font(150, "Sans-Bold"), CREAM, 14)
    draw.rectangle([0, 930, width, height], fill=CREAM)
    centred(draw, width / 2, 1010, "SAT 14 JUNE 8 PM", font(66, "Sans-Bold"), (24, 38, 80))
    centred(draw, width / 2, 1076, "OLD QUAY BOATHOUSE", font(50, "Sans"), (24, 38, 80))
    badge = Image.new("RGBA", (210, 210))
    ink = ImageDraw.Draw(badge)
    ink.ellipse([0, 0, 209, 209], fill=(206, 58, 50))
    ink.ellipse([12, 12, 197, 197], outline=CREAM, width=4)
    centred(ink, 105, 100, "FREE", font(54, "Sans-Bold"), CREAM)
    centred(ink, 105, 148, "ENTRY", font(44, "Sans-Bold"), CREAM)
    badge = badge.rotate(10, Image.Resampling.BICUBIC)
    sheet.paste(badge, (26, 652), badge)
    light = np.ones((height, width), np.float32)
    for fold, along in ((0.5, np.arange(height)), (0.5, np.arange(width))):
        distance = (along - fold * len(along)) / 12
        bend = 0.22 * distance * np.exp(-(distance**2))
        light -= bend[:, None] if len(along) == height else bend[None, :]
    return shade(sheet, light)


def _moon_and_river(sheet: Image.Image, rng: np.random.Generator) -> None:
    """The picture on the poster: the moon, its path on the water, a boat, hills."""
    width = sheet.width
    draw = ImageDraw.Draw(sheet)
    for left, top, wide in rng.integers((0, 0, 2), (width, 640, 5), (40, 3)).tolist():
        draw.ellipse([left, top, left + wide, top + wide], fill=(190, 200, 230))
    glow = Image.new("L", sheet.size)
    ImageDraw.Draw(glow).ellipse([250, 490, 650, 890], fill=110)
    sheet.paste((250, 214, 130), mask=glow.filter(ImageFilter.GaussianBlur(50)))
    draw.ellipse([320, 540, 580, 800], fill=(252, 222, 140))
    for x, y, size in ((370, 600, 40), (480, 580, 26), (500, 660, 48), (410, 690, 24)):
        draw.ellipse([x, y, x + size, y + size], fill=(240, 202, 116))
    hills = [(0, 740), (110, 690), (250, 742), (330, 722), (430, 752), (560, 714), (680, 742), (800, 690)]
    draw.polygon([*hills, (800, 790), (0, 790)], fill=(22, 30, 66))
    draw.rectangle([0, 770, width, 930], fill=(28, 52, 104))
    for i, y in enumerate(range(782, 930, 16)):
        reach = 150 - i * 7
        draw.rounded_rectangle(
            [450 - reach + (i * 53) % 40, y, 450 + reach - (i * 37) % 50, y + 7], 3, fill=(236, 200, 120)
        )
        draw.rounded_rectangle([(i * 131) % 260, y + 8, (i * 131) % 260 + 90, y + 11], 1, fill=(66, 96, 156))
        draw.rounded_rectangle([620 + (i * 97) % 120, y + 4, 690 + (i * 97) % 120, y + 7], 1, fill=(66, 96, 156))
    draw.polygon([(520, 838), (690, 838), (660, 880), (550, 880)], fill=(14, 20, 44))
    draw.line([(602, 640), (602, 840)], fill=(14, 20, 44), width=7)
    draw.polygon([(612, 652), (612, 826), (706, 826)], fill=CREAM)
    draw.polygon([(594, 690), (594, 826), (530, 826)], fill=(226, 206, 170))


def _leaf_light(rng: np.random.Generator) -> np.ndarray:
    """Sunlight through leaves, (height, width): soft dark ovals that gather in the upper right corner."""
    shadow = Image.new("L", (SIZE[0] // 4, SIZE[1] // 4))
    draw = ImageDraw.Draw(shadow)
    for _ in range(120):
        x = shadow.width * (1 - abs(rng.normal(0, 0.42)))
        y = shadow.height * abs(rng.normal(0, 0.32))
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(11, 19), rng.uniform(4, 7)
        turn = np.linspace(0, 2 * np.pi, 20)
        leaf = [
            (
                x + long * np.cos(t) * np.cos(angle) - short * np.sin(t) * np.sin(angle),
                y + long * np.cos(t) * np.sin(angle) + short * np.sin(t) * np.cos(angle),
            )
            for t in turn
        ]
        draw.polygon(leaf, fill=255)
    soft = shadow.filter(ImageFilter.GaussianBlur(4)).resize(SIZE, Image.Resampling.BICUBIC)
    fall = np.linspace(1.06, 0.86, SIZE[1])[:, None]
    return fall * (1 - 0.34 * np.asarray(soft, np.float32) / 255)
