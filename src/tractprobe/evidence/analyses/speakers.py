"""Speakers: whether one speaker's read-out becomes another's by an affine map, and by how much of one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tractprobe.data.control_targets import Shifted
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.map_effects import MapEffects
from tractprobe.evidence.methods.mapped import mapped
from tractprobe.evidence.methods.templates import templates
from tractprobe.evidence.methods.voices import (
    PARTS,
    Voice,
    minutes_for_maps,
    parts_of,
    roles_of,
    sources_of,
    voices_of,
)
from tractprobe.evidence.record import Evidence
from tractprobe.runs.building import build
from tractprobe.system.errors import ConfigError

_SHARE_OF_MAPS = 0.38  # of a voice's speech, two parts of five, and a little less as sentences differ in length


@dataclass(frozen=True)
class Speakers:
    """Whether one speaker's read-out becomes another's by an affine map, and which part of the map it takes.

    Attributes
    ----------
    minutes
        Of the target's movements that maps are fitted to; those that speakers have are used.
    control
        The encoder, by its option, whose read-outs are mapped likewise; empty for none.
    most_sources
        Sources of a target, drawn in turn from those of its gender, language and corpus, and others.
    rotations
        In how many ways sentences are given to heads, maps and tests: 1 to 5, each a fifth more that is tested.
    validation_folds
        Divisions by which each head's layer and penalty are chosen.
    shift_s
        From when a shuffled head's movements are.
    margin_r
        The difference in r that speakers needed are counted for.
    least_tokens, least_phones
        Of a phone, and that two speakers share, for patterns of phones to be compared.
    """

    minutes: Sequence[float] = (0.5, 1.0, 2.0, 5.0, 10.0)
    control: str = "mel"
    most_sources: int = 8
    rotations: int = 3
    validation_folds: int = 3
    shift_s: float = 11.0
    margin_r: float = 0.03
    least_tokens: int = 3
    least_phones: int = 8

    name: ClassVar[str] = "speakers"
    version: ClassVar[int] = 1

    def __post_init__(self):
        if not self.minutes or min(self.minutes) <= 0 or self.most_sources < 1 or not 1 <= self.rotations <= PARTS:
            raise ConfigError("analysis=speakers: expected minutes and most_sources above 0, and rotations from 1 to 5")

    def __call__(self, bench: Bench) -> Evidence:
        """Return r and errors by family of maps and minutes, what maps and controls gain, and templates of phones."""
        minutes = sorted(map(float, self.minutes))
        entries, parts = list(bench.entries.values()), parts_of(bench)
        voices = voices_of(entries, least_s=60 * minutes[0] / _SHARE_OF_MAPS)
        if any(minutes_for_maps(voice, parts, self.rotations) < minutes[0] for voice in voices):
            voices = voices_of(entries, least_s=math.inf)  # whole speakers: halves have it on average, but not each
        rule = bench.rule("sentence", validation_folds=self.validation_folds)
        roles = roles_of(voices, parts, minutes, self.rotations, rule, bench.seed)
        sources = {target: sources_of(target, list(roles), self.most_sources, bench.seed) for target in roles}
        targets = bench.targets("ema", Shifted(build(bench.settings.ema), self.shift_s))
        of_encoder = mapped(bench, roles, sources, targets)
        of_control = None
        if self.control and self.control != bench.settings.id.model:
            other = bench.other(bench.option(self.control))
            of_control = mapped(other, roles, sources, targets, with_own=False)
        effects = MapEffects(of_encoder, of_control, self.control, self.margin_r)
        template = templates(bench, of_encoder, list(roles), parts, self.least_tokens, self.least_phones)
        return Evidence(
            (*effects.findings(), *template.findings),
            (*effects.tables(), *template.tables),
            effects.figures(),
            effects.rows(),
            (*self._caveats(voices, list(roles)), *effects.caveats(), *template.caveats),
        )

    def _caveats(self, voices: Sequence[Voice], used: Sequence[Voice]) -> tuple[str, ...]:
        told = [
            "A pair is one source and one target; a target's sources are averaged first, since speakers are the unit.",
            "Heads, maps and tests have no sentence in common. Maps are in mm: of the source's frame, to the target's.",
        ]
        if left := sorted({voice.speaker for voice in voices} - {voice.speaker for voice in used}):
            told.append(f"Too little speech to take part: {', '.join(left)}.")
        if max(len({voice.speaker for voice in used if voice is not one}) for one in used) > self.most_sources:
            told.append(f"Of each target {self.most_sources} sources were drawn.")
        if any(len(voice.languages) > 1 for voice in used) and len({voice.speaker for voice in used}) == len(used):
            told.append("Speakers of several languages have too little speech to be compared across languages.")
        if len({voice.corpus for voice in used}) == 1:
            told.append("Of one corpus, so nothing is said about maps between corpora.")
        if not any(voice.gender for voice in used):
            told.append("The corpora do not state the speakers' gender.")
        return tuple(told)
