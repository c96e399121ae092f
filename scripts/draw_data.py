"""Draw the ten documents of `data/` again: python -m scripts.draw_data [--out=data]"""

from dataclasses import dataclass

from nanochat.common import entry_point, parse_args
from nanochat.synth.showcase import write_showcase


@dataclass
class Config:
    out: str = "data"
    """Folder that receives images/*.png, overfit_dataset.json, train.json and val.json, replacing those in it."""


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    for path in write_showcase(config.out):
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
