"""What runs/gpu_day.sh needs around its slices: what to take along, weights in pieces, tables out of the results.

python -m scripts.gpu_day pack      # fonts, words and packages into out/gpu_pack/
python -m scripts.gpu_day shards --checkpoint=out/gpu_day/stage1/meta_100.json
python -m scripts.gpu_day collect   # tables into docs/, weights into models/
"""

import json
import logging
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from tyro.conf import Positional

from nanochat.checkpoint import export_model, load_model, model_of
from nanochat.common import UserError, atomic_path, entry_point, parse_args
from nanochat.nano_deepseek_ocr import ModelConfig
from nanochat.synth import lexicon
from nanochat.synth.fonts import ASCII, EXTRAS, PACKED_FACES, find_fonts
from nanochat.tokenizer import RustBPETokenizer

# Packages that training wants and that a machine made for torch may not have; versions are uv.lock's.
PACKAGES = ("tyro", "docstring-parser", "typeguard", "faker", "tzdata", "rustbpe", "rapidfuzz", "pypdfium2")
PACK_LIMIT = 60 * 2**20  # bytes
SHARD = 15 * 2**20  # bytes of weights in one file


@dataclass
class Config:
    """Pack for a machine without a network; keep weights in small files; turn results into documents."""

    what: Positional[Literal["pack", "shards", "collect"]]
    """which of the three"""
    pack: str = "out/gpu_pack"
    """folder to take along"""
    results: str = "out/gpu_day/results"
    """flat folder of results"""
    checkpoint: str = ""
    """meta_N.json of the checkpoint that is kept in shards"""
    python: str = "3.12"
    """version of Python on that machine"""
    page: str = "docs/gpu_day.md"
    """page of tables to write"""
    models: str = "models/gpu_day"
    """folder to write weights to"""


def pack_fonts(folder: Path) -> None:
    """The faces that documents are drawn with, cut down to the characters that are drawn."""
    from fontTools import subset  # comes with matplotlib, and is needed nowhere else
    from fontTools.ttLib import TTLibError

    logging.getLogger("fontTools").setLevel(logging.CRITICAL)  # it tells of every oddity of every font
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
            subsetter.populate(text=" " + ASCII + EXTRAS)
            subsetter.subset(font)
            subset.save_font(font, str(folder / name), options)
            rows.append(f"{face.family}\t{face.style}\t{name}\t0")
        except (TTLibError, AssertionError, struct.error):  # what FreeType alone understands travels whole
            shutil.copy(face.path, folder / name)
            rows.append(f"{face.family}\t{face.style}\t{name}\t{face.index}")
    (folder / PACKED_FACES).write_text("\n".join(rows) + "\n", encoding="utf-8")


def pack_packages(folder: Path, python: str) -> None:
    """PACKAGES for 64-bit Linux on a PC. Raises UserError when they cannot be fetched."""
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
    for other in folder.glob("faker/providers/*/*_*"):  # names and words of other languages: most of its 30 MB
        if other.is_dir() and other.name not in ("en_US", "__pycache__"):
            shutil.rmtree(other)


def pack(folder: Path, python: str) -> None:
    """Write the whole folder anew and say how large it is. Raises UserError past PACK_LIMIT."""
    shutil.rmtree(folder, ignore_errors=True)
    pack_fonts(folder / "fonts")
    shutil.copy(lexicon.SYSTEM_WORDS, folder / "words")
    pack_packages(folder / "site", python)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB")
    if size > PACK_LIMIT:
        raise UserError(f"{folder} is larger than {PACK_LIMIT >> 20} MiB")


def write_shards(checkpoint: Path, results: Path) -> None:
    """A checkpoint's weights in float16, in files of at most SHARD bytes, what describes them last."""
    model, tokenizer, meta = load_model(checkpoint)
    shards: list[dict[str, torch.Tensor]] = [{}]
    room = SHARD
    for name, value in model.state_dict().items():
        value = value.half() if value.is_floating_point() else value
        if value.nbytes > room:
            shards.append({})
            room = SHARD
        shards[-1][name] = value.contiguous()
        room -= value.nbytes
    for number, state in enumerate(shards):
        with atomic_path(results / f"weights-{number}.safetensors") as temporary:
            save_file(state, temporary, metadata={"step": str(meta["step"])})
    tokenizer.save(results)
    with atomic_path(results / "config.json") as temporary:
        temporary.write_text(json.dumps({**meta, "shards": len(shards)}, indent=2))


