"""Other readers to be measured beside ours, on the same pictures: Tesseract 5 and RapidOCR.

Each has its own defaults but for two things. A picture cut tight around one line is announced as such, because finding
the line would only go wrong (50 lines of receipts: Tesseract 8% of the characters wrong instead of 43%, RapidOCR 2%
instead of 39%); a line with paper around it is not, because there both do better unannounced. And all take as many
threads as ours does, so that seconds can be compared.
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


class Peer(Protocol):
    """A reader: `name` and version, and `read`, from an RGB picture to the text on it, lines parted by line ends.

    `cut_line`: the picture is cut tight around one line.
    """

    name: str

    def read(self, picture: Image.Image, cut_line: bool) -> str: ...


class Tesseract:
    """Debian's `tesseract-ocr` with the English model that comes with it, or that of all languages in Latin letters."""

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
    """PaddleOCR's models for onnxruntime, as the package `rapidocr` brings them."""

    def __init__(self) -> None:
        try:
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
    """Both, each having read a picture, so that loading its models is no part of its seconds.

    accents: for texts with other letters than English has; RapidOCR has one model for all. Raises UserError, with the
    command that installs it, where one is missing.
    """
    peers: list[Peer] = [Tesseract(accents), RapidOCR()]
    for peer in peers:
        peer.read(Image.new("RGB", (256, 64), "white"), False)
    return peers
