"""What both training stages do before their first step: device, tokenizer, a model with random weights, loaders."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from nanochat.common import compute_init, get_dist_info, print0
from nanochat.errors import UserError
from nanochat.image_process import ImageLayout, view_function
from nanochat.multimodal_dataloader import MultimodalLoader, create_multimodal_loader
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset
from nanochat.plans import BatchPlan
from nanochat.pretrained import check_knows_english
from nanochat.synth.curriculum import LevelSet
from nanochat.tasks.common import ENDLESS
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.memory import GB, fitting_batch
from nanochat.training.trainer import TrainConfig


@dataclass(frozen=True)
class Sources:
    """Where a size's weights come from by default: hub ids, or random."""

    sam: str = "random"
    clip: str = "random"
    gpt: str = "random"


SOURCES = {
    "d20": Sources("facebook/sam-vit-base", "openai/clip-vit-large-patch14", "nanochat-students/base-d20"),
    "nano": Sources(),
}


@dataclass
class Setup:
    """What `start` returns."""

    device: torch.device
    tokenizer: RustBPETokenizer
    model: NanoDeepseekOCR


def get_tokenizer(config: TrainConfig) -> RustBPETokenizer:
    """The tokenizer in `tokenizer_dir`, or for nano, whose tokens are characters, one that needs no file.

    Each checkpoint has its tokenizer beside it. Raises UserError when the file is missing or belongs to another size.
    """
    if config.model == "nano":
        return RustBPETokenizer.characters()
    expected = preset(config.model).gpt.vocab_size
    tokenizer = RustBPETokenizer.from_directory(config.tokenizer_dir)
    if tokenizer.get_vocab_size() != expected:
        raise UserError(
            f"{config.tokenizer_dir}/tokenizer.pkl has {tokenizer.get_vocab_size():,} tokens, {config.model} needs "
            f"{expected:,}: download the tokenizer of nanochat-students/base-d20 (docs/reproduce.md)"
        )
    return tokenizer


def start(config: TrainConfig) -> Setup:
    """Device and ranks, tokenizer, and the model of the preset's size with random weights."""
    device = compute_init(config.device or None, config.seed)[-1]
    tokenizer = get_tokenizer(config)
    model_config = preset(config.model)
    if config.image_size:
        ImageLayout((config.image_size, config.image_size))  # refuses a side that is no multiple of 64
        model_config.vision.image_size = config.image_size
    model = NanoDeepseekOCR(model_config)
    model.set_image_token_id(tokenizer.encode_special("<|image|>"))
    return Setup(device, tokenizer, model)


def check_language(config: TrainConfig, setup: Setup, source: str) -> None:
    """Warn when a GPT that was loaded, not random, does not know English: scrambled heads look like this.

    A size whose GPT begins at random learns to read, and is not asked.
    """
    if source != "random" and SOURCES[config.model].gpt != "random":
        loss, random_loss = check_knows_english(setup.model.gpt, setup.tokenizer)
        print0(f"The GPT's loss on a paragraph of English: {loss:.2f} (a random one's: {random_loss:.2f})")


def count_parameters(model: NanoDeepseekOCR) -> None:
    """Print how many parameters train, read from the built model."""
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print0(f"Parameters: {trainable:,} trainable / {total:,} total")


def fit_batch(config: TrainConfig, setup: Setup, dense: bool) -> None:
    """With `auto_batch`, set the batch size that fits this GPU; call it once it is known what trains.

    `dense`: the head of dense labels trains too.
    Raises UserError on a CPU, or when not even one sample fits.
    """
    if not config.auto_batch:
        return
    if setup.device.type != "cuda":
        raise UserError("--auto-batch needs a GPU, and there is none: give --batch-size")
    capacity = torch.cuda.get_device_properties(setup.device).total_memory
    stage: Literal[1, 2] = 1 if setup.model.sam_model.pos_embed.requires_grad else 2
    config.batch_size = fitting_batch(config, setup.model.config, stage, capacity, get_dist_info()[3], dense)
    print0(f"Batch size by the memory of this GPU ({capacity / GB:.0f} GB): {config.batch_size}")


def make_loaders(
    config: TrainConfig,
    setup: Setup,
    train_task,
    val_task,
    train_plan: BatchPlan | None = None,
    val_plan: LevelSet | None = None,
) -> tuple[MultimodalLoader, Callable[[], MultimodalLoader]]:
    """An endless loader of training batches, and a function that starts the fixed validation set again.

    Pictures are shown as the model's configuration says.
    """
    _, rank, _, world_size = get_dist_info()
    vision = setup.model.config.vision
    view = view_function(vision.view, vision.image_size, vision.page)
    on_gpu = setup.device.type == "cuda"
    workers = config.num_workers if config.num_workers >= 0 else 4 * on_gpu

    def loader(task, plan: BatchPlan | None, shuffle: bool) -> MultimodalLoader:
        return create_multimodal_loader(
            task, setup.tokenizer, config.batch_size, config.seq_len, view, plan=plan, shuffle=shuffle,
            prefix_noise=config.prefix_noise if shuffle else 0.0, seed=config.seed, rank=rank,
            world_size=world_size, num_workers=workers, pin_memory=on_gpu,
            pack=config.pack and shuffle and not config.compile,  # validation compares rows, compiled code wants them
        )  # fmt: skip

    train = loader(train_task, train_plan, shuffle=True)
    n_train = "without end" if len(train_task) >= ENDLESS else f"{len(train_task):,}"
    print0(f"Train samples: {n_train}, Val samples: {len(val_task if val_plan is None else val_plan):,}")
    return train, lambda: loader(val_task, val_plan, shuffle=False)
