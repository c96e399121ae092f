"""Where stretches of text would stand if their page were level and flat.

A page in a photograph is turned, seen from the side, curled: its lines run at many slopes, and a price, far away,
stands beside another article. The lines' own slopes tell how the page lies, and so does what stands beside each other.
"""

from dataclasses import replace

import numpy as np

from nanochat.lines.finder import Segment, weighted_median
from nanochat.lines.placed import Placed

# Heights and lengths in heights of the type.
STEADY = 8.0  # a shorter segment's slope says little of the page's
PART, MOST_PARTS = 8.0, 4  # of a longer segment each such part has a slope of its own
UNSURE = 0.1  # how far the ends of a part may lie too high or too low
POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1))  # of x and y in the slope of lines
LIKELY = 0.1, 0.05, 0.03, 0.02  # how large the factors of each degree may well be
ROUNDS = 5
SAME_TYPE = 2.2  # times as tall at most are neighbours on a line
NEARLY = 0.5  # how far apart neighbours may still stand when what stands beside each other is fitted
APART = 0.2  # how far apart they may be meant to stand
MOST_REMAINING = 0.045  # px a px: slope that the neighbours alone may show
SURELY = 1.2  # times as many of them at one height: then it is believed


def place(segments: list[Segment]) -> list[Placed]:
    """The segments, at least one, on a page that is turned level and made flat."""
    long = [s for s in segments if s.length >= STEADY * s.height] or segments
    angle = weighted_median([s.angle for s in long], [s.length**2 for s in long])  # long ones know it better
    placed = _flattened(_turned(segments, angle), angle)
    slope = _remaining_slope(placed)
    return [replace(s, y=s.y - slope * (s.left + s.right) / 2) for s in placed]


def _turn_back(angle: float) -> np.ndarray:
    """(2, 2): what rows of x and y are multiplied by to turn them back by `angle` radians."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _turned(segments: list[Segment], angle: float) -> list[Placed]:
    """The segments on a page turned back by `angle` radians."""
    placed, turn = [], _turn_back(angle)
    for segment in segments:
        (x0, y0), (x1, y1) = segment.ends @ turn
        placed.append(Placed(segment, x0, x1, (y0 + y1) / 2))
    return placed


def _middles(placed: list[Placed]) -> np.ndarray:
    """(N, 2): x and y of each segment's middle."""
    return np.array([((s.left + s.right) / 2, s.y) for s in placed])


def _slopes(placed: list[Placed], angle: float) -> np.ndarray:
    """(N, 4): x, y, the slope of a line there on a page turned back by `angle`, and how far that may be off."""
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
    """Segments of a page turned back by `angle`, moved up or down to where they would stand if it were flat.

    The slope of lines is taken for a polynomial of the place. What it adds up to from the middle of the page on is how
    far lines fall. It is fitted to the segments' own slopes, then also to neighbours: they stand at one height.
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
    """Factors (8,) by which terms (N, 8) add up to sums (N,) that may each be `off` (N,) by so much, or wrong.

    Least squares with a normal prior for the factors, weighted anew with what is left over (Cauchy's weights).
    """
    prior = np.diag([1 / LIKELY[i + j] ** 2 for i, j in POWERS])
    weights = 1 / off**2
    for _ in range(ROUNDS):
        factors = np.linalg.solve(terms.T * weights @ terms + prior, terms.T * weights @ sums)
        weights = 1 / (off**2 + (sums - terms @ factors) ** 2)
    return factors


def _beside(placed: list[Placed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segments beside each other at about one height: numbers of the left and right ones, the smaller type's height."""
    x, y = _middles(placed).T
    width, height = np.array([(s.width, s.height) for s in placed]).T
    apart = x[None] - x[:, None]
    low, high = np.minimum(height[None], height[:, None]), np.maximum(height[None], height[:, None])
    beside = (apart > (width[None] + width[:, None]) / 2) & (apart > 4 * height[:, None]) & (high < SAME_TYPE * low)
    beside &= np.abs(y[None] - y[:, None]) < MOST_REMAINING * apart + height[None]  # no slope brings others together
    left, right = np.nonzero(beside)
    return left, right, low[left, right]


def _remaining_slope(placed: list[Placed]) -> float:
    """How far lines still fall for each px to the right, by the places of all neighbours together.

    Short segments do not know their slope well enough to say which price belongs to which article. A small slope is
    likelier than a large one, by which each would meet its neighbour's price.
    """
    left, right, height = _beside(placed)
    if not len(left):
        return 0.0
    x, y = _middles(placed).T
    slopes = np.linspace(-MOST_REMAINING, MOST_REMAINING, 41)
    rise = (y[right] - y[left])[None] - slopes[:, None] * (x[right] - x[left])[None]  # (41, pairs)
    score = np.exp(-((rise / (0.2 * height)) ** 2)).sum(1)
    score *= np.exp(-((slopes / MOST_REMAINING) ** 2))
    best = int(score.argmax())
    return float(slopes[best]) if score[best] > SURELY * score[len(slopes) // 2] else 0.0
