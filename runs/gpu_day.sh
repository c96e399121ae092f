#!/bin/bash
# Use ten minutes of a GPU machine that has Python and torch, but no network.
#   bash runs/gpu_day.sh pack       # before, with a network: pack the missing fonts and packages into out/gpu_pack
#   bash runs/gpu_day.sh            # on the GPU machine: checks (1 minute), speed and memory of d20 (2), then training
#   bash runs/gpu_day.sh collect    # after, in the repository: write docs/gpu_day.md and models/gpu_day
# The parts of the second command, check, bench and train, can be run alone, each with the whole time. When called again,
# train continues from the weights of the previous call.
# OUT=folder of results: a log for each part, with a line of JSON after each step, and weights in shards. They are
# written as they are produced: an interruption loses only the running step, at most half a minute of training.
# WORK=folder of other files, kept between calls; without it, train starts from FROM=models/nano-pages.
# LIMIT=seconds per call (520); MODEL=size to measure (d20 on a GPU, nano on a CPU).
# A rehearsal on a CPU: LIMIT=120 bash runs/gpu_day.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

slice="${1:-all}" out="${OUT:-out/gpu_day/results}" pack="${PACK:-out/gpu_pack}" work="${WORK:-out/gpu_day}"
end=$((SECONDS + ${LIMIT:-520}))
own=.venv/bin/python # what PYTHON, or else a machine without this, lacks is in the pack
python="$PWD/$own"
[ -x "$own" ] || python="$(command -v python3)"
python="${PYTHON:-$python}"
mkdir -p "$out" "$work"
out="$(realpath "$out")" work="$(realpath "$work")" pack="$(realpath -m "$pack")"
export PYTHONUNBUFFERED=1 WANDB_MODE=offline OPENCV_FOR_THREADS_NUM=1 # each data worker has a core

unpack() {
    local folder="$work/pack"
    if [ "$python" = "$PWD/$own" ]; then return; fi
    if [ ! -d "$folder" ]; then
        "$python" -m tarfile --filter data -e "$pack/pack.tar.xz" "$folder.part" && mv "$folder.part" "$folder"
    fi
    export PYTHONPATH="$PWD:$folder/site"
    export NANO_FONTS="$folder/fonts" NANO_WORDS="$folder/words" NANO_SENTENCES="$folder/sentences"
}

# step NAME SECONDS ARGUMENTS: run Python with these arguments, limited by SECONDS and by the time left. Its output goes to
# the log as it comes, followed by a line about the step with the JSON of its last line.
step() {
    local name="$1" limit="$2" left=$((end - SECONDS)) start=$SECONDS rc=null
    shift 2
    echo "== $name" | tee -a "$out/$slice.log"
    found=null
    if [ "$left" -ge 5 ]; then
        timeout -k 5 "$((limit < left ? limit : left))" "$python" "$@" 2>&1 | tee "$work/step.log" >> "$out/$slice.log"
        rc=${PIPESTATUS[0]}
        tail -n 12 "$work/step.log"
        found="$(tail -n 1 "$work/step.log")"
        case "$found" in "{"*"}") ;; *) found=null ;; esac
    fi
    record "$name" "$rc" "$((SECONDS - start))"
}

record() {
    echo "{\"step\": \"$1\", \"rc\": $2, \"seconds\": $3, \"found\": $found}" >> "$out/$slice.log"
}

machine() {
    step machine 60 -c '
import importlib.util, json, os, platform, shutil, torch
gpu = torch.cuda.is_available()
optional = ("transformers", "wandb", "matplotlib", "triton")
shared = shutil.disk_usage("/dev/shm").total if os.path.isdir("/dev/shm") else 0
print(json.dumps({
    "gpu": gpu, "device": torch.cuda.get_device_name() if gpu else "cpu", "torch": torch.__version__,
    "python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "shared_memory": shared,
    "lacks": [name for name in optional if importlib.util.find_spec(name) is None],
}))'
    case "$found" in *'"gpu": true'*) gpu=1 ;; *) gpu=0 ;; esac
    cores="$(nproc)"
    drawn=(-m scripts.vis_tok_train --model=nano-pages --synth=True --optimizer=muon --precision=auto --dense_weight=0
        --batch_size="${BATCH:-$((gpu ? 64 : 4))}" --num_workers="${WORKERS:-$((cores > 3 ? cores - 2 : 1))}"
        --pack=False --course=pages --prefix_noise=0.1 --lr=8e-4 --warmup_steps=100 --decay=1.0 --eval_every=0 --tokenizer_dir="$work/tokenizer")
}

# Train nano on synthetic documents for enough steps to measure the time of one, which `train` needs.
try_drawn() {
    step "drawn documents" 90 "${drawn[@]}" --steps="$((gpu ? 150 : 4))" --save_every=0 --seed=99 \
        --deepencoder=models/nano-pages --gpt=models/nano-pages --checkpoint_dir="$work/drawn"
    grep -o 'dt: [0-9.]*' "$work/step.log" | awk '
        { took[NR] = $2 }
        END { for (i = int(NR / 2) + 1; i <= NR; i++) sum += took[i]; if (NR > 1) print sum / (NR - int(NR / 2)) }
    ' > "$work/seconds_a_step"
}

