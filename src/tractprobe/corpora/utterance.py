"""Readers: a raw corpus folder in, Utterances out.

A reader lists its sources (whatever it reads in one go: a file, a bundle) and reads one at a time, so that preparation
can continue after a bad one, and in parallel. It maps axes, signs and units to the canonical space of
``signals.channels`` and times to seconds from the start of the audio; it does not filter, resample or trim.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.ipa import SILENCE, to_ipa
from tractprobe.corpora.languages import check_language
from tractprobe.corpora.names import checked_original
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError

MIN_DURATION_S = 0.1
MIN_EMA_RATE_HZ = 40.0
MIN_F0_RATE_HZ, MAX_F0_RATE_HZ = 50.0, 48000.0
MIN_F0_HZ, MAX_F0_HZ = 20.0, 2000.0
MAX_F0_ERROR_S = 0.05
MAX_LABELS, MAX_LABEL_LETTERS = 16, 128
MAX_OVERHANG_S = 0.1
"""Labels may end this much after their audio: aligners round to their frames."""
MAX_EXCESS_S, MAX_LACK_S, MAX_MISFIT = 1.0, 2.0, 0.5
"""Movements may exceed their audio, or end before it, by this much, or by this part of the audio. Devices stop one
recording after the other, and audio often has silence on both sides: by 13 % in the real sentence of MOCHA-TIMIT."""
MAX_LARYNX_MISFIT_S = 0.5
_BLOCK = 1 << 18

Frame = Literal["occlusal", "head", "device", "unknown"]
"""The coordinate system of positions. ``occlusal``: head-corrected, x along the occlusal (bite) plane, origin at the
upper incisor. ``head``: head-corrected, with axes and an origin of the corpus's own. ``device``: positions still
contain the head's movements. ``unknown``: the corpus does not say."""

_EXTRA = re.compile(r"[a-z][a-z0-9]*_[xy]")
_FILE_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ADDED = "added"
_NOT_LABELS = {"id", "corpus", "speaker", "language", "text"}


