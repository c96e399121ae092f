"""Checkpoints of a run, as they are written: whole or absent, never half, what vouches for the others last."""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist

from nanochat.common import get_dist_info
from nanochat.errors import UserError
from nanochat.files import atomic_path, read_json
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.shard import save_parts


def _save(what: object, path: Path) -> None:
    with atomic_path(path) as temporary:
        try:
            torch.save(what, temporary)
        except RuntimeError as error:  # torch reports a full disk so
            raise UserError(f"cannot write {path}: is the disk full? ({str(error).splitlines()[0]})") from error


def _withdraw(folder: Path, step: int) -> None:
    """Take away an older run's files, not to be paired with those that follow; first what vouches for them."""
    (folder / f"meta_{step}.json").unlink(missing_ok=True)
    (folder / f"optim_{step}.pt").unlink(missing_ok=True)
    shutil.rmtree(folder / f"optim_{step}", ignore_errors=True)


def save_divided(folder: str | Path, step: int, resume: dict) -> None:
    """Write optim_N/, each rank what it holds of `resume`; all call it, and then the first `save_checkpoint`."""
    if get_dist_info()[1] == 0:
        _withdraw(Path(folder), step)
    dist.barrier()
    save_parts(resume, Path(folder) / f"optim_{step}")


def save_checkpoint(folder: str | Path, step: int, model: NanoDeepseekOCR, resume: dict | None, meta: dict) -> Path:
    """Write step_N.pt, optim_N.pt and, last, meta_N.json; returns the first's path.

    `resume`: what optim_N.pt holds; None: `save_divided` has written it.
    Raises UserError when the disk is full; earlier checkpoints stay as they were.
    """
    folder = Path(folder)
    path = folder / f"step_{step}.pt"
    if resume is not None:
        _withdraw(folder, step)
        _save(resume, folder / f"optim_{step}.pt")
    _save(model.state_dict(), path)
    versions = {"python": platform.python_version(), "torch": version("torch")}
    described = {"step": step, "model": model.config.to_dict(), **meta, "versions": versions}
    with atomic_path(folder / f"meta_{step}.json") as temporary:
        temporary.write_text(json.dumps(described, indent=2))
    return path


def save_deepencoder(folder: str | Path, step: int, model: NanoDeepseekOCR) -> Path:
    """Write deepencoder_N.pt: everything but the GPT."""
    path = Path(folder) / f"deepencoder_{step}.pt"
    _save({name: value for name, value in model.state_dict().items() if not name.startswith("gpt.")}, path)
    return path


def newest_step(folder: str | Path, stage: int) -> int:
    """The step of this stage's newest whole checkpoint in a run's folder; -1 when there is none.

    Where several runs were started in one folder it is the last one's, however far the others came. Raises UserError
    for a description that is broken.
    """
    whole = [read_json(path) for path in Path(folder).glob("meta_[0-9]*.json")]
    mine = [(meta.get("started", 0.0), meta["step"]) for meta in whole if meta["stage"] == stage]
    return max(mine, default=(0.0, -1))[1]
