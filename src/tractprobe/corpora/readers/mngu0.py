r"""mngu0, day 1: one speaker of British English, 1263 prompts, EMA at 200 Hz by an AG500, audio at 16 kHz.

One folder per package: ``mngu0_s1_ema_basic*`` or ``mngu0_s1_ema_norm*`` (EST tracks), ``mngu0_s1_wav_16kHz*``,
``mngu0_s1_lab*`` (``.lab`` phones, ``.utt`` with the text) and ``mngu0_s1_ema_filesets*``; files are named
``mngu0_s1_<NNNN>``, with a letter a-f if a prompt was cut into parts.

``basic``
    Six coils and references, ``<coil>_px|py|pz`` in CM: px lateral, py grows to the BACK, pz up; head-corrected,
    origin at the upper-incisor coil. T3, T2, T1 are tongue dorsum, body, tip. Tracks start with the audio.
``norm``
    The first 12 of 36 channels are T3, T2, T1, JAW, UL, LL, each x (= py) and y (= pz), smoothed over three frames and
    normalised: cm = 4 * sd * value + mean (``norm_parms/``). Tracks are TRIMMED to the labelled speech, while the audio
    is not: a track starts where the leading silence ``#`` of its ``.lab`` ends, to within about 50 ms. Prefer
    ``basic``.

Follows public code that reads the real files; no file of this corpus was available when this was written.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.formats.esps import read_labels
from tractprobe.corpora.formats.est import EstTrack, read_est
from tractprobe.corpora.utterance import Phone, Reader, Utterance, found, naming
from tractprobe.signals.audio import read_audio
from tractprobe.signals.channels import ARTICULATORS, in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import read_text

_ID = re.compile(r"(?P<prompt>mngu0_s1_[0-9]{4})[a-f]?")
_COILS = {"td": "T3", "tb": "T2", "tt": "T1", "li": "jaw", "ul": "upperlip", "ll": "lowerlip"}
_NORM_CHANNELS = tuple(f"{coil}_{axis}" for coil in ("T3", "T2", "T1", "JAW", "UL", "LL") for axis in "xy")
_UPPER_INCISOR = "ref"
_MM_PER_CM = 10.0
_SILENCE = "#"
_MIN_EMA_S = 0.2
_TEXT = re.compile(r'\biform "((?:[^"\\\n]|\\.)*)"')
_FILESETS = ("train", "validation", "test")


@dataclass
class Mngu0(Reader):
    """Reader of mngu0: the root contains the folders of the packages, directly or one level below.

    Attributes
    ----------
    variant
        The EMA package to read, ``basic`` or ``norm``.
    fileset
        ``train``, ``validation`` or ``test`` of the package of filesets; by default, all utterances.
    """

    root: Path
    name: str = "mngu0"
    language: str = "en"
    speaker: str = "s1"
    variant: str = "basic"
    fileset: str | None = None

    def __post_init__(self):
        self.root = Path(self.root).expanduser()
        if self.variant not in ("basic", "norm"):
            raise ConfigError(f"corpus.variant {self.variant!r}; give basic or norm")
        if self.fileset not in (None, *_FILESETS):
            raise ConfigError(f"corpus.fileset {self.fileset!r}; give {', '.join(_FILESETS)} or null")

    def sources(self) -> list[str]:
        package = f"mngu0_s1_ema_{self.variant}"
        paths = [path for folder in _folders(self.root, package) for path in folder.glob("*.ema")]
        named = [path for path in paths if _ID.fullmatch(path.stem)]
        expected = "utterance such as mngu0_s1_0001.ema"
        sources = found(self.root, named, f"folder {package}* with an {expected}")
        if self.fileset is None:
            return sources
        members = self._members()
        return found(self.root, [self.root / source for source in sources if _in(Path(source), members)], expected)

    def read(self, source: str) -> list[Utterance]:
        path = self.root / source
        if _ID.fullmatch(path.stem) is None:
            raise CorpusError(path, "not named as an utterance of mngu0 is")
        ema = read_est(path)
        if ema.duration_s < _MIN_EMA_S:
            raise CorpusError(path, f"{ema.duration_s:.3f} s of movements; expected at least {_MIN_EMA_S} s")
        phones = read_labels(_file(self.root, "mngu0_s1_lab", f"{path.stem}.lab"))
        audio, audio_rate_hz = read_audio(_file(self.root, "mngu0_s1_wav_16kHz", f"{path.stem}.wav"))
        with naming(path):
            return [
                Utterance(
                    id=path.stem,
                    speaker=self.speaker,
                    language=self.language,
                    text=_text(_file(self.root, "mngu0_s1_lab", f"{path.stem}.utt")),
                    audio=audio,
                    audio_rate_hz=audio_rate_hz,
                    track=_basic(ema) if self.variant == "basic" else _norm(ema, _speech_start_s(phones)),
                    phones=phones,
                    phone_set="combilex",
                    extra=_upper_incisor(ema) if self.variant == "basic" else {},
                    frame="head",
                )
            ]

    def _members(self) -> set[str]:
        path = _file(self.root, "mngu0_s1_ema_filesets", f"{self.fileset}files.txt")
        return set(read_text(path, "latin-1").split())


def _in(path: Path, members: set[str]) -> bool:
    """Whether an utterance, or the prompt of which it is a part, is in a fileset."""
    parsed = _ID.fullmatch(path.stem)
    return parsed is not None and (path.stem in members or parsed["prompt"] in members)


@lru_cache(maxsize=64)
def _folders(root: Path, package: str) -> tuple[Path, ...]:
    """Return the folders of a package (any version), in the root and one level below."""
    paths = [path for pattern in (f"{package}*", f"*/{package}*") for path in sorted(root.glob(pattern))]
    return tuple(path for path in paths if path.is_dir())


def _file(root: Path, package: str, name: str) -> Path:
    folders = _folders(root, package)
    if not folders:
        raise CorpusError(root, f"no folder {package}*, expected to contain {name}")
    paths = [folder / name for folder in folders]
    return next((path for path in paths if path.exists()), paths[0])


def _basic(ema: EstTrack) -> Track:
    columns = {}
    for articulator in ARTICULATORS:
        columns[f"{articulator}_x"] = -_MM_PER_CM * ema.column(f"{_COILS[articulator]}_py")
        columns[f"{articulator}_y"] = _MM_PER_CM * ema.column(f"{_COILS[articulator]}_pz")
    return Track(in_canonical_order(columns), ema.rate_hz, ema.start_s)


def _upper_incisor(ema: EstTrack) -> dict[str, Float[np.ndarray, " time"]]:
    if f"{_UPPER_INCISOR}_py" not in ema.channels:
        return {}
    back, up = ema.column(f"{_UPPER_INCISOR}_py"), ema.column(f"{_UPPER_INCISOR}_pz")
    return {"ui_x": -_MM_PER_CM * back, "ui_y": _MM_PER_CM * up}


def _norm(ema: EstTrack, start_s: float) -> Track:
    if ema.channels[: len(_NORM_CHANNELS)] != _NORM_CHANNELS:
        has = " ".join(ema.channels[: len(_NORM_CHANNELS)])
        raise CorpusError(ema.path, f"starts with the channels {has:.200}, not with {' '.join(_NORM_CHANNELS)}")
    means_cm, deviations_cm = (
        _parameters(ema.path.parent / "norm_parms" / name) for name in ("ema_means.txt", "ema_stds.txt")
    )
    positions_mm = _MM_PER_CM * (4 * deviations_cm * ema.values[:, : len(_NORM_CHANNELS)] + means_cm)
    positions_mm[:, ::2] *= -1  # x is py, which grows to the back
    # The coils' order is that of our channels: dorsum, body, tip, jaw, upper and lower lip.
    return Track(positions_mm, ema.rate_hz, start_s)


def _parameters(path: Path) -> Float[np.ndarray, " channel"]:
    """Return the numbers (cm) of the 12 positions, which come first, however they are divided into lines."""
    cells = read_text(path, "latin-1").split()[: len(_NORM_CHANNELS)]
    try:
        values = np.array([float(cell) for cell in cells])
    except ValueError as error:
        raise CorpusError(path, str(error)) from None
    if len(values) != len(_NORM_CHANNELS) or not (np.abs(values) < 1e3).all():
        raise CorpusError(path, f"expected {len(_NORM_CHANNELS)} numbers in cm")
    return values


def _speech_start_s(phones: tuple[Phone, ...]) -> float:
    return phones[0].end_s if phones and phones[0].label == _SILENCE else 0.0


def _text(path: Path) -> str:
    r"""Return the prompt of a Festival utterance, ``iform "\"...\""``."""
    match = _TEXT.search(read_text(path, "latin-1"))
    text = _unescaped(match[1]) if match else ""
    if len(text) > 1 and text[0] == text[-1] == '"':  # a quoted string within the quotes
        text = _unescaped(text[1:-1])
    if not text.strip():
        raise CorpusError(path, r'expected a text such as iform "\"Hello.\""')
    return text.strip()


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
