"""Convert text on coloured or mid-tone backgrounds to dark ink on white paper.

The networks were trained on dark text on light paper and light text on dark paper. White on orange has little contrast
in any single channel, and red on green has none in brightness. On such backgrounds each pixel is replaced by a grey
value: its distance from the background colour towards the ink colour. Other backgrounds are not changed.
"""

import cv2
import numpy as np

from nanochat.lines.quantiles import median, median_of_counts, percentiles

LIGHT, DARK = 150, 110  # a background is known if all its channels are above LIGHT or all below DARK
LIGHT_FLAT = 190  # in place of LIGHT for a flat box, which may contain white text
COLOURED = 40  # least difference between the channels of a coloured background; below it is grey
PAPER, INK = 245.0, 20.0  # grey values of the background and the ink after the conversion
LEAST_CONTRAST = 24.0  # RGB distance from the background below which a pixel is noise, not ink
INKED = 80.0  # percentile of the distances of non-background pixels that is taken as that of the ink
FEWEST_INKED = 0.001  # least share of pixels that are ink
LIGHTER = 30.0  # levels by which ink is lighter than a light background
ALIKE = 20  # largest difference per channel of a pixel of a flat background from its colour
BIN = 16  # levels of a channel per histogram bin
LEAST_SIDE = 14  # px: least shorter side of a flat background
LEAST_FILLED = 0.4  # least share of a flat background's bounding box with its colour; the rest is text
SHARP_EDGE = 0.6  # least share of its outline with a sharp edge; shadows have none
LEAST_SHARE = 0.002  # least share of the page that a flat background covers
MOST_COLOURS = 12  # most background colours searched for on one page


def is_known(ground: np.ndarray) -> bool:
    """Whether a background, RGB, is as light or as dark as those that the networks were trained on."""
    return bool(ground.min() >= LIGHT or ground.max() <= DARK)


