"""How the error rate depends on the amount of text per vision token: DeepSeek-OCR's curve, with controls.

python -m scripts.compression_curve --model=models/nano --n=4
python -m scripts.compression_curve --n=40 --type_px 56 40 28 20 14 --out=out/compression

Pages are drawn in four kinds of text (English, shuffled words, words with shuffled letters, codes), each in one size of
type, and read in one view. Writes compression.json, compression.svg, compression.md and the worst pages as images.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.evaluation.density import KINDS, DensityPoint, study
from nanochat.evaluation.density_report import (
    count_public_tokens,
    plot_study,
    point_error_rate,
    study_table,
    write_worst,
)
from nanochat.files import write_text
from nanochat.reading.ocr import OCR


@dataclass
class Config:
    """Read synthetic pages of increasing density in one view each, and report accuracy against compression."""

    model: str = "models/nano"
    """a model's folder, or step_N.pt of a run"""
    n: int = 10
    """number of pages of each kind, type size and budget"""
    type_px: tuple[int, ...] = (56, 40, 28, 20, 14)
    """type sizes to draw, in pixels"""
    side: int = 512
    """side of the pages as drawn, in pixels"""
    budgets: tuple[int, ...] = (256, 384, 512)
    """sides of the view in pixels, multiples of 64; each page is read at all of them"""
    kinds: tuple[str, ...] = KINDS
    """kinds of text: english, shuffled, pseudo, codes"""
    worst: int = 6
    """number of the worst pages to save as images"""
    out: str = "out/compression"
    """folder for the results"""
    device: str = ""
    """cuda, mps or cpu; by default the best available"""


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    if config.n < 1:
        raise UserError(f"--n={config.n}: measure on at least one page")
    if unknown := set(config.kinds) - set(KINDS):
        raise UserError(f"no kind of text called {sorted(unknown)[0]!r}: choose one of {', '.join(KINDS)}")
    ocr = OCR(config.model, config.device, "native", backend="torch")

    def report(point: DensityPoint) -> None:
        wrong = point_error_rate(point).value
        print(
            f"{point.kind:9} type {point.type_px:4.1f} px, {point.vision_tokens:3} vision tokens, "
            f"{point.characters / point.vision_tokens:4.1f} characters each: {wrong:6.1%} wrong", flush=True,
        )  # fmt: skip

    points = study(ocr, config.n, config.type_px, config.budgets, config.side, report, config.kinds)
    public = count_public_tokens([page.expected for point in points for page in point.pages])
    folder = Path(config.out)
    rows = [{**asdict(point), "images": None} for point in points]
    found = {"model": config.model, "step": ocr.meta.get("step"), "settings": asdict(config), "points": rows}
    write_text(folder / "compression.json", json.dumps(found, indent=1, ensure_ascii=False))
    write_text(folder / "compression.md", study_table(points, public))
    plot_study(points, folder / "compression.svg", public)
    write_worst(points, config.worst, folder)
    print(f"{folder}{os.sep}compression.md, .svg, .json, worst pages")


if __name__ == "__main__":
    main()
