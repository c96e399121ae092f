"""Files: writing them atomically, reading JSON, and the files that are part of the package."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nanochat.errors import UserError

PACKAGE = Path(__file__).parent
ASSETS = PACKAGE / "assets"  # a font and a word list, with their licences
WORD_LIST = ASSETS / "words.txt"
FONT = ASSETS / "DejaVuSans.ttf"  # covers most alphabets
IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".jp2", ".j2k", ".avif", ".heic", ".heif"),
}
"""suffixes of image files, in lower case"""


def models_folder() -> Path:
    """The folder of the models that come with the project: inside an installed package, else that of the repository."""
    installed = PACKAGE / "models"
    return installed if installed.is_dir() else PACKAGE.parent / "models"


def read_json(path: Path, if_missing: str = "") -> Any:
    """The content of a JSON file. Raises UserError if it is missing (`if_missing`: what to do then) or not valid."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file" + (f"; {if_missing}" if if_missing else "")) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block succeeds, otherwise remove it.

    A reader never finds a half-written file. Raises UserError when the disk is full or the folder is not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # the original error is raised
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a file as UTF-8, with `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
