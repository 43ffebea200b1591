"""Voices: speakers in some of their languages, between which read-outs are carried over, and what each is used for.

A voice is a speaker in all languages that he speaks or, if every speaker of several languages has enough speech, in one
half of them, so that speakers can be compared across languages, too. Sentences are dealt into five parts, those of each
language alike: heads are fitted on two of them, maps on two others and both tested on the fifth, in up to five
rotations. So whatever is tested is a sentence that nothing was fitted on.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.data.splits import Split, SplitRule
from tractprobe.evidence.bench import Bench
from tractprobe.system.errors import ConfigError

PARTS = 5
_HEADS, _MAPS = (0, 1), (2, 3)  # which parts, counted from the rotation; the last is tested

RELATIONS = ("gender", "language", "corpus")
"""What a pair of voices can have in common."""


@dataclass(frozen=True, eq=False)
class Voice:
    """A speaker in some languages.

    Attributes
    ----------
    gender
        Empty if the corpus does not state it.
    """

    speaker: str
    corpus: str
    languages: tuple[str, ...]
    gender: str
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Speaker and languages."""
        return f"{self.speaker} {'+'.join(self.languages)}"

    def relations(self, other: "Voice") -> dict[str, str]:
        """Say whether gender, language and corpus are the same, different, or unknown; languages may be partly so."""
        shared = set(self.languages) & set(other.languages)
        language = "same" if set(self.languages) == set(other.languages) else "partly" if shared else "different"
        gender = "unknown" if not (self.gender and other.gender) else _same(self.gender == other.gender)
        return {"gender": gender, "language": language, "corpus": _same(self.corpus == other.corpus)}


def _same(yes: bool) -> str:
    return "same" if yes else "different"


def voices_of(entries: Sequence[Entry], least_s: float) -> list[Voice]:
    """Return the voices; speakers are halved by language if every half then has as much speech as is needed."""
    by_speaker: dict[str, list[Entry]] = {}
    for entry in entries:
        by_speaker.setdefault(entry.speaker, []).append(entry)
    whole = [_voice(own) for own in by_speaker.values()]
    halves = [part for voice in whole for part in _halves(voice)]
    if len(halves) > len(whole) and all(_seconds(part.entries) >= least_s for part in halves):
        return halves
    return whole


def _halves(voice: Voice) -> list[Voice]:
    if len(voice.languages) == 1:
        return [voice]
    parts = (voice.languages[::2], voice.languages[1::2])
    return [_voice([entry for entry in voice.entries if entry.language in part]) for part in parts]


def _voice(entries: Sequence[Entry]) -> Voice:
    genders = {entry.labels.get("gender", "") for entry in entries}
    first, languages = entries[0], tuple(sorted({entry.language for entry in entries}))
    gender = genders.pop() if len(genders) == 1 else ""
    return Voice(first.speaker, first.corpus, languages, gender, tuple(entries))


def _seconds(entries: Sequence[Entry]) -> float:
    return sum(entry.duration_s for entry in entries)


@dataclass(frozen=True, eq=False)
class Roles:
    """What a voice's utterances are used for in one rotation.

    Attributes
    ----------
    head
        What its head is fitted on.
    own
        For each number of minutes, nested, what maps to this voice are fitted on, and a head of its own.
    """

    head: Split
    own: Mapping[float, Split]

    @property
    def test(self) -> tuple[str, ...]:
        """What both are tested on."""
        return self.head.test


def parts_of(bench: Bench) -> dict[str, int]:
    """Return the part of each utterance, the same for all utterances of a sentence."""
    part_of_sentence: dict[str, int] = {}
    for number, split in enumerate(bench.splits("sentence", folds=PARTS).values()):
        for id_ in split.test:
            part_of_sentence.setdefault(sentence(bench.entries[id_]), number)
    return {id_: part_of_sentence[sentence(entry)] for id_, entry in bench.entries.items()}


def roles_of(
    voices: Sequence[Voice],
    parts: Mapping[str, int],
    minutes: Sequence[float],
    rotations: int,
    rule: SplitRule,
    seed: int,
) -> dict[Voice, list[Roles]]:
    """Return each voice's roles in each rotation, for the minutes that it has in all of them; without any it has none.

    Raises
    ------
    ConfigError
        Fewer than two speakers have the fewest minutes that are asked for.
    """
    found = {}
    for voice in voices:
        sides = [_sides(voice, parts, rotation) for rotation in range(rotations)]
        there_are = minutes_for_maps(voice, parts, rotations)
        own = [each for each in sorted(minutes) if each <= there_are]
        if own and all(head and test for head, _, test in sides):
            found[voice] = [
                Roles(
                    rule.of_sides(head, test, seed),
                    {each: replace(rule, train_min=each).of_sides(maps, test, seed) for each in own},
                )
                for head, maps, test in sides
            ]
    if len({voice.speaker for voice in found}) < 2:
        most = max((_seconds(voice.entries) for voice in voices), default=0.0) / 60
        raise ConfigError(
            f"maps between speakers need two speakers with {min(minutes):g} min in two fifths of their sentences; the "
            f"most that any has in all is {most:.1f} min: prepare more speech, or give analysis.minutes=[<fewer>]"
        )
    return found


def minutes_for_maps(voice: Voice, parts: Mapping[str, int], rotations: int) -> float:
    """Return the minutes that maps to a voice can be fitted on, in the rotation that leaves the fewest."""
    return min(_seconds(_sides(voice, parts, rotation)[1]) for rotation in range(rotations)) / 60


def _sides(voice: Voice, parts: Mapping[str, int], rotation: int) -> tuple[list[Entry], list[Entry], list[Entry]]:
    """Return what heads, maps and tests of a rotation are made of."""
    place = {entry.id: (parts[entry.id] - rotation) % PARTS for entry in voice.entries}
    head, maps, test = (
        [entry for entry in voice.entries if place[entry.id] in chosen] for chosen in (_HEADS, _MAPS, (PARTS - 1,))
    )
    return head, maps, test


def sources_of(target: Voice, voices: Sequence[Voice], most: int, seed: int) -> list[Voice]:
    """Return at most so many voices of other speakers, drawn in turn from each kind of relation to the target."""
    kinds: dict[tuple[str, ...], list[Voice]] = {}
    for voice in sorted(voices, key=lambda each: _drawn(seed, target.name, each.name)):
        if voice.speaker != target.speaker:
            kinds.setdefault(tuple(voice.relations(target).values()), []).append(voice)
    turns = [voice for turn in range(len(voices)) for kind in sorted(kinds) for voice in kinds[kind][turn : turn + 1]]
    return turns[:most]


def _drawn(*names: object) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, names)).encode()).digest()
