"""Batches of crops with their targets and masks; batch n is the same whenever and by whichever process it is made.

A language with the share p of the hours is drawn in proportion to p^(1/T), and within it a speaker likewise (T is a
temperature; see ``data.batching``); of the speaker, an utterance in proportion to its length. An utterance that is
shorter than a crop is followed by others of its speaker. Crops of a batch are equally long, so nothing is padded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypedDict

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from tractprobe.encoders.frames import count_frames
from tractprobe.pretraining.augmentation import Drawn, changed, drawn_effects, resampled
from tractprobe.pretraining.counters import global_numpy_seeded, number_of, random_of
from tractprobe.pretraining.frames import HOP, STACK, WINDOW, standardised
from tractprobe.pretraining.settings import Recipe
from tractprobe.pretraining.speech import Speech
from tractprobe.pretraining.targets import Targets
from tractprobe.signals.audio import RATE_HZ


class Batch(TypedDict):
    """What an update learns from."""

    waves: Float[Tensor, "crop sample"]
    labels: Int64[Tensor, "crop frame"]
    mask: Bool[Tensor, "crop frame"]
    update: int


@dataclass(frozen=True)
class Piece:
    """A stretch of an utterance, in samples."""

    utterance: int
    start: int
    count: int


class Sampling:
    """Draws stretches of one speaker's speech.

    Attributes
    ----------
    shares
        With which each language is drawn.
    """

    def __init__(self, speech: Speech, temperature: float, speaker_temperature: float):
        grouped: dict[str, dict[str, list[int]]] = {}
        for number, utterance in enumerate(speech.utterances):
            speakers = grouped.setdefault(utterance.entry.language, {})
            speakers.setdefault(utterance.entry.speaker, []).append(number)
        self._lengths = np.array([utterance.length for utterance in speech.utterances])
        self._languages = sorted(grouped)
        self._speakers = [[np.array(own) for _, own in sorted(grouped[each].items())] for each in self._languages]
        of_speakers = [[float(self._lengths[own].sum()) for own in speakers] for speakers in self._speakers]
        self._p_language = _tempered([sum(lengths) for lengths in of_speakers], temperature)
        self._p_speaker = [_tempered(lengths, speaker_temperature) for lengths in of_speakers]
        self.shares = dict(zip(self._languages, self._p_language.tolist(), strict=True))

    def pieces(self, samples: int, random: np.random.Generator) -> list[Piece]:
        """Draw stretches of one speaker's utterances that have so many samples together."""
        language = int(random.choice(len(self._languages), p=self._p_language))
        p_speaker = self._p_speaker[language]
        own = self._speakers[language][int(random.choice(len(p_speaker), p=p_speaker))]
        p_utterance = self._lengths[own] / self._lengths[own].sum()
        pieces, missing = list[Piece](), samples
        while missing > 0:
            number = int(own[random.choice(len(own), p=p_utterance)])
            length = int(self._lengths[number])
            start = int(random.integers((length - missing) // HOP + 1)) * HOP if length > missing else 0
            pieces.append(Piece(number, start, min(missing, length - start)))
            missing -= pieces[-1].count
        return pieces


def _tempered(amounts: Sequence[float], temperature: float) -> Float[np.ndarray, " part"]:
    shares = (np.array(amounts, np.float64) / np.sum(amounts)) ** (1 / temperature)
    return shares / shares.sum()


class Crops(Dataset[Batch]):
    """Batch n, for every n."""

    def __init__(self, speech: Speech, targets: Targets, recipe: Recipe, seed: int, normalise: bool = True):
        self._speech, self._labels = speech, targets.labels
        self._recipe, self._seed, self._normalise = recipe, seed, normalise
        self.sampling = Sampling(speech, recipe.temperature, recipe.speaker_temperature)
        self.samples = round(recipe.crop_s * RATE_HZ)
        self.frames = count_frames(STACK, self.samples)

    def __getitem__(self, update: int) -> Batch:
        recipe, policy = self._recipe, self._recipe.augmentation
        randoms = [random_of(self._seed, update, row, "crop") for row in range(recipe.batch)]
        drawn = [drawn_effects(policy, random) for random in randoms]
        clean, labels = zip(*map(self._crop, drawn, randoms), strict=True)
        others = [clean[(row + 1) % len(clean)] for row in range(len(clean))]
        heard = [changed(*each) for each in zip(clean, drawn, randoms, others, strict=True)]
        waves = torch.from_numpy(np.stack(heard))
        return {
            "waves": standardised(waves) if self._normalise else waves,
            "labels": torch.from_numpy(np.stack(labels).astype(np.int64)),
            "mask": torch.from_numpy(self._mask(update)),
            "update": update,
        }

    def _crop(
        self, drawn: Drawn, random: np.random.Generator
    ) -> tuple[Float[np.ndarray, " sample"], Int64[np.ndarray, " frame"]]:
        """Return a crop at its speed, otherwise clean, with the label of each frame.

        Sample j of the crop is what was at ``speed * j`` in the pieces; so are the centres of frames, each of which
        has the label of the nearest of its utterance's own frames.
        """
        pieces = self.sampling.pieces(ceil(self.samples * drawn.speed), random)
        audio = np.concatenate([self._speech.samples(each.utterance, each.start, each.count) for each in pieces])
        centres = drawn.speed * ((WINDOW - 1) / 2 + HOP * np.arange(self.frames))
        ends = np.cumsum([each.count for each in pieces])
        owner = np.minimum(np.searchsorted(ends, centres, side="right"), len(pieces) - 1)
        frames = np.empty(self.frames, np.int64)
        for number, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
            own = owner == number
            frames[own] = self._speech.nearest_frames(piece.utterance, centres[own] - (end - piece.count) + piece.start)
        return resampled(audio, drawn.speed, self.samples), self._labels[frames].astype(np.int64)

    def _mask(self, update: int) -> Bool[np.ndarray, "crop frame"]:
        return masks(self._recipe, self.frames, number_of(self._seed, update, "mask"))


def masks(recipe: Recipe, frames: int, number: int) -> Bool[np.ndarray, "crop frame"]:
    """Return which frames of each crop are masked: transformers' spans, drawn from a number.

    Spans start anywhere and may overlap, so that of ``mask_share`` less is masked: of 0.65 about 0.48.
    """
    from transformers.models.hubert.modeling_hubert import _compute_mask_indices

    with global_numpy_seeded(number):
        return _compute_mask_indices((recipe.batch, frames), recipe.mask_share, recipe.mask_frames, min_masks=1)
