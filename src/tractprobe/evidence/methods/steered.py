"""Steering read-outs: which vectors are added to states, where, and by how much later read-outs move.

A read-out at layer k is y = w·x + b, with deviation σ over the states that it was fitted to, whose covariance is Σ. Two
vectors move it by one deviation:

    weights:  σ w / (w·w)      the smallest such vector
    pattern:  Σ w / σ          how states differ where y does (Haufe et al. 2014, equation 6)

The weights lean on whatever cancels noise, so they may point where states never are; the pattern is how states do vary
with y, together with all that varies with it. As controls there are vectors with a direction drawn from N(0, Σ) and
the length of either.

In an utterance, each vector is added to the frames of one window, with a random sign, and rows of one pass hold several
windows each. What windows do to each other has a random sign, too, and averages out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tractprobe.data.targets import Channel
from tractprobe.encoders.encoder import Encoder, Wave
from tractprobe.encoders.steering import steered
from tractprobe.evidence.methods.erasure import StateSpace

PATTERN, WEIGHTS = "pattern", "weights"


@dataclass(frozen=True, eq=False)
class ReadOuts:
    """Read-outs that are steered, and the later ones that are watched.

    Attributes
    ----------
    layer
        Where states are steered.
    names, weight, deviation
        Of the channels that are steered: what they are called, w, and σ.
    later
        Weights of heads at each layer above, for the channels that are steered, in the same order.
    phones
        Those of heads for phones, of which there may be none.
    of_phones
        What the steered read-outs say of each phone on average.
    """

    layer: int
    names: tuple[str, ...]
    space: StateSpace
    weight: Float[Tensor, "width channel"]
    later: Float[Tensor, "later width channel"]
    phones: Float[Tensor, "later width phone"]
    of_phones: Float[Tensor, "phone channel"]

    @cached_property
    def deviation(self) -> Float[Tensor, " channel"]:
        """The deviation of each steered read-out."""
        return (self.weight * self.space.pattern(self.weight)).sum(dim=0).sqrt()

    def vectors(self, kind: str) -> Float[Tensor, "channel width"]:
        """Return what moves each read-out by one deviation."""
        if kind == PATTERN:
            return (self.space.pattern(self.weight) / self.deviation).T
        return (self.weight * self.deviation / self.weight.square().sum(dim=0)).T

    def drawn(self, kind: str, random: np.random.Generator) -> Float[Tensor, "channel width"]:
        """Return as many vectors of the same lengths with random directions, of states' covariance."""
        noise = torch.from_numpy(random.standard_normal((self.space.width, len(self.names)))).to(self.weight)
        drawn = self.space.deviation[:, None] * (self.space.vectors @ (self.space.values.sqrt()[:, None] * noise))
        return (drawn / torch.linalg.vector_norm(drawn, dim=0)).T * torch.linalg.vector_norm(
            self.vectors(kind), dim=1, keepdim=True
        )


@dataclass(frozen=True, eq=False)
class Move:
    """What one vector in one window did.

    Attributes
    ----------
    kind, is_random, channel, strength_sd
        What was added: a vector of this kind, or one of the same length, for this channel, times so many deviations.
    slopes
        By how much later read-outs moved over the window's frames, for each unit by which y itself moved (of a random
        vector: by which the vector of its length would have moved it).
    at_once
        By how much read-outs of the layer itself move: 1 for the moved one, if the vector is not random.
    passed_on
        The slopes if sub-layers of the blocks above had said what they say when nothing is added.
    phones
        Root mean square over phones by which scores of phones moved, per unit of y.
    follow
        Correlation over phones of that with what y is in a phone.
    """

    kind: str
    is_random: bool
    channel: int
    strength_sd: float
    at_once: Float[np.ndarray, " read"]
    slopes: Float[np.ndarray, "later read"]
    passed_on: Float[np.ndarray, "later read"]
    phones: Float[np.ndarray, " later"]
    follow: Float[np.ndarray, " later"]


