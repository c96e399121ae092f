"""Measure the server under load: start one, and send requests as its clients would.

python -m dev.bench_serving streams     # 1, 4 and 16 clients: throughput, and time to the first text
python -m dev.bench_serving memory      # memory after 500 and 5,000 requests
python -m dev.bench_serving malformed   # 10,000 malformed requests

Prints a table, then all figures as JSON on the last line.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from dev.bench import serving
from nanochat.command import entry_point, parse_args
from nanochat.errors import UserError


@dataclass
class Config:
    """Measure one aspect of the server."""

    what: Positional[Literal["streams", "memory", "malformed"]]
    """what to measure"""
    checkpoint: str = "nano"
    """model to read with: step_N.pt, an exported folder, or nano"""
    files: tuple[str, ...] = tuple(f"data/images/receipt_00{i}.png" for i in range(3))
    """images that the streams read, in turn"""
    requests: int = 0
    """number of requests; by default 48 for streams, 5,000 for memory, 10,000 for malformed"""


def show_streams(config: Config, server: serving.Server, console: Console) -> Any:
    files = [Path(file) for file in config.files]
    found = serving.measure_streams(server, files, (1, 4, 16), config.requests or 48)
    table = Table("streams", "requests", "seconds", "gain", "first text", "slowest in 20", "equal texts")
    for row in found:
        times = f"{row.seconds:.1f}", f"{row.gain:.2f}x", f"{row.first:.2f} s", f"{row.first_slow:.2f} s"
        table.add_row(str(row.streams), str(row.requests), *times, str(row.equal))
    console.print(table)
    return [asdict(row) for row in found]


def show_memory(config: Config, server: serving.Server, console: Console) -> Any:
    n = config.requests or 5_000
    found = serving.measure_memory(server, Path(config.checkpoint).stem, (max(1, n // 10), n // 2, n))
    table = Table("requests", "MB")
    for requests, mb in found:
        table.add_row(str(requests), f"{mb:.0f}")
    console.print(table)
    return found


def show_malformed(config: Config, server: serving.Server, console: Console) -> Any:
    found = serving.measure_malformed(server, Path(config.checkpoint).stem, config.requests or 10_000)
    memory = f"{found.before:.0f} to {found.after:.0f} MB"
    table = Table("status", "answers", title=f"slowest {found.slowest:.1f} s; {memory}")
    for status, n in found.statuses.items():
        table.add_row(status, str(n))
    console.print(table)
    return asdict(found)


SHOWN = {"streams": show_streams, "memory": show_memory, "malformed": show_malformed}


@entry_point
def main() -> None:
    config = parse_args(Config, __doc__)
    missing = [file for file in config.files if not Path(file).is_file()]
    if missing or config.requests < 0:
        raise UserError(f"{missing[0]}: no such file" if missing else f"--requests {config.requests}: give at least 1")
    with serving.serving(config.checkpoint) as server:
        print(json.dumps(SHOWN[config.what](config, server, Console())))


if __name__ == "__main__":
    main()
