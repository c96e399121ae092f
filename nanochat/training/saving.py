"""Writing the checkpoints of a run. A file is written completely or not at all, and meta_N.json is written last."""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist

from nanochat.checkpoint import meta_path
from nanochat.common import get_dist_info
from nanochat.errors import UserError
from nanochat.files import atomic_path, read_json, write_text
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.training.shard import save_parts


def _save(what: object, path: Path) -> None:
    with atomic_path(path) as temporary:
        try:
            torch.save(what, temporary)
        except RuntimeError as error:  # how torch reports a full disk
            raise UserError(f"cannot write {path}: is the disk full? ({str(error).splitlines()[0]})") from error


def _withdraw(folder: Path, step: int) -> None:
    """Delete the files of an older run for this step, first meta_N.json, so that they are not mixed with new ones."""
    meta_path(folder / f"step_{step}.pt").unlink(missing_ok=True)
    (folder / f"optim_{step}.pt").unlink(missing_ok=True)
    shutil.rmtree(folder / f"optim_{step}", ignore_errors=True)


def save_divided(folder: str | Path, step: int, resume: dict) -> None:
    """Write the folder optim_N: each rank writes its part of `resume`.

    All ranks must call this, and then the first one `save_checkpoint`.
    """
    if get_dist_info()[1] == 0:
        _withdraw(Path(folder), step)
    dist.barrier()
    save_parts(resume, Path(folder) / f"optim_{step}")


def save_checkpoint(folder: str | Path, step: int, model: NanoDeepseekOCR, resume: dict | None, meta: dict) -> Path:
    """Write step_N.pt, optim_N.pt and, last, meta_N.json. Returns the path of step_N.pt.

    `resume`: the contents of optim_N.pt; None if `save_divided` has written them. `meta`: further contents of
    meta_N.json. Raises UserError if the disk is full; earlier checkpoints are not affected.
    """
    folder = Path(folder)
    path = folder / f"step_{step}.pt"
    if resume is not None:
        _withdraw(folder, step)
        _save(resume, folder / f"optim_{step}.pt")
    _save(model.state_dict(), path)
    versions = {"python": platform.python_version(), "torch": version("torch")}
    described = {"step": step, "model": model.config.to_dict(), **meta, "versions": versions}
    write_text(meta_path(path), json.dumps(described, indent=2))
    return path


def save_deepencoder(folder: str | Path, step: int, model: NanoDeepseekOCR) -> Path:
    """Write deepencoder_N.pt, all weights except those of the GPT. Returns its path. Raises UserError if the disk is
    full.
    """
    path = Path(folder) / f"deepencoder_{step}.pt"
    _save({name: value for name, value in model.state_dict().items() if not name.startswith("gpt.")}, path)
    return path


def newest_step(folder: str | Path, stage: int) -> int:
    """The step of the newest complete checkpoint of this stage in a folder; -1 if there is none.

    If several runs were started in the folder, it is that of the run that was started last. Raises UserError if a
    meta_N.json is broken.
    """
    whole = [read_json(path) for path in Path(folder).glob("meta_[0-9]*.json")]
    mine = [(meta.get("started", 0.0), meta["step"]) for meta in whole if meta["stage"] == stage]
    return max(mine, default=(0.0, -1))[1]