def windows_of(
    times_s: Float[np.ndarray, " frame"], window_s: float, every_s: float
) -> list[Bool[np.ndarray, " frame"]]:
    """Return the frames of each window: so long, one every so often, none at the edges.

    >>> [np.flatnonzero(window).tolist() for window in windows_of(np.arange(20) / 10, 0.2, 0.6)]
    [[4, 5], [10, 11], [16, 17]]
    """
    end_s = times_s[-1] if len(times_s) else 0.0
    starts_s = np.arange(every_s - window_s, end_s - window_s, every_s)
    found = [(times_s >= start - 1e-9) & (times_s < start + window_s - 1e-9) for start in starts_s]
    return [window for window in found if window.any()]


def dealt(count: int, windows: int, random: np.random.Generator) -> Int[np.ndarray, "row window"]:
    """Return which of so many vectors is added in each row and window, each once, -1 for none; row 0 has none."""
    rows = -(-count // windows)
    places = np.full((rows + 1, windows), -1)
    places[1:].reshape(-1)[random.permutation(rows * windows)[:count]] = np.arange(count)
    return places


def moves(
    encoder: Encoder,
    wave: Wave,
    times_s: Float[np.ndarray, " frame"],
    read_outs: ReadOuts,
    strengths_sd: Sequence[float],
    window_s: float,
    every_s: float,
    random: np.random.Generator,
) -> Iterator[Move]:
    """Yield what each vector does in one window of a wave; nothing if the wave has no window."""
    windows = windows_of(times_s, window_s, every_s)
    if not windows:
        return
    kinds = [(kind, is_random) for kind in (PATTERN, WEIGHTS) for is_random in (False, True)]
    channels = len(read_outs.names)
    vectors = torch.cat(
        [read_outs.drawn(kind, random) if is_random else read_outs.vectors(kind) for kind, is_random in kinds]
    )
    strengths = random.choice(strengths_sd, len(vectors)) * random.choice([-1.0, 1.0], len(vectors))
    places = dealt(len(vectors), len(windows), random)
    added = torch.zeros(len(places), len(times_s), vectors.shape[1])
    for row, window in zip(*np.nonzero(places >= 0), strict=True):
        number = places[row, window]
        added[row, windows[window]] = (float(strengths[number]) * vectors[number]).float()
    found = steered(encoder, wave, read_outs.layer, added.to(wave.device))
    states, passed_on = (each[:, 1:].cpu().double() for each in (found.states, found.passed_on))
    for row, window in zip(*np.nonzero(places >= 0), strict=True):
        number = int(places[row, window])
        (kind, is_random), channel = kinds[number // channels], number % channels
        unit = float(strengths[number] * read_outs.deviation[channel])
        moved, moved_on = (
            (each[row] - each[0])[:, windows[window]].mean(dim=1) / unit for each in (states, passed_on)
        )  # (later, width)
        slopes, slopes_on, phones = (
            torch.einsum("lw,lwc->lc", by, weight).numpy()
            for by, weight in ((moved, read_outs.later), (moved_on, read_outs.later), (moved, read_outs.phones))
        )
        follow = [_correlation(of_layer, read_outs.of_phones[:, channel].numpy()) for of_layer in phones]
        size = np.sqrt(np.mean(phones**2, axis=1)) if phones.shape[1] else np.full(len(phones), np.nan)
        at_once = (vectors[number] @ read_outs.weight / read_outs.deviation[channel]).numpy()
        strength_sd = abs(float(strengths[number]))
        yield Move(kind, is_random, channel, strength_sd, at_once, slopes, slopes_on, size, np.array(follow))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if len(one) > 2 and one.std() > 0 and other.std() > 0 else np.nan


def columns_named(channels: Sequence[Channel], target: str, names: Sequence[str] | None = None) -> list[int]:
    """Return the columns of a set of targets, or of some of its channels in the order of these."""
    places = {channel.name: number for number, channel in enumerate(channels) if channel.target == target}
    return list(places.values()) if names is None else [places[name] for name in names if name in places]
