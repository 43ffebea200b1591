#!/usr/bin/env bash
# Encoders that differ in the speech they heard alone, side by side on one GPU, for study=raised_in.
#
#     bash benchmarks/raise_gpu.sh raised_it raised_zh raised_fi raised_zxx raised_all      # folders in .speech
#
# Each folder has a manifest.csv as corpus=audio reads it, all have equally many seconds. SEED, UPDATES, COOLDOWN, BATCH:
# the same for all. TOGETHER: how many are trained at a time. $OUT gets encoders-<seed>-<n>.tar, two encoders in each.
# ARGUMENTS: further ones for `tractprobe pretrain`. To try it without a GPU: UPDATES=2 COOLDOWN=1 BATCH=2 ACCELERATOR=cpu.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
export OMP_NUM_THREADS=1
work=${WORK:-$(mktemp -d)}
out=${OUT:-pretrained}
seed=${SEED:-0}
together=${TOGETHER:-5}
places="paths.data=$work/data paths.cache=$work/cache paths.runs=$work/runs"
common="seed=$seed pretrain.updates=${UPDATES:-1200} pretrain.cooldown=${COOLDOWN:-300} pretrain.batch=${BATCH:-16}
    pretrain.workers=${WORKERS:-3} pretrain.accelerator=${ACCELERATOR:-auto} pretrain.score.every=0 pretrain.log_every=50
    pretrain.export=float16 tracking=csv $places ${ARGUMENTS:-}"

raise() {  # corpus
    if [ ! -d "$work/data/$1" ]; then
        "$python" -m tractprobe prepare corpus=audio corpus.name="$1" corpus.root="${SPEECH:-.speech}/$1" workers=2 $places >"$work/$1.log" 2>&1
    fi
    "$python" -m tractprobe pretrain $common "corpora=[$1]" name="$1-s$seed" >>"$work/$1.log" 2>&1
}

mkdir -p "$work" "$out"
date
for corpus in "$@"; do
    while [ "$(jobs -rp | wc -l)" -ge "$together" ]; do wait -n; done
    raise "$corpus" &
done
wait
date
for corpus in "$@"; do echo "$corpus: $(tail -n 2 "$work/$corpus.log" | head -n 1)"; done
number=0
while [ $# -gt 0 ]; do
    two=("${@:1:2}")
    shift ${#two[@]}
    tar -C "$work/runs" -cf "$out/encoders-$seed-$number.tar" $(printf "%s-s$seed/encoder " "${two[@]}") $(printf "%s-s$seed/metrics.csv " "${two[@]}")
    number=$((number + 1))
done
ls -l "$out"
