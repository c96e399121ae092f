"""Write a trained model as a folder: half-precision weights, configuration and tokenizer.

uv run python -m scripts.export --checkpoint=checkpoints/step_1500.pt --out=exported
uv run python -m scripts.export --checkpoint=nano --out=exported --format=hf
uv run python -m scripts.export --checkpoint=nano --out=models/nano --format=onnx
uv run python -m scripts.export --checkpoint=second/step_3000.pt --average_with=first --out=exported

`native` is the format of `nano-ocr read --checkpoint`. `hf` adds the files that transformers needs. `onnx` adds graphs
for ONNX Runtime, for inference without torch, and writes the graph of the line detector to `models/lines`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nanochat.checkpoint import average_into, export_model, load_model
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError, extra
from nanochat.lines.finder import WEIGHTS as LINE_WEIGHTS
from nanochat.reading.ocr import find_model


@dataclass
class ExportConfig:
    checkpoint: str
    """step_N.pt of a trained model, an exported folder, or nano: the model that comes with the project"""
    out: Path
    """folder to write"""
    average_with: str = ""
    """another model: the mean of both models' weights is written"""
    format: Literal["native", "hf", "onnx"] = "native"
    """native; hf: also for transformers, with its code; onnx: also for ONNX Runtime, without torch"""
    int8: bool = False
    """with --format=onnx, also write 8-bit graphs"""


@entry_point
def main() -> None:
    """Write a trained model as a folder."""
    config = parse_args(ExportConfig, description=main.__doc__)
    if config.int8 and config.format != "onnx":
        raise UserError("--int8 is for --format=onnx")
    model, tokenizer, meta = load_model(find_model(config.checkpoint))
    if config.average_with:
        average_into(model, tokenizer, *load_model(find_model(config.average_with))[:2])
    if config.format == "native":
        export_model(config.out, model, tokenizer, meta)
    elif config.format == "onnx":
        with extra("onnx-export"):
            from nanochat.onnx_export import export_lines, export_onnx  # onnx is an optional package
        export_onnx(config.out, model, tokenizer, meta, config.int8)
        export_lines(LINE_WEIGHTS.parent)
    else:
        with extra("hf"):
            from nanochat.hf.export import export_hf  # transformers is an optional package
        export_hf(config.out, model, tokenizer, meta)
    print(f"Wrote {config.out}: {', '.join(sorted(path.name for path in config.out.iterdir()))}")


if __name__ == "__main__":
    main()
