"""Phone labels of an utterance at given times: which phone is spoken, and how far it has got."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from tractprobe.corpora.ipa import SILENCE, UNKNOWN
from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.system.errors import ConfigError


@dataclass(frozen=True, eq=False)
class PhoneLabels:
    """The labels of one utterance, in order.

    Attributes
    ----------
    ipa
        Each label in IPA; SILENCE for a pause, UNKNOWN for a symbol that its set does not have.
    start_s, end_s
        Of each label, in seconds from the start of the audio.
    """

    ipa: tuple[str, ...]
    start_s: Float[np.ndarray, " label"]
    end_s: Float[np.ndarray, " label"]

    @classmethod
    def of(cls, corpus: PreparedCorpus, entry: Entry) -> "PhoneLabels":
        """Read an utterance's labels; there are none in a corpus without."""
        phones = sorted(corpus.phones(entry.id), key=lambda phone: (phone.start_s, phone.end_s))
        start_s, end_s = (np.array([getattr(phone, side) for phone in phones], float) for side in ("start_s", "end_s"))
        return cls(tuple(phone.ipa for phone in phones), start_s, end_s)

    @property
    def is_phone(self) -> np.ndarray:
        """Which labels are phones, neither pauses nor unknown symbols."""
        return np.array([label not in (SILENCE, UNKNOWN) for label in self.ipa], bool)

    def label_at(self, times_s: Float[np.ndarray, " frame"]) -> Int[np.ndarray, " frame"]:
        """Return the index of the label at each time, start ≤ t < end; -1 where there is none."""
        if not self.ipa:
            return np.full(len(times_s), -1)
        index = np.searchsorted(self.start_s, times_s, side="right") - 1
        return np.where((index >= 0) & (times_s < self.end_s[index]), index, -1)

    def phone_at(self, times_s: Float[np.ndarray, " frame"]) -> Int[np.ndarray, " frame"]:
        """Return the same for phones alone: -1 in pauses and at unknown symbols, too."""
        index = self.label_at(times_s)
        return np.where((index >= 0) & np.append(self.is_phone, False)[index], index, -1)

    def position_at(self, times_s: Float[np.ndarray, " frame"]) -> Float[np.ndarray, " frame"]:
        """Return how much of the label at each time is over, from 0 to 1; NaN where there is none."""
        index = self.label_at(times_s)
        if not self.ipa:
            return np.full(len(times_s), np.nan)
        length_s = (self.end_s - self.start_s)[index]
        return np.where(index >= 0, (times_s - self.start_s[index]) / np.where(length_s > 0, length_s, 1), np.nan)


def phone_counts(corpus: PreparedCorpus) -> Counter[str]:
    """Count the phones of a corpus's speech in IPA, without pauses and unknown symbols; empty if it has no labels."""
    return _counted(corpus, [entry for entry in corpus.entries if is_language(entry.language)])


def _counted(corpus: PreparedCorpus, entries: Sequence[Entry]) -> Counter[str]:
    labels = (phone.ipa for entry in entries for phone in corpus.phones(entry.id))
    return Counter(label for label in labels if label not in (SILENCE, UNKNOWN))


def inventory(corpora: Sequence[PreparedCorpus], what: str) -> tuple[str, ...]:
    """Return the phones of corpora, sorted: those of babble only if no speech is labelled.

    Raises
    ------
    ConfigError
        None of them has labels; it names ``what`` needs them.
    """
    found = sorted(set().union(*map(phone_counts, corpora)))
    found = found or sorted(set().union(*(_counted(corpus, corpus.entries) for corpus in corpora)))
    if not found:
        names = "+".join(corpus.name for corpus in corpora)
        raise ConfigError(f"{what}: {names} has no phone labels; give a corpus that has (docs/corpora.md lists them)")
    return tuple(found)


def phones_of_languages(corpora: Sequence[PreparedCorpus]) -> dict[str, frozenset[str]]:
    """Return the phones in IPA that are said in each language; languages without labels are not in it."""
    found: dict[str, set[str]] = {}
    for corpus in corpora:
        for entry in corpus.entries:
            if is_language(entry.language):
                found.setdefault(entry.language, set()).update(_counted(corpus, [entry]))
    return {language: frozenset(phones) for language, phones in found.items() if phones}
