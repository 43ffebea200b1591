"""Prepare: a raw corpus becomes 16 kHz FLAC, movements in mm and a manifest. See conf/prepare.yaml."""

from pathlib import Path

from omegaconf import DictConfig

from tractprobe.runs.building import build
from tractprobe.runs.configuration import plain
from tractprobe.runs.hydra import clear_errors


def main(config: DictConfig) -> None:
    """Prepare one corpus."""
    with clear_errors():
        from tractprobe.corpora.prepared.prepare import describe, prepare

        settings = plain(config)
        reader, data = build(settings["corpus"]), Path(settings["paths"]["data"])
        print(describe(prepare(reader, data, settings["workers"], settings["source_channels"])))
