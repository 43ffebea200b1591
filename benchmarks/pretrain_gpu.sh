#!/usr/bin/env bash
# An encoder on one GPU in ten minutes: speech from Opus, first iteration, second iteration on its layer 4, cooldown.
#
#     python benchmarks/pack_speech.py /data/speech .speech                 # here: at most 52 MB of Opus and a manifest
#     bash benchmarks/pretrain_gpu.sh                                       # there; $OUT gets encoders and curves
#
# FIRST, SECOND: minutes of the two iterations before their cooldowns of a fifth (2 and 4). BATCH: crops of 3 s in an
# update (128). WORKERS: processes that prepare batches (all cores but two). Wheels of small packages lie in .whl as for
# gpu.sh. To try it without a GPU: FIRST=0.2 SECOND=0.2 BATCH=4 WORKERS=0 ACCELERATOR=cpu bash benchmarks/pretrain_gpu.sh
# Further arguments go to `tractprobe pretrain`: pretrain.languages=[it], model.architecture.hidden_size=320 ...
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=python3
    if [ -x .venv/bin/python ]; then python=.venv/bin/python; fi
fi
path=$PWD/src
if compgen -G ".whl/*.whl" >/dev/null; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$site" .whl/*.whl
    path=$path:$site
fi
export PYTHONPATH=$path HF_HUB_OFFLINE=1 WANDB_MODE=offline TQDM_DISABLE=1 PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
work=${WORK:-$(mktemp -d)}
out=${OUT:-pretrained}
speech=${SPEECH:-.speech}
cores=$(getconf _NPROCESSORS_ONLN)
workers=${WORKERS:-$((cores > 3 ? cores - 2 : 1))}
places="paths.data=$work/data paths.cache=$work/cache paths.runs=$work/runs"
common="corpora=[speech] pretrain.batch=${BATCH:-128} pretrain.workers=$workers pretrain.accelerator=${ACCELERATOR:-auto}
    pretrain.updates=1000000 pretrain.warmup=${WARMUP:-500} pretrain.score.every=${SCORE_EVERY:-2000} pretrain.log_every=50 tracking=csv $places"

# Iterations end where the clock says, and then cool down by a fifth of the updates they have made.
iteration() {  # name, minutes, further settings
    local name=$1 minutes=$2
    shift 2
    "$python" -m tractprobe pretrain $common name="$name" pretrain.minutes="$minutes" "$@"
    local made
    made=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["update"])' "$work/runs/$name/checkpoints/last.json")
    "$python" -m tractprobe pretrain $common name="$name" "$@" pretrain.updates=reached pretrain.cooldown=$((made / 5 + 1)) pretrain.export=float16
}

date
"$python" -m tractprobe prepare corpus=audio corpus.name=speech corpus.root="$speech" workers="$cores" $places | tail -n 3
date
iteration first "${FIRST:-2}" "$@"
date
iteration second "${SECOND:-4}" "$@" pretrain.targets.teacher="$work/runs/first/encoder" pretrain.targets.layer=4 \
    pretrain.targets.clusters="${CLUSTERS:-200}"
date
mkdir -p "$out"
for name in first second; do
    mkdir -p "$out/$name"
    cp -r "$work/runs/$name/encoder" "$work/runs/$name/articulation.jsonl" "$work/runs/$name/metrics.csv" "$out/$name/"
done
du -sh "$out"/*