def stretched(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Make the background of pixels, RGB uint8 (H, W, 3), white and their ink dark. Returns uint8 (H, W, 3).

    The background is RGB, (3,) or (W, 3) per column. Pixels without ink are returned unchanged.
    """
    apart = pixels.astype(np.float32) - ground.astype(np.float32)
    far = np.sqrt((apart**2).sum(2))
    inked = far > LEAST_CONTRAST
    if inked.mean() < FEWEST_INKED:
        return pixels
    ink = float(np.percentile(far[inked], INKED))
    direction = apart[far >= 0.8 * ink].mean(0)
    length = float(np.sqrt((direction**2).sum()))
    if length < LEAST_CONTRAST:  # ink of two colours, on both sides of the background colour
        share = far / ink
    else:
        share = (apart @ (direction / length)) / length
    grey = PAPER - (PAPER - INK) * np.clip(share, 0, 1)
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def level_strip(strip: np.ndarray, reach: int) -> np.ndarray:
    """Convert a line of text, RGB uint8 (H, W, 3), to white paper if its background is not of a known kind.

    `reach`: number of columns over which the background colour is smoothed.
    """
    whole = np.array([median(strip[..., channel]) for channel in range(3)])
    if not _must_be_levelled(strip, whole):
        return strip
    rows = max(1, len(strip) // 8)
    edges = np.median(np.concatenate([strip[:rows], strip[-rows:]]), axis=0).astype(np.uint8)  # (W, 3)
    window = min(255, 2 * max(1, reach) + 1)
    ground = np.stack([cv2.medianBlur(np.ascontiguousarray(edges[None, :, i]), window)[0] for i in range(3)], 1)
    return stretched(strip, ground)


def _must_be_levelled(pixels: np.ndarray, ground: np.ndarray) -> bool:
    """Whether text on this background, RGB, must be converted because the networks were not trained on its kind.

    They were trained on dark ink on grey, as in a shadow, and on pale colours.
    """
    if _has_lighter_ink(pixels, float(ground.mean())):
        return bool(ground.max() > DARK)
    if ground.mean() < LIGHT and np.ptp(ground) >= COLOURED and _is_alike_in_brightness(pixels, ground):
        return True
    return bool(not is_known(ground) and np.ptp(ground) >= COLOURED and ground.mean() < LIGHT)


def _is_alike_in_brightness(pixels: np.ndarray, ground: np.ndarray) -> bool:
    """Whether ink differs from its background, RGB, in colour but hardly in brightness. pixels: RGB (H, W, 3)."""
    apart = np.abs(pixels.astype(np.int16) - ground.astype(np.int16))
    brightness = np.abs(pixels.sum(2, dtype=np.int16) - int(ground.sum())) / 3
    inked = apart.max(2) > ALIKE
    if inked.mean() < FEWEST_INKED:
        return False
    return float(np.percentile(brightness[inked], INKED)) < LIGHTER < float(np.percentile(apart.max(2)[inked], INKED))


def _has_lighter_ink(strip: np.ndarray, ground: float) -> bool:
    """Whether the ink on a light background of this mean brightness is lighter than the background."""
    sums = strip[..., 0].astype(np.uint16) + strip[..., 1] + strip[..., 2]  # integers are sorted faster
    lighter, darker = (percentiles(sums.ravel(), (97, 3)) / 3 - ground) * (1, -1)
    return bool(lighter > max(LIGHTER, darker))


def level_page(page: np.ndarray) -> np.ndarray:
    """Make the flat backgrounds of unknown kinds of a page, RGB uint8 (H, W, 3), white and their text dark.

    These are boxes, bars and buttons of one colour that contain text. Returns the page itself if it has none.
    """
    levelled = page
    for colour in _colours(page):
        alike = cv2.inRange(page, *(np.clip(colour + d, 0, 255).astype(np.float64) for d in (-ALIKE, ALIKE)))
        outlines, _ = cv2.findContours(alike, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            left, top, width, height = cv2.boundingRect(outline)
            if min(width, height) < LEAST_SIDE or max(width, height) < 2 * LEAST_SIDE:
                continue
            window = np.s_[top : top + height, left : left + width]
            inside = np.zeros((height, width), np.uint8)
            cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED, offset=(-left, -top))
            plain = cv2.bitwise_and(alike[window], inside)  # where it shows its colour
            filled = cv2.countNonZero(plain) / cv2.countNonZero(inside)
            if filled < LEAST_FILLED:
                continue
            ground = _colour_of(page[window], plain)
            if not _ends_sharply(page, inside, (left, top), ground):
                continue
            shown = inside.astype(bool)
            if not _must_be_levelled(page[window][shown][None], ground):
                continue
            if levelled is page:
                levelled = page.copy()
            levelled[window][shown] = stretched(page[window][shown][None], ground)[0]
    return levelled


def _colours(page: np.ndarray) -> list[np.ndarray]:
    """The most frequent colours of a page that are backgrounds of unknown kinds, each RGB as int."""
    small = page[::4, ::4]
    bins = small.astype(np.uint16) // BIN
    keys = (bins[..., 0] * BIN + bins[..., 1]) * BIN + bins[..., 2]  # (h, w)
    flat = np.zeros(keys.shape, bool)
    flat[1:, 1:] = (keys[1:, 1:] == keys[1:, :-1]) & (keys[1:, 1:] == keys[:-1, 1:])  # letter edges are not flat
    red, green, blue = np.moveaxis(small, 2, 0)  # far faster than along the last axis
    darkest, lightest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    unknown = flat & (darkest < LIGHT_FLAT) & ((lightest > DARK) | (lightest - darkest >= COLOURED))
    if not unknown.any():
        return []
    seen = small[unknown]  # (N, 3)
    _, which, counts = np.unique(keys[unknown], return_inverse=True, return_counts=True)
    found: list[np.ndarray] = []
    for i in np.argsort(-counts)[: 2 * MOST_COLOURS]:
        if counts[i] < LEAST_SHARE * keys.size:
            break
        colour = np.median(seen[which == i], axis=0).astype(int)
        if all(np.abs(colour - other).max() > ALIKE for other in found):
            found.append(colour)
    return found[:MOST_COLOURS]


def _colour_of(pixels: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The median of each channel of RGB pixels, uint8 (H, W, 3), where `where`, uint8 (H, W), is set: float64 (3,)."""
    counts = (cv2.calcHist([pixels], [channel], where, [256], [0, 256]) for channel in range(3))
    return np.array([median_of_counts(some.ravel().astype(np.int64)) for some in counts])


def _ends_sharply(page: np.ndarray, inside: np.ndarray, corner: tuple[int, int], colour: np.ndarray) -> bool:
    """Whether an area of one colour, RGB, is a background: another colour begins at its edge.

    inside: (h, w), the area, whose upper left corner is at `corner`.
    """
    left, top = corner
    height, width = inside.shape
    low, high = (max(0, top - 4), max(0, left - 4)), (top + height + 4, left + width + 4)
    around = page[low[0] : high[0], low[1] : high[1]]
    area = np.zeros(around.shape[:2], np.uint8)
    area[top - low[0] : top - low[0] + height, left - low[1] : left - low[1] + width] = inside
    outside = cv2.dilate(area, np.ones((7, 7), np.uint8)) > cv2.dilate(area, np.ones((5, 5), np.uint8))
    if not outside.any():  # the area fills the page
        return True
    return bool((np.abs(around[outside] - colour).max(1) > 2 * ALIKE).mean() > SHARP_EDGE)
