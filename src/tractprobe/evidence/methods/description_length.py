"""How many bits states save in describing movements: the online code of a linear head, in closed form.

Voita & Titov (2020, 2003.12298, 2.2.2) describe labels with a probe that learns as it goes: a block of data is sent by
the probe that was fitted to all blocks before, then added to what the next one is fitted to. So a probe that needs much
data pays for it, which accuracy after all the data does not show. For continuous targets a channel's frames of block k
are sent by a Gaussian about the ridge's prediction ŷ from the blocks before it,

    L_k = Σ_t [log2(2π σ²) / 2 + (y_t - ŷ_t)² / (2 σ² ln 2)],

where σ² is the mean squared error that the same head's predecessor made on block k - 1, and the penalty α the one
under which that error was least: nothing is taken from a block before it is sent. Block 0 is sent by N(0, 1), to which
the first σ² belongs; block 1 by the largest α. A constant predictor sends the mean of the blocks before with a σ² of
the same kind. What is saved is the constant's length minus the head's, in bits per frame. Values are standardised by
the speaker's mean and deviation over all of the data, which both codes are given.

Frames are sent as if independent, so lengths are no file sizes; their differences compare encoders at one frame rate.
All of it follows from moments of the blocks.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import drawn_as, sentence
from tractprobe.data.splits import Fold, Split
from tractprobe.probes.linear.moment_store import MomentStore
from tractprobe.probes.linear.selection import Division, LayerMoments, RowMoments
from tractprobe.probes.linear.solver import solve

_LEAST_VARIANCE = 1e-4  # a hundredth of a speaker's deviation: no head is that sure

Sums = Float[np.ndarray, "_alpha group channel"]


def blocks(entries: Iterable[Entry], seed: int, first: float = 0.001) -> list[tuple[str, ...]]:
    """Divide utterances into blocks that end where a share of the speech is reached, 0.1 %, 0.2 %, 0.4 % ... 100 %.

    Sentences come in an order that depends on the seed and their text alone, each with all utterances of it, so that no
    block is predicted from its own sentences. A block that would be empty, as a single sentence is more, is left out.
    """
    entries = list(entries)
    names = drawn_as(entries)
    order = {text: hashlib.sha256(f"{seed}:{name}".encode()).digest() for text, name in names.items()}
    by_sentence: dict[str, list[Entry]] = {}
    for entry in entries:
        by_sentence.setdefault(sentence(entry), []).append(entry)
    total_s, reached_s, border = sum(entry.duration_s for entry in entries), 0.0, first
    found: list[list[str]] = [[]]
    for text in sorted(by_sentence, key=lambda text: (order[text], text)):
        found[-1] += [entry.id for entry in by_sentence[text]]
        reached_s += sum(entry.duration_s for entry in by_sentence[text])
        if reached_s >= border * total_s * (1 - 1e-9):
            found.append([])
            while border * total_s <= reached_s and border < 1:
                border = min(1.0, 2 * border)
    return [tuple(sorted(ids)) for ids in found if ids]


def split_of(parts: Sequence[Sequence[str]]) -> Split:
    """Return all blocks as one split, whose folds are fitted to the blocks before one and kept aside that one."""
    everything = tuple(sorted(id_ for part in parts for id_ in part))
    folds = []
    for number in range(1, len(parts)):
        before = tuple(sorted(id_ for part in parts[:number] for id_ in part))
        folds.append(Fold(before, tuple(parts[number])))
    return Split(everything, (), tuple(folds))


def cutting(parts: Sequence[Sequence[str]]) -> list[Split]:
    """Return splits by which moments are kept apart for each block."""
    return [Split(tuple(part), ()) for part in parts]


@dataclass(frozen=True, eq=False)
class Lengths:
    """Bits in which a head and a constant send each group's channels, and how many frames these are.

    A group is a speaker in a language and a block; a channel that it lacks has no frames and no bits.
    """

    frames: Int[np.ndarray, "group channel"]
    head: Float[np.ndarray, "group channel"]
    constant: Float[np.ndarray, "group channel"]
    block_of: Int[np.ndarray, " group"]

    @property
    def saved(self) -> Float[np.ndarray, "group channel"]:
        """What the head saves, in bits."""
        return self.constant - self.head

    def by_block(self) -> list[float]:
        """Return bits saved per frame and channel of each block."""
        return [
            float(self.saved[self.block_of == block].sum() / max(1, self.frames[self.block_of == block].sum()))
            for block in range(self.block_of.max() + 1)
        ]


def lengths(
    store: MomentStore, label: str, parts: Sequence[Sequence[str]], alphas: Sequence[float], device: str = "cpu"
) -> Lengths:
    """Return the online code of an input's head and of a constant, over all groups of a store.

    Parameters
    ----------
    store
        Whose groups no block cuts through.
    parts
        The ids of each block, in the order in which they are sent.
    """
    division = Division.of(split_of(parts), store)
    moments = LayerMoments(store, label, division, device)
    block_of = np.full(len(store.groups), -1)
    for number, part in enumerate(parts):
        block_of[store.selection(part)] = number
    *before, _ = moments.to_fit()
    penalties = sorted(map(float, alphas))
    shape = (len(store.groups), moments.num_channels)
    code = Lengths(np.zeros(shape, int), np.zeros(shape), np.zeros(shape), block_of)
    head, constant = _Sender(shape[1], len(penalties)), _Sender(shape[1], 1)
    for block in range(len(parts)):
        weights = torch.zeros(len(penalties), moments.width, shape[1], dtype=torch.float64, device=moments.device)
        bias = torch.zeros(len(penalties), shape[1], dtype=torch.float64, device=moments.device)
        mean = torch.zeros(1, shape[1], dtype=torch.float64, device=moments.device)
        for channels, part in before[block - 1] if block else []:
            if part.n > 1:
                weights[:, :, channels], bias[:, channels] = solve(part, penalties)
                mean[0, channels] = part.y / part.n
        groups = np.flatnonzero(block_of == block)
        frames, errors, about_mean = _errors(moments, groups, weights, bias, mean)
        code.frames[groups] = frames
        code.head[groups] = head.send(frames, errors)
        code.constant[groups] = constant.send(frames, about_mean)
    return code


def _errors(
    moments: LayerMoments,
    groups: Int[np.ndarray, " group"],
    weights: torch.Tensor,
    bias: torch.Tensor,
    mean: torch.Tensor,
) -> tuple[Int[np.ndarray, "group channel"], Sums, Sums]:
    """Return frames and squared errors of each group: under each alpha, and of the constant."""
    shape = (len(groups), moments.num_channels)
    frames, errors = np.zeros(shape, int), np.zeros((len(weights), *shape))
    about_mean = np.zeros((1, *shape))
    for row, group in enumerate(groups):
        chosen = np.zeros(len(moments.store.groups), bool)
        chosen[group] = True
        for channels, part in moments.of(chosen):
            frames[row, channels] = part.n
            own = _squared_errors(part, weights[:, :, channels], bias[:, channels])
            errors[:, row, channels] = own.cpu().numpy()
            constant = mean[0, channels]
            about_mean[0, row, channels] = (part.yy - 2 * constant * part.y + part.n * constant**2).cpu().numpy()
    return frames, errors, about_mean


def _squared_errors(part: RowMoments, weights: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return Σ(y - xw - b)² = Σy² - 2 w·Σxy - 2 b Σy + Σ(xw + b)² for each alpha and channel."""
    products = torch.einsum("awc,wc->ac", weights, part.xy) + bias * part.y
    return (part.yy - 2 * products + part.squares(weights, -bias)).clamp(min=0)


