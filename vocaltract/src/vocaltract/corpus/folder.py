"""The folder that a corpus is: files of sound, movement, pitch and description for each utterance, and what all share.

An utterance is whole when its description (JSON) is there: it is written last, and every file gets its name when it
is complete.
"""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from vocaltract import speakers
from vocaltract.corpus import manners
from vocaltract.corpus.plan import NO_LANGUAGE, Task
from vocaltract.errors import VocalTractError
from vocaltract.spoken import written
from vocaltract.states import STATE_HZ
from vocaltract.synthesis.recorded import RECORDED_HZ

EMA_CHANNELS = ("td_x", "td_y", "tb_x", "tb_y", "tt_x", "tt_y", "li_x", "li_y", "ul_x", "ul_y", "ll_x", "ll_y")
EMA_HZ = 100
EMA_RESOLUTION_MM = 0.01
MISSING = -32768


@dataclass(frozen=True, eq=False)
class Made:
    """An utterance before it is written.

    Attributes
    ----------
    sound
        (sample,) float32 at 16 kHz.
    ema
        (frame, 12) mm at 100 Hz, ``None`` where only audio is made.
    f0_hz
        (frame,) at 100 Hz; 0 where no voice is heard.
    phones
        (IPA, start, end) in seconds.
    motor
        (state, 30), tract and glottis, if it is to be kept.
    """

    sound: np.ndarray
    ema: np.ndarray | None
    f0_hz: np.ndarray | None
    phones: tuple[tuple[str, float, float], ...]
    motor: np.ndarray | None = None


@dataclass(frozen=True)
class Origin:
    """What a folder was made by.

    Attributes
    ----------
    generator
        Name and version of the program.
    settings, program
        Hashes of ``corpus.settings``: of everything that was asked for; of the program's files and libraries.
    """

    generator: str
    settings: str
    program: str


def is_whole(root: Path, task: Task) -> bool:
    """Whether the utterance is there and complete."""
    return (root / task.part / f"{task.id}.json").is_file()


def write(root: Path, task: Task, made: Made) -> float:
    """Write an utterance; returns its seconds.

    Raises
    ------
    VocalTractError
        If there are numbers that are not finite, silence, clipping or a coordinate beyond 32 cm.
    """
    _refuse_bad(task.id, made)
    base = root / task.part / task.id
    base.parent.mkdir(parents=True, exist_ok=True)
    flac = io.BytesIO()
    soundfile.write(flac, made.sound, RECORDED_HZ, format="FLAC", subtype="PCM_16", compression_level=1.0)
    _replace(base.with_name(f"{task.id}.flac"), flac.getvalue())
    if made.ema is not None:
        _replace(base.with_name(f"{task.id}.ema.npy"), npy(quantised(made.ema)))
    if made.f0_hz is not None:
        _replace(base.with_name(f"{task.id}.f0.npy"), npy(made.f0_hz.astype(np.float32)))
    if made.motor is not None:
        _replace(base.with_name(f"{task.id}.motor.npy"), npy(made.motor.astype(np.float32)))
    text = json.dumps(description(task, made), ensure_ascii=False)
    _replace(base.with_name(f"{task.id}.json"), text.encode())
    return len(made.sound) / RECORDED_HZ


def quantised(ema: np.ndarray) -> np.ndarray:
    """Millimetres as int16 in steps of ``EMA_RESOLUTION_MM``; missing ones as ``MISSING``."""
    steps = np.round(ema / EMA_RESOLUTION_MM)
    return np.where(np.isnan(steps), MISSING, steps).astype("<i2")


def description(task: Task, made: Made) -> dict[str, object]:
    """Content of the JSON of an utterance."""
    said: dict[str, object] = {
        "id": task.id,
        "speaker": task.speaker,
        "language": task.language,
        "text": task.text,
        "sample_rate_hz": RECORDED_HZ,
        "duration_s": len(made.sound) / RECORDED_HZ,
    }
    if made.ema is not None:
        said |= {
            "ema_rate_hz": EMA_HZ,
            "ema_unit": "mm",
            "ema_resolution_mm": EMA_RESOLUTION_MM,
            "ema_channels": list(EMA_CHANNELS),
        }
    if made.f0_hz is not None:
        said |= {"f0_rate_hz": EMA_HZ}
    if made.phones:
        said |= {"phones": [[written(ipa), round(start, 4), round(end, 4)] for ipa, start, end in made.phones]}
    sex = speakers.load(task.speaker).sex
    return said | {"labels": manners.labels(task.manner, sex, task.kind, task.seed)}


