"""The folder: blocks of one voice in one language each, and the manifest that names them all."""

import csv
import hashlib
import io
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vocaltract.corpus import settings
from vocaltract.corpus.jobs import Summary
from vocaltract.errors import VocalTractError
from vocaltract.formant_speech import names, render, voices
from vocaltract.formant_speech.render import LINES, Block

PART = "formant_speech"
MANIFEST, COLUMNS = "manifest.csv", ("file", "language", "speaker", "text", "gender", "source", "licence", "seconds")
SOURCE = "espeak-ng"
LICENCE = "Unicode-3.0 (words: names of symbols by CLDR; the GPL of espeak-ng does not cover its output)"
BAR = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}, {elapsed}, {remaining} left"


@dataclass(frozen=True)
class Order:
    """What is to be made.

    Attributes
    ----------
    languages
        ISO 639-1, or espeak-ng's own names.
    minutes
        Of each language, shared equally among its voices.
    voices
        How many; the same ones in each language.
    """

    languages: tuple[str, ...]
    minutes: float = 20.0
    voices: int = 8
    seed: int = 0

    def check(self) -> None:
        """Raise VocalTractError for what cannot be made."""
        if not 0 < self.minutes < float("inf"):
            raise VocalTractError(f"--minutes {self.minutes:g}: expected a positive number")
        voices.chosen(self.voices)
        if self.seed < 0:
            raise VocalTractError(f"--seed {self.seed}: 0 or more")
        if twice := {name for name in self.languages if self.languages.count(name) > 1}:
            raise VocalTractError(f"--languages names {', '.join(sorted(twice))} twice")
        for language in self.languages:
            names.names(language)

    def blocks(self, root: Path) -> list[Block]:
        """One voice in all languages after another, so that any beginning is balanced."""
        seconds = self.minutes * 60 / self.voices
        return [
            Block(root, language, voice, seconds, self.seed)
            for voice in voices.chosen(self.voices)
            for language in self.languages
        ]

    def hash(self) -> str:
        """Of all that every block depends on; not of the languages, so that further ones can be added."""
        said = f"{settings.program_hash(PART)} {self.minutes!r} {self.voices} {self.seed}"
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def write(root: Path, order: Order, *, anew: bool = False, command: str = "") -> Summary:
    """Make what is not there yet, then the manifest of all that is.

    Raises
    ------
    VocalTractError
        If something cannot be made, or the folder holds something else and is not to be made ``anew``.
    """
    order.check()
    blocks = order.blocks(root)
    try:
        settings.claim(root, order.hash(), command, anew=False, also=PART)
    except VocalTractError:
        if not anew or not (root / settings.FILE).is_file():
            raise
        _remove(root)
        settings.claim(root, order.hash(), command, anew=True, also=PART)
    missing = [block for block in blocks if not block.is_whole()]
    started = time.monotonic()
    made_s = sum(_in_new_process(block) for block in tqdm(missing, desc="espeak", bar_format=BAR))
    _finish(root)
    return Summary(len(missing), len(blocks) - len(missing), made_s / 60, time.monotonic() - started)


def _in_new_process(block: Block) -> float:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(render.make, block).result()
        except BrokenProcessPool:
            raise VocalTractError(
                f"the process that spoke {block.language} in voice {block.voice} was killed; "
                "the same command makes the rest"
            ) from None


def _finish(root: Path) -> None:
    rows = [row for file in sorted(root.glob(f"*/*/{LINES}")) for row in _rows(file)]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    _replace(root / MANIFEST, table.getvalue())
    languages, speakers = ({row[column] for row in rows} for column in (1, 2))
    _replace(root / "folder.toml", _about(len(rows), sorted(languages), len(speakers)))


def _rows(file: Path) -> list[Sequence[str]]:
    language, voice = file.parts[-3:-1]
    return [
        (
            f"{language}/{voice}/{line['file']}",
            language,
            voice,
            line["text"],
            voices.VOICES[voice],
            SOURCE,
            LICENCE,
            line["seconds"],
        )
        for line in json.loads(file.read_text(encoding="utf-8"))
    ]


def _about(utterances: int, languages: Sequence[str], speakers: int) -> str:
    what = f"{utterances} utterances of {speakers} voices of espeak-ng in {', '.join(languages)}"
    return f'simulated = true\ngenerator = "espeak-ng by {settings.generator()}"\ndescription = "{what}"\n'


def _remove(root: Path) -> None:
    """Remove blocks, and nothing that this program does not write."""
    (root / MANIFEST).unlink(missing_ok=True)
    for lines in list(root.glob(f"*/*/{LINES}")):
        for path in [*lines.parent.glob("*.flac"), lines]:
            path.unlink()


def _replace(path: Path, content: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