def join_shards(results: Path, folder: Path) -> str:
    """Shards as one exported model, which `nano-ocr --checkpoint` takes; a line that says what it is."""
    meta = json.loads((results / "config.json").read_text())
    state: dict[str, torch.Tensor] = {}
    for number in range(meta.pop("shards")):
        state |= load_file(results / f"weights-{number}.safetensors")
    model = model_of(ModelConfig.from_dict(meta["model"]), state, results)
    export_model(folder, model, RustBPETokenizer.from_directory(results), meta)
    return f"{folder}: stage {meta['stage']}, step {meta['step']}, last validation: {meta.get('validation')}"


def read_steps(results: Path) -> list[dict[str, Any]]:
    """Every line of every slice, in order."""
    slices = [results / f"{name}.jsonl" for name in ("check", "bench", "train")]
    found = [json.loads(line) for path in slices if path.exists() for line in path.read_text().splitlines()]
    if not found:
        raise UserError(f"{results} holds no check.jsonl, bench.jsonl or train.jsonl")
    return found


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) if rows else "None came back."


def tables(steps: list[dict[str, Any]]) -> str:
    """The page: what ran, then training, decoding, memory and parity."""
    trained, decoded, memory, parity = (
        list[tuple[str, ...]](),
        list[tuple[str, ...]](),
        list[tuple[str, ...]](),
        list[tuple[str, ...]](),
    )
    for step in steps:
        found = step["found"] or {}
        for stage in found.get("train", {}).get("stages", []):
            shape = f"{stage['batch_size']} x {stage['seq_len']}"
            rates = f"{stage['tokens_per_second']:,.0f}", f"{stage['pictures_per_second']:,.1f}", f"{stage['mfu']:.1%}"
            trained.append((step["step"], str(stage["stage"]), shape, f"{stage['step_seconds']:.3f}", *rates))
        if report := found.get("decode"):
            theirs, ours = report["transformers_tokens_per_second"], report["ours_with_prompt_tokens_per_second"]
            ratio = f"{ours / theirs:.1f}" if theirs else "-"
            rate = f"{report['decode_tokens_per_second']:,.0f}"
            decoded.append((step["step"], str(report["batch_size"]), rate, f"{report['mbu']:.0%}", ratio))
        for report in found.get("memory", []):
            shape = f"{report['batch_size']} x {report['seq_len']}"
            sizes = [report["peak"], report["measured"]]
            peaks = [f"{size / 1e9:.1f}" if size else "-" for size in sizes]
            memory.append(
                (found["model"], str(report["stage"]), shape, report["optimizer"], report["recompute"], *peaks)
            )
        if report := found.get("parity"):
            parity += [(n, f"{report['loss'][n]:.1e}", f"{report['gradients'][n]:.1e}") for n in report["loss"]]
            parity += [(f"a step of {n}", "", f"{error:.1e}") for n, error in report["updates"].items()]
            parity.append(("greedy tokens that are equal", f"{report['equal_tokens']:.1%}", ""))
    ran = [(s["step"], "ok" if s["rc"] == 0 else f"failed ({s['rc']})", f"{s['seconds']}") for s in steps]
    heads = {
        "What ran": table(("step", "", "seconds"), ran),
        "Against a CPU in float32": table(("", "loss", "gradients"), parity),
        "Training": table(("step", "stage", "tokens", "seconds", "tokens/s", "pictures/s", "MFU"), trained),
        "Reading": table(("step", "rows", "tokens/s", "MBU", "times transformers'"), decoded),
        "Memory, GB": table(("model", "stage", "tokens", "optimizer", "recompute", "predicted", "measured"), memory),
    }
    machine: dict[str, Any] = next((s["found"] for s in steps if s["step"] == "machine" and s["found"]), {})
    intro = (
        f"# A day with a GPU\n\nWritten by `runs/gpu_day.sh` on: {machine.get('device')}, torch {machine.get('torch')}."
    )
    return "\n\n".join([intro, *(f"## {title}\n\n{text}" for title, text in heads.items())]) + "\n"


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    results = Path(config.results)
    if config.what == "pack":
        pack(Path(config.pack), config.python)
    elif config.what == "shards":
        meta = Path(config.checkpoint)
        write_shards(meta.with_name(f"{meta.stem.replace('meta', 'step')}.pt"), results)
    else:
        Path(config.page).write_text(tables(read_steps(results)), encoding="utf-8")
        print(f"wrote {config.page}")
        if (results / "config.json").exists():
            print(join_shards(results, Path(config.models)))


if __name__ == "__main__":
    main()
