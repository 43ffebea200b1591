"""How much of the movements several inputs explain, each alone and together, and what is one's own.

With R² of states, of phones and of both on the same test frames,

    unique_states = R²(both) - R²(phones),    unique_phones = R²(both) - R²(states),
    common = R²(states) + R²(phones) - R²(both),

which add up to R²(both) (commonality analysis; Mood 1971, de Heer et al. 2017, J. Neurosci. 37:6539 for encoding
models). Heads predict what they never learned from, so each share may be negative: an input that adds nothing costs.

R² is about the means of predictions and measurements of a speaker in a language: a constant offset of a speaker is
neither explained nor an error, since it tells nothing about a frame. Of a class of phones it is the share of these
frames' squared deviations from the mean over all frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

Unit = tuple[str, str]

_LEAST = 1e-9  # of a channel's variance, in standard deviations: below it nothing varies


@dataclass(eq=False)
class Explained:
    """Sums over frames of predictions p and measurements y, by (language, speaker) and class of phones.

    Parameters
    ----------
    models, classes, channels
        How many of each.
    """

    models: int
    classes: int
    channels: int
    sums: dict[Unit, Float[np.ndarray, "sum class model channel"]] = field(default_factory=dict)
    _N, _Y, _P, _YY, _PP, _YP = range(6)
    number_of_sums: ClassVar[int] = 6

    def add(
        self,
        unit: Unit,
        classes: Int[np.ndarray, " frame"],
        measured: Float[np.ndarray, "frame channel"],
        predicted: Float[np.ndarray, "model frame channel"],
    ) -> None:
        """Add frames with their class; a channel counts where it was measured and all models predict it."""
        shape = (self.number_of_sums, self.classes, self.models, self.channels)
        sums = self.sums.setdefault(unit, np.zeros(shape))
        valid = np.isfinite(measured) & np.isfinite(predicted).all(axis=0)
        y = np.broadcast_to(np.where(valid, measured, 0), predicted.shape)
        p = np.where(valid, predicted, 0)
        terms = (np.broadcast_to(valid, y.shape).astype(float), y, p, y * y, p * p, y * p)
        for number, term in enumerate(terms):
            np.add.at(sums[number], classes, term.transpose(1, 0, 2))

    def r2(
        self, unit: Unit, channels: Sequence[int] | None = None, classes: Sequence[int] | None = None
    ) -> Float[np.ndarray, " model"]:
        """Return each model's R² over some channels and classes, by default all; NaN where nothing varies.

        Squares are added up over channels before they are divided, so that a channel that hardly moves in a class of
        phones counts little. Measurements in deviations of the speaker make channels comparable.
        """
        error, total = self._squares(unit, classes)
        chosen = list(range(self.channels)) if channels is None else list(channels)
        used = np.isfinite(total[:, chosen])
        total, error = (np.where(used, each[:, chosen], 0).sum(axis=1) for each in (total, error))
        return np.where(total > 0, 1 - error / np.where(total > 0, total, 1), np.nan)

    def _squares(
        self, unit: Unit, classes: Sequence[int] | None
    ) -> tuple[Float[np.ndarray, "model channel"], Float[np.ndarray, "model channel"]]:
        """Return squared errors and squared deviations of some classes, both about the means over all; NaN if still."""
        sums = self.sums[unit]
        overall = sums.sum(axis=1)
        n = np.maximum(overall[self._N], 1)
        mean_y, mean_p = overall[self._Y] / n, overall[self._P] / n
        of = overall if classes is None else sums[:, list(classes)].sum(axis=1)
        total = of[self._YY] - 2 * mean_y * of[self._Y] + of[self._N] * mean_y**2
        offset = mean_y - mean_p
        error = of[self._YY] - 2 * of[self._YP] + of[self._PP]
        error += of[self._N] * offset**2 - 2 * offset * (of[self._Y] - of[self._P])
        defined = (of[self._N] >= 2) & (total > _LEAST * of[self._N])
        return np.where(defined, error, np.nan), np.where(defined, total, np.nan)

    def r(self, unit: Unit) -> Float[np.ndarray, "model channel"]:
        """Return the correlation of each model and channel; NaN where one of the two does not vary."""
        n, y, p, yy, pp, yp = self.sums[unit].sum(axis=1)
        n = np.maximum(n, 1)
        variance = (yy / n - (y / n) ** 2) * (pp / n - (p / n) ** 2)
        defined = variance > _LEAST**2
        return np.where(defined, (yp / n - y * p / n**2) / np.sqrt(np.where(defined, variance, 1)), np.nan)

    def frames(self, unit: Unit, classes: Sequence[int] | None = None) -> int:
        """Return how many frames there are, of the channel that has most."""
        n = self.sums[unit][self._N, :, 0]
        return int((n.sum(axis=0) if classes is None else n[list(classes)].sum(axis=0)).max())


SHARES = ("unique_states", "unique_phones", "common")


def shares(states: float, phones: float, both: float) -> dict[str, float]:
    """Return what is the states' own, the phones' own, and common, from R² of each and of both.

    >>> {name: round(share, 2) for name, share in shares(states=0.6, phones=0.5, both=0.7).items()}
    {'unique_states': 0.2, 'unique_phones': 0.1, 'common': 0.4}
    """
    return dict(zip(SHARES, (both - phones, both - states, states + phones - both), strict=True))


def band_sizes(widths: Sequence[int], alphas: Sequence[float]) -> Float[np.ndarray, " width"]:
    """Return sizes of the features of bands, so that one penalty for all keeps the ratio of the bands' own.

    A band with penalty α_b by itself gets the size √(α_0 / α_b), relative to the first band: a common penalty α then
    acts as α α_b / α_0 on it (banded ridge, whose bands have penalties of their own; Dupré la Tour et al. 2022). With
    one penalty for all standardised features instead, an input with many columns would be shrunk too little, and one
    with few too much.

    >>> band_sizes([1, 2], [100.0, 400.0]).tolist()
    [1.0, 0.5, 0.5]
    """
    sizes = [np.sqrt(alphas[0] / alpha) for alpha in alphas]
    return np.repeat(sizes, widths)
