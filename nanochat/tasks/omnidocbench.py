"""OmniDocBench: 981 pages of many kinds with the text of each block (opendatalab/OmniDocBench).

`OmniDocBench.json`, a list of {"layout_dets": [{"category_type": "text_block", "text": "...", "order": 9, "ignore":
false, ...}], "page_info": {"image_path": "x.jpg", "page_attribute": {"language": "english"}}}, beside `images/`.
"""

from pathlib import Path

from nanochat.errors import UserError
from nanochat.files import read_json
from nanochat.hub import fetch
from nanochat.image_process import open_image
from nanochat.tasks.eval_set import WHERE, EvalSet, choose, reading

REPO, LIST = "opendatalab/OmniDocBench", "OmniDocBench.json"
TEXT = {"text_block", "title", "header", "footer"}  # tables and formulas have no plain text


class OmniDocBench(EvalSet):
    """`n` pages, from the Hugging Face Hub or from the folder `source`. The tier of a page is its language.

    The expected text consists of the text blocks, titles, headers and footers in reading order, separated by blank
    lines; blocks without a position come last. Pages without such text are left out. Raises UserError if the list of
    pages has another format.
    """

    def __init__(self, source: str | Path, n: int) -> None:
        super().__init__()
        self.folder = Path(source) if source else None
        path = self.folder / LIST if self.folder else fetch(REPO, LIST, "dataset")
        try:
            records = [(page["page_info"], annotated_text(page)) for page in read_json(path, WHERE)]
            pages = [(info["image_path"], text, info["page_attribute"]["language"]) for info, text in records if text]
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} is not a list of pages as OmniDocBench has it ({error})") from error
        self.pages = [pages[i] for i in choose(len(pages), n)]
        self.ids = [Path(name).stem for name, *_ in self.pages]
        self.tiers = [language for *_, language in self.pages]

    def get_example(self, index: int) -> dict:
        name, text, _ = self.pages[index]
        path = self.folder / "images" / name if self.folder else fetch(REPO, f"images/{name}", "dataset")
        return reading(open_image(path), text)


def annotated_text(page: dict) -> str:
    """The text of a page (a record of the list) in reading order, with a blank line between blocks."""
    blocks = [b for b in page["layout_dets"] if b["category_type"] in TEXT and b.get("text") and not b.get("ignore")]
    last = 1 + max((b["order"] for b in blocks if b.get("order") is not None), default=0)
    blocks.sort(key=lambda b: last if b.get("order") is None else b["order"])
    return "\n\n".join(b["text"] for b in blocks)