check() {
    local steps=$((gpu ? 60 : 3))
    local short=(--model=nano --image_size=256 --batch_size=5 --optimizer=muon --lr=0.0025 --warmup_steps=10
        --eval_every=0 --save_every=0 --tokenizer_dir="$work/tokenizer" --num_workers=0 --steps="$steps")
    step parity 120 -m dev.bench parity
    try_drawn
    step reading 60 -m nanochat.cli read data/images/receipt_000.png
    step "stage 1" 60 -m scripts.vis_tok_train "${short[@]}" --checkpoint_dir="$work/short1"
    step "stage 2" 60 -m scripts.vis_mid_train "${short[@]}" --checkpoint_dir="$work/short2" \
        --resume_from_deepencoder="$work/short1/deepencoder_$steps.pt"
    if [ "$gpu" = 1 ]; then # compilation may take minutes, so it comes last
        step "parity compiled" 150 -m dev.bench parity --compile=True
        step "compiled" 150 -m dev.bench train --model=nano --stage=1 --compile=True
    fi
}

bench() {
    local model="$1" small=() shape stage batch tokens again
    if [ "$gpu" = 0 ]; then small=(--batch_size=2 --seq_len=100 --image_size=128 --steps=1 --tokens=8); fi
    for stage in 1 2; do
        step "train $model, stage $stage" 90 -m dev.bench train --model="$model" --stage="$stage" "${small[@]}"
    done
    step "decode $model" 90 -m dev.bench decode --model="$model" "${small[@]}"
    for shape in "2 4 8192 none" "2 1 8192 none" "1 2 4096 none" "1 10 4096 all"; do
        read -r stage batch tokens again <<< "$shape"
        step "memory, stage $stage, $batch x $tokens" 60 -m dev.bench memory --model="$model" --optimizer=adamw \
            --stage="$stage" --batch_size="$batch" --seq_len="$tokens" --recompute="$again"
    done
    step data 60 -m dev.bench data
    if [ "$model" != nano ]; then
        step "train nano" 60 -m dev.bench train --model=nano
        step "decode nano" 60 -m dev.bench decode --model=nano
    fi
    if [ "$gpu" = 1 ]; then
        step "train $model compiled" 180 -m dev.bench train --model="$model" --stage=1 --compile=True
    fi
}

# One leg like the last one in runs/nano.sh, with the learning rate falling to zero at the end of its time. It starts from
# the newest weights; every checkpoint, saved each half minute, is written as shards at once.
train() {
    local leg=1 from="${FROM:-models/nano-pages}" kept="" newest steps every start rc pid
    while [ -d "$work/leg$leg" ]; do
        newest="$(newest_of "$work/leg$leg")"
        if [ -n "$newest" ]; then
            from="$work/leg$leg/weights"
            [ -d "$from" ] || step "weights of leg $leg" 60 -m scripts.export --checkpoint="$newest" --out="$from"
        fi
        leg=$((leg + 1))
    done
    [ -s "$work/seconds_a_step" ] || try_drawn
    [ -s "$work/seconds_a_step" ] || echo 1 > "$work/seconds_a_step"
    read -r steps every <<< "$(awk -v left="$((end - SECONDS))" '{
        left = 0.95 * (left < 150 ? left / 2 : left - 60) # what remains is to start, save, validate and end
        steps = 1 + int(left / $1); every = 1 + int(30 / $1) # steps
        print steps, every < steps / 4 ? every : 1 + int(steps / 4)
    }' "$work/seconds_a_step")"
    echo "== leg $leg: $steps steps from $from" | tee -a "$out/train.log"
    start=$SECONDS
    timeout -k 5 "$((end - SECONDS - 10))" "$python" "${drawn[@]}" --steps="$steps" --save_every="$every" \
        --seed="$((100 + leg))" --deepencoder="$from" --gpt="$from" --checkpoint_dir="$work/leg$leg" \
        >> "$out/train.log" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2> /dev/null; do
        sleep 1
        keep "$work/leg$leg"
    done
    wait "$pid"
    rc=$?
    keep "$work/leg$leg"
    found=null
    record "leg $leg" "$rc" "$((SECONDS - start))"
    grep '| loss' "$out/train.log" | tail -n 3 || true
}

# Write the newest checkpoint of a folder as shards, unless that has been done.
keep() {
    newest="$(newest_of "$1")"
    if [ -z "$newest" ] || [ "$newest" = "$kept" ]; then return; fi
    "$python" -m dev.gpu_day shards --checkpoint="$newest" --results="$out" >> "$out/train.log" 2>&1
    kept="$newest"
}

newest_of() {
    # shellcheck disable=SC2012
    ls -t "$1"/meta_*.json 2> /dev/null | head -n 1 | sed 's|meta_\([0-9]*\).json|step_\1.pt|'
}

# part NAME SECONDS COMMAND...: one of the parts, no longer than that nor than the call.
part() {
    local all="$end"
    slice="$1"
    if [ "$((SECONDS + $2))" -lt "$all" ]; then end=$((SECONDS + $2)); fi
    "${@:3}"
    end="$all"
}

d20_or_nano() {
    bench "${MODEL:-$([ "$gpu" = 1 ] && echo d20 || echo nano)}"
}

case "$slice" in
    all)
        slice=check
        unpack && machine || exit 1
        eighth=$(((end - SECONDS) / 8)) # a minute of 520 seconds
        part check "$eighth" check
        part bench "$((2 * eighth))" d20_or_nano
        part train "$((end - SECONDS))" train
        ;;
    pack | collect) exec "$python" -m dev.gpu_day "$slice" --pack="$pack" --results="$out" "${@:2}" ;;
    check) unpack && machine && check ;;
    bench) unpack && machine && d20_or_nano ;;
    train) unpack && machine && train ;;
    *)
        echo "error: give pack, check, bench, train, collect, or nothing for all of check, bench and train" >&2
        exit 2
        ;;
esac
