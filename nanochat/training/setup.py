"""What both training stages do before their first step: device, tokenizer, model with random weights, data loaders."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from nanochat.common import compute_init, get_dist_info, print0
from nanochat.errors import UserError
from nanochat.multimodal_dataloader import MultimodalLoader, create_multimodal_loader
from nanochat.nano_deepseek_ocr import NanoDeepseekOCR, preset
from nanochat.plans import BatchPlan
from nanochat.pretrained import check_knows_english
from nanochat.synth.curriculum import LevelSet
from nanochat.tasks.common import ENDLESS
from nanochat.tokenizer import RustBPETokenizer
from nanochat.training.config import TrainConfig
from nanochat.training.memory import GB, fitting_batch


@dataclass(frozen=True)
class Sources:
    """Default sources of the weights of a model size: Hugging Face Hub ids, or `random`."""

    sam: str = "random"
    clip: str = "random"
    gpt: str = "random"


SOURCES = {
    "d20": Sources("facebook/sam-vit-base", "openai/clip-vit-large-patch14", "nanochat-students/base-d20"),
    "nano": Sources(),
    "nano-pages": Sources(),
}


@dataclass
class Setup:
    """Device, tokenizer and model of a training run."""

    device: torch.device
    tokenizer: RustBPETokenizer
    model: NanoDeepseekOCR


def get_tokenizer(config: TrainConfig) -> RustBPETokenizer:
    """The tokenizer in `config.tokenizer_dir`; for nano, whose tokens are characters, one that needs no file.

    Raises UserError if the file is missing or belongs to another model size.
    """
    if config.model in ("nano", "nano-pages"):
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
    """Initialise device and ranks, load the tokenizer, and build the model of `config.model` with random weights.

    Raises UserError as `get_tokenizer` does, if `image_size` is not a multiple of 64, or if `line_stride` is negative.
    """
    device = compute_init(config.device or None, config.seed)[-1]
    tokenizer = get_tokenizer(config)
    model_config = preset(config.model)
    if config.image_size:
        # raises UserError unless the side is a multiple of 64
        model_config.vision.layout(config.image_size, config.image_size)
        model_config.vision.image_size = config.image_size
    if config.line_stride < 0:
        raise UserError(f"--line-stride {config.line_stride} is negative")
    if config.line_stride:
        tokens = tokenizer.encode_special("<|assistant_start|>"), tokenizer.encode("\n")[0]
        model_config.gpt = replace(model_config.gpt, line_stride=config.line_stride, line_tokens=tokens)
    model = NanoDeepseekOCR(model_config)
    model.set_image_token_id(tokenizer.encode_special("<|image|>"))
    return Setup(device, tokenizer, model)


def check_language(config: TrainConfig, setup: Setup, source: str) -> None:
    """Print the loss of a loaded GPT on a paragraph of English. It is high if the weights were loaded wrongly.

    `source`: where the weights come from. Does nothing for random weights, or for a size whose GPT starts from scratch.
    """
    if source != "random" and SOURCES[config.model].gpt != "random":
        loss, random_loss = check_knows_english(setup.model.gpt, setup.tokenizer)
        print0(f"The GPT's loss on a paragraph of English: {loss:.2f} (a random one's: {random_loss:.2f})")


def count_parameters(model: NanoDeepseekOCR) -> None:
    """Print the number of trainable parameters and of all parameters of the model."""
    total = sum(p.numel() for p in model.parameters())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print0(f"Parameters: {trainable:,} trainable / {total:,} total")


def fit_batch(config: TrainConfig, setup: Setup, dense: bool) -> None:
    """With `auto_batch`, set `config.batch_size` to the largest that fits the memory of this GPU.

    Call it after freezing, since it depends on what is trainable. `dense`: whether the head for dense labels is
    trained. Raises UserError on a CPU, or if not even one sample fits.
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
    """Returns (an endless loader of training batches, a function that starts a new pass over the validation set).

    Images are shown as the configuration of the model says. `train_plan`, `val_plan`: batch plans in place of shuffled
    and ordered batches.
    """
    _, rank, _, world_size = get_dist_info()
    mode = setup.model.config.vision.mode()
    on_gpu = setup.device.type == "cuda"
    workers = config.data_workers(on_gpu)

    def loader(task, plan: BatchPlan | None, shuffle: bool) -> MultimodalLoader:
        return create_multimodal_loader(
            task, setup.tokenizer, config.batch_size, config.seq_len, mode, plan=plan, shuffle=shuffle,
            prefix_noise=config.prefix_noise if shuffle else 0.0, seed=config.seed, rank=rank,
            world_size=world_size, num_workers=workers, pin_memory=on_gpu,
            pack=config.pack and shuffle and not config.compile,  # validation and compiled code need separate rows
        )  # fmt: skip

    train = loader(train_task, train_plan, shuffle=True)
    n_train = "unlimited" if len(train_task) >= ENDLESS else f"{len(train_task):,}"
    print0(f"Train samples: {n_train}, Val samples: {len(val_task if val_plan is None else val_plan):,}")
    return train, lambda: loader(val_task, val_plan, shuffle=False)
