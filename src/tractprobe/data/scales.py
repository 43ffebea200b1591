"""Each speaker's mean and standard deviation, by which targets are standardised."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

_LEAST_SD = 1e-3  # in mm, semitones, dB or a share of time: below it a channel does not move


@dataclass(frozen=True, eq=False)
class SpeakerScale:
    """Mean and standard deviation of a speaker's channels, in their units; NaN for a channel that cannot be used.

    ``from_test`` marks channels that occur in the speaker's test frames only and are described by those.
    """

    mean: Float[np.ndarray, " channel"]
    sd: Float[np.ndarray, " channel"]
    from_test: Bool[np.ndarray, " channel"]

    def plain(self) -> dict[str, list]:
        """Return the numbers as JSON takes them, None for NaN."""
        numbers = {name: getattr(self, name).tolist() for name in ("mean", "sd", "from_test")}
        return {name: [None if value != value else value for value in values] for name, values in numbers.items()}

    @classmethod
    def of(
        cls,
        developed: Float[np.ndarray, "3 channel"] | None,
        tested: Float[np.ndarray, "3 channel"] | None,
        as_they_are: Bool[np.ndarray, " channel"] | None = None,
    ) -> "SpeakerScale":
        """Describe a speaker by count, sum and sum of squares of development frames; without any, of test frames.

        Channels that are to stay ``as_they_are`` have mean 0 and deviation 1 wherever there is a frame of them.
        """
        if developed is None:
            developed = np.zeros_like(tested)
        if tested is None:
            tested = np.zeros_like(developed)
        from_test = developed[0] == 0
        count, total, squares = np.where(from_test, tested, developed)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            sd = np.sqrt(np.maximum(squares / count - mean**2, 0))
        still = ~(sd >= _LEAST_SD)  # a channel that never moves, or was never measured
        mean[still] = sd[still] = np.nan
        if as_they_are is not None:
            mean[as_they_are] = np.where(count > 0, 0.0, np.nan)[as_they_are]
            sd[as_they_are] = np.where(count > 0, 1.0, np.nan)[as_they_are]
            from_test = from_test & ~as_they_are
        return cls(mean, sd, from_test & ~still)
