"""Write a trained model as a folder: half-precision weights, configuration and tokenizer.

uv run python -m scripts.export --checkpoint=checkpoints/step_1500.pt --out=exported
uv run python -m scripts.export --checkpoint=checkpoints/step_1500.pt --out=exported --format=hf

`native` is what `nano-ocr --checkpoint` reads; `hf` is the same folder with what transformers asks for besides.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nanochat.checkpoint import export_model, load_model
from nanochat.common import UserError, entry_point, parse_args


@dataclass
class ExportConfig:
    checkpoint: Path
    """step_N.pt of a trained model, or an exported folder"""
    out: Path
    """folder to write"""
    format: Literal["native", "hf"] = "native"
    """native, or hf: loaded by transformers too, code included"""


@entry_point
def main() -> None:
    """Write a trained model as a folder."""
    config = parse_args(ExportConfig, description=main.__doc__)
    model, tokenizer, meta = load_model(config.checkpoint)
    if config.format == "native":
        export_model(config.out, model, tokenizer, meta)
    else:
        try:
            from nanochat.hf.export import export_hf  # transformers is not for those who do without it
        except ImportError as error:
            raise UserError(f"--format=hf needs transformers: uv sync --extra hf ({error})") from error
        export_hf(config.out, model, tokenizer, meta)
    print(f"Wrote {config.out}: {', '.join(sorted(path.name for path in config.out.iterdir()))}")


if __name__ == "__main__":
    main()
