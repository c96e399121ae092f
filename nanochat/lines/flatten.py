"""The positions that segments of text would have if their page were level and flat.

A photographed page may be rotated, curled or seen from the side. Its lines then have different slopes, and a price far
to the right is at the height of another item. The shape of the page is estimated from the slopes of the lines and from
segments that are next to each other.
"""

from dataclasses import replace

import numpy as np

from nanochat.lines.placed import Placed
from nanochat.lines.quantiles import weighted_median
from nanochat.lines.segment import Segment

# Heights and lengths are multiples of the type height.
STEADY = 8.0  # least length of a segment whose slope is used
PART, MOST_PARTS = 8.0, 4  # length and greatest number of the parts of a long segment, each with its own slope
UNSURE = 0.1  # vertical uncertainty of the ends of a part
POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1))  # powers of x and y in the slope
LIKELY = 0.1, 0.05, 0.03, 0.02  # standard deviation of the coefficients of each degree
ROUNDS = 5
SAME_TYPE = 2.2  # largest ratio of the type heights of neighbours on a line
NEARLY = 0.5  # largest vertical distance of neighbours that are fitted
APART = 0.2  # standard deviation of their vertical distance on a flat page
MOST_REMAINING = 0.045  # largest slope that is determined from neighbours alone
SURELY = 1.2  # a slope is accepted if it aligns this many times as many neighbours
LONGEST, AT_ENDS = 3, 0.3  # so many of the longest lines limit that slope; how far the ends of the last may be off


def place(segments: list[Segment]) -> list[Placed]:
    """The positions of segments (at least one) on the page after it was rotated level and flattened."""
    long = [s for s in segments if s.length >= STEADY * s.height] or segments
    angle = weighted_median([s.angle for s in long], [s.length**2 for s in long])  # long segments are more reliable
    placed = _flattened(_turned(segments, angle), angle)
    slope = _remaining_slope(placed)
    return [replace(s, y=s.y - slope * (s.left + s.right) / 2) for s in placed]


def _turn_back(angle: float) -> np.ndarray:
    """Matrix (2, 2) that rotates rows of x, y back by `angle` radians when they are multiplied by it."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _turned(segments: list[Segment], angle: float) -> list[Placed]:
    """The segments on the page after rotating it back by `angle` radians."""
    placed, turn = [], _turn_back(angle)
    for segment in segments:
        (x0, y0), (x1, y1) = segment.ends @ turn
        placed.append(Placed(segment, x0, x1, (y0 + y1) / 2))
    return placed


def _middles(placed: list[Placed]) -> np.ndarray:
    """(N, 2): x and y of the middle of each segment."""
    return np.array([((s.left + s.right) / 2, s.y) for s in placed])


def _slopes(placed: list[Placed], angle: float) -> np.ndarray:
    """(N, 4): x, y, the slope there on the page rotated back by `angle`, and the uncertainty of the slope."""
    found, turn = [], _turn_back(angle)
    for segment in (s.segment for s in placed):
        parts = min(max(1, int(segment.length / (PART * segment.height))), MOST_PARTS)
        for part in np.array_split(segment.points @ turn, parts):
            middle = part.mean(0)
            x, y = (part - middle).T
            if x.any():
                found.append((*middle, x @ y / (x @ x), UNSURE * segment.height / np.ptp(x)))
    return np.array(found).reshape(-1, 4)


def _flattened(placed: list[Placed], angle: float) -> list[Placed]:
    """Move segments of a page rotated back by `angle` up or down to their positions on a flat page.

    The slope of lines is modelled as a polynomial of the position, and its integral from the middle of the page is the
    vertical displacement. The polynomial is fitted to the slopes of the segments, and then also to neighbours, which
    should be at the same height.
    """
    x, y, slope, off = _slopes(placed, angle).T
    places = _middles(placed)
    middle = (places.min(0) + places.max(0)) / 2
    scale = max(float(np.ptp(places, axis=0).max()) / 2, 1.0)
    u, v = (x - middle[0]) / scale, (y - middle[1]) / scale
    slopes = np.stack([u**i * v**j for i, j in POWERS], 1)  # (N, 8): of each term
    u, v = ((places - middle) / scale).T
    falls = np.stack([scale * u ** (i + 1) / (i + 1) * v**j for i, j in POWERS], 1)  # (segments, 8)
    factors = _fit(slopes, slope, off)
    left, right, height = _beside(placed)
    for _ in range(ROUNDS):
        flat = places[:, 1] - falls @ factors
        near = np.abs(flat[right] - flat[left]) < NEARLY * height
        a, b = left[near], right[near]
        factors = _fit(
            np.concatenate([slopes, falls[b] - falls[a]]),
            np.concatenate([slope, places[b, 1] - places[a, 1]]),
            np.concatenate([off, APART * height[near]]),
        )
    return [replace(s, y=s.y - fall) for s, fall in zip(placed, falls @ factors)]


def _fit(terms: np.ndarray, sums: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Coefficients (8,) of terms (N, 8) that best give `sums` (N,), with uncertainties `off` (N,) and outliers.

    Least squares with a normal prior on the coefficients, reweighted by the residuals (Cauchy weights).
    """
    prior = np.diag([1 / LIKELY[i + j] ** 2 for i, j in POWERS])
    weights = 1 / off**2
    for _ in range(ROUNDS):
        factors = np.linalg.solve(terms.T * weights @ terms + prior, terms.T * weights @ sums)
        weights = 1 / (off**2 + (sums - terms @ factors) ** 2)
    return factors


def _beside(placed: list[Placed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of segments next to each other: indices of the left and the right ones, and the smaller type height."""
    x, y = _middles(placed).T
    width, height = np.array([(s.width, s.height) for s in placed]).T
    apart = x[None] - x[:, None]
    low, high = np.minimum(height[None], height[:, None]), np.maximum(height[None], height[:, None])
    beside = (apart > (width[None] + width[:, None]) / 2) & (apart > 4 * height[:, None]) & (high < SAME_TYPE * low)
    beside &= np.abs(y[None] - y[:, None]) < MOST_REMAINING * apart + height[None]  # no slope aligns others
    left, right = np.nonzero(beside)
    return left, right, low[left, right]


def _remaining_slope(placed: list[Placed]) -> float:
    """The remaining slope of the lines, estimated from the positions of all neighbours together.

    The slopes of short segments are too uncertain to decide which price belongs to which item. A small slope is
    preferred to a large one, which would align each item with the price of the next. The longer the lines, the smaller
    is the slope that they may still have.
    """
    left, right, height = _beside(placed)
    if not len(left):
        return 0.0
    x, y = _middles(placed).T
    slopes = np.linspace(-MOST_REMAINING, MOST_REMAINING, 41)
    rise = (y[right] - y[left])[None] - slopes[:, None] * (x[right] - x[left])[None]  # (41, pairs)
    score = np.exp(-((rise / (0.2 * height)) ** 2)).sum(1)
    longest = sorted(s.width / s.height for s in placed)[-LONGEST:][0]
    score *= np.exp(-((slopes / min(MOST_REMAINING, AT_ENDS / longest)) ** 2))
    best = int(score.argmax())
    return float(slopes[best]) if score[best] > SURELY * score[len(slopes) // 2] else 0.0
