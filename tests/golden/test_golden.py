"""Code that is changed to do the same does the same: what the command lines do is what ``golden.json`` says.

``record.py`` runs them on a part of ``tests/speech`` (25 s of processor time). Where a difference is meant,
the recording is renewed, and its diff is read before it is committed::

    python tests/golden/record.py . "$(mktemp -d)" tests/golden/golden.json --portable

``tests/golden/compare.sh <commit>`` compares two commits on one machine, where even the last bit has to be the same.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from golden.compare import differences, report

GOLDEN = Path(__file__).with_name("golden.json")


def test_command_lines_do_what_they_did(tmp_path: Path):
    output = tmp_path / "now.json"
    command = [sys.executable, Path(__file__).with_name("record.py"), REPOSITORY, tmp_path / "work", output]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GOLDEN_")}
    done = subprocess.run([*command, "--portable"], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"record.py: {done.stdout}{done.stderr}"[-5000:])
    golden, now = (json.loads(path.read_text(encoding="utf-8")) for path in (GOLDEN, output))
    assert golden.keys() == now.keys()
    found = list(differences(golden, now))
    assert not found, report(found)


@pytest.mark.parametrize(("part", "old", "new", "differs"), [
    ("exact", {"a": ["x", "y"]}, {"a": ["x", "z"]}, ["exact > a[1]"]),
    ("exact", {"a": 1}, {"b": 1}, ["exact > a", "exact > b"]),
    ("exact", {"a": 1.0}, {"a": 1.0 + 1e-9}, ["exact > a"]),
    ("numbers", {"a": [0.5, None]}, {"a": [0.5 + 9e-7, None]}, []),
    ("numbers", {"a": [0.5, None]}, {"a": [0.5 + 2e-6, 0.0]}, ["numbers > a[0]", "numbers > a[1]"]),
    ("tensors", {"a": [100.0, 1e-4]}, {"a": [100.0, 5e-4]}, []),
    ("tensors", {"a": [100.0, 1e-4]}, {"a": [100.0, 2e-3]}, ["tensors > a[1]"]),
    ("printed", {"a": [0.123]}, {"a": [0.124]}, []),
])  # fmt: skip
def test_a_difference_is_found_where_it_is(part: str, old: Any, new: Any, differs: list[str]):
    assert [path for path, *_ in differences({part: old}, {part: new})] == differs
