"""Public weights for SAM, CLIP, the GPT or the whole DeepEncoder: where their files are, and how names are mapped.

A source is a hub id (`owner/name`), a local file or folder, or `random`, which leaves a module as it is. Every tensor
of a file is either used or matched by a pattern of unwanted ones; every tensor of the module is either filled or listed
as new. Anything else is an error that names the tensor. Files are safetensors, or pickles from which only tensors are
read.
"""

import math
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from nanochat.checkpoint import load_weights
from nanochat.deepencoder import CLIP, SAM
from nanochat.errors import UserError
from nanochat.files import read_json
from nanochat.gpt import GPT
from nanochat.hub import fetch, fetch_matching
from nanochat.modes import TOKEN_SIZE
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.tokenizer import RustBPETokenizer

RANDOM = "random"
Tensors = dict[str, Tensor]
Renames = tuple[tuple[str, str], ...]  # (pattern, replacement), applied to a name one after the other

SAM_FILES = CLIP_FILES = ("model.safetensors", "pytorch_model.bin")
SAM_UNWANTED = r"(shared_image_embedding|prompt_encoder|mask_decoder)\."  # the segmenter around the encoder
SAM_NEW = ("net_2.weight", "net_3.weight")  # DeepSeek-OCR's compressor, which SAM does not have
SAM_NAMES: Renames = (
    (r"^vision_encoder\.", ""),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^layers\.(\d+)\.layer_norm([12])\.", r"blocks.\1.norm\2."),
    (r"^layers\.", "blocks."),
    (r"^neck\.conv1\.", "neck.0."),
    (r"^neck\.layer_norm1\.", "neck.1."),
    (r"^neck\.conv2\.", "neck.2."),
    (r"^neck\.layer_norm2\.", "neck.3."),
)

CLIP_UNWANTED = (  # the text model, the projections that compare text and image, and the norm of the class token
    r"text_model\.|text_projection\.|visual_projection\.|logit_scale$|vision_model\.post_layernorm\."
)
CLIP_NAMES: Renames = ((r"^vision_model\.", ""), (r"^encoder\.", "transformer."))
POSITION_IDS = "embeddings.position_ids"  # 0, 1, 2, ...: files of newer versions of transformers leave it out
CLIP_POSITIONS = "vision_model.embeddings.position_embedding.weight"

GPT_FILES = ("pytorch_model.bin", "model.safetensors", "model.safetensors.index.json", "model_*.pt")
GPT_NAMES: Renames = (
    (r"^gpt\.", ""),  # from an exported complete model
    (r"^_orig_mod\.", ""),  # saved while compiled
    (r"^model\.embed_tokens\.", "transformer.wte."),
    (r"^model\.layers\.(\d+)\.self_attn\.([qkv])_proj\.", r"transformer.h.\1.attn.c_\2."),
    (r"^model\.layers\.(\d+)\.self_attn\.o_proj\.", r"transformer.h.\1.attn.c_proj."),
    (r"^model\.layers\.(\d+)\.mlp\.fc1\.", r"transformer.h.\1.mlp.c_fc."),
    (r"^model\.layers\.(\d+)\.mlp\.fc2\.", r"transformer.h.\1.mlp.c_proj."),
)
HEADS = "_extra_state"  # key of (n_head, n_kv_head) in the GPT's state dict
VOCABULARY = ("transformer.wte.weight", "lm_head.weight")

DEEPENCODER_FILES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin")
DEEPENCODER_UNWANTED = r"model\.(layers|embed_tokens|norm)\.|lm_head\."  # DeepSeek-OCR's own language model
DEEPENCODER_NAMES: Renames = ((r"^model\.", ""), (r"^view_seperator$", "view_separator"))

# Our own text, which no model can have memorised.
ENGLISH = (
    "The old library stood at the corner of the market square, and every Saturday morning its doors opened at nine. "
    "Children came first, because they knew that the new books would be lying on the long table near the window. "
    "Their parents followed more slowly, shaking the rain from their coats and asking whether anyone had returned the "
    "newspaper. At noon the librarian made a pot of tea, put on her glasses, and wrote the names of the borrowers into "
    "a large green book. Nobody was ever in a hurry there. When the clock struck five, she turned off the lights, "
    "locked the door, and walked home along the river."
)


