"""Phones against articulation: does an encoder hold phones, movements, or the one because of the other?

Four questions, all in languages that heads and discriminants never heard:

1. Which phone, and which of its features, can be told from each layer (the phonetic score)?
2. Which phone can be told from measured movements, and from those that a head predicts? If categories are projections
   of the articulatory space, twelve predicted positions tell as much as measured ones, and more than twelve random
   directions of the same layer (the control).
3. What do a transcript with times, and one without, say about movements?
4. What do states say beyond the transcript, the transcript beyond states, and both (``evidence.partition``)?
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tractprobe.corpora.phone_features import CATEGORIES
from tractprobe.data.phone_labels import inventory, phone_counts
from tractprobe.data.splits import Split
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.classification import PHONE, Classified, Unit
from tractprobe.evidence.inference import differences, effect, sign_flip_p
from tractprobe.evidence.partition import SHARES, shares
from tractprobe.evidence.phonetic import (
    Layers,
    Material,
    Rules,
    chance_of,
    from_movements,
    from_projections,
    in_layers,
    random_projection,
    scores_of,
)
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Part, Series, Table
from tractprobe.evidence.transcribed import BOTH, MODELS, STATES, STRING, TIMED, Transcribed, transcribed
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError

_ARTICULATORS = {
    name: [number for number, channel in enumerate(CHANNELS) if channel.rpartition("_")[0] == name]
    for name in dict.fromkeys(channel.rpartition("_")[0] for channel in CHANNELS)
}
_SPEAKERS = "speakers of each language, then languages"
_ACCURACY = "balanced accuracy"


@dataclass(frozen=True)
class Phones:
    """Does an encoder hold phones, movements, or the one because of the other?

    Parameters
    ----------
    by
        What is held out: ``language``, or ``speaker`` or another label where there is one language only.
    shrinkages
        Candidates for the covariance within classes, chosen on the first fold of each split.
    least_frames
        Frames of the development side that a phone needs to be a class.
    around_s
        Times around a frame at which measured positions are taken for ``phones_from_measured``.
    projections
        How many random projections the control averages over.
    """

    by: str = "language"
    shrinkages: Sequence[float] = (0.01, 0.1, 0.5)
    least_frames: int = 20
    around_s: Sequence[float] = (-0.06, -0.03, 0.0, 0.03, 0.06)
    projections: int = 3

    name: ClassVar[str] = "phones"
    version: ClassVar[int] = 1

    def __post_init__(self):
        shrinks = len(self.shrinkages) and all(0 <= each <= 1 for each in self.shrinkages)
        if not shrinks or self.least_frames < 2 or self.projections < 0 or not len(self.around_s):
            raise ConfigError(
                "analysis=phones: expected shrinkages from 0 to 1, least_frames of 2 or more, times in around_s and "
                f"projections of 0 or more, not {self}"
            )

    def __call__(self, bench: Bench) -> Evidence:
        """Return the findings; ConfigError if no corpus has phone labels."""
        phones = inventory(bench.corpora, "analysis=phones")
        splits, without = _with_phones(bench, bench.splits(self.by))
        rules = Rules(tuple(map(float, sorted(self.shrinkages))), self.least_frames)
        material = Material.of(bench, splits, phones)
        layers = in_layers(material, rules)
        moved = transcribed(bench, splits, phones)
        read = from_movements(material, rules, tuple(map(float, self.around_s)))
        weights = {value: (moved.layers[value], weight) for value, weight in moved.weights.items()}
        read["predicted"] = from_projections(material, rules, weights)
        random = [self._random(material, rules, moved, seed) for seed in self._seeds(bench, material, moved)]
        return _Report(material, layers, read, random, moved, without).evidence()

    def _seeds(self, bench: Bench, material: Material, moved: Transcribed) -> range:
        """Return no seed where a layer is no wider than the channels, so that any projection keeps all of it."""
        widths = [material.store.widths[str(label)] for label in moved.layers.values()]
        return range(bench.seed, bench.seed + self.projections) if min(widths) > len(CHANNELS) else range(0)

    def _random(self, material: Material, rules: Rules, moved: Transcribed, seed: int) -> dict[Unit, float]:
        drawn = {
            value: (label, random_projection(material, label, material.splits[value], len(CHANNELS), seed))
            for value, label in moved.layers.items()
        }
        return scores_of(from_projections(material, rules, drawn))


def _with_phones(bench: Bench, splits: Mapping[str, Split]) -> tuple[dict[str, Split], list[str]]:
    """Return the splits that have phones on both sides, and the values of the others."""
    has_phones = {corpus.name: bool(phone_counts(corpus)) for corpus in bench.corpora}
    labelled = {id_ for id_, entry in bench.entries.items() if has_phones[entry.corpus]}
    kept = {
        value: split for value, split in splits.items()
        if labelled & set(split.test) and labelled & set(split.development)
    }  # fmt: skip
    if not kept:
        raise ConfigError("analysis=phones: no held-out value has phone labels in both training and test")
    return kept, sorted(splits.keys() - kept.keys())


@dataclass(frozen=True, eq=False)
class _Report:
    """What was found, as findings, tables and figures."""

    material: Material
    layers: Layers
    read: Mapping[str, Mapping[str, Classified]]
    random: Sequence[Mapping[Unit, float]]
    moved: Transcribed
    without: Sequence[str]

    def evidence(self) -> Evidence:
        return Evidence(
            (*self._phonetic(), *self._categories(), *self._movements(), *self._shares()),
            (self._layer_table(), self._category_table(), self._class_table(), self._unseen_table()),
            (self._layer_figure(), self._share_figure()),
            tuple(self._rows()),
            tuple(self._caveats()),
        )

    # Phones in states

    def _phonetic(self) -> list[Finding]:
        chosen = self.layers.phones
        chance = chance_of(chosen)
        says = "phones told from states by LDA, at the layer that validation chose in each split"
        features = [
            Part("feature", category, value, n=_speakers(scores))
            for category, found in self.layers.features.items()
            if (value := _mean(scores := scores_of(found))) is not None
        ]
        at = f"; chance {chance:.3f}" if chance is not None else ""
        r_says = "r of ridge on one-hot phones, mean over phones that vary in the test, at the same layers"
        return [
            _finding("phonetic_score", says + at, scores_of(chosen), _ACCURACY, features),
            _finding("phonetic_r", r_says, self.layers.r.get(PHONE, {}), "r"),
        ]

    def _categories(self) -> list[Finding]:
        predicted, random = scores_of(self.read["predicted"]), self._random_mean
        measured = scores_of(self.read["position"])
        found = [
            _finding("phones_from_measured", "phones told from measured positions around a frame",
                     scores_of(self.read["context"]), _ACCURACY),
            _finding("phones_from_measured_frame", "phones told from the twelve measured positions of the frame alone",
                     measured, _ACCURACY),
            _finding("phones_from_predicted", "phones told from the twelve positions that a head predicts",
                     predicted, _ACCURACY),
            _finding("phones_from_random_projection", "phones told from twelve random directions of the same layer",
                     random, _ACCURACY, none="the layer is no wider than the channels: a projection keeps all of it"),
        ]  # fmt: skip
        for name, says, other in (
            ("predicted_minus_random", "phones from predicted positions, minus from random directions", random),
            (
                "predicted_minus_measured",
                "phones from predicted positions, minus from the frame's measured ones",
                measured,
            ),
        ):
            found.append(_finding(name, says, differences(predicted, other), _ACCURACY, tested=True))
        return found

    @property
    def _random_mean(self) -> dict[Unit, float]:
        shared = set.intersection(*map(set, self.random)) if self.random else set()
        return {unit: float(np.mean([each[unit] for each in self.random])) for unit in sorted(shared)}

    # Movements

    def _by_model(self, model: str) -> dict[Unit, float]:
        explained = self.moved.explained
        each = {unit: self.moved.by_model(unit, explained.r(unit))[model] for unit in explained.sums}
        return {unit: r for unit, r in each.items() if np.isfinite(r)}

    def _movements(self) -> list[Finding]:
        says = {
            STATES: "movements from states, at the frames that have a phone",
            TIMED: "movements from phone, position in it and neighbours: what a transcript with times carries",
            STRING: "movements from the phone string with average durations: what a transcript without times carries",
            BOTH: "movements from states and timed phones together, with a penalty for each",
        }
        names = {STATES: "movements_from_states", TIMED: "movements_from_timed_phones",
                 STRING: "movements_from_phone_string", BOTH: "movements_from_both"}  # fmt: skip
        return [_finding(names[model], text, self._by_model(model), "r") for model, text in says.items()]

    def share_of(
        self, unit: Unit, channels: Sequence[int] | None = None, of_class: int | None = None
    ) -> dict[str, float]:
        """Return the three shares of a speaker in a language; none where nothing is defined."""
        r2 = self.moved.explained.r2(unit, of_class)
        r2 = r2 if channels is None else r2[:, list(channels)]
        if not np.isfinite(r2).all(axis=0).any():
            return {}
        states, timed, both = (r2[MODELS.index(model)] for model in (STATES, TIMED, BOTH))
        return {name: float(np.nanmean(share)) for name, share in shares(states, timed, both).items()}

    def _each(self, name: str, channels: Sequence[int] | None = None, of_class: int | None = None) -> dict[Unit, float]:
        each = {unit: self.share_of(unit, channels, of_class) for unit in self.moved.explained.sums}
        return {unit: found[name] for unit, found in each.items() if found}

    def _shares(self) -> list[Finding]:
        says = {
            "unique_states": "R² of movements that states add to timed phones",
            "unique_phones": "R² of movements that timed phones add to states",
            "common": "R² of movements that states and timed phones both explain",
        }
        found = []
        for name in SHARES:
            parts = [
                *_parts("articulator", {own: self._each(name, channels) for own, channels in _ARTICULATORS.items()}),
                *_parts("class", {own: self._each(name, None, number)
                                  for number, own in enumerate(self.moved.classes)}),
            ]  # fmt: skip
            found.append(_finding(name, says[name], self._each(name), "R²", parts, tested=name != "common"))
        return found

    # Tables and figures

    def _layer_table(self) -> Table:
        rows = []
        for label, found in self.layers.by_layer.items():
            scores = scores_of(found)
            estimate = effect(scores) if scores else None
            rows.append({
                "layer": label, "accuracy": estimate and estimate.mean, "low": estimate and estimate.low,
                "high": estimate and estimate.high, "chance": chance_of(found),
                "chosen": sum(own == label for own in self.layers.chosen.values()),
            })  # fmt: skip
        columns = ("layer", "accuracy", "low", "high", "chance", "chosen")
        texts = {"chosen": "held-out values it was chosen for", "accuracy": _ACCURACY}
        title = f"Phones by layer, mean over {_SPEAKERS}"
        return Table(
            "phones_by_layer", title, tuple(Column(name, "", texts.get(name, "")) for name in columns), tuple(rows)
        )

    def _category_table(self) -> Table:
        rows = []
        sources = {PHONE: self.layers.phones, **self.layers.features}
        for category, found in sources.items():
            scores, r = scores_of(found), self.layers.r.get(category, {})
            rows.append({
                "category": category, "accuracy": _mean(scores), "chance": chance_of(found),
                "r": _mean(r), "speakers": _speakers(scores), "languages": _languages(scores),
            })  # fmt: skip
        columns = (Column("category"), Column("accuracy", "", _ACCURACY), Column("chance"),
                   Column("r", "r", "mean r of ridge"), Column("speakers"), Column("languages"))  # fmt: skip
        title = "Phones and their features from states, at the layer chosen for phones"
        return Table("categories", title, columns, tuple(rows))

    def _class_table(self) -> Table:
        rows = []
        for number, name in [(None, "all"), *enumerate(self.moved.classes)]:
            own = {share: self._each(share, None, number) for share in SHARES}
            units = list(self.moved.explained.sums)
            frames = sum(self.moved.explained.frames(unit, number) for unit in units)
            if frames:
                r2 = {model: self._r2_of_class(model, number) for model in MODELS}
                rows.append(
                    {"class": name, "frames": frames, **r2, **{name: _mean(each) for name, each in own.items()}}
                )
        columns = ("class", "frames", *MODELS, *SHARES)
        units = {name: "R²" for name in (*MODELS, *SHARES)}
        title = f"R² of movements by class of phones, mean over channels, {_SPEAKERS}"
        return Table(
            "shares_by_class", title, tuple(Column(name, units.get(name, "")) for name in columns), tuple(rows)
        )

    def _r2_of_class(self, model: str, number: int | None) -> float | None:
        explained = self.moved.explained
        each = {unit: self.moved.by_model(unit, explained.r2(unit, number))[model] for unit in explained.sums}
        return _mean({unit: r2 for unit, r2 in each.items() if np.isfinite(r2)})

    def _unseen_table(self) -> Table:
        left = self.material.left_out(self.layers.phones)
        rows = [
            {"language": language, "frames": of_all, "left_out": out, "share": out / of_all if of_all else None}
            for language, (out, of_all) in left.items()
        ]
        columns = (Column("language"), Column("frames", "", "frames with a phone"),
                   Column("left_out", "", "of a phone that training lacks"), Column("share"))  # fmt: skip
        return Table(
            "unseen_phones", "Frames whose phone training lacks, which phonetic scores leave out", columns, tuple(rows)
        )

    def _layer_figure(self) -> Figure:
        table = self._layer_table()
        points = tuple([row["layer"], row["accuracy"], row["low"], row["high"]] for row in table.rows)
        chance = chance_of(self.layers.phones)
        levels = () if chance is None else (Level("chance", chance),)
        series = (Series("phones", points),)
        return Figure("phones_by_layer", "Phones by layer", "layer", _ACCURACY, series, levels=levels)

    def _share_figure(self) -> Figure:
        rows = self._class_table().rows
        series = tuple(Series(share, tuple([row["class"], row[share], None, None] for row in rows)) for share in SHARES)
        return Figure("shares_by_class", "What explains the movements", "class of phones", "R²", series, kind="bars")

    def _rows(self) -> list[dict]:
        accuracy = {"phones": scores_of(self.layers.phones), "phones_from_measured": scores_of(self.read["context"]),
                    "phones_from_predicted": scores_of(self.read["predicted"])}  # fmt: skip
        rows = [
            {"condition": condition, "language": language, "speaker": speaker, "r": r, "quantity": "r"}
            for condition in MODELS
            for (language, speaker), r in self._by_model(condition).items()
        ]
        for quantity, by_name in (
            (_ACCURACY, accuracy),
            ("r", {"phonetic_r": self.layers.r.get(PHONE, {})}),
            ("R²", {name: self._each(name) for name in SHARES}),
        ):
            rows += [
                {"condition": name, "language": language, "speaker": speaker, "r": value, "quantity": quantity}
                for name, scores in by_name.items()
                for (language, speaker), value in scores.items()
            ]
        return rows

    def _caveats(self) -> list[str]:
        left = self.material.left_out(self.layers.phones)
        out, of_all = (sum(counts[place] for counts in left.values()) for place in (0, 1))
        said = [
            f"{out} of {of_all} test frames have a phone that training lacks: phones are scored without them, features "
            "and movements with them",
            "phone labels say where phones begin and end; an automatic aligner that listened to similar features shares "
            "its errors with the states",
            "a timed transcript is described linearly (three hats over the phone, and its neighbours): a richer "
            "description could explain more, which would make unique_states smaller",
            "positions for phones_from_measured are standardised by all utterances of a speaker, test included",
        ]
        if self.without:
            said.append(f"left out, having no phone labels: {', '.join(self.without)}")
        if any(name not in self.layers.features or not self.layers.features[name] for name in CATEGORIES):
            absent = [name for name in CATEGORIES if not self.layers.features.get(name)]
            said.append(f"features with fewer than two values in a test are not scored: {', '.join(absent)}")
        return said


def _finding(
    name: str,
    says: str,
    scores: Mapping[Unit, float],
    unit: str,
    parts: Sequence[Part] = (),
    *,
    tested: bool = False,
    none: str = "no speaker has a defined score",
) -> Finding:
    """Return the mean of scores with its interval and parts; ``tested`` adds the p of sign flips, against 0."""
    if not scores:
        return Finding(name, f"{says}: undefined, {none}", None, None, None, unit, f"mean over {_SPEAKERS}", {})
    estimate = effect(scores)
    counted = {"speakers": estimate.n, "languages": _languages(scores)}
    by_language = {
        language: {unit: score for unit, score in scores.items() if unit[0] == language}
        for language in sorted({language for language, _ in scores})
    }
    by_speaker = {
        speaker: {unit: score for unit, score in scores.items() if unit[1] == speaker}
        for speaker in sorted({speaker for _, speaker in scores})
    }
    by = (*_parts("language", by_language), *_parts("speaker", by_speaker), *parts)
    p = sign_flip_p(dict(scores)) if tested else None
    over = f"mean over {_SPEAKERS}"
    return Finding(name, says, estimate.mean, estimate.low, estimate.high, unit, over, counted, p=p, by=by)


def _parts(kind: str, by_name: Mapping[str, Mapping[Unit, float]]) -> list[Part]:
    found = []
    for name, scores in by_name.items():
        if scores:
            estimate = effect(scores)
            low, high = (None, None) if kind == "speaker" else (estimate.low, estimate.high)
            found.append(Part(kind, name, estimate.mean, low, high, estimate.n))
    return found


def _mean(scores: Mapping[Unit, float]) -> float | None:
    return effect(scores).mean if scores else None


def _speakers(scores: Mapping[Unit, float]) -> int:
    return len({speaker for _, speaker in scores})


def _languages(scores: Mapping[Unit, float]) -> int:
    return len({language for language, _ in scores})
