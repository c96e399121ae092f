"""Write contact sheets of synthetic documents, one PNG for each level.

python -m dev.synth_gallery --out=out/gallery
python -m dev.synth_gallery --level=note --split=unseen --boxes
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.synth import LEVELS, SPLITS, DrawnDocument, Level, draw_document


@dataclass
class Config:
    out: Path = Path("out/gallery")
    """folder that the sheets are written to, as LEVEL_SPLIT.png"""
    level: str = "all"
    """name of a level, or all"""
    split: str = "train"
    """train, val, unseen, hard, latin or central"""
    seed: int = 0
    """seed of the first document; the others follow it"""
    width: int = 1536
    """width of a sheet in pixels"""
    height: int = 1024
    """height of a sheet in pixels"""
    boxes: bool = False
    """draw the boxes of lines (blue), words (green) and glyphs (red)"""


def annotate(document: DrawnDocument, boxes: bool) -> Image.Image:
    """The image of the document in RGB, optionally with its boxes and the centres of its glyphs."""
    image = Image.fromarray(document.image).convert("RGB")
    if boxes:
        draw = ImageDraw.Draw(image)
        for found, colour in (
            (document.boxes, (255, 90, 90)),
            (document.word_boxes()[1], (0, 150, 0)),
            (document.line_boxes(), (60, 60, 255)),
        ):
            for x0, y0, x1, y1 in found:
                draw.rectangle((x0, y0, x1, y1), outline=colour)
        draw.point([(float(x), float(y)) for x, y in document.centres], fill=(255, 0, 255))
    return image


def sheet(level: Level, config: Config) -> Image.Image:
    """A contact sheet with as many documents of one level as fit, in rows with gaps."""
    gap = 6
    columns = max((config.width + gap) // (level.width + gap), 1)
    rows = max((config.height + gap) // (level.height + gap), 1)
    size = (columns * (level.width + gap) + gap, rows * (level.height + gap) + gap)
    page = Image.fromarray(np.full((size[1], size[0], 3), (90, 110, 140), np.uint8))
    for index in range(columns * rows):
        document = draw_document(level, config.seed + index, config.split)
        row, column = divmod(index, columns)
        place = (gap + column * (level.width + gap), gap + row * (level.height + gap))
        page.paste(annotate(document, config.boxes), place)
    return page


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    if config.split not in SPLITS:
        raise UserError(f"--split={config.split} must be one of {', '.join(SPLITS)}")
    if config.level not in ("all", *LEVELS):
        raise UserError(f"--level={config.level} must be one of all, {', '.join(LEVELS)}")
    for level in LEVELS.values() if config.level == "all" else [LEVELS[config.level]]:
        path = config.out / f"{level.name}_{config.split}.png"
        with atomic_path(path) as temporary:
            sheet(level, config).save(temporary, format="PNG")
        print(path)


if __name__ == "__main__":
    main()
