"""Export of a folder that transformers can load: configuration, tokenizer, processor and code.

The folder is an exported folder of this project (`checkpoint.export_model`) with additional files, so `nano-ocr` and
`transformers` use the same weights. The code consists of the files of this project that the model needs, all in one
folder, as transformers requires.
"""

import ast
import json
from itertools import pairwise
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from nanochat.checkpoint import export_model
from nanochat.files import atomic_path
from nanochat.hf.configuration import NanoDeepseekOcrConfig
from nanochat.hf.processing import CHAT_TEMPLATE, FINDER
from nanochat.lines.finder import WEIGHTS
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.reading.answer import LINE_TOKENS
from nanochat.reading.assemble import LEAST_SURE
from nanochat.reading.ocr import learnt_mode
from nanochat.tokenizer import RustBPETokenizer

PACKAGE = Path(__file__).parents[1]
CODE = {"configuration": "NanoDeepseekOcrConfig", "processing": "NanoDeepseekOcrProcessor"} | {
    "modeling": "NanoDeepseekOcrForConditionalGeneration"
}


def export_hf(folder: Path, model: NanoDeepseekOCR, tokenizer: RustBPETokenizer, meta: dict) -> None:
    """Write an exported folder of this project, and in it the files that transformers needs."""
    export_model(folder, model, tokenizer, {**meta, **_described()})
    vision, special = model.config.vision, tokenizer.special_tokens
    lines = learnt_mode(meta, vision) == "lines"
    fast = fast_tokenizer(tokenizer)
    fast.save_pretrained(folder)
    end = [special["<|assistant_end|>"], special["<|bos|>"]]
    GenerationConfig(
        bos_token_id=special["<|bos|>"], eos_token_id=end, pad_token_id=special["<|bos|>"], do_sample=False,
        suppress_tokens=[model.config.image_token_id],
        max_new_tokens=LINE_TOKENS if lines else model.config.gpt.sequence_len,
    ).save_pretrained(folder)  # fmt: skip
    processor = {
        "view": vision.view,
        "image_size": vision.image_size,
        "page": vision.page,
        "token_size": vision.token_size,
    }
    processor |= {"lines": lines, "least_sure": LEAST_SURE if lines else 0.0}
    processor |= {
        "processor_class": CODE["processing"],
        "auto_map": {"AutoProcessor": f"processing.{CODE['processing']}"},
    }
    _write(folder / "processor_config.json", json.dumps(processor, indent=2))
    _write(folder / "chat_template.jinja", CHAT_TEMPLATE)
    with atomic_path(folder / FINDER) as temporary:
        temporary.write_bytes(WEIGHTS.read_bytes())
    for name, text in remote_code().items():
        _write(folder / name, text)


def _described() -> dict:
    """Values in config.json that transformers needs."""
    auto = {"AutoConfig": f"configuration.{CODE['configuration']}", "AutoProcessor": f"processing.{CODE['processing']}"}
    auto |= {name: f"modeling.{CODE['modeling']}" for name in ("AutoModelForImageTextToText", "AutoModel")}
    return {
        "model_type": NanoDeepseekOcrConfig.model_type, "architectures": [CODE["modeling"]], "auto_map": auto,
        "dtype": "float32",
    }  # fmt: skip


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remote_code() -> dict[str, str]:
    """File name -> source of all modules that the three modules of this package import, made for a single folder.

    Imports are rewritten to relative ones. Raises ValueError if two modules have the same file name, since only one of
    them could be written, and for an import other than `from nanochat.x import y`.
    """
    found: dict[str, str] = {}
    origin: dict[str, str] = {}  # file name -> module
    waiting = [f"nanochat.hf.{name}" for name in CODE]
    while waiting:
        module = waiting.pop()
        other = origin.setdefault(_neighbour(module), module)
        if other != module:
            raise ValueError(f"{other} and {module} would both become {_neighbour(module)}: rename one of them")
        if _neighbour(module) in found:
            continue
        path = PACKAGE.joinpath(*module.split(".")[1:])
        text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "nanochat" for alias in node.names):
                raise ValueError(f"{module}: write `from nanochat.x import y`, which can be moved to a neighbour")
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("nanochat."):
                source = str(node.module)
                if source == "nanochat.common":
                    assert [alias.name for alias in node.names] == ["UserError"], f"{module} needs more of common.py"
                    source = "nanochat.errors"
                waiting.append(source)
                text = text.replace(f"from {node.module} import", f"from .{_neighbour(source)[:-3]} import")
        found[_neighbour(module)] = text
    return found


def _neighbour(module: str) -> str:
    """The file name of a module in the exported folder."""
    return module.split(".")[-1] + ".py"


def fast_tokenizer(tokenizer: RustBPETokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer for transformers, with the same byte-pair encoding and special tokens.

    It is built from the merge ranks of the tiktoken encoding.
    """
    encoding, letters = tokenizer.encoding, _letters()
    ranks = encoding._mergeable_ranks
    vocabulary = {"".join(letters[byte] for byte in token): rank for token, rank in ranks.items()}
    vocabulary |= tokenizer.special_tokens  # they may stand before the last ranks
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            left, right = ("".join(letters[byte] for byte in part) for part in _halves(token, ranks))
            merges.append((left, right))
    fast = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(encoding._pat_str), "isolated")
    fast.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    fast.decoder = decoders.ByteLevel()
    names = sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.__getitem__)
    fast.add_special_tokens(names)
    assert [fast.token_to_id(name) for name in names] == [tokenizer.special_tokens[name] for name in names]
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token="<|bos|>", eos_token="<|assistant_end|>", pad_token="<|bos|>",
        padding_side="left", clean_up_tokenization_spaces=False, processor_class=CODE["processing"],
    )  # fmt: skip


def _halves(token: bytes, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens that were merged into `token`.

    They result from applying only merges of lower rank to its bytes. `ranks`: token -> rank.
    """
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(a + b, len(ranks)) for a, b in pairwise(parts)]
        i = pairs.index(min(pairs))
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def _letters() -> dict[int, str]:
    """The character that stands for each byte in the vocabulary of a byte-level tokenizer (GPT-2's mapping).

    A printable byte stands for itself; the others are mapped to code points from 256 on.
    """
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {byte: chr(256 + i) for i, byte in enumerate(others)}
