"""Play: an utterance of a prepared corpus as a page, or a video, with what a head makes of its sound."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.system.errors import ConfigError
from tractprobe.system.printable import one_line, printable

if TYPE_CHECKING:
    from tractprobe.corpora.prepared.corpus import PreparedCorpus


def opened_or_built_in(name: str, opened: Callable[[str], "PreparedCorpus"]) -> "PreparedCorpus":
    """Return a prepared corpus; a built-in one is prepared first if it has not been, as for training."""
    from tractprobe.probes.opening import open_corpora
    from tractprobe.runs.hydra import BUILTIN

    if name not in BUILTIN or Path(name, "corpus.json").is_file():
        return opened(name)
    return open_corpora([name], Path(os.environ.get("TRACTPROBE_DATA", "data")))[0]


def play(arguments: argparse.Namespace, corpus: "PreparedCorpus") -> int:
    """Write the page of an utterance, and print where it is and how well the head does."""
    from tractprobe.inversion.measured import entry_of, scene_of
    from tractprobe.inversion.video import require_video

    if arguments.video:
        require_video()
    if arguments.head is not None:
        from tractprobe.inversion.builtin import head_path
        from tractprobe.inversion.head_header import check_header

        arguments.head = head_path(arguments.head)
        check_header(arguments.head)
    corpus.check_movements()
    entry = entry_of(corpus, arguments.utterance)
    pages = outputs(entry.id, arguments)
    if arguments.utterance is None:
        print(one_line(f"{entry.id}, the first of {len(corpus.entries)} utterances; name another after the corpus"))
    inverter = None
    if arguments.head is not None:
        from tractprobe.inversion.inverter import load_head

        inverter = load_head(arguments.head, arguments.device, arguments.encoder)
    scene = scene_of(corpus, entry, inverter)
    for path in pages:
        (scene.write_video if path.suffix == ".mp4" else scene.write_page)(path)
    if scene.rows:
        known = [row["r"] for row in scene.rows if row["r"] is not None]
        mean = f"r = {sum(known) / len(known):.2f}" if known else "r is undefined"
        print(one_line(f"measured and predicted: {mean} over {len(known)} channels. {scene.about}"))
    print(printable("\n".join(map(str, pages))))
    return 0


def outputs(utterance_id: str, arguments: argparse.Namespace) -> list[Path]:
    """Return the files to make; ConfigError if one exists and may not be replaced."""
    with_head = "" if arguments.head is None else f"-{arguments.head.stem}"
    name = utterance_id.replace("/", "-") + with_head
    paths = [arguments.output / f"{name}{ending}" for ending in (".html", *([".mp4"] if arguments.video else []))]
    if arguments.existing == "refuse" and (existing := [path for path in paths if os.path.lexists(path)]):
        raise ConfigError(f"{existing[0]} exists already; --existing replace makes it again")
    return paths
