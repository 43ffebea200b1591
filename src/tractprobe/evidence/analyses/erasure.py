"""Erasure: what else is lost when all that is linearly readable of the movements is erased from the states."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.damage import ITSELF, Cell, Readings, Reads, mean_of, over_channels, part, parts
from tractprobe.evidence.methods.erased import (
    FEWER_PHONES,
    HEARD,
    LIPS_AND_JAW,
    MOVEMENTS,
    NOTHING,
    PARTS,
    PHONES,
    RANDOM,
    SPEAKERS,
    SUMS,
    TONGUE,
    UNHEARD,
    Hits,
    Regained,
    matched,
    sites_of,
    targets_of,
)
from tractprobe.evidence.methods.erasure import Eraser
from tractprobe.evidence.record import Column, Evidence, Figure, Finding, Series, Table
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.runs.estimate import Scores

_ERASED = (MOVEMENTS, TONGUE, LIPS_AND_JAW, PHONES, FEWER_PHONES, SPEAKERS)
_READ: dict[str, Reads] = {
    MOVEMENTS: lambda target, name: target == "ema",
    TONGUE: lambda target, name: target == "ema" and name[:2] in PARTS[TONGUE],
    LIPS_AND_JAW: lambda target, name: target == "ema" and name[:2] in PARTS[LIPS_AND_JAW],
    PHONES: lambda target, name: target == PHONES,
    SPEAKERS: lambda target, name: (target, name) == (SPEAKERS, "frames"),
}
_OVER = {PHONES: "phones", SPEAKERS: "frames"}
_PART_OF = {PHONES: "phone"}
_CAVEATS = (
    "Erasing is linear: what a nonlinear read-out would still find is not counted, and what is lost together with the "
    "movements may do no more than correlate with them in these recordings.",
    "Damage is counted beyond that of as many random directions. Among whitened states each direction is as likely, "
    "but most hold little variance; random sums of features take more of it, which makes them the harder control.",
    "Penalties and scales of features are those from before anything was erased. Validation chose penalties, except "
    "those of heads for speakers, which cannot be validated on other speakers and have the default.",
)


@dataclass(frozen=True)
class Erasure:
    """What else is lost with the movements, and whether what some languages erase holds for another.

    Attributes
    ----------
    by
        What is held out: language, speaker or corpus.
    sentence_folds
        Into how many parts sentences are divided for what is fitted and tested in the same language, or speaker.
    draws
        Of random directions.
    margin_r
        The damage that speakers needed are counted for.
    """

    by: str = "language"
    sentence_folds: int = 5
    draws: int = 3
    margin_r: float = 0.03

    name: ClassVar[str] = "erasure"
    version: ClassVar[int] = 2

    def __call__(self, bench: Bench) -> Evidence:
        """Return the damage to phones, speakers and other articulators, and what is left of the movements."""
        targets, without_phones = targets_of(bench)
        held, known = bench.splits(self.by), bench.splits("sentence", folds=self.sentence_folds)
        splits = {**held, **known}
        fits = bench.fit(list(splits.values()), bench.targets("ema"))
        labels = {name: chosen_layer(fit) for name, fit in zip(splits, fits, strict=True)}
        rule = fits[0].head
        assert isinstance(rule, Ridge)
        store = bench.moments(list(splits.values()), targets)
        readings, regains, regained = Readings(), Readings(), Regained(known, self.by, bench.seed)
        sizes: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for site in sites_of(bench, held, labels, store, targets, rule):
            conditions = dict(site.conditions(self.draws, bench.seed))
            rows = {condition: site.scored(eraser) for condition, eraser in conditions.items()}
            for erased, how, condition in matched(site, self.draws):
                readings.include(erased, how, rows[condition])
                sizes[erased if how == ITSELF else f"{how} for {erased}"].append(_size(conditions[condition]))
            for name, each in regained.at(site, targets).items():
                regains.include(name, ITSELF, each)
        hits = Hits()
        for site in sites_of(bench, known, labels, store, targets, rule):
            if len(site.speakers) > 1:
                hits.include(bench, site, known[site.name], self.draws, rule.alpha_without_validation)
        for (erased, how), rows in hits.rows().items():
            readings.include(erased, how, rows)
        reasons = {PHONES: without_phones, SPEAKERS: "" if hits.rows() else "there is one speaker only"}
        findings = (*self._damages(readings, reasons), *self._residuals(regains))
        tables = (_damage_table(readings, sizes), _regained_table(regains))
        return Evidence(findings, tables, (_matrix(readings), _bars(regains)), _rows(readings, regains), _CAVEATS)

    def _damages(self, readings: Readings, reasons: dict[str, str]) -> list[Finding]:
        """Return what erasing one thing takes from another, beyond each kind of random directions."""
        others = [(TONGUE, LIPS_AND_JAW), (LIPS_AND_JAW, TONGUE)]
        asked = {
            "damage_to_phones": [(MOVEMENTS, PHONES)],
            "damage_to_speaker": [(MOVEMENTS, SPEAKERS)],
            "damage_to_other_articulators": others,
            "phone_erasure_damage_to_movements": [(PHONES, MOVEMENTS)],
            "speaker_erasure_damage_to_movements": [(SPEAKERS, MOVEMENTS)],
        }
        return [
            self._damage(name + suffix, readings, pairs, against, reasons)
            for against, suffix in ((RANDOM, ""), (SUMS, "_beyond_sums"))
            for name, pairs in asked.items()
        ]

    def _damage(
        self, name: str, readings: Readings, pairs: Sequence[tuple[str, str]], against: str, reasons: dict[str, str]
    ) -> Finding:
        erased = " or ".join(pair[0] for pair in pairs)
        read = pairs[0][1]
        unit = "share" if read == SPEAKERS else "r"
        over = f"mean over {_OVER.get(read, 'channels')}, speakers, languages"
        says = (
            f"by how much less is read of {' or '.join(pair[1] for pair in pairs)} after erasing {erased}, than after "
        )
        says += f"erasing as many {against}"
        if reason := next((reasons[what] for pair in pairs for what in pair if reasons.get(what)), ""):
            return undefined(name, f"{says}: {reason}", unit, over)
        cells = [readings.damage(erased, against, _READ[read]) for erased, read in pairs]
        values = mean_of([over_channels(each) for each in cells])
        by = parts(values)
        if len(pairs) > 1:
            by += [part("erased", pair[0], over_channels(each)) for pair, each in zip(pairs, cells, strict=True)]
        channels = sorted({cell[3] for each in cells for cell in each})
        by += [
            part(_PART_OF.get(read, "channel"), channel, over_channels(_of_channel(cells, channel)))
            for channel in channels
            if read != SPEAKERS
        ]
        return finding(name, says, values, unit, over, self.margin_r, by)

    def _residuals(self, regains: Readings) -> list[Finding]:
        """Return what heads within the held-out languages regain of movements that were erased."""
        over = "mean over channels, speakers, languages"
        before, left, heard = (regains.level(name, ITSELF, _READ[MOVEMENTS]) for name in (NOTHING, UNHEARD, HEARD))
        says = (
            f"r that heads fitted within a held-out {self.by} regain of movements that were erased by what the others' "
            f"training moments say (there no linear head is left)"
        )
        if not left:
            reason = "no held-out value has sentences both to fit and to test"
            return [undefined(name, f"{says}: {reason}", "r", over) for name in ("residual", "residual_beyond_known")]
        reference = f"{says}; {effect(before).mean:.3f} before erasing" if before else says
        residual = finding("residual", reference, left, "r", over, by=parts(left), estimate=effect(left, fisher=True))
        beyond = differences(left, heard)
        says = f"r regained after an eraser that never met the held-out {self.by}, less that after one that did"
        return [residual, finding("residual_beyond_known", says, beyond, "r", over, self.margin_r, parts(beyond))]


def _size(eraser: Eraser | None) -> tuple[int, float]:
    return (0, 0.0) if eraser is None else (eraser.rank, eraser.share)


def _of_channel(cells: Sequence[dict[Cell, float]], channel: str) -> dict[Cell, float]:
    return {cell: value for each in cells for cell, value in each.items() if cell[3] == channel}


def _damage_table(readings: Readings, sizes: dict[str, list[tuple[int, float]]]) -> Table:
    """Return a row for each thing that is erased and each that is read."""
    columns = (
        Column("erased"),
        Column("rank", "", "directions"),
        Column("share", "", "variance erased"),
        Column("share_random", "", f"by {RANDOM}"),
        Column("share_sums", "", f"by {SUMS}"),
        Column("read"),
        Column("before", "r"),
        Column("after", "r"),
        Column("after_random", "r", f"after {RANDOM}"),
        Column("after_sums", "r", f"after {SUMS}"),
        Column("damage", "r", f"beyond {RANDOM}"),
        Column("low", "r"),
        Column("high", "r"),
        Column("channels", "", "channels read before and after"),
    )
    rows = [_damage_row(readings, sizes, erased, read) for erased in _ERASED if erased in sizes for read in _READ]
    title = "What is read after erasing (of speakers the share of frames, of the others r)"
    return Table("damage", title, columns, tuple(row for row in rows if row["before"] is not None))


def _damage_row(
    readings: Readings, sizes: dict[str, list[tuple[int, float]]], erased: str, read: str
) -> dict[str, Any]:
    damage = readings.damage(erased, RANDOM, _READ[read])
    reached = effect(over_channels(damage)) if damage else None
    left = {cell[2:] for cell in damage}  # where some channels are erased, everything is over the others

    def reads(target: str, name: str) -> bool:
        return _READ[read](target, name) and (not left or (target, name) in left)

    share, random, sums = (
        float(np.mean([share for _, share in sizes[name]])) if sizes.get(name) else None
        for name in (erased, f"{RANDOM} for {erased}", f"{SUMS} for {erased}")
    )
    return {
        "erased": erased,
        "rank": float(np.mean([rank for rank, _ in sizes[erased]])),
        "share": share,
        "share_random": random,
        "share_sums": sums,
        "read": read,
        "before": _mean(readings.level(NOTHING, ITSELF, reads)),
        "after": _mean(readings.level(erased, ITSELF, reads)),
        "after_random": _mean(readings.level(erased, RANDOM, reads)),
        "after_sums": _mean(readings.level(erased, SUMS, reads)),
        "damage": reached.mean if reached else None,
        "low": reached.low if reached else None,
        "high": reached.high if reached else None,
        "channels": len(left),
    }


def _regained_table(regains: Readings) -> Table:
    columns = (Column("erased"), Column("r", "r"), Column("low", "r"), Column("high", "r"), Column("speakers"))
    rows = []
    for name in (NOTHING, UNHEARD, HEARD, RANDOM):
        if values := regains.level(name, ITSELF, _READ[MOVEMENTS]):
            reached = effect(values, fisher=True)
            rows.append({"erased": name, "r": reached.mean, "low": reached.low, "high": reached.high,
                         "speakers": reached.n})  # fmt: skip
    return Table("regained", "What heads within what is held out regain of the movements", columns, tuple(rows))


def _matrix(readings: Readings) -> Figure:
    series = []
    for erased in _ERASED:
        points = []
        for read in _READ:
            if damage := readings.damage(erased, RANDOM, _READ[read]):
                reached = effect(over_channels(damage))
                points.append((read, reached.mean, reached.low, reached.high))
            else:
                points.append((read, None, None, None))
        if any(point[1] is not None for point in points):
            series.append(Series(erased, tuple(points)))
    title = f"Damage by erasing (rows) to what is read (columns), beyond as many {RANDOM}"
    return Figure("damage", title, "read", "erased", tuple(series), kind="matrix")


def _bars(regains: Readings) -> Figure:
    table = _regained_table(regains)
    points = tuple((row["erased"], row["r"], row["low"], row["high"]) for row in table.rows)
    return Figure("regained", table.title, "erased", "r", (Series("movements", points),), kind="bars")


def _rows(readings: Readings, regains: Readings) -> tuple[dict[str, Any], ...]:
    """Return each speaker's mean of what is read after each erasing, by which encoders are paired."""
    found = []
    for erased in (NOTHING, *_ERASED):
        for how in (ITSELF, RANDOM, SUMS):
            for read, reads in _READ.items():
                for (language, speaker), r in readings.level(erased, how, reads).items():
                    condition = erased if how == ITSELF else f"{how} for {erased}"
                    found.append(
                        {"condition": condition, "read": read, "language": language, "speaker": speaker, "r": r}
                    )
    for name in (NOTHING, UNHEARD, HEARD, RANDOM):
        for (language, speaker), r in regains.level(name, ITSELF, _READ[MOVEMENTS]).items():
            found.append({"condition": f"regained after {name}", "read": MOVEMENTS, "language": language,
                          "speaker": speaker, "r": r})  # fmt: skip
    return tuple(found)


def _mean(values: Scores) -> float | None:
    return effect(values).mean if values else None
