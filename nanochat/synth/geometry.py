"""The position of a sheet in front of the camera: homographies and curled pages, with exact glyph positions.

Coordinates are continuous: pixel i covers the interval from i to i + 1, its centre is i + 0.5.
"""

import random

import cv2
import numpy as np

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from OpenCV's coordinates, where pixel centres are integers


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a 3 x 3 homography to points (N, 2). Returns float32 (N, 2)."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return (mapped[:, :2] / mapped[:, 2:]).astype(np.float32)


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """The corners (N * 4, 2) of boxes (N, 4), clockwise from the top left."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)


def around(corners: np.ndarray) -> np.ndarray:
    """The upright boxes (N, 4) around each four of the corners (N * 4, 2)."""
    corners = corners.reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def random_homography(
    source: tuple[int, int], target: tuple[int, int], inset: float, strength: float, rng: random.Random
) -> np.ndarray:
    """A 3 x 3 homography that maps a sheet (width, height) onto an image (width, height), nearly upright.

    inset: the share of the image left free on each side. strength in [0, 1]: rotation by up to about 4 degrees, and
    each corner moved by up to 4% of the image size.
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
    """`matrix` followed by scaling down and a shift that bring all boxes (N, 4) into the image (width, height)."""
    if len(boxes) == 0:
        return matrix
    mapped = around(map_points(corners_of(boxes), matrix))
    low, high = mapped[:, :2].min(axis=0), mapped[:, 2:].max(axis=0)
    room = np.array(size) - 2 * margin
    shrink = min(1.0, *(room / np.maximum(high - low, 1e-3)))
    middle = np.array(size) / 2  # scale about the centre, then move what still sticks out back in
    low, high = (low - middle) * shrink + middle, (high - middle) * shrink + middle
    shift = np.maximum(margin - low, 0) + np.minimum(np.array(size) - margin - high, 0)
    after = np.eye(3)
    after[[0, 1], [0, 1]] = shrink
    after[:2, 2] = middle * (1 - shrink) + shift
    return after @ matrix


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], backdrop: np.ndarray | None) -> np.ndarray:
    """`image` mapped with `matrix` onto an image (width, height): over `backdrop`, or with its edge pixels replicated.

    A sheet much larger than the target is first scaled down by area averaging, so that thin strokes stay intact.
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
    """A curled page: every column is shifted vertically by a sine of its x."""

    def __init__(self, size: tuple[int, int], reach: float, rng: random.Random):
        self.reach = reach
        self._turns = 2 * np.pi * rng.uniform(0.4, 1.2) / size[0]
        self._phase = rng.uniform(0, 2 * np.pi)

    def lift(self, x: np.ndarray) -> np.ndarray:
        """Vertical shift at `x`, px, positive downwards."""
        return self.reach * np.sin(self._turns * x + self._phase)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) after the curl, float32."""
        return np.stack([points[:, 0], points[:, 1] + self.lift(points[:, 0])], axis=1).astype(np.float32)

    def image(self, image: np.ndarray) -> np.ndarray:
        """The image after the curl, same shape."""
        height, width = image.shape[:2]
        x = np.arange(width, dtype=np.float32)
        columns = np.broadcast_to(x, (height, width))
        rows = np.arange(height, dtype=np.float32)[:, None] - self.lift(x + 0.5).astype(np.float32)
        return cv2.remap(image, np.ascontiguousarray(columns), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
