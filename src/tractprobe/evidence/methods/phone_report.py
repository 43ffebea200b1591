"""What phones against articulation have shown, as findings, tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tractprobe.corpora.phone_features import CATEGORIES
from tractprobe.evidence.methods.classification import PHONE, Classified, Unit
from tractprobe.evidence.methods.partition import SHARES, shares
from tractprobe.evidence.methods.phonetic import Layers, Material, chance_of, scores_of
from tractprobe.evidence.methods.transcribed import BOTH, MODELS, SEEN, STATES, STRING, TIMED, Transcribed
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Level, Part, Series, Table
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.signals.channels import CHANNELS

_ARTICULATORS = {
    name: [number for number, channel in enumerate(CHANNELS) if channel.rpartition("_")[0] == name]
    for name in dict.fromkeys(channel.rpartition("_")[0] for channel in CHANNELS)
}
_SPEAKERS = "speakers of each language, then languages"
_OVER = f"mean over {_SPEAKERS}"
_ACCURACY = "balanced accuracy"
_NAMES = {
    STATES: "movements_from_states",
    TIMED: "movements_from_timed_phones",
    STRING: "movements_from_phone_string",
    BOTH: "movements_from_both",
}


@dataclass(frozen=True, eq=False)
class PhoneReport:
    """What was found, as findings, tables and figures."""

    material: Material
    layers: Layers
    read: Mapping[str, Mapping[str, Classified]]
    random: Sequence[Mapping[Unit, float]]
    moved: Transcribed
    acoustic: Transcribed | None
    without: Sequence[str]
    least_frames: int
    margin_r2: float
    margin_accuracy: float

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
            found.append(_finding(name, says, differences(predicted, other), _ACCURACY, margin=self.margin_accuracy))
        return found

    @property
    def _random_mean(self) -> dict[Unit, float]:
        shared = set.intersection(*map(set, self.random)) if self.random else set()
        return {unit: float(np.mean([each[unit] for each in self.random])) for unit in sorted(shared)}

    # Movements

    def _by_model(self, model: str) -> dict[Unit, float]:
        each = {unit: self.moved.r(unit)[model] for unit in self.moved.explained.sums}
        return {unit: r for unit, r in each.items() if np.isfinite(r)}

    def _movements(self) -> list[Finding]:
        says = {
            STATES: "movements from states, at the frames that have a phone",
            TIMED: "movements from phone, position in it and neighbours: what a transcript with times carries",
            STRING: "movements from the phone string with average durations: what a transcript without times carries",
            BOTH: "movements from states and timed phones together, with a penalty for each",
        }
        each = {model: f"{text}; mean r over channels" for model, text in says.items()}
        return [_finding(_NAMES[model], text, self._by_model(model), "r") for model, text in each.items()]

    def _r2(self, model: str, of_class: str | None) -> dict[Unit, float]:
        each = {unit: self.moved.r2(unit, None, of_class)[model] for unit in self.moved.explained.sums}
        return {unit: r2 for unit, r2 in each.items() if np.isfinite(r2)}

    def _share(
        self, name: str, channels: Sequence[int] | None = None, of_class: str | None = None
    ) -> dict[Unit, float]:
        return _share(self.moved, name, channels, of_class)

    def _shares(self) -> list[Finding]:
        """Return the shares at frames whose phone training has: of the others a transcript could not know enough."""
        at = "at frames whose phone training has"
        says = {
            "unique_states": f"R² of movements that states add to timed phones, {at}",
            "unique_phones": f"R² of movements that timed phones add to states, {at}",
            "common": f"R² of movements that states and timed phones both explain, {at}",
        }
        found = []
        for name in SHARES:
            classes = {own: self._share(name, None, own) for own in self.moved.classes}
            parts = [
                *_parts(
                    "articulator", {own: self._share(name, channels, SEEN) for own, channels in _ARTICULATORS.items()}
                ),
                *_parts("class", {"all": self._share(name)} | classes),
            ]
            margin = None if name == "common" else self.margin_r2
            found.append(_finding(name, says[name], self._share(name, None, SEEN), "R²", parts, margin=margin))
        return [*found, self._beyond_acoustics()]

    def _beyond_acoustics(self) -> Finding:
        name, says = "unique_states_beyond_acoustics", "unique_states, minus the same share of a spectrum"
        own = self._share("unique_states", None, SEEN)
        other = {} if self.acoustic is None else _share(self.acoustic, "unique_states", None, SEEN)
        none = "no spectrum was compared, or the encoder is it"
        return _finding(name, says, differences(own, other), "R²", margin=self.margin_r2, none=none)

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
        for name in (None, *self.moved.classes):
            if frames := self.moved.frames(name):
                r2 = {model: _mean(self._r2(model, name)) for model in MODELS}
                own = {share: _mean(self._share(share, None, name)) for share in SHARES}
                rows.append({"class": name or "all", "frames": frames, **r2, **own})
        columns = ("class", "frames", *MODELS, *SHARES)
        units = {name: "R²" for name in (*MODELS, *SHARES)}
        title = f"R² of movements by class of frames, mean over {_SPEAKERS}"
        return Table(
            "shares_by_class", title, tuple(Column(name, units.get(name, "")) for name in columns), tuple(rows)
        )

    def _unseen_table(self) -> Table:
        left = self.material.left_out(self.layers.phones)
        rows = [
            {"language": language, "frames": of_all, "left_out": out, "share": out / of_all if of_all else None}
            for language, (out, of_all) in left.items()
        ]
        few = f"of a phone with fewer than {self.least_frames} frames of training"
        columns = (
            Column("language"),
            Column("frames", "", "frames with a phone"),
            Column("left_out", "", few),
            Column("share"),
        )
        title = "Frames whose phone training lacks or hardly has, which phonetic scores leave out"
        return Table("unseen_phones", title, columns, tuple(rows))

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
        """Return the correlations that depend on the encoder, by which the report pairs encoders."""
        by_condition: dict[str, Mapping[Unit, float]] = {
            **{_NAMES[model]: self._by_model(model) for model in (STATES, BOTH)},
            "phonetic_r": self.layers.r.get(PHONE, {}),
        }
        return [
            {"condition": condition, "language": language, "speaker": speaker, "r": r}
            for condition, scores in by_condition.items()
            for (language, speaker), r in scores.items()
        ]

    def _caveats(self) -> list[str]:
        left = self.material.left_out(self.layers.phones)
        out, of_all = (sum(counts[place] for counts in left.values()) for place in (0, 1))
        said = [
            f"{out} of {of_all} test frames have a phone with fewer than {self.least_frames} frames of training: "
            "phones are scored without them, features and movements with them",
            "labels say where phones begin and end; those of an aligner that heard similar features share its "
            "errors with the states",
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


def _share(moved: Transcribed, name: str, channels: Sequence[int] | None, of_class: str | None) -> dict[Unit, float]:
    """Return a share of the movements by (language, speaker)."""
    each = {unit: moved.r2(unit, channels, of_class) for unit in moved.explained.sums}
    return {unit: shares(r2[STATES], r2[TIMED], r2[BOTH])[name] for unit, r2 in each.items() if np.isfinite(r2[BOTH])}


def _finding(
    name: str,
    says: str,
    scores: Mapping[Unit, float],
    unit: str,
    parts: Sequence[Part] = (),
    *,
    margin: float | None = None,
    none: str = "no speaker has a defined score",
) -> Finding:
    """Return the mean of scores with its interval and parts; with a margin also p against 0 and speakers needed."""
    if not scores:
        return undefined(name, f"{says}: {none}", unit, _OVER)
    by = (*_parts("language", _grouped(scores, 0)), *_parts("speaker", _grouped(scores, 1)), *parts)
    estimate = effect(scores, fisher=unit == "r") if margin is None else None
    return finding(name, says, scores, unit, _OVER, margin, by, estimate=estimate)


def _grouped(scores: Mapping[Unit, float], place: int) -> dict[str, dict[Unit, float]]:
    """Return scores by language (0) or speaker (1)."""
    names = sorted({unit[place] for unit in scores})
    return {name: {unit: score for unit, score in scores.items() if unit[place] == name} for name in names}


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
