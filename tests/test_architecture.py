"""The page of the architecture is of the present code."""

import re
import subprocess
import sys

from conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "architecture.md"


def test_the_picture_is_of_the_present_code():
    subprocess.run([sys.executable, str(REPOSITORY / "docs/draw_architecture.py"), "--check"], check=True)


def test_what_it_says_to_touch_is_there():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([\w/.]+/[\w/.]*)`", row)}
    assert len(named) > 8
    for name in named:
        package = REPOSITORY / "src" / "tractprobe" / name
        assert package.exists() or (REPOSITORY / name).exists(), name
