"""Stage 1, vision tokens: train SAM, CLIP, projector and GPT together; the encoder is saved as a DeepEncoder file.

python -m scripts.vis_tok_train --steps=300 --batch_size=2                       # d20, on the documents of data/
python -m scripts.vis_tok_train --model=nano --steps=300 --batch_size=2          # the small size, on a CPU
torchrun --standalone --nproc_per_node=2 -m scripts.vis_tok_train --steps=300 --batch_size=2
"""

from dataclasses import dataclass

from nanochat.command import entry_point, parse_args
from nanochat.common import compute_cleanup
from nanochat.errors import UserError
from nanochat.pretrained import load_clip, load_deepencoder, load_gpt, load_sam
from nanochat.synth.lessons import CourseName, lessons, validation
from nanochat.tasks.common import TaskMixture
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.tasks.synth_documents import SynthDocuments
from nanochat.training.config import TrainConfig, step_to_resume
from nanochat.training.schedules import cosine, decay_to_zero
from nanochat.training.setup import SOURCES, check_language, count_parameters, fit_batch, make_loaders, start
from nanochat.training.trainer import OnStep, Stage, Trainer

LR = {"d20": 5e-5, "nano": 1e-3, "nano-pages": 1e-3}


@dataclass
class Config(TrainConfig):
    """Stage 1: train SAM, CLIP, projector and GPT together; writes step_N.pt and deepencoder_N.pt."""

    deepencoder: str = ""
    """complete encoder to start from instead of sam and clip: deepseek-ai/DeepSeek-OCR, or a DeepEncoder file"""
    sam: str = ""
    """SAM's weights: hub id, file, folder or random; by default facebook/sam-vit-base for d20, random for nano"""
    clip: str = ""
    """CLIP's weights, as for sam; by default openai/clip-vit-large-patch14 for d20"""
    gpt: str = ""
    """GPT's weights, as for sam; by default nanochat-students/base-d20 for d20"""
    warmup_steps: int = 20
    """number of linear warm-up steps"""
    synth: bool = False
    """train on synthetic documents, level by level, instead of data_dir"""
    course: CourseName = "lines"
    """with synth: lines, starting from single characters, or whole pages, for weights that can read lines"""
    freeze_sam_blocks: bool = False
    """freeze SAM's patch embedding, positions and blocks, halving the time per step; for an encoder that can see"""
    dense_steps: int = 0
    """with synth: number of steps that first train the encoder alone, on the position of every character"""
    dense_weight: float = 1.0
    """with synth: weight of these labels in the loss afterwards; 0 for a model that can already read"""
    decay: float = 0.25
    """with synth: share of the steps, at the end, over which the learning rate falls to zero"""


def data(config: Config):
    """The data: (training task, validation task, their batch plans if the order matters)."""
    if not config.synth:
        train = TaskMixture([FolderOfPairs(config.data_dir, "train")], seed=config.seed)
        return train, FolderOfPairs(config.data_dir, "val"), None, None
    plan = lessons(
        config.batch_size, config.steps, config.decay, config.dense_steps, seed=config.seed, course=config.course
    )
    return SynthDocuments("train"), SynthDocuments("val"), plan, validation(config.course)


def train(config: Config, on_step: OnStep | None = None) -> Trainer:
    """Run the whole stage. Returns its trainer after the last step."""
    dense = config.synth and config.dense_weight != 0
    if config.dense_steps and not dense:
        raise UserError("--dense-steps needs the labels of synthetic documents: give --synth and a --dense-weight")
    step_to_resume(config, stage=1)  # rejects contradictory settings before anything is loaded
    setup = start(config)
    sources = SOURCES[config.model]
    if config.deepencoder:
        load_deepencoder(setup.model, config.deepencoder)
    else:
        load_sam(setup.model.sam_model, config.sam or sources.sam)
        load_clip(setup.model.vision_model, config.clip or sources.clip)
    load_gpt(setup.model.gpt, config.gpt or sources.gpt)
    check_language(config, setup, config.gpt or sources.gpt)
    if config.freeze_sam_blocks:
        setup.model.freeze_sam(blocks_only=True)
    count_parameters(setup.model)
    fit_batch(config, setup, dense)

    train_loader, val_loader = make_loaders(config, setup, *data(config))
    stage = Stage(
        number=1,
        schedule=decay_to_zero(config.warmup_steps, config.decay) if config.synth else cosine(config.warmup_steps),
        lr=LR[config.model] if config.lr is None else config.lr,
        dense_steps=config.dense_steps,
        dense_weights=dict.fromkeys(("patches", "cells"), config.dense_weight) if dense else {},
    )
    trainer = Trainer(config, stage, setup, train_loader, val_loader)
    trainer.run(on_step)
    return trainer


@entry_point
def main() -> None:
    train(parse_args(Config))
    compute_cleanup()


if __name__ == "__main__":
    main()
