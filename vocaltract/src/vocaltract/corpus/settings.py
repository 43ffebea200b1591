"""What an output folder was made with, so that it is never continued with anything else."""

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import vocaltract
from vocaltract.corpus.plan import Task
from vocaltract.errors import VocalTractError

FILE = "settings.toml"
LIBRARIES = ("vocaltractlab-cython", "espeakng-loader", "numpy", "scipy", "soxr")
HASHED = (".py", ".toml", ".txt", ".json")
NOT_IN_SOUND = ("checks", "interventions", "formant_speech", "cli.py", "__main__.py", "jobs.py")
"""Parts of the program that do not determine what an utterance sounds like."""


def generator() -> str:
    """Name and version of this program."""
    return f"vocaltract {vocaltract.__version__}"


@cache
def program_hash(also: str = "") -> str:
    """Of the program's own files and the versions of the libraries that sound and movement depend on.

    ``also`` names a part of ``NOT_IN_SOUND`` that counts as well, since the folder holds what that part makes.
    """
    digest = hashlib.sha256()
    root = Path(vocaltract.__file__).parent
    for path in hashed_files(root, also):
        digest.update(path.as_posix().encode() + b"\0" + (root / path).read_bytes() + b"\0")
    for name in LIBRARIES:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()[:16]


def hashed_files(root: Path, also: str = "") -> list[Path]:
    """Code, tables and fitted values that count, relative to the package's folder ``root``."""
    left_out = set(NOT_IN_SOUND) - {also}
    within = sorted(path.relative_to(root) for path in root.rglob("*") if path.suffix in HASHED)
    return [path for path in within if not set(path.parts) & left_out]


def settings_hash(tasks: Sequence[Task], keep: object, also: str = "") -> str:
    """Of the program, everything that is to be made, and what is kept."""
    said = json.dumps([asdict(task) for task in tasks], ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(f"{program_hash(also)}\n{keep}\n{said}".encode()).hexdigest()[:16]


def claim(root: Path, settings: str, command: str, *, anew: bool, also: str = "") -> None:
    """Make the folder this corpus's own, or find that it is already.

    Raises
    ------
    VocalTractError
        If it holds something else, unless it is a corpus that is to be made ``anew``: then its utterances are removed.
    """
    file = root / FILE
    if root.exists() and not root.is_dir():
        raise VocalTractError(f"{root} is a file")
    if file.is_file():
        said = f'settings = "{settings}"'
        if said in file.read_text(encoding="utf-8").splitlines():
            return
        if not anew:
            raise VocalTractError(
                f"{root} was made with another plan, seed or version of the program: choose another folder, or --anew"
            )
        remove(root)
    elif root.is_dir() and any(root.iterdir()):
        raise VocalTractError(f"{root} has files in it, but no {FILE}: it is no folder of this program; choose another")
    root.mkdir(parents=True, exist_ok=True)
    program = program_hash(also)
    file.write_text(
        f'generator = "{generator()}"\nsettings = "{settings}"\nprogram = "{program}"\ncommand = "{command}"\n',
        encoding="utf-8",
    )


def remove(root: Path) -> None:
    """Remove what this program writes, and nothing else."""
    written = (".flac", ".npy", ".npz", ".json", ".jsonl", ".toml")
    for path in [*root.iterdir(), *(path for folder in root.iterdir() if folder.is_dir() for path in folder.iterdir())]:
        if path.is_file() and path.name.endswith(written):
            path.unlink()
