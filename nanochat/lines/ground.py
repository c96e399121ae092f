"""Text on coloured or mid-tone grounds, shown as dark ink on white paper.

The networks learnt dark text on light paper and light text on dark paper. White on orange has little contrast in any
one channel, and red on green none in brightness. On such grounds each pixel is replaced by how far it lies from the
ground towards the ink, as a grey value. Other grounds are left as they are.
"""

import cv2
import numpy as np

from nanochat.lines.quantiles import median, median_of_counts, percentiles

LIGHT, DARK = 150, 110  # a ground is known if no channel is darker than the first, or none is lighter than the second
LIGHT_FLAT = 190  # the first for a flat box, in which white text may stand
COLOURED = 40  # from the darkest to the lightest channel of a ground: under it, it is grey
PAPER, INK = 245.0, 20.0  # grey values that ground and ink become
LEAST_CONTRAST = 24.0  # distance from the ground in RGB under which there is no ink but noise
INKED = 80.0  # percentile of the distances from the ground, of what is no ground, that counts as the ink's
FEWEST_INKED = 0.001  # share of the pixels that ink covers
LIGHTER = 30.0  # levels: ink that is lighter than a light ground by so much
ALIKE = 20  # how far a pixel of a flat ground may lie from its colour, per channel
BIN = 16  # levels of a channel that are counted together
LEAST_SIDE = 14  # px: shorter side of a flat ground
LEAST_FILLED = 0.4  # share of a flat ground's outline that shows its colour: the rest is text
SHARP_EDGE = 0.6  # share of its outline at which another colour begins: a shade of a shadow runs into the next one
LEAST_SHARE = 0.002  # of a page that a flat ground covers
MOST_COLOURS = 12  # that are looked for on one page


def is_known(ground: np.ndarray) -> bool:
    """Whether a ground, RGB, is as light or as dark as the papers that the networks learnt."""
    return bool(ground.min() >= LIGHT or ground.max() <= DARK)


def stretched(pixels: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) on a ground, RGB, (3,) or (W, 3) by column: the ground white, the ink dark, (H, W, 3) uint8.

    Pixels without ink are returned as they are.
    """
    apart = pixels.astype(np.float32) - ground.astype(np.float32)
    far = np.sqrt((apart**2).sum(2))
    inked = far > LEAST_CONTRAST
    if inked.mean() < FEWEST_INKED:
        return pixels
    ink = float(np.percentile(far[inked], INKED))
    direction = apart[far >= 0.8 * ink].mean(0)
    length = float(np.sqrt((direction**2).sum()))
    if length < LEAST_CONTRAST:  # ink of two colours, on either side of the ground's
        share = far / ink
    else:
        share = (apart @ (direction / length)) / length
    grey = PAPER - (PAPER - INK) * np.clip(share, 0, 1)
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def level_strip(strip: np.ndarray, reach: int) -> np.ndarray:
    """A line of text, RGB uint8 (H, W, 3), on white paper if its ground is not of a known kind.

    `reach`: columns over which the ground's colour is taken together.
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
    """Whether text on this ground, RGB, is of a kind that the networks have not learnt.

    They have learnt dark ink on grey, as in a shadow, and on pale colours.
    """
    if _has_lighter_ink(pixels, float(ground.mean())):
        return bool(ground.max() > DARK)
    return bool(not is_known(ground) and np.ptp(ground) >= COLOURED and ground.mean() < LIGHT)


def _has_lighter_ink(strip: np.ndarray, ground: float) -> bool:
    """Whether what stands on a light ground of this mean brightness is lighter still."""
    sums = strip[..., 0].astype(np.uint16) + strip[..., 1] + strip[..., 2]  # whole numbers are sorted faster
    lighter, darker = (percentiles(sums.ravel(), (97, 3)) / 3 - ground) * (1, -1)
    return bool(lighter > max(LIGHTER, darker))


def level_page(page: np.ndarray) -> np.ndarray:
    """A page, RGB uint8 (H, W, 3), whose flat grounds of unknown kinds are made white and their text dark.

    Boxes, bars and buttons of one colour with text in them. The page itself is returned where there are none.
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
    """The commonest colours of a page that are grounds of unknown kinds, RGB each, in int."""
    small = page[::4, ::4]
    bins = small.astype(np.uint16) // BIN
    keys = (bins[..., 0] * BIN + bins[..., 1]) * BIN + bins[..., 2]  # (h, w)
    flat = np.zeros(keys.shape, bool)
    flat[1:, 1:] = (keys[1:, 1:] == keys[1:, :-1]) & (keys[1:, 1:] == keys[:-1, 1:])  # the rims of letters are not
    red, green, blue = np.moveaxis(small, 2, 0)  # far faster than along the last axis
    darkest, lightest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    unknown = flat & (darkest < LIGHT_FLAT) & (lightest > DARK)
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
    """Whether an area of one colour, RGB, is a ground: another colour begins at its edge.

    inside: (h, w), the area, whose upper left corner is at `corner`.
    """
    left, top = corner
    height, width = inside.shape
    low, high = (max(0, top - 4), max(0, left - 4)), (top + height + 4, left + width + 4)
    around = page[low[0] : high[0], low[1] : high[1]]
    area = np.zeros(around.shape[:2], np.uint8)
    area[top - low[0] : top - low[0] + height, left - low[1] : left - low[1] + width] = inside
    outside = cv2.dilate(area, np.ones((7, 7), np.uint8)) > cv2.dilate(area, np.ones((5, 5), np.uint8))
    if not outside.any():  # it fills the page
        return True
    return bool((np.abs(around[outside] - colour).max(1) > 2 * ALIKE).mean() > SHARP_EDGE)
