"""The ten documents of `data/`: receipts, charts and scenes, drawn by code, each with the exact text to read.

documents = draw_showcase()      # always the same images; takes about 10 seconds
write_showcase("data")           # overfit_dataset.json, train.json, val.json and images/*.png
"""

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dev.showcase.charts import CHARTS, draw_chart
from dev.showcase.charts import text_of as text_of_chart
from dev.showcase.jar import TEXT as JAR_TEXT
from dev.showcase.jar import draw_jar
from dev.showcase.paper import draw_receipt
from dev.showcase.paper import text_of as text_of_receipt
from dev.showcase.poster import TEXT as POSTER_TEXT
from dev.showcase.poster import draw_poster
from dev.showcase.receipts import RECEIPTS
from dev.showcase.shop import TEXT as SHOP_TEXT
from dev.showcase.shop import draw_shop
from nanochat.files import atomic_path, write_text

PROMPTS = {  # prompt for each type of document
    "receipt_ocr": "<image>\n<|grounding|>OCR this image.",
    "chart_qa": "<image>\nParse the figure.",
    "scene_text_vqa": "<image>\nDescribe this image in detail.",
}
LISTS = ("overfit_dataset.json", "train.json", "val.json")  # all equal: the documents are meant for overfitting


@dataclass(frozen=True)
class ShowcaseDocument:
    """An image (RGB) and the expected answer; `type` is a key of PROMPTS."""

    id: str
    type: str
    picture: Image.Image
    answer: str

    def record(self) -> dict[str, str]:
        """The record of the document in the lists; the path of its image is relative to the data folder."""
        return {
            "id": self.id,
            "image": f"images/{self.id}.png",
            "source": "showcase",
            "type": self.type,
            "prompt": PROMPTS[self.type],
            "answer": self.answer,
        }


def draw_showcase() -> list[ShowcaseDocument]:
    """Draw receipt_000 to 003, chart_01 to 03 and textvqa_01 to 03, in this order."""
    documents = [
        ShowcaseDocument(f"receipt_{i:03d}", "receipt_ocr", draw_receipt(receipt), text_of_receipt(receipt))
        for i, receipt in enumerate(RECEIPTS)
    ]
    documents += [
        ShowcaseDocument(f"chart_{i:02d}", "chart_qa", draw_chart(chart), text_of_chart(chart))
        for i, chart in enumerate(CHARTS, start=1)
    ]
    scenes = [(draw_shop, SHOP_TEXT), (draw_poster, POSTER_TEXT), (draw_jar, JAR_TEXT)]
    documents += [
        ShowcaseDocument(f"textvqa_{i:02d}", "scene_text_vqa", draw(), text)
        for i, (draw, text) in enumerate(scenes, start=1)
    ]
    return documents


def write_showcase(folder: str | Path) -> list[Path]:
    """Draw the documents into `folder`, replacing existing files. Returns the files written.

    Raises UserError if the folder cannot be written.
    """
    documents = draw_showcase()
    written = []
    for document in documents:
        path = Path(folder) / document.record()["image"]
        with atomic_path(path) as temporary:
            document.picture.save(temporary, format="PNG", optimize=True)
        written.append(path)
    text = json.dumps([document.record() for document in documents], indent=2) + "\n"
    for name in LISTS:
        write_text(Path(folder) / name, text)
        written.append(Path(folder) / name)
    return written
