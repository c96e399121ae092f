"""Where a sheet lies before the camera: homographies and curled pages, which the glyphs' places follow exactly.

Coordinates are continuous: pixel i covers i to i + 1, its middle is i + 0.5.
"""

import random

import cv2
import numpy as np

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from OpenCV's coordinates, where a pixel's middle is whole


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 2) points through a 3 x 3 homography, float32."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) boxes as (N * 4, 2) corners, clockwise from the top left."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)


def around(corners: np.ndarray) -> np.ndarray:
    """(N * 4, 2) corners as (N, 4) upright boxes around each four."""
    corners = corners.reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def random_homography(
    source: tuple[int, int], target: tuple[int, int], inset: float, strength: float, rng: random.Random
) -> np.ndarray:
    """A 3 x 3 matrix that lays a sheet (width, height) on a picture (width, height), nearly straight.

    inset: the share of the picture left free on each side. strength in [0, 1]: turned by up to about 4 degrees, each
    corner moved by up to 4% of the picture's size.
    """
    width, height = target
    corners = np.array([[inset, inset], [1 - inset, inset], [1 - inset, 1 - inset], [inset, 1 - inset]]) * target
    angle = np.radians(max(-4.0, min(4.0, rng.gauss(0, 0.3 + 1.5 * strength))))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (corners - [width / 2, height / 2]) @ turn.T + [width / 2, height / 2]
    if rng.random() < 0.2 + 0.5 * strength:
        reach = 0.04 * strength * min(width, height)
        corners += [[rng.uniform(-reach, reach), rng.uniform(-reach, reach)] for _ in range(4)]
    sheet = np.array([[0, 0], [source[0], 0], source, [0, source[1]]], np.float32)
    return cv2.getPerspectiveTransform(sheet, corners.astype(np.float32))


def keep_inside(matrix: np.ndarray, boxes: np.ndarray, size: tuple[int, int], margin: float) -> np.ndarray:
    """`matrix` with a shrink and a shift after it, such that all `boxes` (N, 4) land in the picture (width, height)."""
    if len(boxes) == 0:
        return matrix
    mapped = around(map_points(corners_of(boxes), matrix))
    low, high = mapped[:, :2].min(axis=0), mapped[:, 2:].max(axis=0)
    room = np.array(size) - 2 * margin
    shrink = min(1.0, *(room / np.maximum(high - low, 1e-3)))
    middle = np.array(size) / 2  # shrink about the middle, then push back what still sticks out
    low, high = (low - middle) * shrink + middle, (high - middle) * shrink + middle
    shift = np.maximum(margin - low, 0) + np.minimum(np.array(size) - margin - high, 0)
    after = np.eye(3)
    after[[0, 1], [0, 1]] = shrink
    after[:2, 2] = middle * (1 - shrink) + shift
    return after @ matrix


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], backdrop: np.ndarray | None) -> np.ndarray:
    """`image` through `matrix` onto a picture (width, height): over `backdrop`, or with its own edges drawn out.

    A sheet much larger than its picture is shrunk by area first, so that thin strokes do not break.
    """
    factor = np.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if factor < 0.75:
        height, width = round(image.shape[0] * factor), round(image.shape[1] * factor)
        back = np.diag([image.shape[1] / width, image.shape[0] / height, 1.0])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        matrix = matrix @ back
    pixel_matrix = np.linalg.inv(_HALF) @ matrix @ _HALF
    if backdrop is None:
        return cv2.warpPerspective(image, pixel_matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.warpPerspective(
        image, pixel_matrix, size, dst=backdrop.copy(), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )


class Curl:
    """A page that does not lie flat: every column moves up or down by a sine of its x."""

    def __init__(self, size: tuple[int, int], reach: float, rng: random.Random):
        self.reach = reach
        self._turns = 2 * np.pi * rng.uniform(0.4, 1.2) / size[0]
        self._phase = rng.uniform(0, 2 * np.pi)

    def lift(self, x: np.ndarray) -> np.ndarray:
        """By how many pixels the points at `x` move down."""
        return self.reach * np.sin(self._turns * x + self._phase)

    def points(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) points after the curl, float32."""
        return np.stack([points[:, 0], points[:, 1] + self.lift(points[:, 0])], axis=1).astype(np.float32)

    def image(self, image: np.ndarray) -> np.ndarray:
        """The picture after the curl, of the same shape."""
        height, width = image.shape[:2]
        x = np.arange(width, dtype=np.float32)
        columns = np.broadcast_to(x, (height, width))
        rows = np.arange(height, dtype=np.float32)[:, None] - self.lift(x + 0.5).astype(np.float32)
        return cv2.remap(image, np.ascontiguousarray(columns), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
