"""Tables, figures and rows of what interventions do."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tractprobe.corpora.readers.interventions import ANATOMY, NOISE, VOICE
from tractprobe.evidence.methods.intervened import Course, Reader
from tractprobe.evidence.methods.interventions_report import SLOPE, VELUM, Compared
from tractprobe.evidence.methods.invariance import Movement, Nearness, StateMovement, when
from tractprobe.evidence.methods.responses import (
    Metric,
    Responses,
    at,
    by_what,
    main_channel,
    over,
    over_units,
    speaker,
    truth,
)
from tractprobe.evidence.record import Column, Figure, Level, Series, Table
from tractprobe.signals.channels import CHANNELS

_SHOWN = {"gain": SLOPE, "specificity": "", "sign": "", "lag_ms": "ms"}
TRUTH, USUAL, CHANCE_HEAD = "the exact positions", "what usually moves together", "shuffled heads"


class Pictures:
    """Tables and figures of an encoder and its controls."""

    def __init__(self, compared: Compared):
        self.compared, self.own = compared, compared.own
        self.courses = compared.own.courses
        self.real = Responses(truth, compared.margin_s)

    def tables(self) -> tuple[Table, ...]:
        """Return responses channel by channel, who reads how well, what else moves read-outs, and when."""
        return (self._readers(), self._invariance(), self._nearness(), self._responses(), self._depth(), self._when())

    def figures(self) -> tuple[Figure, ...]:
        """Return the response matrix beside the truth and the prediction, and lines against the layer."""
        moved = "How far read-outs (columns) move when an articulator (rows) moves by 1 mm; all channels are in a table"
        return (
            self._matrix("response", moved, self._told),
            self._matrix("truth", "How far the positions themselves move", self._real),
            self._matrix("usual", "How far they would move as they usually do together", self._usual),
            self._gains(),
            self._depth_figure(),
        )

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return each speaker's numbers, by which encoders are paired."""
        told, near = self.compared.responses(self.own), self.compared.nearness(self.own)
        metrics: Mapping[str, Metric] = {
            "interventions_gain": told.gain, "interventions_specificity": told.specificity,
            "interventions_sign": told.sign, "interventions_specificity_beyond_covariance": near.beyond,
        }  # fmt: skip
        return tuple(
            {"condition": name, "language": language, "speaker": who, "r": value}
            for name, metric in metrics.items()
            for (language, who), value in over_units(self.courses, metric, speaker).items()
        )

    def _each_reader(self) -> list[tuple[str, list[Course], Responses, int, Reader]]:
        """Return name, courses, what is read, layer and reader: of the encoder, its shuffled heads and its controls."""
        compared = self.compared
        readers = [self.own]
        readers += [compared.mel] if isinstance(compared.mel, Reader) else []
        readers += list(compared.random) if not isinstance(compared.random, str) else []
        each = [(reader.name, list(reader.courses), compared.responses(reader), reader.chosen, reader)
                for reader in readers]  # fmt: skip
        each[1:1] = [(f"{CHANCE_HEAD}, {draw}", list(self.courses), responses, self.own.chosen, self.own)
                     for draw, responses in enumerate(compared.by_chance, start=1)]  # fmt: skip
        return [*each, (TRUTH, list(self.courses), self.real, -1, self.own)]

    def _readers(self) -> Table:
        columns = [Column("read_by"), Column("layer"), Column("moved")]
        for name, unit in _SHOWN.items():
            columns += [Column(name, unit), Column(f"{name}_low", unit, "low"), Column(f"{name}_high", unit, "high")]
        rows = []
        for name, courses, responses, layer, reader in self._each_reader():
            of_all = {"everything": courses} | dict(by_what(courses))
            for moved, own in of_all.items():
                row: dict[str, Any] = {"read_by": name, "moved": moved}
                row["layer"] = str(reader.labels[layer]) if layer >= 0 else ""
                for metric in _SHOWN:
                    row |= _numbers(metric, own, getattr(responses, metric))
                rows.append(row)
        title = (
            f"Gain, specificity (by chance {self.compared.chance:.2g}), sign and lag, by who reads and what is moved"
        )
        return Table("readers", title, tuple(columns), tuple(rows))

    def _invariance(self) -> Table:
        columns = (Column("read_by"), Column("what"), Column("size", "SD", "read-outs move"),
                   Column("size_low", "SD", "low"), Column("size_high", "SD", "high"))  # fmt: skip
        rows = []
        for name, courses, responses, layer, _ in self._each_reader():
            if layer < 0:
                continue
            moved = Movement(responses.read)
            metrics: list[tuple[str, Metric]] = [("1 mm of articulation", moved.per_mm)]
            metrics += [("3 mm of articulation", _times(3, moved.per_mm)), ("1 semitone", moved.per_semitone)]
            metrics += [("3 semitones", _times(3, moved.per_semitone)), ("another voice", moved.by_kind(VOICE))]
            metrics += [("another anatomy", moved.by_kind(ANATOMY)), ("the velum", moved.by_kind(VELUM))]
            metrics += [("the synthesiser's noise", moved.by_kind(NOISE))]
            for what, metric in metrics:
                row = _numbers("size", courses, metric)
                if row["size"] is not None:
                    rows.append({"read_by": name, "what": what} | row)
        return Table("invariance", "How far read-outs move either way, mean over all channels", columns, tuple(rows))

    def _nearness(self) -> Table:
        columns = [Column("read_by")]
        shown = {"truth": "cosine with the exact positions", "usual": "cosine with what usually moves together",
                 "beyond": "nearer to the former than the latter explains"}  # fmt: skip
        for name, text in shown.items():
            columns += [Column(name, "", text), Column(f"{name}_low", "", "low"), Column(f"{name}_high", "", "high")]
        rows = []
        for name, courses, responses, _, _ in self._each_reader():
            near = Nearness(responses.read, self.compared.correlations, self.compared.margin_s)
            row: dict[str, Any] = {"read_by": name}
            for metric in shown:
                row |= _numbers(metric, courses, getattr(near, metric))
            rows.append(row)
        return Table("nearness", "Which pattern over channels responses are nearer to", tuple(columns), tuple(rows))

    def _told(self, courses: list[Course], channel: int) -> dict[tuple[str, str], float]:
        return self._response(self.compared.responses(self.own), courses, channel)

    def _real(self, courses: list[Course], channel: int) -> dict[tuple[str, str], float]:
        return self._response(self.real, courses, channel)

    def _usual(self, courses: list[Course], channel: int) -> dict[tuple[str, str], float]:
        near = self.compared.nearness(self.own)

        def usual(own: Any) -> float:
            main, sd = main_channel(own), own[0].sd_mm
            return float(near.prediction(own)[channel] * sd[channel] / sd[main])

        return over_units(courses, usual, speaker)

    def _response(self, responses: Responses, courses: list[Course], channel: int) -> dict[tuple[str, str], float]:
        """Return each speaker's response of a channel, in mm for each mm of the main channel."""

        def response(own: Any) -> float:
            main, sd = main_channel(own), own[0].sd_mm
            return float(responses.response(own)[channel] * sd[channel] / sd[main])

        return over_units(courses, response, speaker)

    def _matrix(self, name: str, title: str, of: Callable[[list[Course], int], dict[tuple[str, str], float]]) -> Figure:
        series = []
        mains = {main_channel(own): own for own in by_what(self.courses).values()}
        for main, own in sorted(mains.items()):
            points = []
            for place in sorted(mains):
                reached = over(of(own, place))
                numbers = (reached.mean, reached.low, reached.high) if reached else (None,) * 3
                points.append([CHANNELS[place], *numbers])
            series.append(Series(f"{own[0].pair.moved.rpartition('_')[2]} {CHANNELS[main]}", tuple(points)))
        return Figure(name, title, "read", SLOPE, tuple(series), kind="matrix")

    def _responses(self) -> Table:
        columns = (Column("moved"), Column("main", "", "its main channel"), Column("read"),
                   Column("response", SLOPE), Column("low", SLOPE), Column("high", SLOPE),
                   Column("truth", SLOPE, TRUTH), Column("usual", SLOPE, USUAL),
                   Column("speakers"), Column("pairs"))  # fmt: skip
        rows = []
        for moved, own in by_what(self.courses).items():
            for place, channel in enumerate(CHANNELS):
                told, real, usual = (over(of(own, place)) for of in (self._told, self._real, self._usual))
                rows.append({
                    "moved": moved, "main": CHANNELS[main_channel(own)], "read": channel,
                    "response": told and told.mean, "low": told and told.low, "high": told and told.high,
                    "truth": real and real.mean, "usual": usual and usual.mean,
                    "speakers": len({course.speaker for course in own}), "pairs": len(own),
                })  # fmt: skip
        return Table("responses", "Response of each read-out to 1 mm of each articulator", columns, tuple(rows))

    def _of_layers(self, metric_of: Callable[[int], Metric], reader: Reader | None = None) -> tuple[list[Any], ...]:
        """Return (layer, mean, low, high) for each layer."""
        reader = reader or self.own
        points = []
        for place, label in enumerate(reader.labels):
            reached = over(over_units(reader.courses, metric_of(place), speaker))
            points.append([label, *((reached.mean, reached.low, reached.high) if reached else (None,) * 3)])
        return tuple(points)

    def _gains(self) -> Figure:
        margin_s = self.compared.margin_s
        series = [
            Series("gain", self._of_layers(lambda layer: Responses(at(layer), margin_s).gain)),
            Series("specificity", self._of_layers(lambda layer: Responses(at(layer), margin_s).specificity)),
        ]
        if not isinstance(self.compared.random, str):
            twin = self.compared.random[0]
            series.append(Series(f"gain, {twin.name}",
                                 self._of_layers(lambda layer: Responses(at(layer), margin_s).gain, twin)))  # fmt: skip
        chance = self.compared.chance
        levels = [Level("specificity by chance", chance)] if np.isfinite(chance) else []
        for name, courses, responses, _, _ in self._each_reader():
            reached = over(over_units(courses, responses.gain, speaker))
            if (name == "mel" or name.startswith(CHANCE_HEAD)) and reached:
                levels.append(Level(f"gain, {name}", reached.mean))
        title = "Gain and specificity of read-outs against the layer"
        return Figure("layers", title, "layer", "mm per mm; share", tuple(series), "lines", levels=tuple(levels))

    def _depth(self) -> Table:
        columns = (Column("layer"), Column("per_mm", "SD per mm"), Column("per_mm_low", "", "low"),
                   Column("per_mm_high", "", "high"), Column("per_semitone", "SD per semitone"),
                   Column("per_semitone_low", "", "low"), Column("per_semitone_high", "", "high"),
                   Column("tract_over_pitch", "log2", "log2 of semitones per mm"),
                   Column("tract_over_pitch_low", "", "low"), Column("tract_over_pitch_high", "", "high"),
                   Column("voice", "SD"), Column("anatomy", "SD"))  # fmt: skip
        rows = []
        for place, label in enumerate(self.own.labels):
            moved, row = StateMovement(place), {"layer": str(label)}
            for name in ("per_mm", "per_semitone", "tract_over_pitch"):
                row |= _numbers(name, list(self.courses), getattr(moved, name))
            for kind in (VOICE, ANATOMY):
                row[kind] = _numbers(kind, list(self.courses), moved.by_kind(kind))[kind]
            rows.append(row)
        title = "How far states move, root mean square over features in deviations of speech"
        return Table("states", title, columns, tuple(rows))

    def _depth_figure(self) -> Figure:
        series = [Series(self.own.name, self._of_layers(lambda layer: StateMovement(layer).tract_over_pitch))]
        if not isinstance(self.compared.random, str):
            twin = self.compared.random[0]
            points = self._of_layers(lambda layer: StateMovement(layer).tract_over_pitch, twin)
            series.append(Series(twin.name, points))
        title = "Semitones that move states as far as 1 mm of articulation does (log2)"
        return Figure("states", title, "layer", "log2", tuple(series), "lines")

    def _when(self) -> Table:
        rows = []
        for name, courses, responses, layer, _ in self._each_reader():
            moved = [course for each in by_what(courses).values() for course in each]
            rows += [{"read_by": name} | when(moved, responses.read)] if layer >= 0 and moved else []
        names = list(rows[0]) if rows else ["read_by"]
        title = "Share of read-outs' movement (squares) by when it comes"
        return Table("when", title, tuple(map(Column, names)), tuple(rows))


def _times(factor: float, metric: Metric) -> Metric:
    def scaled(courses: Any) -> float | None:
        value = metric(courses)
        return None if value is None else factor * value

    return scaled


def _numbers(name: str, courses: list[Course], metric: Metric) -> dict[str, Any]:
    reached = over(over_units(courses, metric, speaker))
    numbers = (reached.mean, reached.low, reached.high) if reached else (None,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
