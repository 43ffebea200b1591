"""What a transcript carries of a frame, as features: with the times of its phones, or with average durations only.

Both describe a frame by the same columns: which phone, how far it has got, and its neighbours. Heads that read them
know no sound, so they are what a transcript can say about the movements::

    phone x position      the phone's column, spread over three hat functions of the position in it: start, middle, end
    feature x position    the same of its articulatory features, through which phones that training lacks say something
    previous, next        the neighbour's column, weighted by the hat at the start, or at the end

A pause is a neighbour of its own. Frames without a phone are NaN, so that all that is compared has the same frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from tractprobe.corpora.ipa import SILENCE
from tractprobe.corpora.phone_features import values_of
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.phone_targets import feature_row
from tractprobe.system.errors import ConfigError

_KNOTS = np.array([0.0, 0.5, 1.0])
_LEAST_S = 1e-3  # that a phone lasts on average

Frames = Float[np.ndarray, " frame"]


@dataclass(frozen=True)
class TimedPhones:
    """A transcript with the times of its phones.

    Parameters
    ----------
    phones
        Phones that have a column of their own (``phone_labels.inventory``).
    """

    phones: tuple[str, ...]
    name = "timed_phones"

    @property
    def width(self) -> int:
        return width_of(self.phones)

    @property
    def identity(self) -> Any:
        return {"version": 1, "phones": list(self.phones)}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame width"]:
        """Return the columns of the phone at each time, NaN where there is none."""
        labels = PhoneLabels.of(corpus, entry)
        return described(labels, self.phones, times_s, labels.phone_at(times_s) >= 0)


@dataclass(frozen=True)
class PhoneString:
    """A transcript without times: its phones with average durations, scaled to fit between its first and last phone.

    Pauses are not part of it. The true labels only say which frames are described, which are those of ``TimedPhones``.

    Parameters
    ----------
    durations_s
        Phones with their average durations (``average_durations``).
    otherwise_s
        Of a phone that is not among these.
    """

    phones: tuple[str, ...]
    durations_s: tuple[tuple[str, float], ...]
    otherwise_s: float
    name = "phone_string"

    @property
    def width(self) -> int:
        return width_of(self.phones)

    @property
    def identity(self) -> Any:
        durations_s = [[phone, round(seconds, 9)] for phone, seconds in self.durations_s]
        return {"version": 1, "phones": list(self.phones), "durations_s": durations_s, "other_s": self.otherwise_s}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame width"]:
        """Return the columns of the phone that average durations put at each time, NaN where there truly is none."""
        labels = PhoneLabels.of(corpus, entry)
        return described(self.retimed(labels), self.phones, times_s, labels.phone_at(times_s) >= 0)

    @property
    def known(self) -> frozenset[str]:
        """The phones that an average duration is known of."""
        return frozenset(phone for phone, _ in self.durations_s)

    def retimed(self, labels: PhoneLabels) -> PhoneLabels:
        """Return the phones of an utterance one after the other, by their average durations."""
        spoken = [number for number, label in enumerate(labels.ipa) if label != SILENCE]
        if not spoken:
            return replace(labels, ipa=(), start_s=np.zeros(0), end_s=np.zeros(0))
        ipa, known = tuple(labels.ipa[number] for number in spoken), dict(self.durations_s)
        edges = np.concatenate([[0], np.cumsum([known.get(phone, self.otherwise_s) for phone in ipa])])
        first_s, last_s = labels.start_s[spoken[0]], labels.end_s[spoken].max()
        edges = first_s + edges * ((last_s - first_s) / edges[-1])
        return PhoneLabels(ipa, edges[:-1], edges[1:])


def average_durations(
    corpora: Sequence[PreparedCorpus], ids: Sequence[str], what: str = "phone durations"
) -> tuple[tuple[tuple[str, float], ...], float]:
    """Return the average duration of each phone in some utterances, in s, and of all; ConfigError without labels."""
    by_name = {corpus.name: corpus for corpus in corpora}
    found: dict[str, list[float]] = {}
    for id_ in sorted(ids):
        for phone in by_name[id_.partition("/")[0]].phones(id_):
            if phone.ipa != SILENCE:
                found.setdefault(phone.ipa, []).append(phone.end_s - phone.start_s)
    if not found:
        raise ConfigError(f"{what}: none of {len(ids)} utterances has phone labels")
    overall_s = float(np.mean([length for lengths in found.values() for length in lengths]))
    means = {phone: max(_LEAST_S, float(np.mean(lengths))) for phone, lengths in sorted(found.items())}
    return tuple(means.items()), max(_LEAST_S, overall_s)


def width_of(phones: Sequence[str]) -> int:
    """Return how many columns describe a frame, of transcripts with these phones."""
    features = sum(map(len, values_of(phones).values()))
    return len(_KNOTS) * (len(phones) + features) + 2 * (len(phones) + 1)


def described(
    labels: PhoneLabels, phones: Sequence[str], times_s: Frames, used: np.ndarray
) -> Float[np.ndarray, "frame width"]:
    """Return the columns of the module's picture at given times, NaN where not ``used`` or between labels."""
    place, values = {phone: number for number, phone in enumerate(phones)}, values_of(phones)
    columns = np.full((len(times_s), width_of(phones)), np.nan)
    at = labels.label_at(times_s)
    rows = np.flatnonzero(used & (at >= 0))
    if not len(rows):
        return columns
    at = at[rows]
    hats = _hats(labels.position_at(times_s[rows]))
    codes = np.array([place.get(label, -1) for label in labels.ipa])
    features = np.nan_to_num(np.array([feature_row(label, values) for label in labels.ipa]))
    before, after = _neighbours(labels, codes, len(phones))
    current = np.concatenate([_one_hot(codes, len(phones)), features], axis=1)[at]
    columns[rows] = np.concatenate(
        [
            *(current * hat[:, None] for hat in hats),
            _one_hot(before, len(phones) + 1)[at] * hats[0][:, None],
            _one_hot(after, len(phones) + 1)[at] * hats[-1][:, None],
        ],
        axis=1,
    )
    return columns


def _hats(position: Frames) -> list[Frames]:
    """Return the hat functions around each knot, which add up to 1."""
    return [np.interp(position, _KNOTS, np.eye(len(_KNOTS))[number]) for number in range(len(_KNOTS))]


def _neighbours(
    labels: PhoneLabels, codes: Int[np.ndarray, " label"], pause: int
) -> tuple[Int[np.ndarray, " label"], Int[np.ndarray, " label"]]:
    """Return the codes before and after each label: that of a pause at the ends, beside pauses and beside gaps."""
    own = np.where([label == SILENCE for label in labels.ipa], pause, codes)
    apart = labels.start_s[1:] - labels.end_s[:-1] > _LEAST_S
    before = np.concatenate([[pause], np.where(apart, pause, own[:-1])])
    after = np.concatenate([np.where(apart, pause, own[1:]), [pause]])
    return before, after


def _one_hot(codes: Int[np.ndarray, " label"], count: int) -> Float[np.ndarray, "label count"]:
    return (codes[:, None] == np.arange(count)).astype(float)


def widths_by_part(phones: Sequence[str]) -> Mapping[str, int]:
    """Return how many columns each line of the module's picture takes."""
    features = sum(map(len, values_of(phones).values()))
    knots = len(_KNOTS)
    return {"phone": knots * len(phones), "feature": knots * features, "neighbours": 2 * (len(phones) + 1)}
