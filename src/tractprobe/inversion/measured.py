"""An utterance of a prepared corpus as a page or a video: its movements, and what a head makes of its sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.film import MAX_SHOWN_S, Film
from tractprobe.inversion.player import write_player
from tractprobe.inversion.video import write_video
from tractprobe.runs.result import ScoreRow
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.smoothing import Smoothing
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError, HeadError, TractprobeError

if TYPE_CHECKING:
    from tractprobe.inversion.inverter import Inverter

_NAMED = 5


@dataclass(frozen=True, eq=False)
class Scene:
    """An utterance, ready to be shown.

    Attributes
    ----------
    rows
        Scores of the predicted movements against the measured ones; empty without a head.
    """

    film: Film
    audio: Float[np.ndarray, " sample"]
    title: str
    about: str
    phones: tuple[Phone, ...]
    rows: tuple[ScoreRow, ...] = ()

    def write_page(self, path: Path) -> None:
        """Write the page, atomically."""
        write_player(path, self.film, self.audio, self.title, self.about, self.phones, self.rows)

    def write_video(self, path: Path) -> None:
        """Write the video, atomically."""
        write_video(path, self.film, self.audio, self.title, self.phones)


def entry_of(corpus: PreparedCorpus, name: str | None) -> Entry:
    """Return an utterance by its id, with or without the corpus's name before it; without a name the first."""
    entries = {entry.id.partition("/")[2]: entry for entry in corpus.entries}
    if not entries:
        raise CorpusError(corpus.folder, "holds no utterance")
    if name is None:
        return next(iter(entries.values()))
    short = name.removeprefix(f"{corpus.name}/")
    if short not in entries:
        close = get_close_matches(short, entries, _NAMED) or list(entries)[:_NAMED]
        raise ConfigError(f"{corpus.name} has no utterance {name}; of its {len(entries)}: {', '.join(close)}")
    return entries[short]


def scene_of(corpus: PreparedCorpus, entry: Entry, inverter: "Inverter | None" = None) -> Scene:
    """Read an utterance; with a head, also predict its movements and score them.

    Raises
    ------
    CorpusError
        The utterance has changed since it was prepared, or is too long to be shown.
    HeadError
        The head predicts no positions.
    """
    if entry.duration_s > MAX_SHOWN_S:
        raise CorpusError(entry.id, f"{entry.duration_s:.0f} s; pages are made of at most {MAX_SHOWN_S:.0f} s")
    utterance = corpus.utterance(entry.id)
    palate = corpus.palates.get(utterance.speaker)
    comparison = None if inverter is None else _compared(corpus, entry, inverter, utterance.audio)
    film = Film.of(utterance.measured, palate=palate, predicted=comparison and comparison.track)
    text = f", “{utterance.text}”" if utterance.text else ""
    about = (
        f"Movements of {entry.speaker} ({entry.language}) as the corpus has them, at {utterance.measured.rate_hz:g} Hz."
    )
    if comparison is not None:
        about = f"{about} {comparison.about}"
    rows = () if comparison is None else comparison.rows
    return Scene(film, utterance.audio, f"{entry.id}{text}", about, utterance.phones, rows)


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Predicted movements, in mm, with their scores and what must be said of them."""

    track: Track
    rows: tuple[ScoreRow, ...]
    about: str


def _compared(
    corpus: PreparedCorpus, entry: Entry, inverter: "Inverter", audio: Float[np.ndarray, " sample"]
) -> _Comparison:
    from tractprobe.inversion.seen import seen

    names = tuple(name for name in inverter.channels if name in CHANNELS)
    if not names:
        raise HeadError(f"{inverter.file.path} predicts no positions of articulators, so there is nothing to compare")
    knows = entry.speaker in inverter.file.scales
    track = _only(inverter.of_speaker(entry.speaker if knows else None)(audio, RATE_HZ), names)
    measured = _measured_at(corpus, entry, inverter, track)
    rows = _rows(inverter, entry, track.values, measured, names)
    if not knows:
        track = _in_scale_of(track, measured)
    whose = f"the head's mean and scale of {entry.speaker}" if knows else "this recording's own mean and scale"
    card, layer = inverter.file.about, inverter.file.layer
    about = (
        f"Predicted from the sound by {card['run']['head']} on {card['encoder']['label']}, layer {layer}, "
        f"in mm by {whose}. {seen(card, corpus, entry)} r is of movements that were smoothed as in training."
    )
    return _Comparison(track, rows, about)


def _only(track: Track, names: Sequence[str]) -> Track:
    columns = [track.channels.index(name) for name in names]
    return Track(track.values[:, columns], track.rate_hz, track.start_s, tuple(names))


def _measured_at(
    corpus: PreparedCorpus, entry: Entry, inverter: "Inverter", predicted: Track
) -> Float[np.ndarray, "time channel"]:
    """Return the measured movements at a prediction's times, smoothed as for the training of its head."""
    from tractprobe.data.targets import Targets

    targets = Targets(("ema",), _smoothing(inverter)).at(corpus, entry, predicted.times_s)
    return targets[:, [CHANNELS.index(name) for name in predicted.channels]]


def _smoothing(inverter: "Inverter") -> Smoothing:
    settings: dict[str, Any] = dict(inverter.file.about.get("ema", {}))
    try:
        return Smoothing(**{key: value for key, value in settings.items() if key != "_target_"})
    except (TypeError, TractprobeError):
        raise HeadError(f"{inverter.file.path}: not the smoothing of movements that a head can have") from None


def _rows(
    inverter: "Inverter",
    entry: Entry,
    predicted: Float[np.ndarray, "time channel"],
    measured: Float[np.ndarray, "time channel"],
    names: Sequence[str],
) -> tuple[ScoreRow, ...]:
    """Return the project's own scores, of one layer, one group and each channel."""
    import torch

    from tractprobe.data.groups import GroupKey
    from tractprobe.probes.scores import scores_from_sums

    valid = np.isfinite(measured) & np.isfinite(predicted)
    x, y = (np.where(valid, values, 0) for values in (predicted, measured))
    sums = [torch.from_numpy(each.sum(axis=0, dtype=float)[None, None]) for each in (valid, x, y, x * x, y * y, x * y)]
    channels = [channel for channel in inverter.file.channels if channel.name in names]
    return tuple(scores_from_sums(*sums).rows([inverter.file.layer], [GroupKey.of(entry)], channels))


def _in_scale_of(track: Track, measured: Float[np.ndarray, "time channel"]) -> Track:
    """Return a track with the mean and deviation that measured movements at its times have."""
    values = np.full_like(track.values, np.nan)
    for column in range(values.shape[1]):
        there = np.isfinite(measured[:, column]) & np.isfinite(track.values[:, column])
        if there.any():
            own, other = track.values[:, column], measured[there, column]
            size = other.std() / own[there].std() if own[there].std() > 0 else 0.0
            values[:, column] = (own - own[there].mean()) * size + other.mean()
    return Track(values, track.rate_hz, track.start_s, track.channels)