@dataclass
class Folder:
    """A set of files, in a local folder or in a repository of the hub."""

    name: str
    is_local: bool

    def find(self, pattern: str) -> Path | None:
        """The file of this name, or the last (sorted) that matches a glob; None if there is none.

        Raises UserError if the hub cannot be reached.
        """
        if self.is_local:
            return max(Path(self.name).glob(pattern), default=None)
        try:
            return fetch_matching(self.name, pattern)[-1] if "*" in pattern else fetch(self.name, pattern)
        except UserError as error:
            if error.__cause__ is not None:  # the client failed; without a cause, there is no such file
                raise
            return None


def locate(source: str | Path, names: tuple[str, ...]) -> tuple[Folder, Path]:
    """The folder of a source and its weights file: the source itself, or the first of `names` that exists.

    Raises UserError if there is none.
    """
    path = Path(source)
    if path.is_file():
        return Folder(str(path.parent), True), path
    if not path.is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise UserError(f"{source}: no such file or folder, and no hub id of the form owner/name")
    folder = Folder(str(source), path.is_dir())
    for name in names:
        found = folder.find(name)
        if found:
            return folder, found
    raise UserError(f"{source} has no weights file: expected {' or '.join(names)}")


def _read_safetensors(path: Path, wanted: Callable[[str], bool]) -> Tensors:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if wanted(name)}
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: truncated, or not a safetensors file ({error})") from error


def read_tensors(folder: Folder, path: Path, unwanted: str = r"(?!)") -> Tensors:
    """All tensors of a weights file except those whose names start with a match of `unwanted`.

    For an index of shards, only shards with wanted tensors are downloaded and opened. Raises UserError for a corrupt
    file.
    """

    def wanted(name: str) -> bool:
        return re.match(unwanted, name) is None

    if path.name.endswith(".index.json"):
        tensors: Tensors = {}
        for name in sorted({shard for key, shard in read_json(path).get("weight_map", {}).items() if wanted(key)}):
            shard = folder.find(name)
            if shard is None:
                raise UserError(f"{path} lists {name}, which {folder.name} does not have")
            tensors |= _read_safetensors(shard, wanted)
        return tensors
    if path.suffix == ".safetensors":
        return _read_safetensors(path, wanted)
    return {name: tensor for name, tensor in load_weights(path).items() if wanted(name)}


def rename(tensors: Tensors, names: Renames) -> Tensors:
    """The same tensors, renamed by `names`, one pattern after the other."""
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")


def fill(module: nn.Module, tensors: Tensors, path: Path, keep: tuple[str, ...] = ()) -> None:
    """Load `tensors` into `module`. Names in `keep` may be missing; the module then keeps its own tensors.

    Raises UserError, which names them, if other tensors are missing, unexpected or of another shape.
    """
    own = module.state_dict()
    shapes = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if tensors[name].shape != own[name].shape
    ]
    missing, unexpected = own.keys() - tensors.keys() - set(keep), tensors.keys() - own.keys()
    problems = {"missing": missing, "unexpected": unexpected, "mis-shaped": shapes}
    found = "; ".join(f"{what}: {_some(names)}" for what, names in problems.items() if names)
    if found:
        raise UserError(f"{path} does not fit this {type(module).__name__}; {found}")
    module.load_state_dict(tensors, strict=False)  # every name has been accounted for


def load_sam(sam: SAM, source: str | Path) -> None:
    """Load SAM from facebook/sam-vit-base or a similar source; the compressor, which is new, keeps its weights.

    Raises UserError if the weights cannot be found, cannot be read or do not fit.
    """
    if source == RANDOM:
        return
    folder, path = locate(source, SAM_FILES)
    fill(sam, rename(read_tensors(folder, path, SAM_UNWANTED), SAM_NAMES), path, keep=SAM_NEW)


