#!/bin/bash
# W&B's client against a real server on this machine's loopback: make services runs it, make test does not.
#
# The server, openwandb (CC BY-NC, for tests only), is installed into a place of its own; the tests start and stop it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-$PWD/.venv/bin/python}"
place="${SERVICES:-${TMPDIR:-/tmp}/tractprobe-services}/openwandb"
if [ ! -x "$place/bin/openwandb" ]; then
    "$python" -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check openwandb
fi
OPENWANDB="$place/bin/openwandb" "$python" -m pytest -q -n 0 -p no:cacheprovider tests/services/test_wandb.py "$@"
