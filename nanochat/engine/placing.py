"""Which line of ink on a page each line of its text is."""

import numpy as np

from nanochat.lines.boxes import Box


def lines_of_ink(
    shares: np.ndarray, places: np.ndarray, ink: list[Box], texts: list[str], room: list[float]
) -> list[int | None]:
    """Which line of ink each line of text is: both in reading order, none twice; None: no line of ink fits.

    `shares` (lines of text, places); `room`: characters that each line of ink has room for. The pairs are those of the
    highest sum of two numbers from 0 to 1: the attention that fell on the line of ink, and how well the length fits.
    """
    boxes = np.array(ink, np.float32).reshape(-1, 4)  # (M, 4)
    shares, places = np.asarray(shares), np.asarray(places)
    sides = np.minimum(places[:, None, 2:], boxes[:, 2:]) - np.maximum(places[:, None, :2], boxes[:, :2])
    common = sides.clip(min=0).prod(-1)  # (P, M): pixels that a place and a line of ink share
    fell = shares @ (common / common.sum(1, keepdims=True).clip(min=1))  # (L, M)
    lengths = np.array([float(sum(not c.isspace() for c in text)) for text in texts])[:, None]
    most = np.array(room, np.float32)
    fits = np.minimum(lengths, most) / np.maximum(lengths, most).clip(min=1)
    score = (fell + fits).tolist()
    n, m = len(texts), len(ink)
    best = [[0.0] * (m + 1) for _ in range(n + 1)]  # of the first lines of each kind
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
