#!/bin/bash
# Train nano from scratch on synthetic documents, in both stages, until it reads documents that it has never seen; then
# export a folder like models/nano from each stage.
#   bash runs/fonts.sh          # once: fonts and words for the synthetic documents (Debian or Ubuntu, root)
#   bash runs/nano.sh
#   OUT=out/nano STEPS1=12800 LAST=8200 PAGES=20000 STEPS2=5600 BATCH=64 WORKERS=1 bash runs/nano.sh
# BATCH is the number of images of 128 x 128 pixels; batches of larger images have fewer. On two CPU cores the lines take
# about a day; on a GPU, where it has not been measured, use more steps. To continue an interrupted run, start it again.
# Lines are cut out of pages by the line detector in models/lines, which `python -m scripts.line_train` trains.
set -euo pipefail
# shellcheck source=runs/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

out="${OUT:-out/nano}" steps1="${STEPS1:-12800}" last="${LAST:-8200}" pages="${PAGES:-20000}" steps2="${STEPS2:-5600}"
mkdir -p "$out"
common=(--model=nano --synth=True --optimizer=muon --precision=auto --batch_size="${BATCH:-64}"
    --num_workers="${WORKERS:-1}" --tokenizer_dir="$out/tokenizer" --eval_every=500 --save_every=100 --resume=auto)

# Stage 1: the encoder alone on the position of every character, then everything, level by level.
uv run python -m scripts.vis_tok_train "${common[@]}" --steps="$steps1" --dense_steps=1700 --decay=0.38 \
    --checkpoint_dir="$out/stage1" | tee -a "$out/stage1.log"
uv run python -m scripts.export --checkpoint="$out/stage1/step_$steps1.pt" --out="$out/nano-reads"
# Three more legs with text loss alone, as dense labels no longer help. Each starts at the full learning rate again. The
# mean of the weights of the last two legs reads better than either.
start="$out/nano-reads"
for leg in 1 2 3; do
    uv run python -m scripts.vis_tok_train "${common[@]}" --steps="$last" --dense_weight=0 --lr=8e-4 \
        --warmup_steps=100 --decay=1.0 --seed="$((43 + leg))" --deepencoder="$start" --gpt="$start" \
        --checkpoint_dir="$out/stage1-leg$leg" | tee -a "$out/stage1-leg$leg.log"
    uv run python -m scripts.export --checkpoint="$out/stage1-leg$leg/step_$last.pt" --out="$out/nano-leg$leg"
    start="$out/nano-leg$leg"
done
uv run python -m scripts.export --checkpoint="$out/nano-leg3" --average_with="$out/nano-leg2" --out="$out/nano-stage1"

# Whole pages in one view, by vision tokens of half the height: first with SAM's blocks frozen, which already recognise
# letters, then with everything trained.
uv run python -m scripts.vis_tok_train "${common[@]}" --model=nano-pages --course=pages --freeze_sam_blocks=True --prefix_noise=0.1 \
    --steps="$pages" --dense_weight=0 --warmup_steps=100 --decay=1.0 --seed=60 --deepencoder="$out/nano-stage1" \
    --gpt="$out/nano-stage1" --checkpoint_dir="$out/pages" | tee -a "$out/pages.log"
uv run python -m scripts.export --checkpoint="$out/pages/step_$pages.pt" --out="$out/nano-pages-frozen"
uv run python -m scripts.vis_tok_train "${common[@]}" --model=nano-pages --course=pages --prefix_noise=0.1 --steps="$last" \
    --dense_weight=0 --lr=8e-4 --warmup_steps=100 --decay=1.0 --seed=61 --deepencoder="$out/nano-pages-frozen" \
    --gpt="$out/nano-pages-frozen" --checkpoint_dir="$out/pages-thawed" | tee -a "$out/pages-thawed.log"
uv run python -m scripts.export --checkpoint="$out/pages-thawed/step_$last.pt" --out="$out/nano-pages"

# Stage 2: that encoder with SAM frozen, a fresh GPT, a tenth of the batches text alone.
uv run python -m scripts.vis_mid_train "${common[@]}" --steps="$steps2" --decay=0.6 --checkpoint_dir="$out/stage2" \
    --resume_from_deepencoder="$out/stage1-leg3/deepencoder_$last.pt" | tee -a "$out/stage2.log"
uv run python -m scripts.export --checkpoint="$out/stage2/step_$steps2.pt" --out="$out/nano"

uv run python -m dev.seeing_plots --out="$out/seeing.svg" \
    --logs stage1="$out/stage1.log" leg1="$out/stage1-leg1.log" leg2="$out/stage1-leg2.log" leg3="$out/stage1-leg3.log" \
    pages="$out/pages.log" stage2="$out/stage2.log"
uv run python -m scripts.vision_eval --model="$out/nano" --task=synth-val --n=20
uv run python -m scripts.vision_eval --model="$out/nano-pages" --task=view-val --modes native --n=20
