"""A short `make chaos`: killed at random moments, the main job ends with what it ends with undisturbed."""

import subprocess
import sys

from conftest import REPOSITORY


def test_jobs_that_are_killed_end_as_undisturbed_ones():
    command = [sys.executable, "chaos.py", "--runs", "2", "--seed", "7"]
    process = subprocess.run(command, cwd=REPOSITORY / "tests", capture_output=True, text=True, check=False)
    assert process.returncode == 0 and "2/2 identical" in process.stdout, process.stdout + process.stderr
