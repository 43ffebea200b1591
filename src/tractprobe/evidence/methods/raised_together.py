"""Encoders that differ in the language they heard, together: whether it matters, and whether babble does as well.

Records of ``raised_in`` are compared where they meet, speaker by speaker, on the same utterances under the same heads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.evidence.methods.match_effects import Crossing
from tractprobe.evidence.methods.upbringing import CHOSEN, DISTANCES, Cell, Encoder, Experiment, Unit
from tractprobe.evidence.record import Finding, Record
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect, equivalence, speakers_needed, t_p
from tractprobe.runs.estimate import Scores
from tractprobe.system.files import digest

MARGIN_R = 0.03
OVER = "mean over channels, heads of each language, speakers, then languages"
_RAISED = ("one language", "several languages", "babble", "untrained")
_MATCHES = {
    "learned": "heads, but not the test, are of the language that the encoder heard",
    "tested": "the test, but not heads, is of the language that the encoder heard",
    "both": "heads and the test are of the language that the encoder heard",
}
_EXPECTED = "beyond what this encoder and this language are like otherwise"


@dataclass(frozen=True, eq=False)
class Together:
    """Encoders on the tested languages and speakers that all of them have.

    Attributes
    ----------
    heads
        Languages of heads.
    units
        Tested languages and speakers.
    left_out
        How many of these only some encoders have, or over other channels.
    distances
        Of two languages, both ways.
    """

    experiment: Experiment
    heads: tuple[str, ...]
    units: tuple[Unit, ...]
    left_out: int
    distances: Mapping[tuple[str, str], float]
    margin_r: float

    @classmethod
    def of(cls, records: Sequence[tuple[str, Record]]) -> "Together | None":
        """Take records by their encoders' names; ``None`` if none is of an encoder of ours.

        Records of other settings than most encoders have are refused, and so is what cannot be read.
        """
        encoders, refused, asked = [], [], _most_asked(records)
        for label, record in records:
            try:
                if _asked(record) != asked:
                    raise ValueError("its analysis had other settings")
                encoders.append(Encoder.of(label, record))
            except ValueError as error:
                refused.append(f"{label} is not compared: {error}")
        if not any(each.part in _RAISED for each in encoders):
            return None
        chosen = Experiment.of(encoders)
        chosen = Experiment(chosen.encoders, (*refused, *chosen.refused))
        heads = sorted(set.intersection(*({cell.head for cell in each.r} for each in chosen.encoders or encoders)))
        units, left_out = _common(chosen.encoders, heads)
        first = next(record for _, record in records if _asked(record) == asked)
        return cls(chosen, tuple(heads), units, left_out, _distances(first), _margin(first))

    def r(self, encoder: Encoder, layer: str = CHOSEN) -> Float[np.ndarray, "head unit"]:
        """Return an encoder's scores at a layer, or at those that heads chose."""
        return np.array([[encoder.r[Cell(head, layer, unit)] for unit in self.units] for head in self.heads])

    def scores(self, encoders: Sequence[Encoder], layer: str = CHOSEN) -> Scores:
        """Return the mean r over heads and some encoders."""
        means = np.mean([self.r(each, layer).mean(axis=0) for each in encoders], axis=0)
        return dict(zip(self.units, means.tolist(), strict=True))

    def crossing(self, layer: str = CHOSEN) -> Crossing | None:
        """Return the scores of the encoders that heard one language each; ``None`` if there are not two languages."""
        family = self.experiment.of_part("one language")
        if len({each.heard for each in family}) < 2 or len({language for language, _ in self.units}) < 2:
            return None
        r = np.stack([self.r(each, layer) for each in family])
        return Crossing(tuple(each.heard[0] for each in family), self.heads, self.units, r)

    def findings(self) -> tuple[Finding, ...]:
        """Return the effects of a match, of distance, and of what was heard at all."""
        if not self.units:
            return (
                _none("native", "no language and speaker was tested under heads of every language by all encoders"),
            )
        return (*self._of_matches(), *self._of_distance(), *self._of_kinds())

    def own(self, encoder: Encoder) -> tuple[Finding, ...]:
        """Return the effect of a match of one encoder alone."""
        crossing, family = self.crossing(), self.experiment.of_part("one language")
        if encoder not in family or crossing is None:
            return ()
        scores = crossing.effects(crossing.own_matches())[family.index(encoder)]
        heard = encoder.heard[0]
        says = f"r in {heard}, which {encoder.label} heard, {_EXPECTED}"
        why = f"{heard} is not tested, or too few languages and encoders are there to tell each encoder's own effect"
        return (self._difference("native_own", says, scores, why), self._tost("native_own", says, scores, why))

    def _of_matches(self) -> Iterator[Finding]:
        crossing = self.crossing()
        says = f"r where the test is of the language that an encoder heard, heads of any, {_EXPECTED}"
        why = "it takes two encoders that differ in the one language they heard alone, and two tested languages"
        scores = crossing.effects([crossing.match()])[0] if crossing else None
        why = why if crossing is None else "none of the languages that encoders heard is tested"
        yield self._difference("native", says, scores, why)
        yield self._tost("native", says, scores, why)
        if crossing is not None and scores is not None and (chance := crossing.by_chance()) is not None:
            p, deals = chance
            dealt = f"p: the share of {deals} ways to deal these languages to these encoders with an effect as large"
            yield Finding("native_by_chance", f"{says}; {dealt}", effect(scores).mean, None, None, "r", OVER,
                          {"encoders": len(crossing.heard)}, p=p)  # fmt: skip
        matches = crossing.matches() if crossing else dict.fromkeys(_MATCHES)
        each = crossing.effects(list(crossing.matches().values())) if crossing else [None] * len(_MATCHES)
        if crossing is not None:
            why = "fewer than three tested languages and encoders do not tell it from the other matches"
        for name, own in zip(matches, each, strict=True):
            says = f"r where {_MATCHES[name]}, beside neither, {_EXPECTED}"
            yield self._difference(f"native_{name}", says, own, why)
            yield self._tost(f"native_{name}", says, own, why)

    def _of_distance(self) -> Iterator[Finding]:
        names, unit = ("distance_slope", "native_beyond_distance"), "r per share of phones not shared"
        says = (
            "by how much r changes from a language with the phones of the one heard to one that shares none, "
            + _EXPECTED,
            "r in the language heard, more than languages ever nearer to it lead to expect",
        )
        crossing = self.crossing()
        distance = crossing.distance(self.distances) if crossing else None
        if crossing is None or distance is None:
            why = (
                "how far some language that was heard lies from those tested is not known: the corpora lack its phones"
            )
            yield from (_none(name, why, unit if name == names[0] else "r") for name in names)
            return
        slope, beyond = crossing.effects([distance, crossing.match()])
        why = "too few languages and encoders to tell distance from the match"
        yield self._difference(names[0], says[0], slope, why, unit, margin=None)
        yield self._difference(names[1], says[1], beyond, why)

    def _of_kinds(self) -> Iterator[Finding]:
        """Compare what was heard at all: languages, babble alone, several languages, nothing, and acoustics."""
        heard = {part: self.experiment.of_part(part) for part in
                 ("one language", "several languages", "babble", "untrained", "acoustics")}  # fmt: skip
        names = {"one language": "languages", "babble": "babble", "several languages": "several"}
        called = {
            "one language": "encoders raised in one language", "babble": "the encoder raised on babble",
            "several languages": "the encoder raised in several languages", "untrained": "the untrained twin",
            "acoustics": "acoustics",
        }  # fmt: skip
        scores = {part: self.scores(own) for part, own in heard.items() if own}
        for part, name in names.items():
            if part not in scores:
                yield _none(f"{name}_r", f"there is no record of {called[part]}")
                continue
            says = f"r of {called[part]} on speech, over heads of every language"
            yield finding(f"{name}_r", says, scores[part], "r", OVER, estimate=effect(scores[part], fisher=True))
            others = {"untrained": "beyond_untrained", "acoustics": "beyond_acoustics"}
            others |= {} if part == "one language" else {"one language": "minus_languages"}
            for other, suffix in others.items():
                says = f"r of {called[part]} minus r of {called[other]}"
                if other not in scores:
                    yield _none(f"{name}_{suffix}", f"there is no record of {called[other]}")
                    continue
                difference = differences(scores[part], scores[other])
                yield finding(f"{name}_{suffix}", says, difference, "r", OVER, self.margin_r)
                if other == "one language":
                    yield self._tost(name, says, difference, "")

    def _difference(
        self, name: str, says: str, scores: Scores | None, why: str, unit: str = "r", margin: float | None = MARGIN_R
    ) -> Finding:
        """Return an effect with its 95 % interval; p is of the t test that the interval is of."""
        if scores is None:
            return _none(name, why, unit)
        reached, margin = effect(scores), None if margin is None else self.margin_r
        needed = speakers_needed(scores, margin, aim="superiority") if margin else None
        return Finding(name, says, reached.mean, reached.low, reached.high, unit, OVER,
                       {"speakers": reached.n, "languages": reached.languages}, p=t_p(scores), margin=margin,
                       needed=needed)  # fmt: skip

    def _tost(self, name: str, says: str, scores: Scores | None, why: str) -> Finding:
        """Return an effect with the 90 % interval of two one-sided tests, whose larger p is given."""
        name = f"{name}_equivalence"
        if scores is None:
            return _none(name, why)
        tested = equivalence(scores, self.margin_r)
        reached = tested.estimate90
        says = f"{says}, against ± {self.margin_r:g} by two one-sided tests"
        return Finding(name, says, reached.mean, reached.low, reached.high, "r", OVER,
                       {"speakers": reached.n, "languages": reached.languages}, reached.level, tested.p, self.margin_r,
                       speakers_needed(scores, self.margin_r))  # fmt: skip

    def layers(self) -> tuple[str, ...]:
        """Return the layers that all encoders of one language have."""
        family = self.experiment.of_part("one language")
        return (
            tuple(layer for layer in family[0].layers if all(layer in each.layers for each in family)) if family else ()
        )


