"""`nano-ocr`, the command a person types: read pictures, or see the whole of training in minutes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nanochat.common import UserError, entry_point
from nanochat.image_process import open_image
from nanochat.ocr import OCR, PROMPT


@dataclass
class Read:
    """Read pictures: their text goes to stdout."""

    files: tyro.conf.Positional[tuple[Path, ...]]
    """pictures"""
    checkpoint: Path
    """step_N.pt of a trained model"""
    prompt: str = PROMPT
    """what is asked; <image> stands for the picture"""
    max_tokens: int | None = None
    """longest answer in tokens"""
    device: str = ""
    """cuda, mps or cpu; by default the best there is"""


@dataclass
class Demo:
    """Train the nano size in both stages on the ten documents of data/, read them back, and write a report."""

    out: Path = Path("out/demo")
    """folder for checkpoints and report.html"""
    data_dir: Path = Path("data")
    """documents to learn: train.json, val.json and their pictures"""


def read(options: Read) -> None:
    """Read every file in turn; with several, each text follows a line with the file's name."""
    if not options.files:
        raise UserError("no file to read: nano-ocr read FILE... --checkpoint checkpoints/step_N.pt")
    pictures = [open_image(path) for path in options.files]  # look at what the user gave before loading a model
    ocr = OCR(options.checkpoint, options.device)
    pages = ocr.read_many(pictures, options.prompt, options.max_tokens)
    for path, page in zip(options.files, pages):
        if len(options.files) > 1:
            print(f"==> {path} <==")
        print(page.text, flush=True)


@entry_point
def main() -> None:
    command = tyro.cli(
        Annotated[Read, tyro.conf.subcommand("read")] | Annotated[Demo, tyro.conf.subcommand("demo")],  # type: ignore[arg-type]
        description=__doc__,
        config=(tyro.conf.FlagConversionOff,),
    )
    if isinstance(command, Read):
        read(command)
    else:
        from scripts.demo import demo  # training brings in much that reading does not need

        demo(command.out, command.data_dir)


if __name__ == "__main__":
    main()