def _fuse_qkv(tensors: Tensors, path: Path) -> Tensors:
    """Stack each `q_proj`, `k_proj` and `v_proj`, in this order, into one `qkv_proj`."""
    fused: Tensors = {}
    for name, tensor in tensors.items():
        found = re.fullmatch(r"(.*\.self_attn\.)([qkv])_proj\.(weight|bias)", name)
        if not found:
            fused[name] = tensor
        elif found[2] == "q":
            parts = [f"{found[1]}{letter}_proj.{found[3]}" for letter in "qkv"]
            missing = [part for part in parts if part not in tensors]
            if missing:
                raise UserError(f"{path} has {name} but not {_some(missing)}")
            fused[f"{found[1]}qkv_proj.{found[3]}"] = torch.cat([tensors[part] for part in parts])
    return fused


def load_clip(clip: CLIP, source: str | Path) -> None:
    """Load CLIP from the vision model of openai/clip-vit-large-patch14 or a similar source.

    Raises UserError if the weights cannot be found, cannot be read or do not fit.
    """
    if source == RANDOM:
        return
    folder, path = locate(source, CLIP_FILES)
    tensors = rename(read_tensors(folder, path, CLIP_UNWANTED), CLIP_NAMES)
    fill(clip, _fuse_qkv(tensors, path), path, keep=(POSITION_IDS,))


