"""Effects from rows of scores: paired by speaker and channel, over speakers and languages, and the same in parts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import stdtr

from tractprobe.corpora.languages import is_language
from tractprobe.evidence.record import Finding, Part
from tractprobe.evidence.statistics.inference import effect, sign_flip_p, speakers_needed
from tractprobe.runs.estimate import Scores, interval
from tractprobe.runs.result import Row

Key = tuple[str, str, str]
OVER = "mean over channels, then speakers, then languages"


@dataclass(frozen=True)
class Cells:
    """A number for each (language, speaker, channel).

    Attributes
    ----------
    lost
        How many were undefined, or had no partner, and are in no mean.
    missing
        Which of them these are, as far as they are known by name.
    """

    values: Mapping[Key, float]
    lost: int = 0
    missing: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[Row], metric: str = "r") -> "Cells":
        """Take scores from rows, of which no two are of one language, speaker and channel."""
        values: dict[Key, float] = {}
        lost = set()
        for row in rows:
            key = (row["language"], row["speaker"], row["channel"])
            assert key not in values and key not in lost, f"{key} was scored twice"
            if row[metric] is None:
                lost.add(key)
            else:
                values[key] = row[metric]
        return cls(values, len(lost), frozenset(lost))

    @classmethod
    def _out_of(cls, several: Sequence["Cells"], values: Mapping[Key, float]) -> "Cells":
        """Return cells that were made of others, with a count of those that could not be made."""
        keys = (key for one in several for key in (*one.missing, *one.values))
        missing = frozenset(key for key in keys if key not in values)
        return cls(values, len(missing) + max(one.lost - len(one.missing) for one in several), missing)

    @classmethod
    def mean(cls, several: Iterable["Cells"]) -> "Cells":
        """Average over repetitions, such as seeds; a cell that one of them lacks is lost."""
        each = list(several)
        common = sorted(set.intersection(*(set(one.values) for one in each)))
        means = {key: sum(one.values[key] for one in each) / len(each) for key in common}
        return cls._out_of(each, means)

    def minus(self, other: "Cells") -> "Cells":
        """Return the difference of each cell that both have."""
        differences = {key: value - other.values[key] for key, value in self.values.items() if key in other.values}
        return self._out_of((self, other), differences)

    def of_speakers(self, articulator: str = "") -> dict[tuple[str, str], float]:
        """Return (language, speaker) to the mean over channels, of one articulator's or of all."""
        channels: dict[tuple[str, str], list[float]] = {}
        for (language, speaker, channel), value in self.values.items():
            if not articulator or channel.partition("_")[0] == articulator:
                channels.setdefault((language, speaker), []).append(value)
        return {key: sum(values) / len(values) for key, values in channels.items()}

    def parts(self, *, fisher: bool = False, level: float = 0.95) -> tuple[Part, ...]:
        """Return the effect in each language, of each speaker and of each articulator."""
        values = self.of_speakers()
        parts = [
            _part("language", name, {key: value for key, value in values.items() if key[0] == name}, level, fisher)
            for name in sorted({language for language, _ in values})
        ]
        for name in sorted({speaker for _, speaker in values}):
            own = [value for (_, speaker), value in values.items() if speaker == name]
            parts.append(Part("speaker", name, sum(own) / len(own), n=1))
        for name in dict.fromkeys(channel.partition("_")[0] for _, _, channel in self.values):
            parts.append(_part("articulator", name, self.of_speakers(name), level, fisher))
        return tuple(parts)

    def count(self) -> dict[str, int]:
        """Return how many of each unit there are; babble (zxx) is no language."""
        languages, speakers, channels = map(set, zip(*self.values, strict=True) if self.values else ((), (), ()))
        return {"speakers": len(speakers), "languages": sum(map(is_language, languages)), "channels": len(channels)}


