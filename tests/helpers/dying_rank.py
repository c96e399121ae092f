"""Started by torchrun: trains the tiny model on text; in the first attempt, the second rank is killed after step 5."""

import os
import signal
import sys
from pathlib import Path

import torch

from helpers.tiny_run import Texts, tiny_trainer
from nanochat.common import compute_init


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    compute_init("cpu")
    rank = torch.distributed.get_rank()

    def die_once(step: int, steps: int, figures: dict) -> None:
        if rank == 1 and step == 5 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    tiny_trainer(Texts(), folder, batch_size=2, save_every=2, resume="auto").run(die_once)
    torch.distributed.destroy_process_group()


main(Path(sys.argv[1]))
