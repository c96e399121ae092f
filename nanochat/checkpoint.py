"""The files of a checkpoint. Each is written completely or not at all.

- `step_N.pt`: a plain state dict.
- `optim_N.pt`: state of the optimizers and the random number generators of each rank. If training is sharded, `optim_N`
  is a folder into which each process writes its part with torch.distributed.checkpoint.
- `meta_N.json`: configuration and position in the data. It is written last: if it exists, the other files are complete.
- `deepencoder_N.pt`: the encoder of stage 1, the state dict without `gpt.`.
- `tokenizer.pkl`, next to them.

An exported folder has `config.json` (the contents of `meta_N.json`), `model.safetensors` in half precision, and
`tokenizer.pkl`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanochat.errors import UserError
from nanochat.files import atomic_path, read_json, write_text
from nanochat.model_config import ModelConfig
from nanochat.onnx_files import DECODER, ENCODER, INT8
from nanochat.tokenizer import RustBPETokenizer

if TYPE_CHECKING:  # functions that need torch import it themselves, so that metadata can be read without it
    import torch

    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

    State = dict[str, torch.Tensor]


def model_of(config: ModelConfig, state: "State", path: str | Path = "the state dict") -> "NanoDeepseekOCR":
    """A model in eval mode on the CPU that uses the tensors of `state` as its weights, without copying them.

    Raises UserError, which names `path`, if the weights do not fit a model of this configuration.
    """
    import torch

    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

    with torch.device("meta"):
        model = NanoDeepseekOCR(config)
    load_into(model, state, path, assign=True)
    model.gpt.init_rotary()
    return model.eval()


def load_weights(path: str | Path) -> "State":
    """Load a state dict; only tensors are unpickled (`weights_only`).

    Raises UserError if the file is missing or truncated or does not contain a state dict.
    """
    import torch

    path = Path(path)
    if not path.is_file():
        others = ", ".join(sorted(p.name for p in path.parent.glob("*.pt") if not p.name.startswith("optim")))
        raise UserError(f"{path}: no such checkpoint (there: {others or 'none'})")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # RuntimeError, UnpicklingError, EOFError or OSError
        raise UserError(f"{path}: truncated, or not a weights file ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: contains a {type(state).__name__}, not a state dict")
    return state


def load_into(model: "NanoDeepseekOCR", state: "State", path: str | Path, assign: bool = False) -> None:
    """Load the state dict of a whole model into `model`; every key must match.

    `assign`: use its tensors as they are instead of copying them. Raises UserError, which names `path`, if it is the
    state of an encoder, or its weights are of another size.
    """
    if not any(name.startswith("gpt.") for name in state):
        raise UserError(f"{path} contains an encoder without a GPT: use it with --resume-from-deepencoder")
    try:
        model.load_state_dict(state, assign=assign)
    except RuntimeError as error:
        difference = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path} is of another size than the model: {difference}") from error


def meta_path(path: Path) -> Path:
    """The meta_N.json that belongs to step_N.pt."""
    return path.with_name(f"meta_{path.stem.removeprefix('step_')}.json")


def read_meta(path: str | Path) -> dict:
    """Read the meta_N.json that belongs to step_N.pt. Raises UserError if it is missing or broken."""
    path = Path(path)
    if path.name.startswith("deepencoder"):
        raise UserError(f"{path} contains an encoder without a GPT, which cannot read: train stage 2 from it")
    if not path.is_file():
        load_weights(path)  # its error lists the existing files
    return read_json(meta_path(path), f"{path.name} cannot be rebuilt without it")


RUN_STATE = ("position", "plan", "shown", "world_size", "started", "best", "total_flops")  # meta that continues a run


def half_state(model: "torch.nn.Module") -> "State":
    """The weights of a model for a file: on the CPU, in half precision."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    return {name: value.cpu().contiguous() for name, value in state.items()}


