"""Training runs small enough for tests: a folder of tiny documents, and a trainer of the tiny model on them."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from helpers.tiny_model import SIDE, tiny_config
from nanochat.modes import get_mode
from nanochat.multimodal_dataloader import create_multimodal_loader
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR
from nanochat.tasks.common import Task
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.schedules import decay_to_zero
from nanochat.training.setup import Setup
from nanochat.training.trainer import Stage, Trainer

WORDS = ("red", "blue", "green", "pink", "gold", "grey", "black", "white", "brown", "teal")


def write_documents(folder: Path, n: int = 6, side: int = SIDE) -> Path:
    """`n` images of coarse random squares, each with its own word."""
    (folder / "images").mkdir(parents=True)
    records = []
    for i in range(n):
        squares = np.random.default_rng(i).integers(0, 2, (side // 16, side // 16), dtype=np.uint8) * 255
        Image.fromarray(np.kron(squares, np.ones((16, 16), np.uint8))).save(folder / "images" / f"{i}.png")
        records.append({"id": f"doc_{i}", "image": f"images/{i}.png", "prompt": "<image>\nRead.", "answer": WORDS[i]})
    for split in ("train", "val"):
        (folder / f"{split}.json").write_text(json.dumps(records))
    return folder


class Texts(Task):
    """Conversations without pictures."""

    def num_examples(self) -> int:
        return len(WORDS)

    def get_example(self, index: int) -> dict:
        ask = {"role": "user", "content": f"Say word {index}."}
        return {"messages": [ask, {"role": "assistant", "content": WORDS[index]}], "images": []}


def tiny_trainer(task: Task, folder: Path, stage: Stage | None = None, **settings) -> Trainer:
    """A trainer of the tiny model with seeded weights. `settings`: fields of TrainConfig."""
    config = TrainConfig(**{"model": "tiny", "steps": 8, "batch_size": 2, "eval_every": 0, "save_every": 0,
                            "checkpoint_dir": str(folder), **settings})  # fmt: skip
    torch.manual_seed(0)
    model, tokenizer = NanoDeepseekOCR(tiny_config(128)), RustBPETokenizer.characters()
    mode = get_mode("native", SIDE)

    def loader(shuffle: bool, rank: int = 0, world_size: int = 1):
        return create_multimodal_loader(
            task, tokenizer, config.batch_size, config.seq_len, mode, shuffle=shuffle, rank=rank, world_size=world_size,
            pack=config.pack and shuffle,
        )  # fmt: skip

    ranks = (0, 1)
    if torch.distributed.is_initialized():
        ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    stage = stage or Stage(1, decay_to_zero(2, 0.5), lr=3e-3)
    setup = Setup(torch.device("cpu"), tokenizer, model)
    return Trainer(config, stage, setup, loader(True, *ranks), lambda: loader(False, *ranks))


def losses(trainer: Trainer) -> list[float]:
    """Run to the end. Returns the loss of each step."""
    found: list[float] = []
    trainer.run(lambda step, steps, figures: found.append(figures["loss"]))
    return found


def documents(folder: Path, n: int = 6) -> FolderOfPairs:
    """`write_documents` as a task."""
    return FolderOfPairs(write_documents(folder, n), "train")
