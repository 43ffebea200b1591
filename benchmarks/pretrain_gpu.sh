#!/usr/bin/env bash
# An encoder on one GPU in ten minutes: speech from Opus, a first iteration, and a second on a layer of the first.
#
#     python benchmarks/pack_speech.py /data/speech .speech/free            # here: at most 52 MB of Opus and a manifest
#     bash benchmarks/pretrain_gpu.sh                                       # there; $OUT gets both encoders and curves
#
# FIRST, SECOND: updates of the two iterations, with FIRST_COOLDOWN and SECOND_COOLDOWN after them. BATCH: crops of 3 s in
# an update. LAYER, CLUSTERS: of the second iteration. WORKERS: processes that prepare batches (all cores but two). WORK:
# where corpora, targets and checkpoints are kept; with the same WORK, what is done is not done again. To try it without
# a GPU: FIRST=2 SECOND=2 FIRST_COOLDOWN=1 SECOND_COOLDOWN=1 BATCH=4 WORKERS=0 ACCELERATOR=cpu bash benchmarks/pretrain_gpu.sh
# Further arguments go to `tractprobe pretrain`: pretrain.languages=[it], model.architecture.hidden_size=320 ...
set -euo pipefail
source "$(dirname "$0")/environment.sh"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
work=${WORK:-$(mktemp -d)}
out=${OUT:-pretrained}
corpus=${CORPUS:-free}
cores=$(getconf _NPROCESSORS_ONLN)
workers=${WORKERS:-$((cores > 3 ? cores - 2 : 1))}
places="paths.data=$work/data paths.cache=$work/cache paths.runs=$work/runs"
common="corpora=[$corpus] pretrain.batch=${BATCH:-128} pretrain.workers=$workers pretrain.accelerator=${ACCELERATOR:-auto}
    pretrain.score.every=${SCORE_EVERY:-0} pretrain.log_every=50 pretrain.export=float16 tracking=csv $places"
first=$work/runs/first/encoder

if [ ! -d "$work/data/$corpus" ]; then
    "$python" -m tractprobe prepare corpus=audio corpus.name="$corpus" corpus.root="${SPEECH:-.speech}/$corpus" workers="$cores" $places | tail -n 3
fi
date
"$python" -m tractprobe pretrain $common name=first pretrain.updates="${FIRST:-3000}" pretrain.cooldown="${FIRST_COOLDOWN:-600}" "$@"
date
"$python" -m tractprobe pretrain $common name=second pretrain.updates="${SECOND:-6000}" pretrain.cooldown="${SECOND_COOLDOWN:-1200}" "$@" \
    pretrain.start="$first" pretrain.targets.teacher="$first" pretrain.targets.layer="${LAYER:-4}" pretrain.targets.clusters="${CLUSTERS:-500}"
date
mkdir -p "$out"
for name in first second; do
    tar -C "$work/runs" -cf "$out/$name.tar" "$name/encoder" "$name/metrics.csv"
done
ls -l "$out"
