"""Matching the lines of text in an answer with places on the page: detected lines, or rows of a block."""

from collections.abc import Sequence

import numpy as np

from nanochat.lines.boxes import Box


def match_in_order(scores: Sequence[Sequence[float]]) -> list[int | None]:
    """For each row of `scores`, the column it is matched with, or None; columns increase and none occurs twice.

    `scores`: (N, M), what each pair is worth, at least 0. The matching with the largest sum is found by dynamic
    programming.
    """
    n, m = len(scores), len(scores[0]) if len(scores) else 0
    best = [[0.0] * (m + 1) for _ in range(n + 1)]  # best[i][j]: of the first i rows and j columns
    for i in range(n):
        for j in range(m):
            best[i + 1][j + 1] = max(best[i][j + 1], best[i + 1][j], best[i][j] + scores[i][j])
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


def match_lines(
    shares: np.ndarray, places: np.ndarray, ink: list[Box], texts: list[str], room: list[float]
) -> list[int | None]:
    """For each of L lines of text, the index of the detected line (of M) that it is, or None if none matches.

    Both are in reading order; indices increase and none occurs twice. `shares`: float32 (L, P), the share of attention
    of each line of text to each of P places of the image. `places`: (P, 4), their boxes in pixels. `ink`: boxes of the
    detected lines in pixels, as (left, top, right, bottom). `room`: the number of characters that each of them has room
    for. A pair is worth the share of attention (0 to 1) that the line of text pays to the detected line, plus the ratio
    (0 to 1) of the shorter to the longer of the text and the room.
    """
    boxes = np.array(ink, np.float32).reshape(-1, 4)  # (M, 4)
    shares, places = np.asarray(shares), np.asarray(places)
    sides = np.minimum(places[:, None, 2:], boxes[:, 2:]) - np.maximum(places[:, None, :2], boxes[:, :2])
    common = sides.clip(min=0).prod(-1)  # (P, M): pixels that a place and a detected line share
    fell = shares @ (common / common.sum(1, keepdims=True).clip(min=1))  # (L, M)
    lengths = np.array([float(sum(not c.isspace() for c in text)) for text in texts])[:, None]
    most = np.array(room, np.float32)
    fits = np.minimum(lengths, most) / np.maximum(lengths, most).clip(min=1)
    return match_in_order((fell + fits).tolist())


def match_rows(texts: Sequence[str], rooms: Sequence[float]) -> list[int]:
    """For each row of an answer about a block, the row of the block it belongs to; row numbers never decrease.

    `rooms`: the number of characters that each row of the block has room for. If there are as many texts, rows
    correspond one to one. Otherwise the pairs whose lengths fit best are chosen, and a text that fits nowhere belongs
    to the row of the text before it.
    """
    if len(texts) == len(rooms):
        return list(range(len(rooms)))
    found = match_in_order([[_fit(len(text), room) for room in rooms] for text in texts])
    last, rows = next((row for row in found if row is not None), 0), []
    for row in found:
        last = last if row is None else row
        rows.append(last)
    return rows


def _fit(length: int, room: float) -> float:
    """How well the length of a text fits a row, 0 to 1."""
    return min(length, room) / max(length, room, 1.0)
