#!/bin/bash
# A day with a GPU in slices of at most nine minutes, on a machine without a network that has Python and torch.
#   bash runs/gpu_day.sh pack       # before, where there is a network: what that machine lacks, into out/gpu_pack
#   bash runs/gpu_day.sh check      # there: does it compute what a CPU does? A short run of each stage
#   bash runs/gpu_day.sh bench      # there: d20's speed and memory, then nano's
#   bash runs/gpu_day.sh train      # there: runs/nano.sh, which goes on where the slice before was cut
#   bash runs/gpu_day.sh collect    # after, in the repository: results into docs/gpu_day.md and models/gpu_day
# OUT=folder of results: one .jsonl and one .log a slice, weights in shards; written as it goes, so that being cut off
# loses the step that was running. LIMIT=seconds a slice; MODEL=size that is measured (d20 on a GPU, nano on a CPU).
# A rehearsal on a CPU: LIMIT=60 bash runs/gpu_day.sh check
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

slice="${1:-}" out="${OUT:-out/gpu_day/results}" pack="${PACK:-out/gpu_pack}" work="${WORK:-out/gpu_day}"
end=$((SECONDS + ${LIMIT:-520}))
own=.venv/bin/python # what PYTHON, or else a machine without this, lacks is in the pack
python="$PWD/$own"
[ -x "$own" ] || python="$(command -v python3)"
python="${PYTHON:-$python}"
mkdir -p "$out" "$work"
out="$(realpath "$out")" work="$(realpath "$work")" pack="$(realpath -m "$pack")"
if [ "$python" != "$PWD/$own" ]; then
    export PYTHONPATH="$PWD:$pack/site" NANO_FONTS="$pack/fonts" NANO_WORDS="$pack/words"
fi
export PYTHONUNBUFFERED=1 WANDB_MODE=offline

# step NAME SECONDS ARGUMENTS: run Python with these arguments, no longer than that nor than the slice; its output goes
# to the log, a line about it with the JSON that it ended with to the results.
step() {
    local name="$1" limit="$2" left=$((end - SECONDS)) start=$SECONDS rc found
    shift 2
    if [ "$left" -lt 5 ]; then return; fi
    echo "== $name" | tee -a "$out/$slice.log"
    timeout "$((limit < left ? limit : left))" "$python" "$@" > "$work/step.log" 2>&1
    rc=$?
    cat "$work/step.log" >> "$out/$slice.log"
    found="$(tail -n 1 "$work/step.log")"
    case "$found" in "{"*"}") ;; *) found=null ;; esac
    echo "{\"step\": \"$name\", \"rc\": $rc, \"seconds\": $((SECONDS - start)), \"found\": $found}" >> "$out/$slice.jsonl"
    tail -n 12 "$work/step.log"
}

machine() {
    step machine 60 -c '
import importlib.util, json, platform, torch
gpu = torch.cuda.is_available()
optional = ("transformers", "wandb", "matplotlib", "triton")
print(json.dumps({
    "device": torch.cuda.get_device_name() if gpu else "cpu", "torch": torch.__version__,
    "python": platform.python_version(), "threads": torch.get_num_threads(),
    "lacks": [name for name in optional if importlib.util.find_spec(name) is None],
}))'
}

short=(--model=nano --image_size=256 --batch_size=5 --optimizer=muon --lr=0.0025 --warmup_steps=10 --eval_every=0
    --save_every=0 --tokenizer_dir="$work/tokenizer" --num_workers=0)
check() {
    step parity 120 -m scripts.bench parity
    if [ "$gpu" = 1 ]; then step "parity compiled" 180 -m scripts.bench parity --compile=True; fi
    step "stage 1" 120 -m scripts.vis_tok_train "${short[@]}" --steps="${STEPS:-60}" --checkpoint_dir="$work/short1"
    step "stage 2" 120 -m scripts.vis_mid_train "${short[@]}" --steps="${STEPS:-60}" --checkpoint_dir="$work/short2" \
        --resume_from_deepencoder="$work/short1/deepencoder_${STEPS:-60}.pt"
    if [ "$gpu" = 1 ]; then step compiled 180 -m scripts.bench train --model=nano --stage=1 --compile=True; fi
}

bench() {
    local model="$1" small=() shape stage batch tokens
    if [ "$gpu" = 0 ]; then small=(--batch_size=2 --seq_len=100 --steps=1 --tokens=8); fi
    step "train $model" 120 -m scripts.bench train --model="$model" "${small[@]}"
    step "decode $model" 90 -m scripts.bench decode --model="$model" "${small[@]}"
    for shape in "1 2 4096" "2 1 8192" "2 4 8192" "1 10 4096"; do
        read -r stage batch tokens <<< "$shape"
        step "memory $shape" 60 -m scripts.bench memory --model="$model" --optimizer=adamw --stage="$stage" \
            --batch_size="$batch" --seq_len="$tokens"
    done
    step data 60 -m scripts.bench data
    if [ "$gpu" = 1 ]; then step "train $model compiled" 180 -m scripts.bench train --model="$model" --compile=True; fi
    if [ "$model" != nano ]; then
        step "train nano" 60 -m scripts.bench train --model=nano
        step "decode nano" 60 -m scripts.bench decode --model=nano
    fi
}

# runs/nano.sh wants uv: on a machine without one, a stand-in runs the Python that is there.
train() {
    local pid newest start=$SECONDS seen=""
    if [ "$python" != "$PWD/$own" ]; then
        mkdir -p "$work/bin"
        # shellcheck disable=SC2016
        printf '#!/bin/bash\n[ "$1 $2" = "run python" ] || exit 0\nshift 2\nexec "%s" "$@"\n' "$python" > "$work/bin/uv"
        chmod +x "$work/bin/uv"
        export PATH="$work/bin:$PATH"
    fi
    OUT="$work" WORKERS="${WORKERS:-$(($(nproc) - 2 > 0 ? $(nproc) - 2 : 1))}" timeout "$((end - SECONDS - 8))" \
        bash runs/nano.sh >> "$out/train.log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2> /dev/null; do
        sleep "${EVERY:-20}"
        # shellcheck disable=SC2012
        newest="$(ls -t "$work"/stage[12]*/meta_*.json 2> /dev/null | head -n 1)"
        if [ -n "$newest" ] && [ "$newest" != "$seen" ]; then
            "$python" -m scripts.gpu_day shards --checkpoint="$newest" --results="$out" >> "$out/train.log" 2>&1
            seen="$newest"
        fi
        if [ "$SECONDS" -ge "$end" ]; then break; fi
    done
    wait "$pid"
    echo "{\"step\": \"train\", \"rc\": $?, \"seconds\": $((SECONDS - start)), \"found\": null}" >> "$out/train.jsonl"
    grep '| loss' "$out/train.log" | tail -n 2
}

gpu="$("$python" -c 'import torch; print(int(torch.cuda.is_available()))')"
case "$slice" in
    pack | collect) exec "$python" -m scripts.gpu_day "$slice" --pack="$pack" --results="$out" ;;
    check) machine && check ;;
    bench) machine && bench "${MODEL:-$([ "$gpu" = 1 ] && echo d20 || echo nano)}" ;;
    train) machine && train ;;
    *)
        echo "error: say which slice: pack, check, bench, train or collect" >&2
        exit 2
        ;;
esac
