#!/bin/bash
# The full d20 recipe on all GPUs of a machine: tokenizer, stage 1, stage 2, evaluation.
#   bash runs/speedrun.sh
#   RUN=first DATA=data OUT=checkpoints STEPS1=300 STEPS2=100 BATCH=2 bash runs/speedrun.sh
# RUN names the runs in wandb (default: no logging); BATCH is the number of samples per GPU. Keys for wandb and the hub are
# read from .env if it exists. Public weights are downloaded from the hub. To continue an interrupted run, start it again.
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

data="${DATA:-data}" out="${OUT:-checkpoints}" steps1="${STEPS1:-300}" steps2="${STEPS2:-100}"
if [ -f .env ]; then
    set -a
    # shellcheck disable=SC1091
    source ./.env
    set +a
fi

gpus="$(uv run python -c 'import torch; print(torch.cuda.device_count())')"
[ "$gpus" -gt 0 ] || fail "PyTorch finds no GPU on this machine: runs/cpu.sh trains nano on a CPU"
echo "$gpus GPUs"

# Run one stage. Arguments: its script, its name, its own flags.
train() {
    local script="$1" stage="$2" run=dummy
    shift 2
    [ -z "${RUN:-}" ] || run="$RUN-$stage"
    uv run torchrun --standalone --nproc_per_node="$gpus" -m "scripts.$script" --model=d20 --data_dir="$data" \
        --run="$run" --batch_size="${BATCH:-2}" --checkpoint_dir="$out/$stage" --resume=auto "$@"
}

# The tokenizer that the published GPT was trained with.
if [ ! -f tokenizer/tokenizer.pkl ]; then
    uv run hf download nanochat-students/base-d20 tokenizer.pkl --local-dir tokenizer
fi

# Stage 1: SAM, CLIP, projector and GPT are all trained; the encoder is saved.
train vis_tok_train stage1 --steps="$steps1"

# Stage 2: that encoder with SAM frozen, and a fresh GPT.
train vis_mid_train stage2 --steps="$steps2" --resume_from_deepencoder="$out/stage1/deepencoder_$steps1.pt"

uv run python -m scripts.vision_sample --checkpoint="$out/stage2/step_$steps2.pt" --data_dir="$data"