def finish(root: Path, made: Sequence[Task], by: Origin, *, with_palates: bool) -> None:
    """Write what utterances share: ``folder.toml`` and palates, and each part's manifest of what is there.

    The root has the first two for all of its parts, so that it can be read as a corpus, and so can each part.
    """
    for part in sorted({task.part for task in made} | {""}):
        of_part = sorted((task for task in made if part in ("", task.part)), key=lambda task: task.id)
        folder = root / part
        for name in sorted({task.speaker for task in of_part}) if with_palates else ():
            _replace(folder / f"{name}.palate.npy", npy(speakers.load(name).palate_mm().astype(np.float32)))
        _replace(folder / "folder.toml", folder_toml(of_part, by.generator).encode())
        if own := [task for task in of_part if task.part == part]:
            lines = [json.dumps(_record(folder, task, by), ensure_ascii=False) for task in own]
            _replace(folder / "manifest.jsonl", "".join(f"{line}\n" for line in lines).encode())


def folder_toml(of_part: Sequence[Task], generator: str) -> str:
    """``folder.toml`` of a part: simulated, by what, and what is in it."""
    spoken = sorted({task.language for task in of_part} - {NO_LANGUAGE})
    what = f"{len(of_part)} utterances of {len({task.speaker for task in of_part})} virtual vocal tracts"
    what += f", speech in {', '.join(spoken)}" if spoken else ""
    what += ", babble" if any(task.language == NO_LANGUAGE for task in of_part) else ""
    return f'simulated = true\ngenerator = "{generator}"\ndescription = "{what}"\n'


def npy(array: np.ndarray) -> bytes:
    """Bytes of a ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _record(folder: Path, task: Task, by: Origin) -> dict[str, object]:
    """One line of the manifest: all that the utterance was made from."""
    said = json.loads((folder / f"{task.id}.json").read_text(encoding="utf-8"))
    speaker = speakers.load(task.speaker)
    return {
        "id": task.id,
        "kind": task.kind,
        "speaker": task.speaker,
        "speaker_sha256": speaker_hash(task.speaker),
        "language": task.language,
        "number": task.number,
        "text": task.text,
        "spoken": task.spoken,
        "seconds": task.seconds,
        "seed": task.seed,
        "manner": asdict(task.manner),
        "f0_base_hz": speaker.f0_hz,
        "state_hz": round(STATE_HZ, 6),
        "duration_s": said["duration_s"],
        "phones": len(said.get("phones", ())),
        "settings": by.settings,
        "program": by.program,
    }


def speaker_hash(name: str) -> str:
    """First 16 digits of the SHA-256 of the speaker's file for the synthesiser."""
    import hashlib

    return hashlib.sha256(speakers.load(name).file.read_bytes()).hexdigest()[:16]


def _refuse_bad(utterance: str, made: Made) -> None:
    peak = float(np.abs(made.sound).max(initial=0.0))
    if not np.isfinite(made.sound).all() or not 1e-4 < peak < 1.0:
        raise VocalTractError(f"{utterance}: sound with a peak of {peak:.3g} is silent, clipped or not finite")
    if made.ema is None:
        return
    if made.ema.ndim != 2 or made.ema.shape[1] != len(EMA_CHANNELS) or not np.isfinite(made.ema).all():
        raise VocalTractError(f"{utterance}: movements of shape {made.ema.shape} have other channels or are not finite")
    if np.abs(made.ema).max() > -MISSING * EMA_RESOLUTION_MM - 1:
        raise VocalTractError(f"{utterance}: a coordinate of {np.abs(made.ema).max():.0f} mm does not fit 16 bits")


def _replace(path: Path, content: bytes) -> None:
    """Write under another name beside it, then rename: a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
