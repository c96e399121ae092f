"""`TrainConfig`: the settings that both training stages share, and which checkpoint they resume from."""

from dataclasses import dataclass
from typing import Literal

from nanochat.errors import UserError
from nanochat.training.optim import OptimizerName
from nanochat.training.recompute import Recompute
from nanochat.training.saving import newest_step


@dataclass
class TrainConfig:
    """The settings that both stages share."""

    model: str = "d20"
    """size: d20, nano, or nano-pages (nano with smaller vision tokens, for whole pages)"""
    image_size: int = 0
    """side of a page in pixels, a multiple of 64; 0: the size's own (1024 for d20, 512 for nano)"""
    data_dir: str = "data"
    """folder with train.json, val.json and the images they list"""
    checkpoint_dir: str = "checkpoints"
    """folder that checkpoints are written to"""
    tokenizer_dir: str = "tokenizer"
    """folder with tokenizer.pkl; nano needs none"""
    steps: int = -1
    """number of optimizer steps; -1: as many as num_epochs take"""
    num_epochs: int = 1
    """number of passes over the training data if steps is -1"""
    batch_size: int = 2
    """number of samples per process and forward pass; lower it if memory runs out"""
    auto_batch: bool = False
    """on a GPU: replace batch_size by the largest that is predicted to fit into its memory"""
    total_batch_size: int = 0
    """samples per optimizer step, over all processes, by gradient accumulation; 0: batch_size x processes"""
    seq_len: int = 4096
    """maximum sequence length in tokens, including images; longer sequences are cut"""
    pack: bool = True
    """pack the samples of a batch into one row if padding would take more than a quarter; the loss is the same"""
    lr: float | None = None
    """peak learning rate; by default that of the stage for d20, 1e-3 for nano"""
    optimizer: OptimizerName = "adamw"
    """adamw, adamw8bit (bitsandbytes, a quarter of the state), or muon for matrices and adamw for the rest"""
    prefix_noise: float = 0.0
    """share of the answer's input tokens that are replaced by others in training; 0.1 to 0.2 helps with long texts"""
    line_stride: int = 0
    """positions of text are columns and lines, and lines are this far apart, such as 128; 0: positions are indices"""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay"""
    grad_clip: float = 1.0
    """maximum norm of AdamW's gradients (Muon normalises its own); 0: no clipping"""
    eval_every: int = 100
    """validate every so many steps, and at the end"""
    save_every: int = 100
    """write a checkpoint every so many steps, and at the end"""
    resume_step: int = -1
    """continue from the checkpoint of this step; -1: start from step 0"""
    resume: Literal["no", "auto"] = "no"
    """auto: continue from the newest complete checkpoint, or start from step 0 if there is none"""
    run: str = "dummy"
    """name of the wandb run; dummy: no wandb"""
    device: str = ""
    """cuda, mps or cpu; by default the best available"""
    precision: Literal["default", "auto", "float32", "medium", "bfloat16"] = "default"
    """precision of matrix products;
    auto: the fastest that a one-second measurement finds accurate;
    default: auto on CUDA, else float32"""
    recompute: Recompute = "none"
    """blocks to recompute in the backward pass, to save memory: none, sam (SAM's global blocks) or all"""
    shard: bool = False
    """with several processes: divide weights, gradients and optimizer state among them (FSDP)"""
    compile: bool = False
    """compile each block with torch.compile: takes a minute at the start; faster steps on a GPU, hardly on a CPU"""
    num_workers: int = -1
    """number of processes that prepare data; -1: 4 on a GPU, none on a CPU"""
    seed: int = 42
    """random seed of weights and data order"""

    def samples_of_step(self, world_size: int) -> int:
        """Number of samples in an optimizer step, over all processes."""
        return self.total_batch_size or self.batch_size * world_size

    def data_workers(self, on_gpu: bool) -> int:
        """Number of processes that prepare data, on a GPU or on a CPU."""
        return self.num_workers if self.num_workers >= 0 else 4 * on_gpu


def step_to_resume(config: TrainConfig, stage: int) -> int:
    """The step of the checkpoint in `config.checkpoint_dir` to resume from, or -1 to start from the beginning.

    `stage`: 1 or 2; checkpoints of the other stage are ignored. Raises UserError if the settings ask for both the
    newest checkpoint and a given step.
    """
    if config.resume == "no":
        return config.resume_step
    if config.resume_step >= 0:
        raise UserError(
            f"--resume=auto takes the newest checkpoint, --resume_step={config.resume_step} another: give only one"
        )
    return newest_step(config.checkpoint_dir, stage)
