#!/bin/bash
# Train nano on a CPU in both stages, with the settings of the demo and the scripts that train d20 on a GPU; then evaluate
# the model.
#   bash runs/cpu.sh        # DATA=folder of documents (data), OUT=folder for checkpoints (out/cpu)
# To continue an interrupted run, start it again.
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

data="${DATA:-data}" out="${OUT:-out/cpu}"
common=(--model=nano --device=cpu --image_size=256 --data_dir="$data" --tokenizer_dir="$out/tokenizer" --batch_size=5
    --optimizer=muon --lr=0.0025 --warmup_steps=10 --eval_every=40 --save_every=40 --resume=auto)

# Stage 1: everything is trained; the encoder is saved.
uv run python -m scripts.vis_tok_train "${common[@]}" --steps=120 --checkpoint_dir="$out/stage1"

# Stage 2: that encoder with SAM frozen, and a fresh GPT.
uv run python -m scripts.vis_mid_train "${common[@]}" --steps=120 --checkpoint_dir="$out/stage2" \
    --resume_from_deepencoder="$out/stage1/deepencoder_120.pt" --lr_decay_step=40 --lr_decay_gamma=0.4

uv run python -m scripts.vision_sample --checkpoint="$out/stage2/step_120.pt" --data_dir="$data"
