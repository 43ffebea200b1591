#!/bin/bash
# tests/golden/compare.sh <old commit> [<new commit>]      whether two commits do the same, to the last bit
#
# The new one is the working tree if it is not given, with all that is not committed. Both are recorded by the record.py
# of the working tree, one after the other, a minute in all; PYTHON=<python> is another than .venv/bin/python.
set -euo pipefail
repository=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
python=${PYTHON:-$repository/.venv/bin/python}
old=$(git -C "$repository" rev-parse --verify "${1:?the old commit}^{commit}")
temporary=$(mktemp -d)

finish() {
    for tree in "$temporary"/tree-*; do
        [ -d "$tree" ] && git -C "$repository" worktree remove --force "$tree"
    done
    rm -rf "$temporary"
}
trap finish EXIT

record() { # <name> <tree>
    if ! PYTHONPATH="$2/src" "$python" "$repository/tests/golden/record.py" "$2" "$temporary/work-$1" \
        "$temporary/$1.json" >"$temporary/$1.log" 2>&1; then
        tail -n 40 "$temporary/$1.log" >&2
        echo "recording of $1 failed" >&2
        exit 2
    fi
}

git -C "$repository" worktree add --quiet --detach "$temporary/tree-old" "$old"
new_tree=$repository
if [ -n "${2:-}" ]; then
    git -C "$repository" worktree add --quiet --detach "$temporary/tree-new" "$2"
    new_tree=$temporary/tree-new
fi
record old "$temporary/tree-old"
record new "$new_tree"
"$python" "$repository/tests/golden/compare.py" "$temporary/old.json" "$temporary/new.json"
