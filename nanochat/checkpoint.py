"""Files of a run: weights anyone can load, what describes them, and what resumes it; whole or absent, never half.

`step_N.pt` is a plain state dict, `optim_N.pt` the optimizers and the random states of each rank, `meta_N.json`
(written last: where it is, the others are whole) the configuration and the position in the data. Where training is
divided among processes, `optim_N` is a folder to which each writes its part, by torch.distributed.checkpoint.
`tokenizer.pkl` lies beside them. `deepencoder_N.pt` is stage 1's encoder: the state dict without `gpt.`.

For others: a folder with `config.json` (what `meta_N.json` holds), `model.safetensors` in half precision, and
`tokenizer.pkl`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from nanochat.errors import UserError
from nanochat.files import atomic_path, read_json
from nanochat.model_config import ModelConfig
from nanochat.tokenizer import RustBPETokenizer

if TYPE_CHECKING:  # functions that need torch import it themselves: what describes a model is read without it
    import torch

    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

    State = dict[str, torch.Tensor]


def model_of(config: ModelConfig, state: "State", path: str | Path = "the state dict") -> "NanoDeepseekOCR":
    """A model in eval mode on the CPU whose weights are `state`, not copied.

    Raises UserError, which names `path`, where they are not this model's.
    """
    import torch

    from nanochat.nano_deepseek_ocr import NanoDeepseekOCR

    with torch.device("meta"):
        model = NanoDeepseekOCR(config)
    _fill(model, state, path, assign=True)
    model.gpt.init_rotary()
    return model.eval()


def load_weights(path: str | Path) -> "State":
    """A state dict, tensors only (`weights_only`). Raises UserError when the file is missing, truncated or no dict."""
    import torch

    path = Path(path)
    if not path.is_file():
        others = ", ".join(sorted(p.name for p in path.parent.glob("*.pt") if not p.name.startswith("optim")))
        raise UserError(f"{path}: no such checkpoint (there: {others or 'none'})")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises RuntimeError, UnpicklingError, EOFError or OSError by how it is broken
        raise UserError(f"{path}: truncated, or not a file of weights ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds a {type(state).__name__}, not a state dict")
    return state


def load_into(model: "NanoDeepseekOCR", path: str | Path) -> None:
    """Load a whole model's state dict, every key accounted for.

    Raises UserError for a DeepEncoder file, or for weights of another size.
    """
    _fill(model, load_weights(path), path)


def _fill(model: "NanoDeepseekOCR", state: "State", path: str | Path, assign: bool = False) -> None:
    from nanochat.shard import like

    if not any(name.startswith("gpt.") for name in state):
        raise UserError(f"{path} holds an encoder without a GPT: it is for --resume-from-deepencoder")
    ours = model.state_dict()
    try:
        model.load_state_dict({name: like(value, ours.get(name)) for name, value in state.items()}, assign=assign)
    except RuntimeError as error:
        difference = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path} is of another size than the model: {difference}") from error


def read_meta(path: str | Path) -> dict:
    """meta_N.json beside step_N.pt. Raises UserError when there is none, or it is broken."""
    path = Path(path)
    if path.name.startswith("deepencoder"):
        raise UserError(f"{path} holds an encoder without a GPT: it cannot read alone; train stage 2 from it")
    meta = path.with_name(f"meta_{path.stem.removeprefix('step_')}.json")
    if not path.is_file():
        load_weights(path)  # says what is there
    return read_json(meta, f"{path.name} cannot be rebuilt without it")


def export_model(folder: str | Path, model: "NanoDeepseekOCR", tokenizer: RustBPETokenizer, meta: dict) -> None:
    """Write a folder that `load_model` reads: weights as float16, the tokenizer, and last config.json."""
    from safetensors.torch import save_file

    folder = Path(folder)
    (folder / "config.json").unlink(missing_ok=True)  # an older model's: not to be paired with these weights
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    tokenizer.save(folder)
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file({name: value.cpu().contiguous() for name, value in state.items()}, temporary)
    with atomic_path(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({**meta, "model": model.config.to_dict()}, indent=2))


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
    """Rebuild (float32 model in eval mode on `device`, its tokenizer, its meta) from a path alone.

    `path`: step_N.pt, or an exported folder. Raises UserError when a file is missing, broken, or of another size.
    """
    import torch

    path = Path(path)
    state = _read_folder(path) if path.is_dir() else None  # names what is missing, config.json included
    meta = peek_meta(path)
    if state is None:
        state = load_weights(path)
    own = {k: v.to(torch.float32 if v.is_floating_point() else v.dtype, copy=True) for k, v in state.items()}
    model = model_of(ModelConfig.from_dict(meta["model"]), own, path)  # of memory that no file lies behind
    return model.to(device), RustBPETokenizer.from_directory(path if path.is_dir() else path.parent), meta


def average_into(model: "NanoDeepseekOCR", other: "NanoDeepseekOCR") -> None:
    """Put the mean of both models' weights into the first; for legs of one training, of which the second began with the
    weights of the first. Such models lie in one basin, and their mean errs less than either (Wortsman et al. 2022,
    "Model soups", arXiv:2203.05482). Raises UserError when they are not of one shape.
    """
    if model.config != other.config:
        raise UserError("the two models are not of one shape: their weights have no mean")
    for mine, its in zip(model.state_dict().values(), other.state_dict().values()):
        if mine.is_floating_point():
            mine.lerp_(its.to(mine.device), 0.5)
