"""Other OCR systems that are measured on the same images: Tesseract 5 and RapidOCR.

Both use their default settings, with two exceptions. An image that is cropped tightly around one line is declared as a
single line, since detecting the line would only cause errors (on 50 lines of receipts, Tesseract has 8% of the
characters wrong instead of 43%, RapidOCR 2% instead of 39%). A line with margins is not declared, because both do
better without. And both use as many threads as our model, so that times can be compared.
"""

import io
import os
import shutil
import subprocess
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from nanochat.errors import UserError
from nanochat.onnx_files import import_runtime


class Peer(Protocol):
    """An OCR system. `name` includes its version; `read` takes an RGB image and returns its lines of text.

    Lines are separated by newlines. `cut_line`: whether the image is cropped tightly around a single line.
    """

    name: str

    def read(self, picture: Image.Image, cut_line: bool) -> str: ...


class Tesseract:
    """Debian's `tesseract-ocr` with the English model, or with `accents` that of all Latin-script languages.

    Raises UserError if the program or the model is not installed, or if it fails.
    """

    def __init__(self, accents: bool = False) -> None:
        program = shutil.which("tesseract")
        if program is None:
            raise UserError("tesseract is not installed: `apt-get install tesseract-ocr`, or leave out --peers")
        self.program = program
        self.threads, self.model = str(torch.get_num_threads()), "Latin" if accents else "eng"
        if accents:
            known = subprocess.run([program, "--list-langs"], capture_output=True, text=True, check=True).stdout
            if self.model not in known.split():
                raise UserError(
                    "tesseract's model for Latin script is not installed: `apt-get install tesseract-ocr-script-latn`"
                )
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        self.name = f"Tesseract {(version.stdout or version.stderr).split()[1]}{', Latin' if accents else ''}"

    def read(self, picture: Image.Image, cut_line: bool) -> str:
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        done = subprocess.run(
            [self.program, "stdin", "stdout", "-l", self.model, "--psm", "7" if cut_line else "3"],
            input=file.getvalue(),
            capture_output=True,
            env={**os.environ, "OMP_THREAD_LIMIT": self.threads},
        )
        if done.returncode:
            raise UserError(f"tesseract failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()


class RapidOCR:
    """PaddleOCR models run by ONNX Runtime, from the package `rapidocr`. Raises UserError if it is not installed."""

    def __init__(self) -> None:
        try:
            import_runtime()  # before rapidocr imports it
            import rapidocr  # an optional group of packages
        except ImportError as error:
            raise UserError("rapidocr is not installed: `uv sync --group peers`, or leave out --peers") from error
        from importlib.metadata import version

        threads = torch.get_num_threads()
        settings = {
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self.engine: Any = rapidocr.RapidOCR(params=settings)
        self.name = f"RapidOCR {version('rapidocr')}"

    def read(self, picture: Image.Image, cut_line: bool) -> str:
        found = self.engine(np.asarray(picture)[:, :, ::-1], use_det=not cut_line)  # blue, green, red
        return "\n".join(found.txts or ())


def open_peers(accents: bool = False) -> list[Peer]:
    """Both systems. Each has already read one image, so that loading its models is not part of its times.

    `accents`: use Tesseract's model of all Latin-script languages; RapidOCR has a single model. Raises UserError, with
    the command that installs it, if one is missing.
    """
    peers: list[Peer] = [Tesseract(accents), RapidOCR()]
    for peer in peers:
        peer.read(Image.new("RGB", (256, 64), "white"), False)
    return peers
