"""Heads of one language each, tested on every language: what they learn from, and on whom they are tested.

Sentences are dealt into blocks as ``blocks`` says. A fold of blocks is tested at a time, and no sentence of
it is learned from, in any language. For each language and each group of speakers there is one head, which has heard
that language from the other speakers: so a speaker is new to every head that reads him, whichever language it has
heard. All heads learn from equally many minutes, those of the smallest training set, in which every speaker comes up in
proportion. Groups of which nobody speaks a language share one head of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.blocks import Dealing, Part, Unit, beginning, folds_of, ids_of, in_order, in_proportion, minutes_in
from tractprobe.data.splits import Split
from tractprobe.system.errors import ConfigError


@dataclass(frozen=True)
class Taught:
    """A head of one language, and what it is tested on.

    Attributes
    ----------
    language
        That it has heard.
    fold
        Of sentences, which is tested.
    tested
        Languages and speakers.
    speakers
        Whom it has heard.
    minutes
        That it has heard.
    """

    language: str
    fold: int
    split: Split
    tested: frozenset[Unit]
    speakers: tuple[str, ...]
    minutes: float


@dataclass(frozen=True)
class TaughtRule(Dealing):
    """How heads are taught and tested."""

    def __call__(self, entries: Sequence[Entry], seed: int) -> list[Taught]:
        """Return all heads; ConfigError if utterances have no text, or there is less to learn from than asked for."""
        parts = self.parts(entries, seed)
        speakers = in_order({part.unit[1] for part in parts}, seed)
        count = min(self.speaker_folds, len(speakers))
        groups = [frozenset(speakers[number::count]) for number in range(count)]
        pools = self._pools(parts, groups)
        most = min((minutes_in(pool) for _, pool in pools), default=0.0)
        if self.train_min is not None and self.train_min > most:
            raise ConfigError(f"train_min={self.train_min}: the least that a head could learn from is {most:.2f} min")
        heads = []
        for (fold, pool), group in pools.items():
            tested = [part for part in parts if self.is_tested(part, fold) and part.unit[1] in group]
            if tested:
                learned = beginning(in_proportion(pool, seed), self.train_min or most)
                heads.append(self._head(fold, learned, tested, seed))
        return heads

    def _pools(
        self, parts: Sequence[Part], groups: Sequence[frozenset[str]]
    ) -> dict[tuple[int, tuple[Part, ...]], frozenset[str]]:
        """Return the fold that each head is tested on and what it may learn from, to the speakers that are tested."""
        pools: dict[tuple[int, tuple[Part, ...]], frozenset[str]] = {}
        for fold in range(self.text_folds):
            for language in sorted({part.unit[0] for part in parts}):
                others = [part for part in parts if part.unit[0] == language and not self.is_tested(part, fold)]
                for group in groups:
                    pool = tuple(part for part in others if part.unit[1] not in group)
                    if pool:
                        pools[fold, pool] = pools.get((fold, pool), frozenset()) | group
        return pools

    def _head(self, fold: int, learned: Sequence[Part], tested: Sequence[Part], seed: int) -> Taught:
        split = Split(ids_of(learned), ids_of(tested), folds_of(learned, self.validation_folds, seed))
        speakers = tuple(sorted({part.unit[1] for part in learned}))
        units = frozenset(part.unit for part in tested)
        return Taught(learned[0].unit[0], fold, split, units, speakers, minutes_in(learned))
