"""TORGO: American and Canadian English, 8 speakers with dysarthria and 7 without (LDC2012S02; University of Toronto).

``<speaker>/Session<k>/`` contains ``pos/<n>.pos``, ``wav_arrayMic/<n>.wav``, ``wav_headMic/<n>.wav`` and
``prompts/<n>.txt``; a session is read if it has both ``pos`` and the microphone's folder (F01 has no ``pos``). Sweeps
are those of an AG500: 12 channels at 200 Hz, in mm, not corrected for head movement. Coils, counted from 1: tongue
dorsum, blade and tip, forehead, bridge of the nose, upper and lower lip, lower incisor, left and right corner of the
lips, left and right ear.

Positions of speakers and sessions in the device's space differ by up to 140 mm. Therefore each session is brought onto
the mean configuration of coils 4, 5, 11 and 12 and turned: x runs from between the ears to the bridge of the nose,
which is the origin, and y points from there to the side of the forehead. Compared with the bite plane of other corpora,
this x axis rises to the front, by 20 to 35 degrees in most heads; ``pitch_deg`` turns it down. The order of coils and
the rate are those of public readers and of the device; one such reader, which counts tracks from 0 and coils from 1,
mistakes the forehead for the tongue tip.

Labels: ``condition`` (dysarthria, control) and ``gender``, by the speaker's name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from tractprobe.corpora.formats.carstens import AG500_RATE_HZ, read_sweep
from tractprobe.corpora.geometry.head_motion import midsagittal_axes, rigid_motion
from tractprobe.corpora.readers.sessions import MAX_REFERENCE_ERROR_MM, MAX_RMS, channels_of, session_name, session_of
from tractprobe.corpora.utterance import HeadFit, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import in_canonical_order, named_columns
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

DYSARTHRIC = ("F01", "F03", "F04", "M01", "M02", "M03", "M04", "M05")
CONTROLS = ("FC01", "FC02", "FC03", "MC01", "MC02", "MC03", "MC04")
COILS = {"td": 1, "tb": 2, "tt": 3, "ul": 6, "ll": 7, "li": 8}
_BRIDGE = 5
_REFERENCES = {"forehead": 4, "bridge": _BRIDGE, "left_ear": 11, "right_ear": 12}
_MAX_PROMPT_BYTES = 1 << 16
_REMARK = re.compile(r"\[[^\]]*\]?")
_IMAGE = re.compile(r"\.jpe?g\b", re.IGNORECASE)


@dataclass
class Torgo(Reader):
    """Reader of TORGO as distributed.

    Attributes
    ----------
    microphone
        ``array``, or ``head`` (which not every session has).
    speakers
        The speakers to read.
    pitch_deg
        Angle by which the x axis is turned down from the line between the ears and the bridge of the nose.
    max_rms
        A coil counts as lost where its rms error is above this; null: nowhere.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ("condition", "gender")
    root: Path
    name: str = "torgo"
    language: str = "en"
    microphone: str = "array"
    speakers: Sequence[str] = DYSARTHRIC + CONTROLS
    pitch_deg: float = 0.0
    max_rms: float | None = MAX_RMS

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        if self.microphone not in ("array", "head"):
            raise ConfigError(f"corpus.microphone={self.microphone}: expected array or head")
        if unknown := sorted(set(self.speakers) - {*DYSARTHRIC, *CONTROLS}):
            raise ConfigError(f"corpus.speakers names {', '.join(unknown)}, not among TORGO's speakers")

    def sources(self) -> list[str]:
        sessions = [path.parent for path in self.root.rglob("Session*/pos")] if self.root.is_dir() else []
        paths = [
            path
            for session in sessions
            if session.parent.name in self.speakers and (session / self._audio_folder).is_dir()
            for path in (session / "pos").glob("*.pos")
        ]
        return found(self.root, paths, f"<speaker>/Session<k>/pos/*.pos next to {self._audio_folder}")

    @property
    def _audio_folder(self) -> str:
        return f"wav_{self.microphone}Mic"

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        session = path.parent.parent
        text = _prompt(session / "prompts" / f"{path.stem}.txt")
        audio, audio_rate_hz = read_audio(session / self._audio_folder / f"{path.stem}.wav")
        with naming(path):
            track, extra, head = self._movements(path)
            return [
                Utterance(
                    id=f"{session.parent.name}_{session.name}_{path.stem}",
                    speaker=session.parent.name,
                    language=self.language,
                    text=text,
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=track,
                    extra=extra,
                    frame="head",
                    head=head,
                    labels=_labels(session.parent.name),
                )
            ]

    def _movements(self, path: Path) -> tuple[Track, dict[str, np.ndarray], HeadFit | None]:
        sweep = read_sweep(path)
        session = session_of(list(path.parent.glob("*.pos")), list(_REFERENCES.values()), self.max_rms)
        references = channels_of(path, sweep, list(_REFERENCES.values()), self.max_rms)
        positions = channels_of(path, sweep, [*COILS.values(), _BRIDGE], self.max_rms)
        motion = rigid_motion(references, session.configuration, MAX_REFERENCE_ERROR_MM)
        positions = motion.apply(positions)
        forehead, bridge, left, right = session.configuration
        axes = midsagittal_axes(left, right, bridge, up=forehead - bridge, pitch_deg=self.pitch_deg)
        plane = (positions - bridge) @ axes[:2].T
        track = Track(in_canonical_order(named_columns(list(COILS), plane[:, :-1])), sweep.rate_hz or AG500_RATE_HZ)
        name = session_name(self.root, path, path.parents[2].name)
        head = session.fit(name, list(_REFERENCES), motion, sweep.is_head_corrected)
        return track, named_columns(["bn"], plane[:, -1:]), head


def _labels(speaker: str) -> dict[str, str]:
    condition = "dysarthria" if speaker in DYSARTHRIC else "control"
    return {"condition": condition, "gender": speaker[0].lower()}


def _prompt(path: Path) -> str:
    """Return the words of a prompt, without remarks in brackets; CorpusError if there are none."""
    prompt = read_text(path, "utf-8", _MAX_PROMPT_BYTES)
    if _IMAGE.search(prompt):
        raise CorpusError(path, f"a picture to describe ({prompt.strip()!r:.60}): what was said is unknown")
    text = " ".join(_REMARK.sub(" ", prompt).split())
    if not text or text == "xxx":
        raise CorpusError(path, f"{prompt.strip()!r:.60} is an instruction or empty, not words to say")
    return text
