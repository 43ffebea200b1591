"""From what readers make of interventions to findings: effects over speakers, with what they are compared with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.readers.interventions import ANATOMY, ARTICULATOR, F0, KINDS, NOISE, TIMING, VOICE
from tractprobe.evidence.methods.intervened import Course, Reader
from tractprobe.evidence.methods.invariance import Movement, Nearness, StateMovement, is_of
from tractprobe.evidence.methods.responses import (
    Metric,
    Responses,
    at,
    by_what,
    is_moved,
    over_units,
    remembered,
    shuffled,
    speaker,
    truth,
    utterance,
)
from tractprobe.evidence.record import Finding, Part
from tractprobe.evidence.statistics.effects import Cells, finding_over_draws
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.evidence.statistics.shares import share
from tractprobe.runs.estimate import Scores

OVER = "mean over speakers, of all that each says and of each thing that is moved alike"
SLOPE = "mm per mm"
VELUM = "velum"
CLOSE = "where it says more than really moves, what it says too much counts against it"

Of = Callable[[Reader], Metric]
"""A number about the pairs of a unit, as a reader's heads read them at the layer that validation chose for it."""


@dataclass(frozen=True, eq=False)
class Compared:
    """An encoder's read-outs of interventions, and those of its controls.

    Attributes
    ----------
    mel, random
        A spectrum, and draws of the architecture's weights; or why there are none.
    correlations
        Which channels usually move together.
    margin_s
        On either side of windows.
    margin
        The difference of gains that speakers needed are counted for.
    """

    own: Reader
    mel: Reader | str
    random: Sequence[Reader] | str
    correlations: Float[np.ndarray, "channel channel"]
    margin_s: float
    margin: float

    def findings(self) -> list[Finding]:
        """Return every effect."""
        return [*self._of_gain(), *self._of_specificity(), *self._of_time(), *self._of_invariance(), *self._of_depth()]

    def responses(self, reader: Reader, kind: str = ARTICULATOR) -> Responses:
        return self._responses((reader, kind))

    @remembered
    def _responses(self, asked: tuple[Reader, str]) -> Responses:
        reader, kind = asked
        return Responses(at(reader.chosen), self.margin_s, kind)

    @remembered
    def movement(self, reader: Reader) -> Movement:
        """How far read-outs move, either way."""
        return Movement(at(reader.chosen))

    @remembered
    def nearness(self, reader: Reader) -> Nearness:
        """Which pattern over channels responses are nearer to."""
        return Nearness(at(reader.chosen), self.correlations, self.margin_s)

    @cached_property
    def by_chance(self) -> tuple[Responses, ...]:
        """What shuffled heads make of the same states, each time they were fitted."""
        draws = len(self.own.courses[0].shuffled) if self.own.courses else 0
        return tuple(Responses(shuffled(draw), self.margin_s) for draw in range(draws))

    @cached_property
    def chance(self) -> float:
        """The share of an articulator among those that heads know if all move alike; NaN if none was moved."""
        return self.responses(self.own).chance(self.own.courses)

    def _of_gain(self) -> list[Finding]:
        says = "how far the read-out of a moved articulator moves for each mm that it really moves"
        gain, sign = "interventions_gain", "interventions_sign"

        def of(reader: Reader) -> Metric:
            return self.responses(reader).gain

        def close(reader: Reader) -> Metric:
            return self.responses(reader).closeness

        random = f"{says}, minus that of the same architecture with random weights ({CLOSE})"
        return [
            self._level(gain, f"{says} (1: as far)", SLOPE, of),
            self._beyond_shuffled(gain, says, SLOPE, of, [each.gain for each in self.by_chance]),
            self._beyond_mel(f"{gain}_beyond_mel", f"{says}, minus that of matched acoustics ({CLOSE})", SLOPE, close),
            self._beyond_random(f"{gain}_beyond_random", random, close),
            self._level(sign, "share of pairs in which the read-out of the moved articulator moves the true way "
                        "(by chance .5)", "", lambda reader: self.responses(reader).sign),
        ]  # fmt: skip

    def _of_specificity(self) -> list[Finding]:
        says = "share of all movement of read-outs, in deviations, that is the moved articulator's"
        name, courses = "interventions_specificity", self.own.courses
        real = _mean(over_units(courses, Responses(truth, self.margin_s).specificity, speaker))
        cosine = "how much nearer the response of all read-outs is to that of the exact positions than its nearness to"
        most = _mean(over_units(courses, self.nearness(self.own).possible, speaker))

        def of(reader: Reader) -> Metric:
            return self.responses(reader).specificity

        return [
            self._level(name, f"{says} (by chance {self.chance:.2g}; of the exact positions {real})", "", of),
            self._beyond_shuffled(name, says, "", of, [each.specificity for each in self.by_chance]),
            self._beyond_mel(f"{name}_beyond_mel", f"{says}, minus that of matched acoustics", "", of),
            self._level(f"{name}_beyond_covariance", f"{cosine} what usually moves with its channels explains "
                        f"(difference of cosines; 0: as usual; the truth itself has {most})", "",
                        lambda reader: self.nearness(reader).beyond, tested=True),
        ]  # fmt: skip

    def _of_time(self) -> list[Finding]:
        says = "by how much the read-out of a moved articulator comes after its movement"
        timing = "how far the read-out of the articulator that alone comes earlier or later follows it, for each mm"
        share = "share of all movement of read-outs that is that of the articulator which alone comes earlier or later"
        return [
            self._level("interventions_latency", says, "ms", lambda reader: self.responses(reader).lag_ms),
            self._level("interventions_timing_gain", timing, SLOPE,
                        lambda reader: self.responses(reader, TIMING).gain),
            self._level("interventions_timing_specificity", share, "",
                        lambda reader: self.responses(reader, TIMING).specificity),
        ]  # fmt: skip

    def _of_invariance(self) -> list[Finding]:
        moved = self.movement(self.own)
        per_mm = over_units(self.own.courses, moved.per_mm, speaker)
        found = [self._level("invariance_f0_sd", "how far read-outs move for each semitone of pitch, in deviations",
                             "SD per semitone", lambda reader: self.movement(reader).per_semitone)]  # fmt: skip
        for name, what, unit, metric in (
            (F0, "a semitone of pitch", "mm per semitone", moved.per_semitone),
            (VOICE, "another voice", "mm", moved.by_kind(VOICE)),
            (ANATOMY, "another anatomy", "mm", moved.by_kind(ANATOMY)),
            (NOISE, "a new draw of the synthesiser's noise", "mm", moved.by_kind(NOISE)),
            (VELUM, "the velum, which has no channel of its own,", "mm", moved.by_kind(VELUM)),
        ):
            says = f"how many mm of articulation move read-outs as far as {what} does (0: invariant)"
            values = over_units(self.own.courses, metric, speaker)
            found.append(self._as_share(f"invariance_{name}", says, unit, values, per_mm, name))
        less = "by how many mm of articulation less a semitone moves read-outs than those of matched acoustics"
        kept = self._beyond_mel("invariance_f0_over_mel", f"{less} (above 0: more invariant)", "mm per semitone",
                                lambda reader: self.movement(reader).kept_from_pitch)  # fmt: skip
        return [*found, kept]

    def _as_share(self, name: str, says: str, unit: str, part: Scores, whole: Scores, kind: str) -> Finding:
        if not part or not whole:
            lacks = "no such pair" if not part else "no pair in which an articulator moves"
            return undefined(name, f"{says}: there is {lacks}", unit, OVER)
        reached = share(part, whole)
        if reached is None:
            return undefined(
                name, f"{says}: read-outs may not move with articulation, or too few speakers tell", unit, OVER
            )
        ratios = {key: part[key] / whole[key] for key in part if key in whole and whole[key] > 0}
        by = [Part("speaker", key[1], value, n=1) for key, value in ratios.items()]
        made = finding(name, says, ratios, unit, OVER, by=by, estimate=reached)
        return self._counted(made, ratios, (kind, ARTICULATOR))

    def _of_depth(self) -> list[Finding]:
        name, labels = "features_tract_over_pitch", self.own.labels
        says = (
            "how many times more semitones it takes at the last layer than at the first to move states as far as a mm "
            "of articulation does, as a power of two (above 0: depth turns down pitch and keeps the tract)"
        )
        if len(labels) < 2:
            return [undefined(name, f"{says}: the encoder has one layer", "doublings", OVER)]
        first, last = (
            over_units(self.own.courses, StateMovement(layer).tract_over_pitch, speaker)
            for layer in (0, len(labels) - 1)
        )
        parts = [
            _interval("layer", str(label), over_units(self.own.courses, StateMovement(place).tract_over_pitch, speaker))
            for place, label in enumerate(labels)
        ]
        values = differences(last, first)
        made = finding(name, says, values, "doublings", OVER, by=parts)
        return [self._counted(made, values, (F0, ARTICULATOR))]

    def _level(self, name: str, says: str, unit: str, of: Of, *, tested: bool = False) -> Finding:
        """Return what the encoder's own heads reach."""
        values = over_units(self.own.courses, of(self.own), speaker)
        estimate = effect(values) if values and not tested else None
        by = self._parts(lambda courses, unit: over_units(courses, of(self.own), unit))
        made = finding(name, says, values, unit, OVER, by=by, estimate=estimate)
        return self._counted(made, values, _kinds(name))

    def _beyond_shuffled(self, name: str, says: str, unit: str, of: Of, controls: Sequence[Metric]) -> Finding:
        """Return what heads exceed those by that were fitted to movements of other times, read from the same states."""

        def draws(courses: Sequence[Course], unit: Any) -> list[Cells]:
            return [_cells(over_units(courses, metric, unit)) for metric in controls]

        def exceeds(courses: Sequence[Course], unit: Any) -> Scores:
            own = _cells(over_units(courses, of(self.own), unit))
            return own.minus(Cells.mean(draws(courses, unit))).of_speakers()

        courses = self.own.courses
        own = _cells(over_units(courses, of(self.own), speaker))
        says = f"{says}, minus that of heads that were fitted to movements of another time"
        found = self._over_draws(f"{name}_beyond_shuffled", says, unit, own, draws(courses, speaker), courses)
        return replace(found, by=tuple(self._parts(exceeds)))

    def _beyond_mel(self, name: str, says: str, unit: str, of: Of) -> Finding:
        if isinstance(self.mel, str):
            return undefined(name, f"{says}: {self.mel}", unit, OVER)
        own, mel = self.own, self.mel
        heard = {course.pair.id: course for course in mel.courses}

        def exceeds(courses: Sequence[Course], unit: Any) -> Scores:
            others = [heard[course.pair.id] for course in courses]
            return differences(over_units(courses, of(own), unit), over_units(others, of(mel), unit))

        values = exceeds(own.courses, speaker)
        made = finding(name, says, values, unit, OVER, self.margin, self._parts(exceeds))
        return self._counted(made, values, _kinds(name))

    def _beyond_random(self, name: str, says: str, of: Of) -> Finding:
        if isinstance(self.random, str):
            return undefined(name, f"{says}: {self.random}", SLOPE, OVER)
        heard = {course.pair.id for course in self.random[0].courses}
        same = [course for course in self.own.courses if course.pair.id in heard]
        own, *draws = (
            _cells(over_units(courses, of(reader), speaker))
            for reader, courses in ((self.own, same), *((each, each.courses) for each in self.random))
        )
        return self._over_draws(name, says, SLOPE, own, draws, same)

    def _over_draws(
        self, name: str, says: str, unit: str, own: Cells, draws: Sequence[Cells], courses: Sequence[Course]
    ) -> Finding:
        """Return what an effect exceeds several draws of a control by."""
        found = finding_over_draws(name, f"{says}, mean of {len(draws)} draws", own, draws, self.margin)
        over = OVER if found.value is None or len(draws) < 2 else f"{OVER}; interval over speakers and draws"
        made = replace(found, unit=unit, over=over, by=())
        made = self._counted(made, own.minus(Cells.mean(draws)).of_speakers(), (ARTICULATOR,), courses)
        return made if made.value is None else replace(made, n=made.n | {"draws": len(draws)})

    def _counted(
        self, found: Finding, values: Scores, kinds: Sequence[str], courses: Sequence[Course] | None = None
    ) -> Finding:
        """Return a finding with what enters it counted: pairs of some kinds, of speakers who have a value.

        Of two kinds, the second are movements, by which those of the first are measured.
        """
        if found.value is None:
            return found
        told = {who for _, who in values}
        first, *second = (
            [course for course in courses or self.own.courses if course.speaker in told and _enters(course, kind)]
            for kind in kinds
        )
        units = {"speakers": {course.speaker for course in first}, "languages": {each.language for each in first},
                 "utterances": {course.pair.base for course in first}}  # fmt: skip
        count = {name: len(each) for name, each in units.items()} | {"pairs": len(first)}
        return replace(found, n=count | ({"movements": len(second[0])} if second else {}))

    def _parts(self, of: Callable[[Sequence[Course], Any], Scores]) -> list[Part]:
        """Return the same over utterances, with its own interval, by speaker, language, phone and what is moved."""
        courses = self.own.courses
        parts = [_interval("unit", "utterances", of(courses, utterance))]
        parts += [Part("speaker", name, value, n=1) for (_, name), value in of(courses, speaker).items()]
        for language in sorted({course.language for course in courses}):
            own = [course for course in courses if course.language == language]
            parts.append(_interval("language", language, of(own, speaker)))
        for kind in sorted({course.pair.phone_kind for course in courses} - {""}):
            own = [course for course in courses if course.pair.phone_kind == kind]
            parts.append(_interval("phone", kind, of(own, speaker)))
        for name, own in by_what(courses).items():
            parts.append(_interval("moved", name, of(own, speaker)))
        return [part for part in parts if part.value is not None]


def _kinds(name: str) -> tuple[str, ...]:
    """Return what kinds of pairs a finding is about: of pitch or timing, otherwise of articulators."""
    special = {"invariance_f0_sd": (F0,), "invariance_f0_over_mel": (F0, ARTICULATOR)}
    return special.get(name, (TIMING,) if "timing" in name else (ARTICULATOR,))


def _enters(course: Course, kind: str) -> bool:
    return is_moved(course, kind) if kind in (ARTICULATOR, TIMING) else is_of(course, kind)


def _cells(values: Scores) -> Cells:
    return Cells({(*key, "all"): value for key, value in values.items()})


def _interval(kind: str, name: str, values: Scores) -> Part:
    if not values:
        return Part(kind, name, None)
    reached = effect(values)
    return Part(kind, name, reached.mean, reached.low, reached.high, reached.n)


def _mean(values: Scores) -> str:
    return f"{effect(values).mean:.2f}" if values else "none"


def counts_of(courses: Sequence[Course]) -> dict[str, int]:
    """Return how many pairs there are of each kind."""
    return {kind: number for kind in KINDS if (number := sum(course.pair.kind == kind for course in courses))}
