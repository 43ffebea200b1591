"""Encoders that differ in the language they heard, together: whether it matters, and whether babble does as well.

Records of ``raised_in`` are compared where they meet, speaker by speaker, on the same utterances under the same heads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from tractprobe.evidence.methods.match_effects import Crossing, Effect
from tractprobe.evidence.methods.upbringing import CHOSEN, DISTANCES, Cell, Encoder, Experiment, Part, Unit
from tractprobe.evidence.record import Finding, Record
from tractprobe.evidence.statistics.findings import undefined
from tractprobe.evidence.statistics.inference import differences, effect, farthest, speakers_needed
from tractprobe.runs.estimate import Estimate, Scores
from tractprobe.system.files import digest

MARGIN_R = 0.03
OVER = "mean over channels, heads of each language, speakers, then languages"
_RAISED = ("one language", "several languages", "babble", "untrained")
_MATCHES = {
    "learned": "r of heads of the language that the encoder heard, in another",
    "tested": "r in the language that the encoder heard, of heads of another",
    "both": "r in the language that the encoder heard, of heads of that language",
}
_CALLED: Mapping[Part, str] = {
    "one language": "encoders raised in one language",
    "several languages": "the encoder raised in several languages",
    "babble": "the encoder raised on babble",
    "untrained": "the untrained twin",
    "acoustics": "the best acoustics",
}
_NAMED: Mapping[Part, str] = {"one language": "languages", "babble": "babble", "several languages": "several"}
_AGAINST: Mapping[Part, str] = {
    "untrained": "beyond_untrained", "acoustics": "beyond_acoustics", "one language": "minus_languages"
}  # fmt: skip
_EXPECTED = "beyond what this encoder, heads and tested language reach otherwise"


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
        encoders, refused, asked = list[Encoder](), dict[str, str](), _most_asked(records)
        for label, record in records:
            try:
                if _asked(record) != asked:
                    raise ValueError("its analysis had other settings")
                encoders.append(Encoder.of(label, record))
            except ValueError as error:
                refused[label] = f"{label} is not compared: {error}"
        if not any(each.part in _RAISED for each in encoders):
            return None
        chosen = Experiment.of(encoders)
        chosen = Experiment(chosen.encoders, {**refused, **chosen.refused})
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
        found = crossing.effects(crossing.own_matches())[family.index(encoder)]
        heard = encoder.heard[0]
        says = f"r in {heard}, which {encoder.label} heard, {_EXPECTED}"
        why = f"{heard} is not tested, or too few languages and encoders are there to tell each encoder's own effect"
        return (self._difference("native_own", says, found, why), self._tost("native_own", says, found, why))

    def _of_matches(self) -> Iterator[Finding]:
        crossing = self.crossing()
        says = f"r in the language that the encoder heard, of heads of any, {_EXPECTED}"
        why = "it takes two encoders that differ in the one language they heard alone, and two tested languages"
        found = crossing.effects([crossing.match()])[0] if crossing else None
        why = why if crossing is None else "none of the languages that encoders heard is tested"
        yield self._difference("native", says, found, why)
        yield self._tost("native", says, found, why)
        if crossing is not None and found is not None and (chance := crossing.by_chance()) is not None:
            p, deals = chance
            dealt = f"p: the share of {deals} ways to deal these languages to these encoders with an effect as large"
            yield Finding("native_by_chance", f"{says}; {dealt}", found.estimate().mean, None, None, "r", OVER,
                          {"encoders": len(crossing.heard)}, p=p)  # fmt: skip
        matches = crossing.matches() if crossing else dict.fromkeys(_MATCHES)
        each = crossing.effects(list(crossing.matches().values())) if crossing else [None] * len(_MATCHES)
        if crossing is not None:
            why = "fewer than three tested languages and encoders do not tell it from the other matches"
        for name, own in zip(matches, each, strict=True):
            says = f"{_MATCHES[name]}, {_EXPECTED}"
            yield self._difference(f"native_{name}", says, own, why)
            yield self._tost(f"native_{name}", says, own, why)
        yield self._in_every_layer(f"{_MATCHES['both']}, {_EXPECTED}", why)

    def _in_every_layer(self, says: str, why: str) -> Finding:
        """Return the match of encoder, heads and test at the layer to which it matters most: heads may not choose it.

        Intervals of all layers together hold their level (Bonferroni). All layers are equivalent if each is, which
        takes no further correction: p is the largest of theirs (intersection-union test; Berger, 1982).
        """
        name, found = "native_both_every_layer", dict[str, Effect]()
        for layer in self.layers():
            crossing = self.crossing(layer)
            matches = crossing.matches() if crossing else {}
            if crossing is not None and "both" in matches:
                own = dict(zip(matches, crossing.effects(list(matches.values())), strict=True))["both"]
                if own is not None:
                    found[layer] = own
        level = 1 - 0.1 / max(len(found), 1)
        reached = {layer: own.estimate(level) for layer, own in found.items()}
        if not reached or any(each.low is None for each in reached.values()):
            return _none(name, why)
        worst = farthest(reached, self.margin_r)
        p = max(own.p(self.margin_r) or 0.0 for own in found.values())
        says = f"{says}, at the layer of {len(found)} to which it matters most ({worst})"
        return self._found(name, says, reached[worst], "r", p, self.margin_r)

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
        there = {part: own for part in _CALLED if (own := self.experiment.of_part(part))}
        if "acoustics" in there:
            there["acoustics"] = [max(there["acoustics"], key=lambda each: effect(self.scores([each])).mean)]
        for part, name in _NAMED.items():
            if part not in there:
                yield _none(f"{name}_r", f"there is no record of {_CALLED[part]}")
                continue
            reached = effect(self.scores(there[part]), fisher=True)
            yield self._found(f"{name}_r", f"r of {_CALLED[part]} on speech, heads of every language", reached, "r")
            for other, suffix in _AGAINST.items():
                if other == part:
                    continue
                says = f"r of {_CALLED[part]} minus r of {_CALLED[other]}"
                if other not in there:
                    yield _none(f"{name}_{suffix}", f"there is no record of {_CALLED[other]}")
                    continue
                found = self._minus(there[part], there[other], trained=other == "one language")
                yield self._difference(f"{name}_{suffix}", says, found, "")
                if other == "one language":
                    yield self._tost(name, says, found, "")

    def _minus(self, some: Sequence[Encoder], others: Sequence[Encoder], *, trained: bool) -> Effect:
        """Return the difference between two kinds of encoders, over speakers and over trainings.

        Another training gives another r, by as much as encoders of one language differ from each other, s, whatever
        language they heard: the variance of a difference of the means of m and n trainings has s² (1/m + 1/n) more.
        """
        scores = differences(self.scores(some), self.scores(others))
        over, family = effect(scores), self.experiment.of_part("one language")
        if over.se is None or over.df is None or len(family) < 2:
            return Effect(scores, over.se, over.df)
        each = [effect(self.scores([one])).mean for one in family]
        trainings = 1 / len(some) + (1 / len(others) if trained else 0)
        parts = (over.se**2, float(np.var(each, ddof=1)) * trainings)
        if not (variance := sum(parts)):
            return Effect(scores, over.se, over.df)
        df = variance**2 / (parts[0] ** 2 / over.df + parts[1] ** 2 / (len(family) - 1))
        return Effect(scores, sqrt(variance), df)

    def _difference(
        self, name: str, says: str, found: Effect | None, why: str, unit: str = "r", margin: float | None = MARGIN_R
    ) -> Finding:
        """Return an effect with its 95 % interval; p is of the t test that the interval is of."""
        if found is None:
            return _none(name, why, unit)
        margin = None if margin is None else self.margin_r
        needed = speakers_needed(found.scores, margin, aim="superiority") if margin and found.over_speakers else None
        return self._found(name, says, found.estimate(), unit, found.p(), margin, needed)

    def _tost(self, name: str, says: str, found: Effect | None, why: str) -> Finding:
        """Return an effect with the 90 % interval of two one-sided tests, whose larger p is given."""
        name = f"{name}_equivalence"
        if found is None:
            return _none(name, why)
        says = f"{says}, against ± {self.margin_r:g} by two one-sided tests"
        needed = speakers_needed(found.scores, self.margin_r) if found.over_speakers else None
        return self._found(name, says, found.estimate(0.90), "r", found.p(self.margin_r), self.margin_r, needed)

    def _found(
        self, name: str, says: str, reached: Estimate, unit: str, p: float | None = None, margin: float | None = None,
        needed: int | None = None,
    ) -> Finding:  # fmt: skip
        encoders = len(self.experiment.of_part("one language"))
        count = {"speakers": reached.n, "languages": reached.languages, "encoders": encoders}
        ends = (reached.mean, reached.low, reached.high)
        return Finding(name, says, *ends, unit, OVER, count, reached.level, p, margin, needed)

    def layers(self) -> tuple[str, ...]:
        """Return the layers that all encoders of one language have."""
        family = self.experiment.of_part("one language")
        common = set.intersection(*(set(each.layers) for each in family)) if family else set[str]()
        return tuple(layer for each in family[:1] for layer in each.layers if layer in common)


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
    margin = cast(Any, asked.get("margin_r") if isinstance(asked, dict) else None)
    return float(margin) if type(margin) in (int, float) and 0 < margin < 2 else MARGIN_R


def _distances(record: Record) -> dict[tuple[str, str], float]:
    found = {}
    for table in record.evidence.tables:
        for row in table.rows if table.name == DISTANCES else ():
            one, other, value = (row.get(name) for name in ("one", "other", "distance"))
            if isinstance(one, str) and isinstance(other, str) and type(value) in (int, float):
                found[one, other] = found[other, one] = float(cast(Any, value))
    return found


def _none(name: str, why: str, unit: str = "r") -> Finding:
    return undefined(name, why, unit, OVER)
