"""From rows of scores to their mean, always in this order: folds are pooled; then seeds, channels, speakers, languages.

A row is over the frames of one speaker in one language in one test set. Where several held-out values of one seed test
the same speaker in the same language, as folds of sentences do, their sums are added up and r is computed anew, over
all frames at once. r over few sentences differs from r over many, so a mean of folds would depend on their number.
With n, mean and deviation of predictions x and measurements y in each fold (and m for the means over all)::

    S_xy = Σ n (r sd_x sd_y + (mean_x - m_x) (mean_y - m_y)),    S_xx = Σ n (sd_x² + (mean_x - m_x)²),    S_yy likewise
    r = S_xy / √(S_xx S_yy)
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tractprobe.runs.estimate import Estimate, mean_over_speakers
from tractprobe.runs.result import MOMENTS, Row, of_languages, speaker_means
from tractprobe.system.errors import RunError

_UNIT = ("seed", "layer", "target", "language", "speaker", "channel")
_CONSTANT = 1e-12  # of the mean square: what rounding leaves of a constant


@dataclass(frozen=True)
class Mean:
    """The mean r of some rows, and what it is over.

    Attributes
    ----------
    rows
        Of one layer and set of targets, pooled: one for each seed, speaker in a language, and channel.
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "Mean":
        """Take rows of one layer and set of targets; those of no language only if there are no others."""
        return cls(tuple(pooled(of_languages(rows))))

    @cached_property
    def estimate(self) -> Estimate | None:
        """The mean over channels, speakers and languages with its interval; ``None`` where no r is defined."""
        values = speaker_means(self.rows)
        return mean_over_speakers(values, fisher=True) if values else None

    @property
    def undefined(self) -> list[Row]:
        """The rows that have no r, so the mean is not over them."""
        return [row for row in self.rows if row["r"] is None]

    @property
    def averaged(self) -> list[Row]:
        """The rows whose r is a mean of folds, since results of an earlier version lack what is pooled."""
        return [row for row in self.rows if row.get("averaged")]

    def count(self, name: str) -> int:
        """Return how many channels, speakers or seeds the rows are of."""
        return len({row[name] for row in self.rows})

    def without_any(self, name: str) -> list[str]:
        """Return the channels or speakers of which no row has an r."""
        return sorted({row[name] for row in self.rows} - {row[name] for row in self.rows if row["r"] is not None})


def pooled(rows: Iterable[Row]) -> list[Row]:
    """Return one row for each seed, layer, speaker in a language, and channel, over all frames of its folds.

    Raises
    ------
    RunError
        Two rows are of the same held-out value.
    """
    units: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        units.setdefault(tuple(row[name] for name in _UNIT), []).append(row)
    return [_pooled(folds) if len(folds) > 1 else folds[0] for folds in units.values()]


def _pooled(folds: Sequence[Row]) -> Row:
    """Return the row over the frames of several; its r is a mean of theirs, and marked, where results lack the sums."""
    _check_apart(folds)
    unit = {**folds[0], "held_out": None, "n_frames": sum(row["n_frames"] for row in folds)}
    if all(row.get(name) is not None for row in folds for name in MOMENTS):
        return unit | {"r": _pooled_r(folds)}
    defined = [row for row in folds if row["r"] is not None]
    if all(row.get(MOMENTS[0]) is not None for row in defined):  # the others have frames without a prediction
        return unit | {"r": None}
    return unit | {"r": math.fsum(row["r"] for row in defined) / len(defined), "averaged": True}


def _check_apart(folds: Sequence[Row]) -> None:
    by_held_out: dict[str | None, Row] = {}
    for row in folds:
        if (other := by_held_out.setdefault(row["held_out"], row)) is not row:
            runs, what = f"{other['run']} and {row['run']}", f"held_out={row['held_out']} and seed {row['seed']}"
            raise RunError(f"{runs} are two results of one kind for {what}: remove one, or move it to another folder")
    first: dict[str, Row] = {}
    for row in by_held_out.values():
        for part in _parts(row):
            if (other := first.setdefault(part, row)) is not row:
                raise RunError(
                    f"{other['run']} and {row['run']} both test {row['speaker']} on the same utterances, as {part} is "
                    "held out in both: a mean over them would count these twice; move one to another folder"
                )


def _parts(row: Row) -> set[str]:
    """Return each of the values that a row's run held out at once, without what may be left out of their names."""
    return {part.rpartition("/")[2] for part in str(row["held_out"]).split("+")}


def apart(rows: Iterable[Row]) -> list[list[Row]]:
    """Return rows in groups that means can be over: runs that hold several values out at once are apart from others.

    Unless nothing is held out in two of the runs; then all are one group.
    """
    by_held_out: dict[str, list[Row]] = {}
    for row in rows:
        by_held_out.setdefault(str(row["held_out"]), []).append(row)
    parts = [part for own in by_held_out.values() for part in _parts(own[0])]
    together = [held_out for held_out, own in by_held_out.items() if len(_parts(own[0])) > 1]
    if len(set(parts)) == len(parts) or not together:
        return [[row for own in by_held_out.values() for row in own]]
    alone = [row for held_out, own in by_held_out.items() if held_out not in together for row in own]
    return [*([alone] if alone else []), *(by_held_out[held_out] for held_out in together)]


def _pooled_r(folds: Sequence[Row]) -> float | None:
    frames = sum(row["n_frames"] for row in folds)
    m_x, m_y = (math.fsum(row["n_frames"] * row[name] for row in folds) / frames for name in MOMENTS[:2])
    xy, xx, yy = 0.0, 0.0, 0.0
    for row in folds:
        n, (mean_x, mean_y, sd_x, sd_y) = row["n_frames"], (row[name] for name in MOMENTS)
        xy += n * ((row["r"] or 0.0) * sd_x * sd_y + (mean_x - m_x) * (mean_y - m_y))
        xx += n * (sd_x**2 + (mean_x - m_x) ** 2)
        yy += n * (sd_y**2 + (mean_y - m_y) ** 2)
    is_constant = xx <= _CONSTANT * frames * m_x**2 or yy <= _CONSTANT * frames * m_y**2
    return None if is_constant or xx == 0 or yy == 0 else max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))
