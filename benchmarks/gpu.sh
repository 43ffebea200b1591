#!/usr/bin/env bash
# What a GPU makes of everything that is slow, in one command of at most 8 minutes; gpu.py says what is measured:
#
#     bash benchmarks/gpu.sh [OUT.json] [--stages tests solver heads base inversion pretraining large]
#
# OUT.json is $OUT/gpu.json if not given, or gpu.json where $OUT is not set. Without a GPU everything can be tried in
# sizes that mean nothing, in about 4 minutes:   bash benchmarks/gpu.sh gpu.json --device cpu --small
#
# Where the machine is lent by a tool that carries a checkout: carry .whl (environment.sh), run `bash benchmarks/gpu.sh`
# with a limit of 500 s, and read gpu.json from what comes back.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
output=${OUT:-.}/gpu.json
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    output=$1
    shift
fi
"$python" benchmarks/gpu.py "$output" "$@"