def finding(
    name: str, says: str, cells: Cells, *, tested: bool = False, margin: float | None = None, unit: str = "r"
) -> Finding:
    """Return the mean of some cells as a finding; one without any number says so.

    Parameters
    ----------
    tested
        Whether 0 is what the cells are tested against, as differences are, with the p of sign flips.
    margin
        The true difference that ``needed`` counts speakers for.
    """
    values = cells.of_speakers()
    if not values:
        return none(name, f"{says}: no speaker has it", unit)
    fisher = unit == "r" and not tested
    reached = effect(values, fisher=fisher)
    if cells.lost:
        says = f"{says}; {cells.lost} of {cells.lost + len(cells.values)} scores are undefined and in no mean"
    if reached.low is None:
        says = f"{says}; no interval, as one speaker alone speaks {', '.join(reached.alone) or 'it'}"
    p = sign_flip_p(values) if tested and reached.n > 1 else None
    needed = speakers_needed(values, margin, aim="superiority") if margin and tested else None
    return Finding(
        name, says, reached.mean, reached.low, reached.high, unit, OVER, cells.count(), p=p, margin=margin,
        needed=needed, by=cells.parts(fisher=fisher),
    )  # fmt: skip


def finding_over_draws(
    name: str, says: str, own: Cells, draws: Sequence[Cells], margin: float | None = None
) -> Finding:
    """Return what an effect exceeds the mean of several draws of a control by, over speakers and draws.

    Its interval holds 0 as often as it says if the effect is one more draw: with the standard error se of the mean
    difference over speakers, and s the deviation of the m draws' means, its variance is se² + s² (1 + 1/m), with the
    degrees of freedom of Satterthwaite (1946). Otherwise a lucky draw would exceed the others for certain, since the
    same speakers have heard all of them. A single draw tells nothing about draws: there is no interval.
    """
    found = finding(name, says, own.minus(Cells.mean(draws)), tested=True, margin=margin)
    if found.value is None:
        return found
    over = effect(own.minus(Cells.mean(draws)).of_speakers())
    if len(draws) < 2 or over.se is None or over.df is None:
        reason = "" if over.se is None else "; no interval, as there is one draw"
        return replace(found, says=f"{found.says}{reason}", low=None, high=None, p=None, needed=None)
    each = [effect(own.minus(draw).of_speakers()).mean for draw in draws]
    parts = (over.se**2, float(np.var(each, ddof=1)) * (1 + 1 / len(draws)))
    if not (se := sum(parts) ** 0.5):
        return found
    df = sum(parts) ** 2 / (parts[0] ** 2 / over.df + parts[1] ** 2 / (len(draws) - 1))
    low, high = interval(over.mean, se, df, found.level)
    p = 2 * float(stdtr(df, -abs(over.mean) / se))
    count = found.n | {"draws": len(draws)}
    return replace(found, low=low, high=high, p=p, over=f"{OVER}; interval over speakers and draws", n=count)


def point(x: object, cells: Cells, *, fisher: bool = True) -> list:
    """Return (x, mean, low, high) as figures take it, ``None`` where nothing is defined.

    Parameters
    ----------
    fisher
        Whether the cells are r, and no differences of it.
    """
    values = cells.of_speakers()
    if not values:
        return [x, None, None, None]
    reached = effect(values, fisher=fisher)
    return [x, reached.mean, reached.low, reached.high]


def rows_of(conditions: Mapping[str, Cells], metric: str = "r") -> tuple[dict[str, Any], ...]:
    """Return each speaker's mean over channels as tidy rows, by which the report pairs encoders."""
    return tuple(
        {"condition": name, "language": language, "speaker": speaker, metric: value}
        for name, cells in conditions.items()
        for (language, speaker), value in sorted(cells.of_speakers().items())
    )


def none(name: str, says: str, unit: str = "r") -> Finding:
    """Return a finding without a number; ``says`` tells why."""
    return Finding(name, says, None, None, None, unit, OVER, {})


def _part(kind: str, name: str, values: Scores, level: float, fisher: bool) -> Part:
    reached = effect(values, level, fisher=fisher)
    return Part(kind, name, reached.mean, reached.low, reached.high, reached.n)
