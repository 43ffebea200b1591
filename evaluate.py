"""Score a finished run again, as ``tractprobe evaluate`` does."""

from tractprobe.commands import run

if __name__ == "__main__":
    run("evaluate")
