"""Degradations by printing, paper, light, lens and file format. None of them moves the content of the image."""

import random
from functools import cache

import cv2
import numpy as np

TOLD_APART = 0.6  # least difference between mean ink and mean paper of a black-and-white image, as a share of 255
_BANK, _LARGE_BANK = 1280, 2304  # px; the second is for larger images, and no sheet exceeds it


@cache
def _bank(sigma: float, side: int) -> np.ndarray:
    """Noise (side, side) float32, mean 0, standard deviation 1, blurred with `sigma` px. The same in every process."""
    field: np.ndarray = np.random.default_rng(20240611).standard_normal((side, side), np.float32)
    if sigma:
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))
    return (field - field.mean()) / field.std()


def noise(shape: tuple[int, ...], rng: random.Random, sigma: float = 0) -> np.ndarray:
    """Noise (H, W), or (H, W, 1) for a colour `shape`, out of a large fixed field. sigma: blur, 0, 1, 3 or 24 px."""
    height, width = shape[:2]
    side = _BANK if max(height, width) <= _BANK else _LARGE_BANK
    y, x = rng.randrange(side - height + 1), rng.randrange(side - width + 1)
    window = _bank(sigma, side)[y : y + height, x : x + width]
    return window[:, :, None] if len(shape) == 3 else window


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Float pixels clipped to 0..255, as uint8."""
    return np.clip(pixels, 0, 255).astype(np.uint8)


def sheet_colour(image: np.ndarray) -> np.ndarray:
    """The paper colour: the median, float, (channels,), or a scalar for a grey image."""
    return np.median(image[::4, ::4], axis=(0, 1))


def ink_colour(image: np.ndarray) -> np.ndarray:
    """The ink colour, same shape as `sheet_colour`: the 1st percentile, or the 99th if the paper is dark."""
    return np.percentile(image, 1 if np.mean(sheet_colour(image)) > 128 else 99, axis=(0, 1))


def ink_cover(image: np.ndarray, type_height: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(cover, paper, ink): ink coverage at each pixel, float32 (H, W) in [0, 1]; the local paper colour; the ink
    colour.

    The paper, float32 with the shape of the image, is the local median, so shadows and dark bands do not count as ink.
    """
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    around = cv2.medianBlur(small, 2 * max(round(type_height / 3), 1) + 1)
    paper = cv2.resize(around, image.shape[1::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    sheet = sheet_colour(image).astype(np.float32)
    ink = ink_colour(image).astype(np.float32)
    away = np.abs(image.astype(np.float32) - paper).reshape(*image.shape[:2], -1).mean(2)
    return np.minimum(away / max(float(np.abs(ink - sheet).mean()), 1.0), 1.0), paper, ink


def with_ink(ground: np.ndarray, step: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """`ground`, (H, W) or (H, W, 3), plus `step` (ink minus paper) times `cover` (H, W), as uint8."""
    return to_bytes(ground + step * (cover[:, :, None] if ground.ndim == 3 else cover))


def head_noise(shape: tuple[int, int], rng: random.Random, sigmas: tuple[float, ...], share: float) -> np.ndarray:
    """Noise (H, W) of a receipt printer; in a `share` of cases per dot of its head: one value a column or row."""
    field = noise(shape, rng, rng.choice(sigmas))
    form = rng.random()
    if form >= share:
        return field
    return np.broadcast_to(field[:1] if form < share / 2 else field[:, :1], shape)


def _dots(image: np.ndarray, dark_ink: bool, px: int, strength: float, rng: random.Random) -> np.ndarray:
    """Printed as a grid of equal dots, at least 14 per type size, with some missing, as receipt printers do."""
    height, width = image.shape[:2]
    pitch = rng.uniform(1.0, max(px / 14, 1.0))
    grid = (max(round(width / pitch), 1), max(round(height / pitch * rng.uniform(0.8, 1.0)), 1))
    dots = cv2.resize(image, grid, interpolation=cv2.INTER_AREA)
    paper = sheet_colour(image)
    ink = float(image.min() if dark_ink else image.max())
    cover = np.abs(dots - paper).reshape(grid[1], grid[0], -1).mean(2) / max(np.abs(paper - ink).mean(), 1)
    field = head_noise(cover.shape, rng, (0, 1, 3), 0.3)
    bar = rng.uniform(0.25, 0.45) + field * rng.uniform(0, 0.04 + 0.1 * strength)
    printed = (cover > bar).astype(np.float32) * np.float32(rng.uniform(0.8, 1.0))
    form = rng.choice((cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
    printed = cv2.resize(printed, (width, height), interpolation=form)
    return to_bytes(paper + (ink - paper) * (printed[:, :, None] if image.ndim == 3 else printed))


def strokes(image: np.ndarray, dark_ink: bool, px: int, strength: float, rng: random.Random) -> np.ndarray:
    """Ink that has spread (bolder), or is thin or worn, before the sheet is photographed. px: the type size."""
    if px >= 15 and rng.random() < 0.05 + 0.15 * strength:
        image = _dots(image, dark_ink, px, strength, rng)
    form = rng.random()
    if form < 0.10 + 0.15 * strength:  # bolder or thinner by a fraction of a pixel: a blend with fully grown strokes
        kernel = np.ones((2, 2) if rng.random() < 0.5 else (1, 2), np.uint8)
        bolder = rng.random() < 0.65
        grown = cv2.erode(image, kernel) if bolder == dark_ink else cv2.dilate(image, kernel)
        most = min(1.0, max(px - 8, 0) / 12) if bolder else min(0.6, max(px - 12, 0) / 20)
        share = rng.uniform(0, most)
        return cv2.addWeighted(image, 1 - share, grown, share, 0)
    if form < 0.16 + 0.35 * strength:  # worn: the ink fades in patches, rows or specks
        paper = sheet_colour(image)
        field = noise(image.shape, rng, rng.choice((0, 1, 3, 24)))
        if rng.random() < 0.3:  # dead rows of a thermal print head
            field = np.broadcast_to(field[:, :1], image.shape)
        loss = np.clip(field * rng.uniform(0.1, 0.3) + rng.uniform(0, 0.35), 0, 0.35 + 0.35 * strength)
        return to_bytes(image + (paper - image) * loss)
    return image


def _resolution(pixels: np.ndarray, px: float, strength: float, rng: random.Random) -> np.ndarray:
    """Out of focus, motion-blurred or scanned at low resolution, but type of `px` px stays readable for a person."""
    form = rng.random()
    height, width = pixels.shape[:2]
    if form < 0.1 + 0.15 * strength:
        least = min(1.0, (10.5 - 2.5 * strength) / px)
        factor = rng.uniform(max(least, 0.4), 1.0)
        small = (max(round(width * factor), 1), max(round(height * factor), 1))
        down = cv2.resize(pixels, small, interpolation=rng.choice((cv2.INTER_AREA, cv2.INTER_LINEAR)))
        return cv2.resize(
            down, (width, height), interpolation=rng.choice((cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST))
        )
    if form < 0.3 + 0.3 * strength:
        most = (0.35 + 0.45 * strength) * min(px, 28) / 14
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.25, max(most, 0.3)))
    if form < 0.3 + 0.38 * strength:
        length = 2 if px < 18 else rng.choice((2, 3))
        return cv2.blur(pixels, (length, 1) if rng.random() < 0.6 else (1, length))
    return pixels


def _light(pixels: np.ndarray, strength: float, rng: random.Random) -> np.ndarray:
    """Paper grain, uneven light and shadows, applied in float32."""
    height, width = pixels.shape[:2]
    if rng.random() < 0.15 + 0.25 * strength:
        pixels = pixels + noise(pixels.shape, rng, rng.choice((1, 3, 24))) * rng.uniform(1, 4 + 8 * strength)
    if rng.random() < 0.12 + 0.4 * strength:
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        angle = rng.uniform(0, 2 * np.pi)
        ramp = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        if rng.random() < 0.4:  # the edge of a shadow rather than a slope
            ramp = np.tanh((ramp - rng.uniform(-0.6, 0.6)) * rng.uniform(3, 14))
        gain = 1 - rng.uniform(0.03, 0.08 + 0.2 * strength) * (ramp + 1)
        pixels = pixels * (gain[:, :, None] if pixels.ndim == 3 else gain)
    return pixels


def _sensor(pixels: np.ndarray, strength: float, rng: random.Random) -> np.ndarray:
    """Contrast, sensor noise and specks. Returns uint8."""
    if rng.random() < 0.3:
        pixels = (np.asarray(pixels, np.float32) - 128) * rng.uniform(1 - 0.25 * strength, 1.2) + 128
        pixels = pixels + rng.uniform(-20, 20) * strength
    if rng.random() < 0.5:
        pixels = pixels + noise(pixels.shape, rng) * (rng.random() ** 2 * (5 + 25 * strength))
    if pixels.dtype != np.uint8:
        pixels = to_bytes(pixels)
    if rng.random() < 0.12 * strength:  # specks of dust and toner
        height, width = pixels.shape[:2]
        for _ in range(max(1, height * width // 4000)):
            y, x = rng.randrange(height), rng.randrange(width)
            pixels[y : y + rng.randint(1, 2), x : x + rng.randint(1, 2)] = rng.choice((0, 255))
    return pixels


def fax(pixels: np.ndarray, px: float, bar: float = 0.92) -> np.ndarray:
    """Black and white only, with a local threshold, as produced by fax machines and some scanners.

    bar: pixels darker than this share of their surroundings become black; the lower, the thinner the strokes.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    middle = float(np.median(grey[::4, ::4]))
    around = cv2.GaussianBlur(grey, (0, 0), 1.5 * px)
    threshold = around * bar if middle > 128 else around * (2 - bar) + 6
    return np.where(grey > threshold, 255, 0).astype(np.uint8)


def _tells_apart(pixels: np.ndarray, image: np.ndarray, px: float) -> bool:
    """Whether a black-and-white image (H, W) still separates ink from paper, both as in `image`, which has its size."""
    cover, _, _ = ink_cover(image, px)
    ink = cover > 0.5
    return not ink.any() or abs(float(pixels[ink].mean()) - float(pixels[~ink].mean())) > TOLD_APART * 255


def camera(image: np.ndarray, px: float, strength: float, rng: random.Random) -> np.ndarray:
    """Degradations between a flat, sharp, evenly lit sheet and the image file. Each is applied at random.

    strength in [0, 1]: probability and severity; 0 changes nothing. px: the smallest type size in the image.
    """
    if strength <= 0 or rng.random() < 0.12:
        return image
    strength *= rng.uniform(0.3, 1.0)
    pixels = _sensor(_light(_resolution(image, px, strength, rng), strength, rng), strength, rng)
    form = rng.random()
    if form < 0.5 * strength:
        quality = rng.randint(int(75 - 50 * strength), 90)
        pixels = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED)
        )
    elif form > 1 - 0.08 * strength and px >= 16:
        faxed = fax(pixels, px)
        pixels = faxed if _tells_apart(faxed, image, px) else pixels  # text in a shadow can be lost completely
    return pixels