@dataclass(frozen=True)
class Phone:
    """A labelled stretch of speech, in the corpus's own symbols."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class HeadFit:
    """How well the references on a speaker's head gave its movement.

    Attributes
    ----------
    session
        What was recorded with the same sensors in the same places: speaker and folder.
    deviation_mm
        For each two references, ``"left_ear nose"``: their distance stays within this of its median in 95 % of the
        session's frames. Bone keeps distances; a reference on the jaw or a lip does not.
    error_mm
        Median over the frames of the root mean square distance of the references from where they should be.
    lost
        Part of the frames in which the head's position is not known.
    is_corrected
        The positions were relative to the head already.
    """

    session: str
    deviation_mm: Mapping[str, float]
    error_mm: float
    lost: float
    is_corrected: bool


@dataclass(frozen=True, eq=False)
class Utterance:
    """One recording: what was said, by whom, how it sounded and, where that was measured, how the articulators moved.

    Attributes
    ----------
    id
        Unique within the corpus; it becomes a file name.
    speaker
        Unique within the corpus.
    language
        ISO 639-1, lower case (three letters where 639-1 has none).
    text
        What was to be said; utterances of one text never lie on both sides of a split. Empty if unknown.
    audio
        One channel, full scale 1.
    track
        Articulator positions in the canonical space; ``None`` if only sound was recorded.
    phones
        Phones in the corpus's own symbols, in order.
    phone_set
        Name of the table in ``corpora.ipa`` that turns these symbols into IPA.
    extra
        Further midsagittal channels (mm, x to the front, y up) at the track's times, such as ``ui_x`` (upper incisor),
        ``bn_x`` (bridge of the nose), ``v_y`` (velum): references that should not move, and articulators that few
        corpora have.
    frame
        The coordinate system of positions.
    larynx, larynx_rate_hz
        The laryngograph's signal, from the start of the audio.
    f0_hz, f0_rate_hz
        Fundamental frequency from the start of the audio, 0 where the vocal folds do not vibrate, where it is known,
        as from a synthesiser's glottis.
    labels
        What else utterances may be grouped by, such as ``{"style": "read", "gender": "f"}``.
    original
        The corpus's own ``id`` and ``speaker``, where they had to be changed to be parts of file names.
    head
        How well head movement was removed, if the reader did that, or could tell that it was done before.
    """

    id: str
    speaker: str
    language: str
    text: str
    audio: Float[np.ndarray, " sample"]
    audio_rate_hz: int
    track: Track | None
    phones: tuple[Phone, ...] = ()
    phone_set: str = "ipa"
    extra: Mapping[str, Float[np.ndarray, " time"]] = field(default_factory=dict)
    frame: Frame = "unknown"
    larynx: Float[np.ndarray, " larynx_sample"] | None = None
    larynx_rate_hz: int = 0
    f0_hz: Float[np.ndarray, " f0_frame"] | None = None
    f0_rate_hz: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    original: Mapping[str, str] = field(default_factory=dict)
    head: HeadFit | None = None

    def __post_init__(self):
        for kind, name in (("id", self.id), ("speaker", self.speaker)):
            if not _FILE_SAFE.fullmatch(name):
                raise ValueError(f"{kind} {name!r}: expected only letters, digits, '.', '_' and '-' (for file names)")
        check_language(self.language)
        self.text.encode()  # half a surrogate pair cannot be encoded
        if self.audio_rate_hz <= 0 or self.duration_s < MIN_DURATION_S:
            length = f"{len(self.audio)} samples of audio at {self.audio_rate_hz} Hz"
            raise ValueError(f"{length}; expected at least {MIN_DURATION_S} s")
        if not _is_finite(self.audio):
            raise ValueError("the audio contains NaN or infinity")
        self._check_track()
        self._check_f0()
        checked_labels(self.labels)
        checked_original(self.original)
        for phone in self.phones:
            phone.label.encode()
            if not 0 <= phone.start_s <= phone.end_s < np.inf:
                raise ValueError(f"phone {phone.label!r} ends before it starts, or starts before the audio")

    def _check_track(self) -> None:
        if self.track is None:
            if self.extra or self.head is not None or self.frame != "unknown":
                raise ValueError("further channels, a frame or head movement without movements that they belong to")
            return
        if self.track.rate_hz < MIN_EMA_RATE_HZ:
            raise ValueError(f"movements at {self.track.rate_hz} Hz; expected at least {MIN_EMA_RATE_HZ} Hz")
        within = (self.track.times_s >= 0) & (self.track.times_s < self.duration_s)
        if not self.track.valid[within].any():
            raise ValueError("no articulator was measured during the audio")
        for name, values in self.extra.items():
            if not _EXTRA.fullmatch(name) or name in self.track.channels:
                raise ValueError(f"extra channel {name!r}: expected a name such as 'ui_x' that is not a canonical one")
            if len(values) != len(self.track.values) or np.isinf(values).any():
                raise ValueError(f"extra channel {name} contains infinity, or is not as long as the others")

    def _check_f0(self) -> None:
        if self.f0_hz is None:
            return
        if not MIN_F0_RATE_HZ <= self.f0_rate_hz <= MAX_F0_RATE_HZ:
            raise ValueError(f"f0 at {self.f0_rate_hz} Hz; expected {MIN_F0_RATE_HZ} to {MAX_F0_RATE_HZ} Hz")
        vibrating = self.f0_hz[self.f0_hz != 0]
        if not ((vibrating >= MIN_F0_HZ) & (vibrating <= MAX_F0_HZ)).all():
            raise ValueError(f"f0 must be 0 or from {MIN_F0_HZ} to {MAX_F0_HZ} Hz")
        if abs(len(self.f0_hz) / self.f0_rate_hz - self.duration_s) > MAX_F0_ERROR_S:
            raise ValueError(f"f0 lasts {len(self.f0_hz) / self.f0_rate_hz:.3f} s, the audio {self.duration_s:.3f} s")

    @property
    def duration_s(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.audio_rate_hz

    @property
    def measured(self) -> Track:
        """The movements, for what cannot do without them; ValueError if only sound was recorded."""
        if self.track is None:
            raise ValueError(f"{self.id} has no movements")
        return self.track

    def check_times(self) -> None:
        """Raise ValueError if phones, movements and larynx cannot be those of this audio, by their times.

        Not part of every Utterance, so that corpora that were prepared before this was checked can be opened.
        """
        audio = f"the audio {self.duration_s:.2f} s"
        for phone in self.phones:
            is_late = phone.end_s > self.duration_s + MAX_OVERHANG_S
            if is_late and to_ipa(self.phone_set, phone.label) != SILENCE:
                problem = f"phone {phone.label!r:.60} ends at {phone.end_s:.2f} s, {audio}"
                raise ValueError(f"{problem}: labels of another recording?")
        if self.track is not None:
            self._check_span(self.track, audio)
        if self.larynx is not None:
            larynx_s = len(self.larynx) / self.larynx_rate_hz
            if abs(larynx_s - self.duration_s) > MAX_LARYNX_MISFIT_S:
                raise ValueError(f"the laryngograph's signal lasts {larynx_s:.2f} s, {audio}: another recording's?")

    def _check_span(self, track: Track, audio: str) -> None:
        """Raise ValueError if movements begin or end too far from where the audio does."""
        excess_s = track.end_s - self.duration_s
        lasting_s = min(track.end_s, self.duration_s) - max(track.start_s, 0.0)
        lack_s = self.duration_s - lasting_s
        if excess_s > max(MAX_EXCESS_S, MAX_MISFIT * self.duration_s):
            problem = f"movements end at {track.end_s:.2f} s, {audio}"
            raise ValueError(f"{problem}: another recording's, or a wrong rate of {track.rate_hz:g} Hz?")
        if lack_s > max(MAX_LACK_S, MAX_MISFIT * self.duration_s):
            problem = f"movements last {max(lasting_s, 0.0):.2f} s during the audio, {audio}"
            raise ValueError(f"{problem}: another recording's, or a wrong rate of {track.rate_hz:g} Hz?")


def _is_finite(samples: np.ndarray) -> bool:
    """Return whether no sample is NaN or infinite; block by block, as audio may be an hour long."""
    return all(np.isfinite(samples[first : first + _BLOCK]).all() for first in range(0, len(samples), _BLOCK))


def checked_labels(labels: Any) -> dict[str, str]:
    """Return an utterance's labels in the order of their names; ValueError if they are not names with short texts.

    >>> checked_labels({"style": "read", "gender": "f"})
    {'gender': 'f', 'style': 'read'}
    """
    if not isinstance(labels, Mapping) or len(labels) > MAX_LABELS:
        raise ValueError(f"labels: expected an object of at most {MAX_LABELS} names with their texts")
    for name, text in labels.items():
        if not isinstance(name, str) or not _LABEL.fullmatch(name):
            raise ValueError(f"label {name!r:.60}: expected a name of at most 32 of a-z, 0-9 and '_', a letter first")
        if name in _NOT_LABELS:
            raise ValueError(f"label {name!r}: every utterance has its own {name}; choose another name")
        if not isinstance(text, str) or not 0 < len(text) <= MAX_LABEL_LETTERS:
            raise ValueError(f"label {name}: {text!r:.60}: expected a text of 1 to {MAX_LABEL_LETTERS} characters")
        if not text.isprintable() or text != text.strip():
            raise ValueError(f"label {name}: {text!r}: expected printable characters, no spaces around them")
    return dict(sorted(labels.items()))


def added(default: Any) -> Any:
    """Return the field of a setting that a reader was given later: at its default, it is no part of fingerprints.

    Corpora that were prepared without it are not prepared again.
    """
    return field(default=default, repr=False, metadata={_ADDED: default})


def settings_of(reader: "Reader") -> dict[str, Any]:
    """Return the settings that what a reader prepares depends on, but for its root."""
    named = fields(reader) if is_dataclass(reader) else ()
    defaults = {own.name: own.metadata[_ADDED] for own in named if _ADDED in own.metadata}
    own = {name: value for name, value in vars(reader).items() if name != "root"}
    return {name: value for name, value in own.items() if name not in defaults or value != defaults[name]}


class Reader(ABC):
    """What a corpus module provides: a dataclass whose fields are the settings of ``conf/corpus/<name>.yaml``.

    Readers are pickled to run in other processes, and reading one source does not depend on what was read before.

    Attributes
    ----------
    kept_labels
        Names of the labels that utterances have by themselves. They are part of fingerprints: what was prepared when
        the reader kept fewer is prepared again.
    """

    kept_labels: ClassVar[tuple[str, ...]] = ()
    name: str
    root: Path

    @property
    def has_movements(self) -> bool:
        """Whether every utterance of the corpus has movements; otherwise none has, and sound is all there is."""
        return True

    @abstractmethod
    def sources(self) -> Sequence[str]:
        """List what ``read`` takes, cheaply and in a stable order; CorpusError if there is nothing."""

    @abstractmethod
    def read(self, source: str) -> Sequence[Utterance | CorpusError]:
        """Read one source; CorpusError names the file and the place in it.

        It is raised if it concerns the whole source. If a source holds several utterances, an error of one of them is
        returned in its place, and the others are read.
        """

    def check_speakers(self, sources: Sequence[str]) -> None:
        """Raise ConfigError if it is not clear who speaks in the sources, before any of them is read."""
        return

    def about(self) -> Mapping[str, Any]:
        """Return what the corpus says of itself: of ``simulated`` (bool), ``generator``, ``description``, what it has.

        Asked before anything is read; CorpusError for a statement that cannot be one.
        """
        return {}

    def palates(self) -> Mapping[str, Float[np.ndarray, "point 2"]]:
        """Return each speaker's palate trace, back to front, x and y in mm, in the movements' coordinate system."""
        return {}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a ValueError, such as an Utterance raises, into a CorpusError that names the file."""
    try:
        yield
    except CorpusError:
        raise
    except ValueError as error:
        raise CorpusError(path, str(error)) from None


def found(root: Path, paths: Sequence[Path], expected: str) -> list[str]:
    """Return paths relative to a corpus root, naturally sorted; CorpusError if the root or every file is missing."""
    if not root.is_dir():
        raise CorpusError(root, "no such folder; give the corpus's folder with corpus.root=...")
    if not paths:
        raise CorpusError(root, f"holds no {expected}")
    return sorted((path.relative_to(root).as_posix() for path in paths), key=_natural)


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name)]
