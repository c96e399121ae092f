"""Compare PyTorch and ONNX Runtime: equality of the text, speed, and the error rate with 8-bit weights.

OMP_NUM_THREADS=1 python -m dev.bench_backends speed --scans=SROIE    # one receipt, an A4 page, 16 scans
python -m dev.bench_backends parity                     # 200 drawn pages: alone, in batches of three sizes, served
python -m dev.bench_backends errors --folders SROIE FUNSD --receipts=SROIE

Everything is read in one process, in turn. Times are processor time, which excludes other programs. `speed` takes about
a minute without scans. If the model has no 8-bit graphs, they are exported to a temporary folder first. Prints a table,
then all figures as JSON on the last line.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from dev.bench_backends.errors import compare_errors, errors_table, open_sets
from dev.bench_backends.parity import count_differing_pages, drawn_pages
from dev.bench_backends.speed import measure_speed, speed_table
from nanochat.checkpoint import load_model
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError, extra
from nanochat.evaluation.measure import wide_console
from nanochat.files import IMAGE_SUFFIXES
from nanochat.image_process import open_image
from nanochat.onnx_files import INT8
from nanochat.reading.ocr import OCR, find_model


@dataclass
class Config:
    """Compare the backends."""

    what: Positional[Literal["speed", "parity", "errors"]]
    """what to measure"""
    checkpoint: str = "nano"
    """model to read with: nano, or a folder with graphs"""
    n: int = 0
    """speed: number of scans (default 16); parity: synthetic pages (200); errors: images of each folder, lines of
    receipts, and synthetic documents of each tier (20)"""
    scans: str = ""
    """speed: folder of scanned images"""
    folders: tuple[str, ...] = ()
    """errors: folders of images with their texts, as in `vision_eval --task=folder:DIR`"""
    receipts: str = ""
    """errors: the SROIE folder, whose lines are read one by one"""
    files: tuple[str, ...] = ()
    """parity: images to read instead of synthetic pages"""
    rounds: int = 2
    """speed: number of rounds"""
    int8: bool = True
    """speed: also read with 8-bit graphs"""


@contextmanager
def int8_folder(checkpoint: str) -> Iterator[Path]:
    """The folder of a model with 8-bit graphs: its own, or a temporary one. Exporting needs the extra onnx-export."""
    folder = find_model(checkpoint)
    if all((folder / file).is_file() for file in INT8.values()):
        yield folder
        return
    with extra("onnx-export"):
        from nanochat.onnx_export import export_onnx  # onnx is an optional package
    with tempfile.TemporaryDirectory() as temporary:
        export_onnx(temporary, *load_model(folder), int8=True)
        yield Path(temporary)


def find_images(folder: str, n: int) -> list[Path]:
    """Up to `n` images in a folder and its subfolders, sorted by name. Raises UserError if there are none."""
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{folder}: contains no images")
    return found[:n]


@entry_point
def main() -> None:
    config, console = parse_args(Config, __doc__), Console()
    if config.n < 0 or config.rounds < 1:
        raise UserError("give at least 1 page and 1 round")
    if config.what == "parity":
        pictures = [open_image(file) for file in config.files] or drawn_pages(config.n or 200)
        print(json.dumps(asdict(count_differing_pages(config.checkpoint, pictures, console))))
    elif config.what == "errors":
        sets = list(open_sets(config.n or 20, config.folders, config.receipts))
        with int8_folder(config.checkpoint) as folder:
            readers = {"float32": OCR(folder, backend="onnx"), "int8": OCR(folder, backend="onnx", int8=True)}
            errors = []
            for name, found in sets:
                errors.append(compare_errors(name, found, readers))
                wide_console().print(errors_table(errors[-1:]))
        wide_console().print(errors_table(errors))
        print(json.dumps([asdict(one) for one in errors]))
    else:
        scans = find_images(config.scans, config.n or 16) if config.scans else []
        if config.int8:
            with int8_folder(config.checkpoint) as folder:
                times = measure_speed(config.checkpoint, folder, scans, config.rounds, console)
        else:
            times = measure_speed(config.checkpoint, None, scans, config.rounds, console)
        wide_console().print(speed_table(times))
        print(json.dumps([asdict(one) for one in times]))


if __name__ == "__main__":
    main()
