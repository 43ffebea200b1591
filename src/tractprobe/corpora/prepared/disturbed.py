"""Utterances of a prepared corpus as a disturbance leaves them: a view, of which nothing is written to disk.

Ids, speakers and languages are the corpus's own, so that heads which were fitted on it can be tested on the view; its
content hash is another, by which states and moments of the two are told apart.
"""

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import ManifestRow, PreparedPhone
from tractprobe.corpora.utterance import Utterance
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.disturbances import Disturbance
from tractprobe.signals.track import Track
from tractprobe.signals.voicing import SourceTrack
from tractprobe.system.files import digest

if TYPE_CHECKING:
    from lhotse import CutSet

_KEPT_BYTES = 1 << 28  # of disturbed audio, as several encoders hear it; what goes beyond is disturbed again


class DisturbedCorpus(PreparedCorpus):
    """Some utterances of a prepared corpus, disturbed.

    Sound is disturbed, and time with it: where that runs backwards, so do movements, phones and voice source, about the
    middle of the samples, t' = (N - 1) / 16000 - t. Otherwise they are those of the undisturbed speech.

    Parameters
    ----------
    ids
        Of the corpus's utterances.
    """

    def __init__(self, corpus: PreparedCorpus, disturbance: Disturbance, ids: Collection[str]):
        self.undisturbed, self.disturbance, self._ids = corpus, disturbance, frozenset(ids)
        self.folder, self.description, self.name = corpus.folder, corpus.description, corpus.name
        self.content_hash = digest([corpus.content_hash, disturbance.identity, sorted(self._ids)])
        self._audio: dict[str, np.ndarray] = {}
        self._kept_bytes = 0

    @cached_property
    def _rows(self) -> dict[str, ManifestRow]:
        rows = self.undisturbed._rows
        return {id_: row for id_, row in rows.items() if id_ in self._ids}

    def audio(self, utterance_id: str) -> Float[np.ndarray, " sample"]:
        """Return the disturbed samples, at 16 kHz, full scale 1, which they may exceed."""
        kept = self._audio.get(utterance_id)
        if kept is None:
            heard = self.disturbance(self._holding(utterance_id).audio(utterance_id), utterance_id)
            kept = np.ascontiguousarray(heard, dtype=np.float32)
            if self._kept_bytes + kept.nbytes <= _KEPT_BYTES:
                self._audio[utterance_id] = kept
                self._kept_bytes += kept.nbytes
        return kept

    def track(self, utterance_id: str) -> Track:
        """Return the movements as measured, on the disturbed audio's time."""
        return self._on_its_time(self._holding(utterance_id).track(utterance_id), utterance_id)

    def extra_track(self, utterance_id: str) -> Track | None:
        """Return the further channels as measured, on the disturbed audio's time; ``None`` if there are none."""
        track = self._holding(utterance_id).extra_track(utterance_id)
        return None if track is None else self._on_its_time(track, utterance_id)

    def phones(self, utterance_id: str) -> tuple[PreparedPhone, ...]:
        """Return the labelled phones in order, on the disturbed audio's time."""
        phones = self._holding(utterance_id).phones(utterance_id)
        if not self.disturbance.is_reversed:
            return phones
        last_s = self._last_s(utterance_id)
        spans = [(max(0.0, last_s - phone.end_s), max(0.0, last_s - phone.start_s)) for phone in phones]
        mirrored = [phone._replace(start_s=start, end_s=end) for phone, (start, end) in zip(phones, spans, strict=True)]
        return tuple(reversed(mirrored))

    def source_track(self, utterance_id: str) -> SourceTrack:
        """Return pitch, voicing and loudness of the undisturbed speech, on the disturbed audio's time."""
        track = self._holding(utterance_id).source_track(utterance_id)
        if not self.disturbance.is_reversed:
            return track
        start_s = self._last_s(utterance_id) - float(track.times_s[-1])
        return replace(track, values=track.values[::-1].copy(), start_s=start_s)

    def utterance(self, utterance_id: str) -> Utterance:
        """Refuse: what lies on disk is not disturbed."""
        raise NotImplementedError("a disturbed corpus has no whole utterances; ask for audio, track and phones")

    @property
    def cuts(self) -> "CutSet":
        """Refuse: what lies on disk is not disturbed."""
        raise NotImplementedError("a disturbed corpus has no files of its own")

    def _holding(self, utterance_id: str) -> PreparedCorpus:
        """Return the undisturbed corpus for an utterance of the view; KeyError for any other."""
        if utterance_id not in self._ids:
            raise KeyError(utterance_id)
        return self.undisturbed

    def _on_its_time(self, track: Track, utterance_id: str) -> Track:
        if not self.disturbance.is_reversed:
            return track
        start_s = self._last_s(utterance_id) - float(track.times_s[-1])
        return replace(track, values=track.values[::-1].copy(), start_s=start_s)

    def _last_s(self, utterance_id: str) -> float:
        """Return the time of the last sample."""
        return (self._rows[utterance_id].entry.num_samples - 1) / RATE_HZ
