"""Phones and their articulatory features as targets, yes (1) or no (0) at each frame.

They are not standardised per speaker (``is_binary``): whoever never says a phone says it in 0 of the frames, which is
as good an example as any.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.phone_features import CATEGORIES, phone_features, values_of
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.phone_labels import PhoneLabels, inventory
from tractprobe.data.target_set import TargetSet

_VERSION = 1  # of what the values mean
_OPEN = "of no corpora yet: Targets(...).over(corpora) gives them"

Frames = Float[np.ndarray, " frame"]


@dataclass(frozen=True)
class Phones:
    """The phone at each frame: one channel for each phone of all corpora, in IPA.

    A frame without a phone is NaN in all channels: a pause, an unknown symbol, or a corpus without labels. A phone
    that is not among ``phones`` is none of them, 0 everywhere.

    Parameters
    ----------
    phones
        In the order of the channels; ``None`` for those of the corpora that ``over`` is given.
    """

    phones: tuple[str, ...] | None = None
    name, is_binary = "phones", True

    def over(self, corpora: Sequence[PreparedCorpus]) -> "Phones":
        """Return the set with the phones of some corpora; ConfigError if these have no labels."""
        return self if self.phones is not None else Phones(inventory(corpora, "targets=phones"))

    @property
    def channels(self) -> tuple[str, ...]:
        return self.phones or ()

    @property
    def units(self) -> tuple[str, ...]:
        return ("1",) * len(self.channels)

    @property
    def identity(self) -> Any:
        return {"version": _VERSION, "phones": list(self.channels)}

    @property
    def lost_together(self) -> tuple[tuple[int, ...], ...]:
        """All channels have the same frames."""
        return (tuple(range(len(self.channels))),)

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return 1 for the phone at each time, 0 for the others, NaN where there is no phone."""
        if self.phones is None:
            raise ValueError(f"phones {_OPEN}")
        labels = PhoneLabels.of(corpus, entry)
        place = {phone: number for number, phone in enumerate(self.phones)}
        of_label = np.array([place.get(label, -1) for label in labels.ipa] + [-1])
        at = labels.phone_at(times_s)
        values = (of_label[at][:, None] == np.arange(len(self.phones))).astype(float)
        values[at < 0] = np.nan
        return values


@dataclass(frozen=True)
class Features:
    """The articulatory features of the phone at each frame, ``place=velar``: a channel for each value of a category.

    NaN in all channels of a category that the phone does not have (``corpora.phone_features``), as the height of a
    consonant, and where there is no phone.

    Parameters
    ----------
    phones
        Features that none of them has get no channel; ``None`` for the phones of the corpora that ``over`` is given.
    """

    phones: tuple[str, ...] | None = None
    name, is_binary = "features", True

    def over(self, corpora: Sequence[PreparedCorpus]) -> "Features":
        """Return the set with the features of some corpora's phones; ConfigError if these have no labels."""
        return self if self.phones is not None else Features(inventory(corpora, "targets=features"))

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """The values of each category, in the order of the channels."""
        return values_of(self.phones or ())

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(f"{category}={value}" for category, values in self.values.items() for value in values)

    @property
    def units(self) -> tuple[str, ...]:
        return ("1",) * len(self.channels)

    @property
    def identity(self) -> Any:
        return {"version": _VERSION, "channels": list(self.channels)}

    @property
    def lost_together(self) -> tuple[tuple[int, ...], ...]:
        """The channels of a category have the same frames."""
        blocks, first = [], 0
        for values in self.values.values():
            blocks.append(tuple(range(first, first + len(values))))
            first += len(values)
        return tuple(block for block in blocks if block)

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return 1 for the value that the phone at each time has, 0 for the category's others, NaN for no category."""
        if self.phones is None:
            raise ValueError(f"features {_OPEN}")
        labels = PhoneLabels.of(corpus, entry)
        values = np.array([feature_row(label, self.values) for label in (*labels.ipa, "")])
        return values[labels.phone_at(times_s)]


def feature_row(ipa: str, values: dict[str, tuple[str, ...]]) -> list[float]:
    """Return a phone's channels of ``Features``; all NaN for an empty string."""
    features = phone_features(ipa) if ipa else {}
    return [
        float(features[category] == value) if category in features else np.nan
        for category in CATEGORIES
        for value in values[category]
    ]


@dataclass(frozen=True)
class InPhones:
    """Another set at the frames that have a phone, NaN at the others: what compares with targets made from phones."""

    inner: TargetSet

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def channels(self) -> tuple[str, ...]:
        return self.inner.channels

    @property
    def units(self) -> tuple[str, ...]:
        return self.inner.units

    @property
    def identity(self) -> Any:
        return {"in_phones": self.inner.identity}

    def at(self, corpus: PreparedCorpus, entry: Entry, times_s: Frames) -> Float[np.ndarray, "frame channel"]:
        """Return the other set's values, NaN where there is no phone."""
        values = self.inner.at(corpus, entry, times_s)
        values[PhoneLabels.of(corpus, entry).phone_at(times_s) < 0] = np.nan
        return values
