"""Measure the data loader relative to decoding and resizing alone, and the drawing of synthetic documents."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice

from nanochat.image_process import open_image, show
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import create_multimodal_loader
from nanochat.nano_deepseek_ocr import preset
from nanochat.plans import FixedPlan
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.tokenizer import RustBPETokenizer

TURNS = 5  # both sides take turns, so that other programs slow both equally


@dataclass
class DataReport:
    """Images per second on one core; the fastest of several turns."""

    image_size: int
    view: str
    pictures: int
    """number of images in each turn"""
    decode_and_resize: float
    """open, decode, resize, convert to float32: the minimum for any loader"""
    loader: float
    """the same images as batches: rendered, tokenised, padded, stacked"""
    ratio: float
    drawn: dict[str, float]
    """documents drawn and prepared per second, by level"""


class OneLevel(FixedPlan):
    """Batches of synthetic documents of one level, without repetition."""

    def __init__(self, level: str, batch_size: int) -> None:
        self.level, self.batch_size = level, batch_size

    def batch(self, k: int, rank: int, world_size: int) -> list:
        first = (k * world_size + rank) * self.batch_size
        return [(self.level, first + i) for i in range(self.batch_size)]


def _rate(run: Callable[[], Iterable], n: int) -> float:
    start = time.perf_counter()
    for _ in run():
        pass
    return n / (time.perf_counter() - start)


def measure_data(model: str, image_size: int, data_dir: str, batch_size: int, levels: tuple[str, ...]) -> DataReport:
    """Measure with the documents of `data_dir`, and with synthetic ones. Raises UserError if there are none."""
    vision, tokenizer = preset(model).vision, RustBPETokenizer.characters()
    vision.image_size = image_size or vision.image_size
    mode, task = vision.mode(), FolderOfPairs(data_dir, "train")
    paths = [task.path.parent / sample["image"] for sample in task.samples]
    n_batches = max(1, len(paths) // batch_size)
    n = n_batches * batch_size
    loader = create_multimodal_loader(task, tokenizer, batch_size, 8192, mode)
    alone, loaded = 0.0, 0.0
    for _ in range(TURNS):
        alone = max(alone, _rate(lambda: (show(open_image(path), mode) for path in islice(cycle(paths), n)), n))
        loaded = max(loaded, _rate(lambda: islice(iter(loader), n_batches), n))
    drawn = {}
    for level in levels:
        drawing = create_multimodal_loader(
            SynthDocuments("train"), tokenizer, 8, 8192, get_mode("native", 512), plan=OneLevel(level, 8)
        )
        next(iter(drawing))  # loads fonts and words
        drawn[level] = _rate(lambda: islice(iter(drawing), 4), 32)  # noqa: B023, called at once
    return DataReport(
        image_size=vision.image_size, view=vision.view, pictures=n, decode_and_resize=alone, loader=loaded,
        ratio=loaded / alone, drawn=drawn,
    )  # fmt: skip
