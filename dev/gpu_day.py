"""Helpers of runs/gpu_day.sh: pack for a machine without a network, split weights, turn results into tables.

python -m dev.gpu_day pack      # fonts, words, sentences and packages into out/gpu_pack/pack.tar.xz
python -m dev.gpu_day shards --checkpoint=out/gpu_day/leg1/step_100.pt
python -m dev.gpu_day collect   # tables into docs/, weights into models/
"""

import json
import logging
import shutil
import struct
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tyro.conf import Positional

from dev.bench.page import page, read_steps
from nanochat.checkpoint import export_model, half_state, load_model, model_of
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError
from nanochat.files import atomic_path
from nanochat.nano_deepseek_ocr import ModelConfig
from nanochat.synth import lexicon
from nanochat.synth.fonts import ASCII, EXTRAS, PACKED_FACES, find_fonts
from nanochat.synth.languages import LOCALES
from nanochat.tokenizer import CHARACTERS, RustBPETokenizer

# Packages that training needs and that a machine set up for torch may lack; versions from uv.lock.
PACKAGES = ("tyro", "docstring-parser", "typeguard", "faker", "tzdata", "rustbpe", "rapidfuzz", "pypdfium2")
PACK_LIMIT = 20 * 2**20  # bytes; with the repository and its weights, from which training goes on, 60 MiB
SHARD = 15 * 2**20  # bytes of weights in one file


@dataclass
class Config:
    """Pack for a machine without a network, split weights into small files, or turn results into tables."""

    what: Positional[Literal["pack", "shards", "collect"]]
    """pack; shards: split weights; collect: tables and weights from the results"""
    pack: str = "out/gpu_pack"
    """folder that is packed"""
    results: str = "out/gpu_day/results"
    """folder of results"""
    checkpoint: str = ""
    """for shards: step_N.pt to split"""
    python: str = "3.12"
    """for pack: version of Python on that machine"""
    page: str = "docs/gpu_day.md"
    """for collect: Markdown file to write the tables to"""
    models: str = "models/gpu_day"
    """for collect: folder to write the weights to"""


def pack_fonts(folder: Path) -> None:
    """Write the fonts that documents are drawn with, reduced to the characters in use."""
    from fontTools import subset  # a dependency of matplotlib, needed only here
    from fontTools.ttLib import TTLibError

    logging.getLogger("fontTools").setLevel(logging.CRITICAL)  # it prints many warnings
    options = subset.Options()
    options.drop_tables = ["GPOS", "GSUB", "GDEF"]  # glyphs are placed one by one
    options.legacy_cmap = options.notdef_outline = options.passthrough_tables = True
    options.name_IDs = ["*"]
    folder.mkdir(parents=True)
    fonts, rows = find_fonts(), []
    faces = [face for part in (fonts.trained, fonts.held_out) for family in part.values() for face in family]
    for number, face in enumerate(faces):
        name = f"{number:03d}{Path(face.path).suffix}"
        options.font_number = face.index
        try:
            font = subset.load_font(face.path, options)
            subsetter = subset.Subsetter(options)
            subsetter.populate(text=" " + ASCII + EXTRAS + CHARACTERS)
            subsetter.subset(font)
            subset.save_font(font, str(folder / name), options)
            rows.append(f"{face.family}\t{face.style}\t{name}\t0")
        except (TTLibError, AssertionError, struct.error):  # fonts that only FreeType can read are packed whole
            shutil.copy(face.path, folder / name)
            rows.append(f"{face.family}\t{face.style}\t{name}\t{face.index}")
    (folder / PACKED_FACES).write_text("\n".join(rows) + "\n", encoding="utf-8")


def pack_packages(folder: Path, python: str) -> None:
    """Install PACKAGES for 64-bit Linux on x86. Raises UserError if they cannot be fetched."""
    if shutil.which("uv") is None:
        raise UserError("the packages are fetched by uv, which is not on the PATH: runs/setup.sh installs it")
    export = ["uv", "export", "--frozen", "--no-hashes", "--no-emit-project", "--no-header"]
    pinned = subprocess.run(export, capture_output=True, text=True, check=True).stdout.splitlines()
    chosen = [line.split(";")[0].strip() for line in pinned if line.split("==")[0] in PACKAGES]
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", f"--python-version={python}"]
    command += ["--python-platform=x86_64-manylinux_2_28", f"--target={folder}", *chosen]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the packages cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
    for other in folder.glob("faker/providers/*/*_*"):  # names and words of all languages: most of its 30 MB
        if other.is_dir() and other.name not in ("en_US", "__pycache__", *LOCALES):
            shutil.rmtree(other)


