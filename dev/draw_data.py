"""Draw the ten documents of data/ again.

python -m dev.draw_data --out=data
"""

from dataclasses import dataclass

from dev.showcase import write_showcase
from nanochat.command import entry_point, parse_args


@dataclass
class Config:
    out: str = "data"
    """folder for images/*.png, overfit_dataset.json, train.json and val.json; existing files are replaced"""


@entry_point
def main() -> None:
    config = parse_args(Config, description=__doc__)
    for path in write_showcase(config.out):
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
