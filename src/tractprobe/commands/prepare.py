"""Prepare: a raw corpus becomes 16 kHz FLAC, movements in mm and a manifest. See conf/prepare.yaml."""

from dataclasses import dataclass, replace

from omegaconf import DictConfig

from tractprobe.runs.building import build, check_node
from tractprobe.runs.configuration import plain
from tractprobe.runs.hydra import job
from tractprobe.runs.settings import Node, Paths, typed


@dataclass(frozen=True)
class Asked:
    """What a preparation is told."""

    corpus: Node
    paths: Paths
    workers: int
    source_channels: bool


def main(config: DictConfig) -> None:
    """Prepare one corpus."""
    with job():
        from tractprobe.corpora.prepared.prepare import describe, prepare

        asked = typed(Asked, plain(config))
        check_node(asked.corpus)
        reader = build(without_nulls(asked.corpus))
        print(describe(prepare(reader, asked.paths.data, asked.workers, asked.source_channels)))


def without_nulls(corpus: Node) -> Node:
    """Leave out what is null in a mapping, as with ``corpus.sensors.li=null``: such a sensor was not recorded."""
    arguments = {
        name: {key: part for key, part in value.items() if part is not None} if isinstance(value, dict) else value
        for name, value in corpus.arguments.items()
    }
    return replace(corpus, arguments=arguments)
