"""Read-outs of voices on other voices, mapped by each family: sums from which r and errors follow, pair by pair."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tractprobe.data.scales import SpeakerScale
from tractprobe.data.targets import Targets
from tractprobe.encoders.layers import Label
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.methods.affine import FAMILIES, Family, ReadMoments, ReadOut, fitted_map, read_moments
from tractprobe.evidence.methods.in_turn import fitted_in_turn
from tractprobe.evidence.methods.voices import Roles, Voice
from tractprobe.probes.fitted import Fitted
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.signals.channels import CHANNELS

Scores = dict[tuple[str, str], float]
"""(language, speaker) to a score."""

_CHANNELS = len(CHANNELS)
_CONSTANT = 1e-12  # of the mean square: what rounding leaves of a constant


class Way(NamedTuple):
    """How movements were read.

    Attributes
    ----------
    reading
        ``head``: a head of the source voice; ``shuffled``: one that was fitted to other movements; ``own``: one of the
        target voice, fitted to the minutes that maps are fitted to; ``within``: the target's own head.
    minutes
        Of the target's movements; 0 if none were needed.
    """

    reading: str
    family: Family
    minutes: float


class Pair(NamedTuple):
    """Whose head is read, and on whom in which language."""

    source: Voice
    target: Voice
    language: str


@dataclass(frozen=True, eq=False)
class Mapped:
    """Sums n, Σq, Σy, Σq², Σy², Σqy of mapped read-outs q and movements y, by way and pair, over all rotations.

    Attributes
    ----------
    layers
        Which layer each source's head reads in each rotation.
    """

    sums: Mapping[tuple[Way, Pair], Float[np.ndarray, "6 channel"]]
    layers: Mapping[tuple[Voice, int], Label]
    heads: Mapping[tuple[Voice, int], dict[str, ReadOut]] = field(default_factory=dict)

    def ways(self) -> list[Way]:
        """Return every way that there is."""
        return sorted(
            {way for way, _ in self.sums}, key=lambda way: (way.reading, way.minutes, FAMILIES.index(way.family))
        )

    def scores(
        self,
        way: Way,
        metric: str = "r",
        channels: Sequence[int] = range(_CHANNELS),
        among: Callable[[Pair], bool] = lambda pair: True,
    ) -> Scores:
        """Return a target's mean over its sources, each over channels, by (language, speaker); without those undefined.

        Parameters
        ----------
        metric
            ``r``, ``rmse`` in mm, or ``rmse_about_means``, from which each speaker's static offset is removed.
        among
            Which pairs are counted.
        """
        of_targets: dict[tuple[str, str], list[float]] = defaultdict(list)
        for (this, pair), sums in self.sums.items():
            if this == way and among(pair):
                values = METRICS[metric](sums[:, list(channels)])
                if np.isfinite(values).any():
                    of_targets[pair.language, pair.target.speaker].append(float(np.nanmean(values)))
        return {key: float(np.mean(values)) for key, values in of_targets.items()}

    def undefined(self, way: Way) -> int:
        """Return how many channels of pairs have movements, but no r."""
        return sum(
            int((np.isnan(METRICS["r"](sums)) & (sums[0] > 1)).sum())
            for (this, _), sums in self.sums.items()
            if this == way
        )


def _r(sums: Float[np.ndarray, "6 channel"]) -> Float[np.ndarray, " channel"]:
    n, q, y, qq, yy, qy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_q, spread_y = qq - q**2 / n, yy - y**2 / n
        known = (n > 1) & (spread_q > _CONSTANT * qq) & (spread_y > _CONSTANT * yy)
        return np.where(known, np.clip((qy - q * y / n) / np.sqrt(spread_q * spread_y), -1, 1), np.nan)


def _rmse(sums: Float[np.ndarray, "6 channel"]) -> Float[np.ndarray, " channel"]:
    n, _, _, qq, yy, qy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, np.sqrt(np.maximum(qq - 2 * qy + yy, 0) / n), np.nan)


def _rmse_about_means(sums: Float[np.ndarray, "6 channel"]) -> Float[np.ndarray, " channel"]:
    n, q, y, *_ = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.maximum(_rmse(sums) ** 2 - ((q - y) / n) ** 2, 0))


METRICS = {"r": _r, "rmse": _rmse, "rmse_about_means": _rmse_about_means}


def mapped(
    bench: Bench,
    roles: Mapping[Voice, Sequence[Roles]],
    sources: Mapping[Voice, Sequence[Voice]],
    targets: Targets,
    *,
    with_own: bool = True,
) -> Mapped:
    """Fit heads of all voices, and map their read-outs to the targets that have them as sources.

    Parameters
    ----------
    targets
        Movements, and after them movements of other times, to which the shuffled heads are fitted.
    with_own
        Whether heads are also fitted to the minutes that maps are fitted to.
    """
    head_of = [(voice, number) for voice, of_voice in roles.items() for number in range(len(of_voice))]
    own_of = [(*key, minutes) for key in head_of for minutes in roles[key[0]][key[1]].own]
    splits = [roles[voice][number].head for voice, number in head_of]
    own_splits = [roles[voice][number].own[minutes] for voice, number, minutes in own_of]
    fits = fitted_in_turn(
        bench, [*splits, *own_splits] if with_own else splits, targets, [] if with_own else own_splits
    )
    heads, layers = {}, {}
    for key in head_of:
        fit = next(fits)
        heads[key], layers[key] = _read_outs(fit, key[0].speaker), chosen_layer(fit)
    own = {key: _read_outs(fit, key[0].speaker)["head"] for key, fit in zip(own_of, fits, strict=False)}
    store = bench.moments([*splits, *own_splits], targets)
    sums: dict[tuple[Way, Pair], np.ndarray] = defaultdict(lambda: np.zeros((6, _CHANNELS)))
    read = list(_asked(roles, sources, heads, own))
    for name in sorted({one.head.name for one in read}):
        _add(store, name, [one for one in read if one.head.name == name], roles, sums)
    return Mapped(dict(sums), layers, heads)


def _read_outs(fit: Fitted, speaker: str) -> dict[str, ReadOut]:
    """Return a head and its shuffled counterpart in mm of the speaker, at the layer that validation chose."""
    label = chosen_layer(fit)
    index, scale = fit.problem.labels.index(label), fit.scales[speaker]
    parts = {"head": slice(0, _CHANNELS), "shuffled": slice(_CHANNELS, 2 * _CHANNELS)}
    return {name: _in_mm(str(label), fit, index, scale, part) for name, part in parts.items()}


def _in_mm(name: str, fit: Fitted, index: int, scale: SpeakerScale, part: slice) -> ReadOut:
    weight, bias = (getattr(fit.head, what)[index].cpu().numpy()[..., part] for what in ("weight", "bias"))
    mean, sd = scale.mean[part], scale.sd[part]
    in_mm = bias * sd + mean
    return ReadOut(name, np.where(np.isfinite(in_mm), weight * sd, 0), in_mm)


@dataclass(frozen=True, eq=False)
class _Asked:
    """A head to be read on a target voice in a rotation; with maps if ``maps``."""

    target: Voice
    rotation: int
    source: Voice
    reading: str
    head: ReadOut
    maps: bool
    minutes: float = 0.0


def _asked(
    roles: Mapping[Voice, Sequence[Roles]],
    sources: Mapping[Voice, Sequence[Voice]],
    heads: Mapping[tuple[Voice, int], dict[str, ReadOut]],
    own: Mapping[tuple[Voice, int, float], ReadOut],
) -> Iterator[_Asked]:
    for target in roles:
        for rotation in range(len(roles[target])):
            for source in sources[target]:
                for reading, head in heads[source, rotation].items():
                    yield _Asked(target, rotation, source, reading, head, maps=True)
            yield _Asked(target, rotation, target, "within", heads[target, rotation]["head"], maps=False)
            for minutes in roles[target][rotation].own:
                if (target, rotation, minutes) in own:
                    head = own[target, rotation, minutes]
                    yield _Asked(target, rotation, target, "own", head, maps=False, minutes=minutes)


def _add(
    store: MomentStore,
    name: str,
    asked: Iterable[_Asked],
    roles: Mapping[Voice, Sequence[Roles]],
    sums: dict[tuple[Way, Pair], np.ndarray],
) -> None:
    """Add the sums of heads that read one input."""
    rows = store.layer(name)
    together: dict[tuple[Voice, int], list[_Asked]] = defaultdict(list)
    for one in asked:
        together[one.target, one.rotation].append(one)
    for (target, rotation), ones in together.items():
        role = roles[target][rotation]
        tested = store.selection(role.test)
        languages = np.array([group.language for group in store.groups])
        by_language = [tested & (languages == language) for language in target.languages]
        drawn = [store.selection(split.development) for split in role.own.values()]
        each = read_moments(store, rows, [*drawn, *by_language], [one.head for one in ones])
        on_maps, on_tests = each[: len(drawn)], each[len(drawn) :]
        for number, one in enumerate(ones):
            tests = {language: of_all[number] for language, of_all in zip(target.languages, on_tests, strict=True)}
            maps = dict(zip(role.own, (of_all[number] for of_all in on_maps), strict=True))
            _add_one(one, maps if one.maps else {}, tests, sums)


def _add_one(
    one: _Asked,
    maps: Mapping[float, ReadMoments],
    tests: Mapping[str, ReadMoments],
    sums: dict[tuple[Way, Pair], np.ndarray],
) -> None:
    found = {}
    for minutes, moments in maps.items():
        found |= {Way(one.reading, family, minutes): fitted_map(family, moments) for family in FAMILIES[1:]}
    for language, test in tests.items():
        pair = Pair(one.source, one.target, language)
        sums[Way(one.reading, "identity", one.minutes), pair] += fitted_map("identity", test).sums(test)
        for way, own_map in found.items():
            sums[way, pair] += own_map.sums(test)