def pack(folder: Path, python: str) -> None:
    """Write the archive and print its size. Raises UserError if it is larger than PACK_LIMIT."""
    shutil.rmtree(folder, ignore_errors=True)
    loose = folder / "loose"
    pack_fonts(loose / "fonts")
    shutil.copy(lexicon.word_list(), loose / "words")
    (loose / "sentences").write_text("\n".join(lexicon.sentences()), encoding="utf-8")
    pack_packages(loose / "site", python)
    archive = Path(shutil.make_archive(str(folder / "pack"), "xztar", loose))
    shutil.rmtree(loose)
    size = archive.stat().st_size
    print(f"{archive}: {size / 2**20:.1f} MiB")
    if size > PACK_LIMIT:
        raise UserError(f"{archive} is larger than {PACK_LIMIT >> 20} MiB")


def write_shards(checkpoint: Path, results: Path) -> None:
    """Write the weights of a checkpoint in float16, in files of at most SHARD bytes with metadata of the whole set.

    An older set is removed when the new one is complete.
    """
    model, _, meta = load_model(checkpoint)
    tokenizer = (checkpoint.parent / "tokenizer.pkl").read_bytes()
    shards: list[dict[str, torch.Tensor]] = [{"tokenizer.pkl": torch.tensor([*tokenizer], dtype=torch.uint8)}]
    room = SHARD - len(tokenizer)
    for name, value in half_state(model).items():
        if value.nbytes > room:
            shards.append({})
            room = SHARD
        shards[-1][name] = value
        room -= value.nbytes
    about = {"config": json.dumps(meta), "shards": str(len(shards)), "written": str(time.time())}
    paths = [results / f"weights-{meta['step']}-{number}.safetensors" for number in range(len(shards))]
    for path, state in zip(paths, shards):
        with atomic_path(path) as temporary:
            save_file(state, temporary, metadata=about)
    for older in set(results.glob("weights-*.safetensors")) - set(paths):
        older.unlink()


def join_shards(results: Path, folder: Path) -> str:
    """Write the newest complete set of shards as an exported model for `nano-ocr read --checkpoint`.

    Returns a line about it. Raises UserError if no set is complete.
    """
    sets: dict[str, list[Path]] = defaultdict(list)
    about: dict[str, dict[str, str]] = {}
    for path in sorted(results.glob("weights-*.safetensors")):
        with safe_open(path, "pt") as file:
            described = file.metadata()
        sets[described["written"]].append(path)
        about[described["written"]] = described
    whole = [written for written, paths in sets.items() if len(paths) == int(about[written]["shards"])]
    if not whole:
        raise UserError(f"{results}: no complete set of weights among {sum(map(len, sets.values()))} shards")
    newest = max(whole, key=float)
    state = {name: value for path in sets[newest] for name, value in load_file(path).items()}
    meta = json.loads(about[newest]["config"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.pkl").write_bytes(bytes(state.pop("tokenizer.pkl").tolist()))
    model = model_of(ModelConfig.from_dict(meta["model"]), state, results)
    export_model(folder, model, RustBPETokenizer.from_directory(folder), meta)
    return f"{folder}: stage {meta['stage']}, step {meta['step']}, last validation: {meta.get('validation')}"


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    results = Path(config.results)
    if config.what == "pack":
        pack(Path(config.pack), config.python)
    elif config.what == "shards":
        write_shards(Path(config.checkpoint), results)
    else:
        Path(config.page).write_text(page(read_steps(results)), encoding="utf-8")
        print(f"wrote {config.page}")
        if any(results.glob("weights-*")):
            print(join_shards(results, Path(config.models)))


if __name__ == "__main__":
    main()