def spread_positions(table: Tensor, own: Tensor, token_size: tuple[int, int]) -> Tensor:
    """CLIP's position table of a model with tokens of 64 x 64 pixels, for one whose tokens show `token_size` pixels.

    table: (1 + g*g, C), own: (1 + G*G, C) with a row for the class token first. A position between two of the old grid
    gets their weighted mean; what lies beyond the old grid keeps its values from `own`. Returns (1 + G*G, C).
    """
    old, new = math.isqrt(len(table) - 1), math.isqrt(len(own) - 1)
    grid, spread = table[1:].float().view(old, old, -1), own[1:].detach().float().clone().view(new, new, -1)
    rows, columns = (min(new, old * whole // part) for whole, part in zip(TOKEN_SIZE, token_size))
    for axis, (n, whole, part) in enumerate(zip((rows, columns), TOKEN_SIZE, token_size)):
        at = (torch.arange(n) * part / whole).clamp(max=old - 1)
        low, share = at.long(), at - at.long()
        share = share.view(-1, 1, 1) if axis == 0 else share.view(1, -1, 1)
        grid = torch.lerp(grid.index_select(axis, low), grid.index_select(axis, (low + 1).clamp(max=old - 1)), share)
    spread[:rows, :columns] = grid
    return torch.cat([table[:1].float(), spread.flatten(0, 1)]).to(table.dtype)


def load_deepencoder(model: NanoDeepseekOCR, source: str | Path) -> None:
    """Load all but the GPT from deepseek-ai/DeepSeek-OCR, a DeepEncoder file of stage 1, or an exported folder, whose
    GPT is ignored.

    A model whose vision tokens are smaller than those of the weights starts with positions spread over its grid
    (`spread_positions`). Raises UserError if the weights cannot be found, cannot be read, do not fit, or are a complete
    training checkpoint.
    """
    if source == RANDOM:
        return
    folder, path = locate(source, DEEPENCODER_FILES)
    exported = Path(source).is_dir() and path.name == "model.safetensors"
    unwanted = DEEPENCODER_UNWANTED + (r"|gpt\." if exported else "")
    tensors = rename(read_tensors(folder, path, unwanted), DEEPENCODER_NAMES)
    if any(name.startswith("gpt.") for name in tensors):
        raise UserError(f"{path} is a whole checkpoint, not a DeepEncoder: give a deepencoder_N.pt")
    own = model.vision_model.embeddings.position_embedding.weight
    if (
        CLIP_POSITIONS in tensors
        and tensors[CLIP_POSITIONS].shape != own.shape
        and model.config.vision.token_size != TOKEN_SIZE
    ):
        tensors[CLIP_POSITIONS] = spread_positions(tensors[CLIP_POSITIONS], own, model.config.vision.token_size)
        tensors.pop(f"vision_model.{POSITION_IDS}", None)
    keep = tuple(name for name in model.state_dict() if name.startswith("gpt."))
    fill(model, tensors, path, keep=(*keep, f"vision_model.{POSITION_IDS}"))


def _heads_in(config: dict) -> tuple[int, int] | None:
    """(n_head, n_kv_head) from nanochat's meta or config, or from a config of `transformers`; None if absent."""
    config = config.get("model_config", config)
    for query, key_value in (("n_head", "n_kv_head"), ("num_attention_heads", "num_key_value_heads")):
        if config.get(query):
            return config[query], config.get(key_value) or config[query]
    return None


def find_heads(folder: Folder, path: Path, tensors: Tensors) -> tuple[int, int]:
    """(n_head, n_kv_head) that the weights were trained with, which cannot be derived from their shapes.

    From the metadata of the weights, else from config.json or meta_*.json beside them, else by nanochat's rule of one
    head per 128 channels.
    """
    if HEADS in tensors:
        n_head, n_kv_head = tensors[HEADS].tolist()
        return n_head, n_kv_head
    number = re.fullmatch(r"model_(\d+)\.pt", path.name)
    for name in ("config.json", f"meta_{number[1]}.json" if number else "meta_*.json"):
        beside = folder.find(name)
        heads = _heads_in(read_json(beside)) if beside else None
        if heads:
            return heads
    width = tensors[VOCABULARY[0]].shape[1]
    n_head = math.ceil(width / 128)
    return n_head, tensors["transformer.h.0.attn.c_k.weight"].shape[0] * n_head // width


def add_vocabulary(tensors: Tensors, vocab_size: int, seed: int) -> None:
    """Append rows to embedding and head up to `vocab_size`: normal with std 0.02, as in the recipe."""
    random = torch.Generator().manual_seed(seed)
    for name in VOCABULARY:
        rows = tensors[name]
        if len(rows) < vocab_size:
            new = 0.02 * torch.randn(vocab_size - len(rows), rows.shape[1], generator=random)
            tensors[name] = torch.cat([rows, new.to(rows.dtype)])


def load_gpt(gpt: GPT, source: str | Path, seed: int = 42) -> None:
    """Load the GPT from nanochat-students/base-d20, another nanochat export, NanoChat of `transformers`, or an exported
    folder of ours, whose encoder is ignored.

    If the model was built with other head counts than the weights, it adopts theirs with a warning. Tokens that the
    weights lack get new rows. Raises UserError if the weights cannot be found, cannot be read or do not fit.
    """
    if source == RANDOM:
        return
    folder, path = locate(source, GPT_FILES)
    tensors = read_tensors(folder, path)
    if any(name.startswith("gpt.") for name in tensors):
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("gpt.")}
    tensors = rename(tensors, GPT_NAMES)
    missing = [name for name in (*VOCABULARY, "transformer.h.0.attn.c_k.weight") if name not in tensors]
    if missing:
        raise UserError(f"{path} is not a nanochat GPT: it has no {_some(missing)}, but {_some(tensors)}")
    tensors[HEADS] = torch.tensor(find_heads(folder, path, tensors))
    add_vocabulary(tensors, gpt.config.vocab_size, seed)
    try:
        fill(gpt, tensors, path)
    except UserError:
        raise
    except ValueError as error:  # head counts that do not divide the width
        raise UserError(f"{path}: {error}") from error


@torch.inference_mode()
def check_knows_english(gpt: GPT, tokenizer: RustBPETokenizer) -> tuple[float, float]:
    """(loss on a paragraph of plain English, loss of a random model), in nats per token.

    Warns if the first is not far below the second, ln(vocabulary). Wrong head counts or the tokenizer of another model
    cause no error anywhere else. Raises UserError if the tokenizer has more tokens than the GPT.
    """
    ids = torch.tensor([tokenizer.encode(ENGLISH, prepend="<|bos|>")], device=gpt.lm_head.weight.device)
    if int(ids.max()) >= gpt.config.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.get_vocab_size():,} tokens, the GPT {gpt.config.vocab_size:,}: they do not "
            f"belong together"
        )
    loss = gpt(ids[:, :-1], ids[:, 1:]).item()
    random_loss = math.log(gpt.config.vocab_size)
    if not loss < random_loss / 2:
        warnings.warn(
            f"this GPT does not know English: its loss on a plain paragraph is {loss:.2f} nats per token; a random "
            f"one has {random_loss:.2f}, a trained one much less. Check that its {gpt.config.n_head} heads and its "
            f"tokenizer are those it was trained with",
            stacklevel=2,
        )
    return loss, random_loss