class _Sender:
    """What one side knows of the other when a block is sent: a variance and a penalty for each channel."""

    def __init__(self, channels: int, alphas: int):
        self.variance, self.alpha = np.ones(channels), np.full(channels, alphas - 1)

    def send(self, frames: Int[np.ndarray, "group channel"], errors: Sums) -> Float[np.ndarray, "group channel"]:
        """Return the bits of a block's groups, and learn from them."""
        own = np.take_along_axis(errors, self.alpha[None, None, :], axis=0)[0]
        bits = gaussian_bits(frames, own, self.variance)
        count, total = frames.sum(axis=0), errors.sum(axis=1)
        seen = count > 0  # a channel that the block lacks stays as it is
        best = len(total) - 1 - total[::-1].argmin(axis=0)  # of equals the largest
        self.alpha = np.where(seen, best, self.alpha)
        least = np.maximum(total.min(axis=0) / np.maximum(count, 1), _LEAST_VARIANCE)
        self.variance = np.where(seen, least, self.variance)
        return bits


def gaussian_bits(
    frames: Int[np.ndarray, "*any channel"],
    errors: Float[np.ndarray, "*any channel"],
    variance: Float[np.ndarray, " channel"],
) -> Float[np.ndarray, "*any channel"]:
    """Return -log2 of the density of some frames with these squared errors under Gaussians of a variance."""
    return frames / 2 * np.log2(2 * np.pi * variance) + errors / (2 * variance * np.log(2))
