#!/bin/bash
# The whole d20 recipe on a machine with GPUs, all of them at work: tokenizer, stage 1, stage 2, what the model reads.
#   bash runs/speedrun.sh
#   RUN=first DATA=data OUT=checkpoints STEPS1=300 STEPS2=100 BATCH=2 bash runs/speedrun.sh
# RUN names the runs in wandb (none by default); BATCH counts samples per GPU. Keys for wandb and the hub are taken from
# .env if there is one. Public weights come from the hub. A run that was killed goes on where it was: start it again.
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
[ "$gpus" -gt 0 ] || fail "torch finds no GPU here: runs/cpu.sh trains the nano size on a CPU"
echo "$gpus GPUs"

# Run one stage: its script, the suffix of its name, then its own flags.
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

# Stage 1: SAM, CLIP, projector and GPT all train; the encoder is kept.
train vis_tok_train stage1 --steps="$steps1"

# Stage 2: that encoder with SAM frozen, and a fresh GPT.
train vis_mid_train stage2 --steps="$steps2" --resume_from_deepencoder="$out/stage1/deepencoder_$steps1.pt"

uv run python -m scripts.vision_sample --checkpoint="$out/stage2/step_$steps2.pt" --data_dir="$data"
