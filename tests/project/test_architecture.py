"""The claims of docs/architecture.md: layers and imports, parameter counts, numbers of vision tokens."""

import ast
import re
from pathlib import Path

import pytest
import torch

from nanochat.image_process import count_vision_tokens
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def rows(*header: str) -> list[list[str]]:
    """The cells of the table whose first columns have these names."""
    tables = re.findall(r"(?:^\|.*\n)+", DOCUMENT, re.MULTILINE)
    split = [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in t.splitlines()] for t in tables]
    (found,) = [table[2:] for table in split if tuple(table[0][: len(header)]) == header]
    return found


def layers() -> dict[str, int]:
    """File or folder, from the root of the repository -> its layer in the table."""
    found: dict[str, int] = {}
    for layer, files, _ in rows("layer"):
        for name in re.findall(r"`([^`]+)`", files):
            path = name if name in ("scripts/", "dev/") else f"nanochat/{name}"
            assert path not in found, f"{path} is in two layers"
            assert (ROOT / path).exists(), f"{path} does not exist"
            found[path] = int(layer)
    return found


def layer_of(module: str, known: dict[str, int]) -> int:
    """The layer of a module such as `nanochat.tasks.common`: that of its file or its folder."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        for name in (f"{path}.py", f"{path}/"):
            if name in known:
                return known[name]
    pytest.fail(f"docs/architecture.md does not give a layer for {module}")


def imports_of(path: Path) -> set[str]:
    """The modules of this project that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("nanochat", "scripts", "dev") and "." in name}


def test_every_file_has_a_layer_and_imports_nothing_from_a_higher_one():
    known = layers()
    climbing = []
    for path in [*(ROOT / "nanochat").rglob("*.py"), *(ROOT / "scripts").rglob("*.py"), *(ROOT / "dev").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path == ROOT / "nanochat/__init__.py":
            continue
        own = layer_of(module, known)
        climbing += [f"{module} imports {name}" for name in imports_of(path) if layer_of(name, known) > own]
    assert climbing == []


@pytest.mark.parametrize(("column", "size"), [(1, "d20"), (2, "nano")])
def test_documented_parameter_counts(column: int, size: str):
    with torch.device("meta"):
        model = NanoDeepseekOCR(preset(size))
    said = {cells[0]: cells[column] for cells in rows("", "`d20`", "`nano`")}

    def count(module: torch.nn.Module) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,}"

    assert said["parameters"] == count(model)
    assert said["- SAM and compressor"] == count(model.sam_model)
    assert said["- CLIP"] == count(model.vision_model)
    assert said["- projector"] == count(model.projector)
    assert said["- `image_newline`, `view_separator`"] == f"{model.image_newline.numel():,} each"
    assert said["- GPT"] == count(model.gpt)
    model.freeze_sam()
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert said["trainable in stage 2"].startswith(f"{trainable:,}:")


def test_documented_tokens_of_square_views():
    said = {int(side): int(tokens) for side, tokens in rows("square view")}
    assert said == {side: count_vision_tokens(side) for side in (512, 640, 1024, 1280)}
