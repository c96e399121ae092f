"""Matching the lines of text in an answer with the lines that the line detector found on the page."""

import numpy as np

from nanochat.lines.boxes import Box


def lines_of_ink(
    shares: np.ndarray, places: np.ndarray, ink: list[Box], texts: list[str], room: list[float]
) -> list[int | None]:
    """For each of L lines of text, the index of the detected line (of M) that it is, or None if none matches.

    Both are in reading order; indices increase and none occurs twice. `shares`: float32 (L, P), the share of attention
    of each line of text to each of P places of the image. `places`: (P, 4), their boxes in pixels. `ink`: boxes of the
    detected lines in pixels, as (left, top, right, bottom). `room`: the number of characters that each of them has room
    for. The matching maximises a sum over its pairs, by dynamic programming: the share of attention (0 to 1) that the
    line of text pays to the detected line, plus the ratio (0 to 1) of the shorter to the longer of the text and the
    room.
    """
    boxes = np.array(ink, np.float32).reshape(-1, 4)  # (M, 4)
    shares, places = np.asarray(shares), np.asarray(places)
    sides = np.minimum(places[:, None, 2:], boxes[:, 2:]) - np.maximum(places[:, None, :2], boxes[:, :2])
    common = sides.clip(min=0).prod(-1)  # (P, M): pixels that a place and a detected line share
    fell = shares @ (common / common.sum(1, keepdims=True).clip(min=1))  # (L, M)
    lengths = np.array([float(sum(not c.isspace() for c in text)) for text in texts])[:, None]
    most = np.array(room, np.float32)
    fits = np.minimum(lengths, most) / np.maximum(lengths, most).clip(min=1)
    score = (fell + fits).tolist()
    n, m = len(texts), len(ink)
    best = [[0.0] * (m + 1) for _ in range(n + 1)]  # best[i][j]: of the first i and j lines
    for i in range(n):
        for j in range(m):
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j], best[i][j] + score[i][j])
    found: list[int | None] = [None] * n
    while n and m:
        if best[n][m] == best[n - 1][m]:
            n -= 1
        elif best[n][m] == best[n][m - 1]:
            m -= 1
        else:
            n, m = n - 1, m - 1
            found[n] = m
    return found
