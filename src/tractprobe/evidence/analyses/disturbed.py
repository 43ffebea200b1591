"""Reversed and disturbed speech: what a read-out loses when time runs backwards, in noise or in another voice.

Heads are fitted to undisturbed speech and tested on disturbed utterances of languages that they never heard. Movements
obey the same physics in both directions of time, a language's sequences of phones do not. So what an encoder loses on
reversed speech beyond acoustics is what it had learned about the order of sounds, or does by filters with a direction;
the same encoder with random weights tells how much of it is filters.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.disturbed import DisturbedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.splits import Split
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.disturbance_report import SYMMETRIC, TWIN, Heard, Report
from tractprobe.evidence.methods.listening import Listener
from tractprobe.evidence.record import Evidence
from tractprobe.signals.disturbances import Disturbance, Noise, Reversed, Room, Telephone, Vocoded, has_world
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Disturbed:
    """How much of a read-out's loss on reversed and disturbed speech is acoustics' own.

    Attributes
    ----------
    utterances_per_speaker
        How many are disturbed, spread over a speaker's languages; ``None`` for all. Encoding them is what costs.
    snrs_db
        Of the curves in noise; ``reference_snr_db`` is the one that findings are about.
    noises
        ``white``, ``babble``.
    semitones, tract_lengths
        Changes of pitch and of the tract's length, against speech that went through the same vocoder unchanged.
    controls
        Options of conf/model whose losses are acoustics' own; findings are about the first.
    twins
        Encoders of the same architecture with random weights that hear reversed speech, too.
    margin_r
        A difference of losses that would matter; how many speakers it takes to find one is told.
    """

    utterances_per_speaker: int | None = 6
    snrs_db: Sequence[float] = (20, 10, 5, 0, -5)
    reference_snr_db: float = 10
    noises: Sequence[str] = ("white", "babble")
    reverberation_s: float = 0.5
    direct_db: float = 0.0
    semitones: Sequence[float] = (-4, 4)
    tract_lengths: Sequence[float] = (0.87, 1.15)
    controls: Sequence[str] = ("mel", "mfcc")
    twins: int = 1
    margin_r: float = 0.03
    name: ClassVar[str] = "disturbed"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if self.utterances_per_speaker is not None and self.utterances_per_speaker < 1:
            raise ConfigError("analysis.utterances_per_speaker: expected 1 or more, or null for all")
        if self.reference_snr_db not in self.snrs_db:
            raise ConfigError(f"analysis.reference_snr_db={self.reference_snr_db}: expected one of analysis.snrs_db")
        if not self.controls or self.twins < 0 or not self.margin_r > 0:
            raise ConfigError("analysis: expected one control or more, 0 twins or more and a margin above 0")
        self.conditions(0)

    def conditions(self, seed: int) -> list[Disturbance]:
        """Return everything that is done to speech, whether WORLD is installed or not."""
        return [
            Reversed(),
            *(Noise(kind, snr_db, seed) for kind in self.noises for snr_db in self.snrs_db),
            Telephone(),
            Room(self.reverberation_s, self.direct_db, seed),
            *(Vocoded(),) * bool(self.semitones or self.tract_lengths),
            *(Vocoded(semitones=by) for by in self.semitones),
            *(Vocoded(tract_length=by) for by in self.tract_lengths),
        ]

    def __call__(self, bench: Bench) -> Evidence:
        """Return what is lost by each disturbance, by heads as they are and by heads that are fitted to it."""
        by_language = bench.splits("language")
        drawn = _drawn(bench.entries.values(), by_language.values(), self.utterances_per_speaker, bench.seed)
        splits = [split for split in by_language.values() if drawn & set(split.test)]
        unheard = [language for language, split in by_language.items() if split not in splits]
        listeners = self._listeners(bench, splits, drawn)
        possible = [each for each in self.conditions(bench.seed) if has_world() or not isinstance(each, Vocoded)]
        left_out = [each.name for each in self.conditions(bench.seed) if each not in possible]
        heard = [self._hear(None, listeners, drawn)]
        for condition in possible:
            heard.append(self._hear(condition, listeners, drawn))
            log.info("%s: heard by %s", condition.name, ", ".join(heard[-1].fixed))
        settings = (self.controls, self.reference_snr_db, self.margin_r)
        report = Report(bench, listeners, heard, left_out, unheard, len(drawn), *settings)
        return report.evidence()

    def _listeners(self, bench: Bench, splits: Sequence[Split], drawn: frozenset[str]) -> dict[str, Listener]:
        """Return who listens, by name: the encoder itself first, then controls and twins other than itself."""
        own = bench.settings.id.model
        names = (*self.controls, SYMMETRIC)
        benches = {f"{own}, itself" if own in names else own: bench}
        for name in dict.fromkeys(names):
            control = bench.other(bench.option(name))
            if control.encoder.identity != bench.encoder.identity:
                benches[name] = control
        for seed in range(self.twins):
            if (twin := bench.twin(seed)) is not None and twin.encoder.identity != bench.encoder.identity:
                benches[f"{TWIN} {seed}"] = twin
        return {name: Listener(each, splits, drawn) for name, each in benches.items()}

    def _hear(self, condition: Disturbance | None, listeners: Mapping[str, Listener], drawn: frozenset[str]) -> Heard:
        """Let everybody whom a condition concerns listen to it."""
        own, *others = listeners
        hears_all = {own, *self.controls}
        corpora: Sequence[PreparedCorpus] = listeners[own].bench.corpora
        if condition is not None:
            corpora = [
                DisturbedCorpus(corpus, condition, {entry.id for entry in corpus.entries} & drawn)
                for corpus in corpora
                if any(entry.id in drawn for entry in corpus.entries)
            ]
        result = Heard(condition)
        for name in (own, *others):
            if name in hears_all or condition is None or condition.is_reversed:
                listener = listeners[name]
                place = listener.bench if condition is None else listener.bench.on(corpora)
                rows = listener.rows(place)
                result.fixed[name] = listener.chosen(rows)
                if name == own:
                    result.rows = [row for of_split in rows for row in of_split]
                if name in hears_all:
                    result.refitted[name] = listener.refitted(place)
        return result


def _drawn(entries: Iterable[Entry], splits: Iterable[Split], per_speaker: int | None, seed: int) -> frozenset[str]:
    """Return some of each speaker's test utterances, as many of one language as of another, drawn by hash."""
    tested = {id_ for split in splits for id_ in split.test}
    by_speaker: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        if entry.id in tested:
            by_speaker.setdefault(entry.speaker, {}).setdefault(entry.language, []).append(entry.id)
    chosen: list[str] = []
    for speaker, languages in by_speaker.items():
        ranked = [
            (rank, digest([seed, speaker, language]), id_)
            for language, ids in languages.items()
            for rank, id_ in enumerate(sorted(ids, key=lambda id_: digest([seed, id_])))
        ]
        chosen += [id_ for _, _, id_ in sorted(ranked)[:per_speaker]]
    return frozenset(chosen)
