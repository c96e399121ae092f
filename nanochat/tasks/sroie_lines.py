"""Single lines of real receipts (SROIE), cropped by the boxes of the dataset.

A folder with `images/`, `val.json` (records with `id` and `image`) and `boxes_and_fields.json`: id -> {"boxes": [[x0,
y0, x1, y1, "TOTAL 9.00"], ...], "fields": {...}}, in pixels of the image.
"""

from pathlib import Path

from nanochat.errors import UserError
from nanochat.files import read_json
from nanochat.image_process import open_image
from nanochat.tasks.eval_set import WHERE, EvalSet, choose, reading

MARGIN = 0.1  # of the box's height, on all sides: boxes are drawn tight, some through the letters


class SroieLines(EvalSet):
    """`n` lines of the receipts in `val.json`, always the same ones.

    The expected texts are in capitals whatever is printed, so case is ignored. Raises UserError if a file of the folder
    is missing or has no boxes for a receipt.
    """

    fold_case = True
    cut_lines = True

    def __init__(self, folder: str | Path, n: int) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.pictures = {record["id"]: record["image"] for record in read_json(self.folder / "val.json", WHERE)}
        boxes = read_json(self.folder / "boxes_and_fields.json", WHERE)
        missing = [name for name in self.pictures if name not in boxes]
        if missing:
            raise UserError(f"{self.folder}/boxes_and_fields.json has no boxes of {missing[0]}")
        lines = [(name, i) for name in self.pictures for i, box in enumerate(boxes[name]["boxes"]) if box[4].strip()]
        chosen = [lines[k] for k in choose(len(lines), n)]
        self.boxes: list[tuple[str, list]] = [(name, boxes[name]["boxes"][i]) for name, i in chosen]
        self.ids = [f"{name}-{i}" for name, i in chosen]
        self.tiers = ["line"] * len(self.ids)

    def get_example(self, index: int) -> dict:
        name, (x0, y0, x1, y1, text) = self.boxes[index]
        page = open_image(self.folder / self.pictures[name])
        margin = max(2, round(MARGIN * (y1 - y0)))
        box = (max(0, x0 - margin), max(0, y0 - margin), min(page.width, x1 + margin), min(page.height, y1 + margin))
        return reading(page.crop(box), text)