def _common(encoders: Sequence[Encoder], heads: Sequence[str]) -> tuple[tuple[Unit, ...], int]:
    """Return the units that every encoder has at every layer, under heads of every language, over as many channels."""
    everything = {unit for each in encoders for unit in each.channels}
    kept = []
    for unit in sorted(everything):
        whole = all(
            Cell(head, layer, unit) in each.r for each in encoders for layer in (CHOSEN, *each.layers) for head in heads
        )
        if whole and len({each.channels.get(unit) for each in encoders}) == 1:
            kept.append(unit)
    return tuple(kept), len(everything) - len(kept)


def _most_asked(records: Sequence[tuple[str, Record]]) -> str:
    """Return the settings that most encoders were asked with; the first of equals."""
    each = [_asked(record) for _, record in records]
    return max(each, key=each.count, default="")


def _asked(record: Record) -> str:
    return digest([record.identity.get(name) for name in ("analysis", "seed", "head")] + [record.version])


def _margin(record: Record) -> float:
    asked = record.identity.get("analysis")
    margin: Any = asked.get("margin_r") if isinstance(asked, dict) else None
    return float(margin) if type(margin) in (int, float) and 0 < margin < 2 else MARGIN_R


def _distances(record: Record) -> dict[tuple[str, str], float]:
    found = {}
    for table in record.evidence.tables:
        for row in table.rows if table.name == DISTANCES else ():
            one, other, value = (row.get(name) for name in ("one", "other", "distance"))
            if isinstance(one, str) and isinstance(other, str) and type(value) in (int, float):
                found[one, other] = found[other, one] = float(value)
    return found


def _none(name: str, why: str, unit: str = "r") -> Finding:
    return undefined(name, why, unit, OVER)
