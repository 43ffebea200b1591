"""Prepare: a raw corpus becomes 16 kHz FLAC, movements in mm and a manifest. See conf/prepare.yaml."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from tractprobe.runs.building import build, check_node
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import job
from tractprobe.runs.settings import Node, Paths, typed
from tractprobe.system.errors import ConfigError

_USAGE = "Usage: tractprobe prepare corpus=READER corpus.root=FOLDER [corpus.SETTING=VALUE ...] [workers=N]"
_FOOTER = """\
Besides: workers=2 (processes), source_channels=false (also pitch and voicing), paths.data=data (where corpora go).
Quoted for a shell: 'corpus.sensors={tt: 5, ul: 6}' 'corpus.speaker_pattern="_(?P<speaker>s[0-9]+)_"'
What each reader expects: docs/corpora.md. Options of Hydra: tractprobe prepare --hydra-help"""
_SETTING = re.compile(r"(?P<name>\w+): *(?P<value>.*)")


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
        from tractprobe.probes.opening import of_older_package

        asked = typed(Asked, plain(config))
        check_node(asked.corpus)
        reader = build(without_nulls(asked.corpus))
        if (older := of_older_package(reader, asked.paths.data)) is not None:
            raise ConfigError(f"{older}; it is not replaced unasked")
        print(describe(prepare(reader, asked.paths.data, asked.workers, asked.source_channels)))


def without_nulls(corpus: Node) -> Node:
    """Leave out what is null in a mapping, as with ``corpus.sensors.li=null``: such a sensor was not recorded."""
    arguments = {
        name: {key: part for key, part in value.items() if part is not None} if isinstance(value, dict) else value
        for name, value in corpus.arguments.items()
    }
    return replace(corpus, arguments=arguments)


def help_on(overrides: Sequence[str]) -> str | None:
    """Return the readers in words or, with ``corpus=<reader>``, its settings; None for one that a plug-in brings."""
    folder = conf_dir() / "corpus"
    name = next((override.partition("=")[2] for override in overrides if override.startswith("corpus=")), None)
    if name is None:
        readers = {path.stem: _about(path) for path in sorted(folder.glob("*.yaml"))}
        listed = "\n".join(f"  {reader:<14} {about}" for reader, about in readers.items())
        one = "Settings of one of them: tractprobe prepare corpus=READER --help"
        return f"{_USAGE}\n\nReaders:\n{listed}\n\n{one}\n{_FOOTER}"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    settings = [_setting(line) for line in lines if not line.startswith(("#", "_target_"))]
    return f"corpus={name}: {_about(path)}\n\n{_USAGE.replace('READER', name)}\n\n" + "\n".join(
        [*settings, "", _FOOTER]
    )


def _about(path: Path) -> str:
    """Return the first line of a reader's file, which says what it reads."""
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _setting(line: str) -> str:
    """Return a line of a reader's file as it is given on the command line, with its comment."""
    setting = _SETTING.fullmatch(line)
    if setting is None:  # part of a mapping, or a comment
        return f"  {line}"
    value = setting["value"]
    value = f"{{...}}  {value}" if value.startswith("#") else value
    value = value.replace("???", "...", 1) if value.startswith("???") else value
    needed = "  (has to be given)" if value.startswith("...") else ""
    return f"  corpus.{setting['name']}={value}{needed}"
