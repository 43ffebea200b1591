"""Train heads on the layers of a frozen encoder, as ``tractprobe train`` does."""

from tractprobe.commands import run

if __name__ == "__main__":
    run("train")
