"""What scanners and phones do to a page: geometry that the glyphs' places follow, then light, focus and noise."""

import random
from functools import cache

import cv2
import numpy as np

_BANK = 1024


@cache
def _noise_bank() -> np.ndarray:
    """(1024, 1024) float32 of standard normal values, the same in every process."""
    return np.random.default_rng(20240611).standard_normal((_BANK, _BANK), np.float32)


def noise(shape: tuple[int, ...], rng: random.Random) -> np.ndarray:
    """Standard normal noise (H, W) or (H, W, 1) for an image of `shape`: a random window of one large fixed field."""
    height, width = shape[:2]
    y, x = rng.randrange(_BANK - height + 1), rng.randrange(_BANK - width + 1)
    window = _noise_bank()[y : y + height, x : x + width]
    return window[:, :, None] if len(shape) == 3 else window


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 2) points through a 3 x 3 homography, float32."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)


def map_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 4) boxes through a homography: the upright box around each mapped quadrilateral."""
    corners = map_points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2), matrix).reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def photograph(image: np.ndarray, strength: float, rng: random.Random) -> np.ndarray:
    """Blur, uneven light, noise and JPEG, each by chance and as strong as `strength` in [0, 1] allows."""
    pixels = image
    if rng.random() < 0.5 * strength + 0.1:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.4 + 0.9 * strength))
    if rng.random() < 0.6:
        sigma = rng.uniform(0, 6 + 24 * strength)
        pixels = np.clip(pixels + noise(pixels.shape, rng) * sigma, 0, 255).astype(np.uint8)
    if rng.random() < 0.4 * strength:
        quality = rng.randint(int(70 - 50 * strength), 90)
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED))
    return pixels
