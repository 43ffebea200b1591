"""Which encoders differ in the language they heard alone: what records say of them, compared where they meet.

An encoder's part in the experiment follows from what its ``pretraining.json`` says, which its record keeps. The
encoders of the experiment are those that heard one language each and agree in objective, iteration, updates and
parameters; of several such families that with the most languages. Whoever was given other hours than the family's
median, by more than a twentieth, is left out, except that an encoder of several languages may have had more data, if it
heard it for as long. What else differs (corpora, targets, augmentation, seed) is said.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, NamedTuple, cast, get_args

from tractprobe.corpora.languages import is_language
from tractprobe.encoders.raised import Raised
from tractprobe.evidence.record import Record, Table
from tractprobe.runs.stated import heard_by

UPBRINGING, CELLS, DISTANCES = "upbringing", "cells", "distances"
"""Names of the tables by which records of ``raised_in`` meet."""
Part = Literal["one language", "several languages", "babble", "untrained", "acoustics", "other"]
_SAME = ("objective", "iteration", "updates", "parameters")
_HOURS, _TOLERANCE = ("hours_of_data", "hours_heard"), 0.05
_SAID = ("corpora", "targets", "augmentation", "seed")


Unit = tuple[str, str]
"""A language and a speaker."""
CHOSEN = "chosen"
"""In place of a layer: that which each head's own validation chose."""


class Cell(NamedTuple):
    """What is scored.

    Attributes
    ----------
    head
        The language that the heads have heard.
    layer
        As text; ``chosen`` for those that validation chose.
    unit
        The language and speaker that are tested.
    """

    head: str
    layer: str
    unit: Unit


def told(raised: Raised) -> dict[str, str]:
    """Return an upbringing as texts, from which it is read back exactly."""
    return {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in raised.plain.items()}


def read_back(table: Table) -> Raised:
    """Return the upbringing that a record keeps; ValueError if it is none."""
    try:
        return Raised.of({row["fact"]: json.loads(row["value"]) for row in table.rows})
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"what it was raised on cannot be read ({type(error).__name__})") from None


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder as its record tells of it.

    Attributes
    ----------
    raised
        ``None`` where nothing is known.
    r
        Of each cell.
    channels
        How many the scores of each tested language and speaker are means of.
    """

    label: str
    part: Part
    raised: Raised | None
    r: Mapping[Cell, float]
    channels: Mapping[Unit, int]

    @classmethod
    def of(cls, label: str, record: Record) -> "Encoder":
        """Read a record; ValueError if its tables are not those of the analysis."""
        tables = {table.name: table for table in record.evidence.tables}
        if CELLS not in tables:
            raise ValueError("it has no scores" + "".join(f": {caveat}" for caveat in record.evidence.caveats[:1]))
        raised = read_back(tables[UPBRINGING]) if UPBRINGING in tables else None
        r: dict[Cell, float] = {}
        channels: dict[Unit, int] = {}
        for row in tables[CELLS].rows:
            cell, value, count = _cell(row), cast(Any, row.get("r")), row.get("channels")
            if type(value) not in (int, float) or not -1 <= value <= 1 or type(count) is not int or cell in r:
                raise ValueError(f"its score of {cell.unit[1]} in {cell.unit[0]} is none, or there twice")
            r[cell], channels[cell.unit] = float(value), count
        return cls(label, _part(raised, record.about), raised, r, channels)

    @property
    def heard(self) -> tuple[str, ...]:
        """The languages that it heard, babble among them; none if it is untrained."""
        return heard_by(self.raised) if self.raised else ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Its layers, in their order."""
        own = {cell.layer for cell in self.r} - {CHOSEN}
        return tuple(sorted(own, key=lambda layer: (not layer.isdecimal(), int(layer) if layer.isdecimal() else 0)))


