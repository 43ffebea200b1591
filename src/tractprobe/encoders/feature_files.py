"""Files of hidden states that somebody else computed: where they lie, and what is checked of them.

::

    <root>/features.json                   {"rate_hz": 50, "start_s": 0.01246875}
    <root>/<corpus>/<utterance>.npy        numbers (layer, time, width), or
    <root>/<corpus>/<utterance>.safetensors    the same as a tensor `states`
    <root>/<corpus>/<utterance>.times.npy  seconds of each frame's centre, or a tensor `times_s`; instead of a rate

``start_s`` is the centre of frame 0, from the start of the audio. Utterances are called as in the prepared corpus.
Nothing in these files is executed: arrays of objects and pickles are refused.
"""

import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from tractprobe.system.errors import CorpusError, EncoderError, StorageError, first_line
from tractprobe.system.files import digest, file_sha256, read_json, write_json
from tractprobe.system.registry import did_you_mean

log = logging.getLogger(__name__)

DESCRIPTION, HASHES = "features.json", ".tractprobe-hashes.json"
STATES, TIMES = "states", "times_s"
SUFFIXES = (".npy", ".safetensors")
_TIMES_SUFFIX = ".times.npy"
_MAX_RATE_HZ = 1000.0


@dataclass(frozen=True)
class FrameRate:
    """Where evenly spaced frames sit."""

    rate_hz: float
    start_s: float


def frame_rate(root: Path) -> FrameRate | None:
    """Read what ``features.json`` says of all utterances; ``None`` if it is not there."""
    path = root / DESCRIPTION
    if not path.exists():
        return None
    try:
        fields = read_json(path)
    except CorpusError as error:
        raise EncoderError(str(error)) from None
    known = ("rate_hz", "start_s")
    if not isinstance(fields, dict) or set(fields) != set(known):
        wrong = next((name for name in fields if name not in known), "") if isinstance(fields, dict) else ""
        hint = f"; {wrong} is neither{did_you_mean(wrong, known)}" if wrong else ""
        raise EncoderError(f'{path}: expected {{"rate_hz": ..., "start_s": ...}}{hint}')
    rate_hz, start_s = (fields[name] for name in known)
    if not all(type(value) in (int, float) and math.isfinite(value) for value in (rate_hz, start_s)):
        raise EncoderError(f"{path}: rate_hz={rate_hz!r:.20}, start_s={start_s!r:.20}: expected finite numbers")
    if not 0 < rate_hz <= _MAX_RATE_HZ or not -1 < start_s < 1:
        raise EncoderError(f"{path}: rate_hz is above 0 and up to {_MAX_RATE_HZ:g}, start_s less than a second from 0")
    return FrameRate(float(rate_hz), float(start_s))


