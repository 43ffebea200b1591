#!/usr/bin/env bash
# What a GPU makes of everything that is slow, in one command of at most 8 minutes; gpu.py says what is measured:
#
#     bash benchmarks/gpu.sh [OUT.json] [--stages tests solver heads base inversion large]
#
# OUT.json is $OUT/gpu.json if not given, or gpu.json where $OUT is not set. Without a GPU everything can be tried in
# sizes that mean nothing, in about 4 minutes:   bash benchmarks/gpu.sh gpu.json --device cpu --small
#
# Python is $PYTHON, or .venv/bin/python if that is there, or python3. It needs torch, transformers, pytorch-lightning,
# scipy, scikit-learn, urllib3, pytest, pytest-xdist, hypothesis and this package's other dependencies. On a machine that has the
# large ones and no network (Python 3.12, x86-64), the small ones travel as wheels, 8 MB, in .whl beside the repository's
# files, where this script finds and installs them into a folder of its own. Fetched, where there is a network, by:
#
#     python -m pip wheel --no-deps -w .whl antlr4-python3-runtime==4.9.3      # has no wheel of its own
#     python -m pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
#         --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
#         --platform manylinux2014_x86_64 -d .whl hydra-core==1.3.8 omegaconf==2.3.1 soundfile==0.14.0 soxr==1.1.0 \
#         cffi==2.1.1 pycparser==3.12 lhotse==1.33.0 audioread==3.1.0 cytoolz==1.2.0 intervaltree==3.2.1 \
#         tabulate==0.10.0 beartype==0.23.1
#
# .whl is ignored by git. Where the machine is lent by a tool that carries a checkout: carry .whl, run
# `bash benchmarks/gpu.sh` with a limit of 500 s, and read gpu.json from what comes back.
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
output=${OUT:-.}/gpu.json
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    output=$1
    shift
fi
export PYTHONPATH=$path HF_HUB_OFFLINE=1 WANDB_MODE=offline TQDM_DISABLE=1 PYTHONUNBUFFERED=1
"$python" benchmarks/gpu.py "$output" "$@"