def _cell(row: Mapping[str, Any]) -> Cell:
    texts = [row.get(name) for name in ("head", "layer", "test", "speaker")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a score does not say whose it is")
    head, layer, test, speaker = cast(list[str], texts)
    return Cell(head, layer, (test, speaker))


def _part(raised: Raised | None, about: Mapping[str, Any]) -> Part:
    if raised is None:
        return "acoustics" if about.get("training") == "none" and about.get("parameters_m") == 0 else "other"
    if not raised.is_trained:
        return "untrained"
    languages = [name for name in heard_by(raised) if is_language(name)]
    if not languages:
        return "babble"
    return "one language" if len(heard_by(raised)) == 1 else "several languages"


@dataclass(frozen=True, eq=False)
class Experiment:
    """Encoders that can be compared.

    Attributes
    ----------
    encoders
        Those of the experiment, with what they are read against.
    refused
        Who is not in it, and why, in a sentence.
    """

    encoders: tuple[Encoder, ...]
    refused: Mapping[str, str]

    @classmethod
    def of(cls, encoders: Sequence[Encoder]) -> "Experiment":
        """Choose who can be compared with whom."""
        family, refused = _family([each for each in encoders if each.part == "one language"])
        kept = list(family)
        for each in encoders:
            if each.part in ("several languages", "babble", "untrained"):
                reason = _unlike(each, family)
                if reason:
                    refused[each.label] = f"{each.label} is not compared: {reason}"
                else:
                    kept.append(each)
            elif each.part == "acoustics":
                kept.append(each)
            elif each.part == "other":
                refused[each.label] = f"{each.label} is no part of the experiment: what it heard is not known"
        return cls(tuple(sorted(kept, key=lambda each: get_args(Part).index(each.part))), refused)

    def of_part(self, part: Part) -> list[Encoder]:
        """Return the encoders of one kind."""
        return [each for each in self.encoders if each.part == part]

    def else_different(self, encoder: Encoder) -> str:
        """Say what an encoder differs in from the first of the family besides languages and tolerated hours."""
        first = next(iter(self.of_part("one language")), None)
        if encoder.raised is None:
            return "everything"
        if first is None or first.raised is None:
            return "not known: there is no encoder of one language"
        names = (*_SAID, *(("hours_of_data",) if encoder.part == "several languages" else ()))
        found = []
        for name in names:
            own, other = (getattr(each.raised, name) for each in (encoder, first))
            if own != other:
                found.append(name if isinstance(own, Mapping) else f"{name} {own:g} ({other:g})")
        return ", ".join(found) or "nothing"

    @property
    def unbalanced_seeds(self) -> bool:
        """Whether languages were not all heard with the same seeds."""
        seeds: dict[tuple[str, ...], list[int]] = {}
        for each in self.of_part("one language"):
            assert each.raised is not None
            seeds.setdefault(each.heard, []).append(each.raised.seed)
        return len({tuple(sorted(own)) for own in seeds.values()}) > 1


def _family(encoders: Sequence[Encoder]) -> tuple[list[Encoder], dict[str, str]]:
    """Return the encoders of one language that agree, and why others are left out."""
    families: dict[tuple[Any, ...], list[Encoder]] = {}
    for each in encoders:
        families.setdefault(tuple(getattr(each.raised, name) for name in _SAME), []).append(each)
    if not families:
        return [], {}
    largest = max(families, key=lambda key: (len({each.heard for each in families[key]}), len(families[key])))
    unlike: dict[str, str] = {}
    for key, own in families.items():
        named = zip(_SAME, key, largest, strict=True)
        said = _listed(f"{name} {mine} ({theirs})" for name, mine, theirs in named if mine != theirs)
        unlike |= {each.label: said or _other_hours(each, own) for each in own}
    refused = {
        label: f"{label} is not compared, as it differs in more than its language: {said}"
        for label, said in unlike.items()
        if said
    }
    return [each for each in families[largest] if each.label not in refused], refused


def _other_hours(encoder: Encoder, family: Sequence[Encoder], names: Sequence[str] = _HOURS) -> str:
    """Say which hours of an encoder are not the family's median; an empty text if all are."""
    found = []
    for name in names:
        own, usual = getattr(encoder.raised, name), median(getattr(each.raised, name) for each in family)
        if abs(own - usual) > _TOLERANCE * usual:
            found.append(f"{name} {own:.3g} ({usual:.3g})")
    return _listed(found)


def _unlike(encoder: Encoder, family: Sequence[Encoder]) -> str:
    """Say what an encoder that heard no single language differs in from the family; an empty text if in nothing."""
    if not family:
        return "there is no encoder that heard one language"
    names = ("parameters",) if encoder.part == "untrained" else _SAME
    found = [
        f"{name} {own} ({usual})"
        for name in names
        if (own := getattr(encoder.raised, name)) != (usual := getattr(family[0].raised, name))
    ]
    asked = {"untrained": (), "several languages": ("hours_heard",)}.get(encoder.part, _HOURS)
    hours = _other_hours(encoder, family, asked)
    return _listed([*found, *([hours] if hours else [])])


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(texts)
