"""Large type above small is found, and is one line; small type below it is found as before."""

import pytest
from PIL import Image, ImageDraw, ImageFont

from nanochat.lines.boxes import Box
from nanochat.lines.finder import find_segments
from tests.helpers.drawn_page import FONT, sentence


def draw_poster(title: str, size: int) -> tuple[Image.Image, Box, list[Box]]:
    """A page with a title of `size` px over six lines of 24 px: the page, the title's box, the lines' boxes."""
    page = Image.new("RGB", (1240, 900), "white")
    draw = ImageDraw.Draw(page)

    def write(x: int, y: int, text: str, pixels: int) -> Box:
        font = ImageFont.truetype(str(FONT), pixels)
        draw.text((x, y), text, font=font, fill="black")
        left, top, right, bottom = draw.textbbox((x, y), text, font=font)
        return round(left), round(top), round(right), round(bottom)

    title_box = write(60, 60, title, size)
    return page, title_box, [write(60, 560 + 45 * i, sentence(i, 8), 24) for i in range(6)]


def share_within(box: Box, other: Box) -> float:
    """Share of a box's area that lies in another."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(0, width) * max(0, height) / ((box[2] - box[0]) * (box[3] - box[1]))


@pytest.mark.parametrize(("title", "size"), [("Closed today", 150), ("CLOSED", 260), ("Summer sale", 100)])
def test_a_title_of_large_type_is_found_whole(title: str, size: int) -> None:
    page, box, lines = draw_poster(title, size)
    found = [segment.box for segment in find_segments(page)]
    here = [other for other in found if share_within(other, box) > 0.3]
    assert len(here) == 1
    assert share_within(box, here[0]) > 0.7
    for line in lines:
        assert any(share_within(line, other) > 0.6 for other in found)
    assert len(found) == 1 + len(lines)
