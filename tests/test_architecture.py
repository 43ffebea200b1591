"""The page of the architecture is of the present code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"


def test_the_picture_is_of_the_present_code():
    subprocess.run([sys.executable, str(REPOSITORY / "docs/draw_architecture.py"), "--check"], check=True)


def imported(path: Path) -> set[str]:
    """The packages that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_the_generator_of_the_corpora_shares_files_with_us_and_no_code():
    """What is under GPL-3 and what is under Apache-2.0 know each other by the plain folder layout alone."""
    generator = sorted((REPOSITORY / "vocaltract").rglob("*.py"))
    assert any(path.name == "cli.py" for path in generator)
    assert not [path for path in generator if "tractprobe" in imported(path)]
    ours = [path for part in ("src", "tests", "benchmarks") for path in (REPOSITORY / part).rglob("*.py")]
    assert not [path for path in ours if imported(path) & {"vocaltract", "vocaltractlab_cython", "espeakng_loader"}]
    assert "GNU GENERAL PUBLIC LICENSE" in (REPOSITORY / "vocaltract/LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in (REPOSITORY / "LICENSE").read_text(encoding="utf-8")


def test_what_it_says_to_touch_is_there():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([\w/.]+/[\w/.]*)`", row)}
    assert len(named) > 8
    for name in named:
        package = REPOSITORY / "src" / "tractprobe" / name
        assert package.exists() or (REPOSITORY / name).exists(), name