def export_model(folder: str | Path, model: "NanoDeepseekOCR", tokenizer: RustBPETokenizer, meta: dict) -> None:
    """Write a folder that `load_model` reads: weights as float16, the tokenizer, and, last, config.json with `meta`.

    Left out are the state that only continues a run, and the folders of absolute paths, because exports are published.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    for name in ("config.json", ENCODER, DECODER, *INT8.values()):
        (folder / name).unlink(missing_ok=True)  # must not remain from an older model
    tokenizer.save(folder)
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(half_state(model), temporary)
    meta = {key: value for key, value in meta.items() if key not in RUN_STATE}
    if "training" in meta:
        meta["training"] = {key: _without_folder(value) for key, value in meta["training"].items()}
    write_text(folder / "config.json", json.dumps({**meta, "model": model.config.to_dict()}, indent=2))


def _without_folder(setting: Any) -> Any:
    return Path(setting).name if isinstance(setting, str) and Path(setting).is_absolute() else setting


def peek_meta(path: str | Path) -> dict:
    """The meta that `load_model` returns, without loading the weights.

    `path`: step_N.pt, or an exported folder. Raises UserError if it is missing or broken, or describes another model.
    """
    path = Path(path)
    if not path.is_dir():
        return read_meta(path)
    meta = read_json(path / "config.json")
    if "model" not in meta:
        raise UserError(f"{path}/config.json does not describe a model of this project (no field `model`)")
    return meta


def _read_folder(folder: Path) -> "State":
    """The weights of an exported folder. Raises UserError if a file of the folder is missing or broken."""
    from safetensors.torch import load_file

    missing = [n for n in ("config.json", "model.safetensors", "tokenizer.pkl") if not (folder / n).is_file()]
    if missing:
        raise UserError(f"{folder} is not a complete model: {', '.join(missing)} missing")
    try:
        return load_file(folder / "model.safetensors")
    except Exception as error:  # safetensors raises its own errors, depending on how the file is broken
        raise UserError(f"{folder}/model.safetensors is broken or truncated ({error})") from error


def load_model(
    path: str | Path, device: "str | torch.device" = "cpu"
) -> tuple["NanoDeepseekOCR", RustBPETokenizer, dict]:
    """Rebuild a model from a checkpoint alone. Returns (model, tokenizer, metadata).

    The model is float32, in eval mode, on `device`. `path`: step_N.pt or an exported folder. Raises UserError if a file
    is missing, broken or of another size.
    """
    import torch

    path = Path(path)
    state = _read_folder(path) if path.is_dir() else None  # names missing files, including config.json
    meta = peek_meta(path)
    if state is None:
        state = load_weights(path)
    own = {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in state.items()}
    model = model_of(ModelConfig.from_dict(meta["model"]), own, path)  # memory that is not mapped from a file
    return model.to(device), RustBPETokenizer.from_directory(path if path.is_dir() else path.parent), meta


def average_into(
    model: "NanoDeepseekOCR",
    tokenizer: RustBPETokenizer,
    other: "NanoDeepseekOCR",
    other_tokenizer: RustBPETokenizer,
) -> None:
    """Replace the weights of `model` by the mean of its weights and those of `other`, both from one training run.

    Averages of models with a common history have a lower error than each of them (Wortsman et al. 2022, "Model soups",
    arXiv:2203.05482). If tokens were appended to the vocabulary since `other`, their rows stay as they are. Raises
    UserError if the configurations differ in anything else, or if the tokens that both have differ.
    """
    size = other.config.gpt.vocab_size
    if replace(model.config, gpt=replace(model.config.gpt, vocab_size=size)) != other.config:
        raise UserError("the two models have different shapes, so their weights cannot be averaged")
    if not other_tokenizer.begins(tokenizer):
        raise UserError("the two models have different tokens, so their weights cannot be averaged")
    for mine, its in zip(model.state_dict().values(), other.state_dict().values()):
        if mine.is_floating_point():
            shared = mine if mine.shape == its.shape else mine[: len(its)]
            shared.lerp_(its.to(mine.device), 0.5)