@dataclass(frozen=True)
class FeatureFile:
    """The states of one utterance."""

    path: Path

    @classmethod
    def find(cls, root: Path, utterance_id: str) -> "FeatureFile | None":
        """Return an utterance's file by the id ``<corpus>/<name>``; EncoderError if there are two."""
        files = [path for suffix in SUFFIXES if (path := root / f"{utterance_id}{suffix}").is_file()]
        if len(files) > 1:
            raise EncoderError(f"{files[0]} and {files[1].name}: expected one of them")
        return cls(files[0]) if files else None

    def shape(self) -> tuple[int, int, int]:
        """Return how many layers, frames and features there are, without reading them."""
        return self._opened()[0]

    def states(self, layers: tuple[int, ...]) -> Float[np.ndarray, "layer time width"]:
        """Read some layers; EncoderError names one that holds NaN or infinity."""
        _, read = self._opened()
        states = np.stack([read(layer) for layer in layers])
        for layer, values in zip(layers, states, strict=True):
            if not np.isfinite(values).all():
                raise EncoderError(f"{self.path}: NaN or infinity in layer {layer}")
        return states

    def times_s(self) -> Float[np.ndarray, " time"] | None:
        """Return the frames' centres, if the file says where each is."""
        try:
            if self.path.suffix == ".npy":
                beside = self.path.with_name(f"{self.path.stem}{_TIMES_SUFFIX}")
                times_s = np.load(beside, allow_pickle=False) if beside.is_file() else None
            else:
                with _safetensors(self.path) as file:
                    times_s = file.get_tensor(TIMES).double().numpy() if TIMES in file.keys() else None
        except Exception as error:
            raise EncoderError(f"{self.path}: frame times that cannot be read ({first_line(error)})") from None
        if times_s is None:
            return None
        if times_s.ndim != 1 or times_s.dtype.kind not in "fiu" or not np.isfinite(times_s).all():
            raise EncoderError(f"{self.path}: frame times are one row of finite numbers")
        if (np.diff(times_s) <= 0).any():
            raise EncoderError(f"{self.path}: frame times do not rise")
        return times_s.astype(np.float64)

    def _opened(self) -> tuple[tuple[int, int, int], Any]:
        """Return the shape, and what reads a layer."""
        try:
            shape, read = self._npy() if self.path.suffix == ".npy" else self._tensors()
        except EncoderError:
            raise
        except Exception as error:  # numpy and safetensors raise many kinds for bytes that are not theirs
            raise EncoderError(f"{self.path}: cannot be read ({first_line(error)})") from None
        if len(shape) != 3 or 0 in shape:
            raise EncoderError(f"{self.path}: shape {shape}; expected (layer, time, width), also for one layer")
        return shape, read

    def _npy(self) -> tuple[Any, Any]:
        states = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if states.dtype.kind != "f":
            raise EncoderError(f"{self.path}: {states.dtype}; expected floating-point numbers")
        return states.shape, lambda layer: np.asarray(states[layer], dtype=np.float32)

    def _tensors(self) -> tuple[Any, Any]:
        with _safetensors(self.path) as file:
            if STATES not in file.keys():
                raise EncoderError(f"{self.path}: no tensor {STATES}")
            shape = tuple(file.get_slice(STATES).get_shape())

        def read(layer: int) -> Shaped[np.ndarray, "time width"]:
            with _safetensors(self.path) as file:
                return file.get_slice(STATES)[layer].float().numpy()

        return shape, read


def _safetensors(path: Path) -> Any:
    from safetensors import safe_open

    return safe_open(path, "pt")


def any_file(root: Path) -> FeatureFile | None:
    """Return one utterance's file, always the same."""
    for corpus in sorted(path for path in root.iterdir() if path.is_dir()):  # or a link to one
        for folder, folders, names in os.walk(corpus):
            folders.sort()
            for name in sorted(names):
                if name.endswith(SUFFIXES) and not name.endswith(_TIMES_SUFFIX):
                    return FeatureFile(Path(folder, name))
    return None


def content_sha256(root: Path, corpus: str) -> str:
    """Return a hash of all of a corpus's feature files.

    Each file's is noted beside ``features.json`` with its size and times of change, and computed once; where nothing
    can be written there, each time. One of the times is the inode's, which no copy keeps and no program can set. By it
    a changed file of the same size and date is noticed, and a note that came with files from elsewhere does not count.
    """
    known, now = _noted(root), {}
    for path in sorted((root / corpus).rglob("*")):
        if path.name.endswith(SUFFIXES):
            status = path.stat()
            seen = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            name = path.relative_to(root).as_posix()
            before = known.get(name)
            now[name] = before if before and before[:3] == seen else [*seen, file_sha256(path)]
    own = {name: row for name, row in known.items() if name.startswith(f"{corpus}/")}
    if now != own:
        _note(root, {name: row for name, row in known.items() if name not in own} | now)
    return digest({name: sha256 for name, (*_, sha256) in now.items()})


def _noted(root: Path) -> dict[str, list[Any]]:
    try:
        rows = json.loads((root / HASHES).read_text(encoding="utf-8"))
        return {name: [*map(int, seen), str(sha256)] for name, (*seen, sha256) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _note(root: Path, rows: dict[str, list[Any]]) -> None:
    try:
        write_json(root / HASHES, rows)
    except (OSError, StorageError) as error:
        log.info("hashes of features are computed again next time: %s", first_line(error))
