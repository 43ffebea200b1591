"""Intelligibility by a small recogniser: whole sentences, templates of other speakers, dynamic time warping.

A test sentence is recognised as that of the nearest template (mean and variance normalised MFCC; symmetric local paths
with slopes of 1/2 to 2, Sakoe & Chiba 1978). Vocal tract length is normalised by the warp of the frequency axis that
brings the test nearest (Lee & Rose 1996). The set is closed: it shows that speakers agree about what tells a language's
sentences apart, not that a listener would understand them.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.fft import dct
from scipy.stats import binom

from vocaltract.checks.measures import Report, Share
from vocaltract.checks.reading import Utterance
from vocaltract.synthesis.recorded import RECORDED_HZ

HOP, WINDOW, BINS = 320, 512, 512
BANDS, COEFFICIENTS = 24, 13
WARPS = (0.75, 0.85, 0.95, 1.05, 1.18, 1.32)
CHANCE_LEVEL = 0.01


def check_intelligibility(speech: Sequence[Utterance], report: Report) -> None:
    """Recognise each speaker's sentences by those of the other speakers of the language."""
    by_language: defaultdict[str, list[Utterance]] = defaultdict(list)
    for one in speech:
        by_language[one.language].append(one)
    per_speaker: defaultdict[str, Share] = defaultdict(Share)
    for language, some in sorted(by_language.items()):
        for speaker in sorted({one.speaker for one in some}):
            share, sentences = recognised(some, speaker)
            if share.all < 2:
                continue
            report.put("recognised", f"{speaker} {language}", share)
            per_speaker[speaker].good += share.good
            per_speaker[speaker].all += share.all
            by_chance = float(binom.sf(share.good - 1, share.all, 1 / sentences))
            possible = float(binom.sf(share.all - 1, share.all, 1 / sentences))
            report.require(
                by_chance < CHANCE_LEVEL or possible >= CHANCE_LEVEL,
                f"{speaker} {language}: {share} sentences recognised, which chance can do as well",
            )
    for speaker, share in per_speaker.items():
        report.put("recognised", speaker, share)


def recognised(some: Sequence[Utterance], speaker: str) -> tuple[Share, int]:
    """How many of a speaker's sentences are recognised, and among how many different ones."""
    templates = [one for one in some if one.speaker != speaker]
    texts = {one.said["text"] for one in templates}
    share = Share()
    if not templates:
        return share, 0
    stored = [_template(one.base, one) for one in templates]
    for one in some:
        if one.speaker == speaker and one.said["text"] in texts:
            distances = np.min([distances_to(features(one.sound, warp), stored) for warp in WARPS], axis=0)
            nearest = templates[int(np.argmin(distances))]
            share.add(nearest.said["text"] == one.said["text"])
    return share, len(texts)


_known: dict[object, np.ndarray] = {}


def _template(key: object, one: Utterance) -> np.ndarray:
    if key not in _known:
        _known[key] = features(one.sound)
    return _known[key]


def features(sound: np.ndarray, warp: float = 1.0) -> np.ndarray:
    """MFCC 1 to 12, level, and their slopes at 50 Hz, each of mean 0 and variance 1: (frame, 26)."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, WINDOW)), WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * np.hamming(WINDOW), BINS)) ** 2
    bands = np.log(spectrum @ filters(warp).T + 1e-7)
    active = bands.mean(axis=1) > bands.mean(axis=1).max() - 7.0
    first, last = np.flatnonzero(active)[[0, -1]]
    cepstra = dct(bands[first : last + 1], norm="ortho", axis=1)[:, :COEFFICIENTS]
    both = np.hstack([cepstra, np.gradient(cepstra, axis=0)])
    return (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-6)


@cache
def filters(warp: float) -> np.ndarray:
    """Triangles, evenly spaced in mel up to 6 kHz of the warped axis: (band, bin)."""
    mel = np.linspace(0, 2595 * np.log10(1 + 6000 / 700), BANDS + 2)
    edges = np.minimum(700 * (10 ** (mel / 2595) - 1) * warp, RECORDED_HZ / 2)
    hz = np.fft.rfftfreq(BINS, 1 / RECORDED_HZ)[None]
    low, middle, high = (edges[start : start + BANDS, None] for start in range(3))
    return np.clip(np.minimum((hz - low) / (middle - low + 1e-9), (high - hz) / (high - middle + 1e-9)), 0, None)


def distances_to(test: np.ndarray, templates: Sequence[np.ndarray]) -> np.ndarray:
    """Mean distance along the best path from the test (frame, d) to each template, all templates at once."""
    longest = max(map(len, templates))
    padded = np.stack([np.pad(one, ((0, longest - len(one)), (0, 0))) for one in templates])
    square = (test**2).sum(1)[:, None, None] + (padded**2).sum(2) - 2 * np.einsum("td,kjd->tkj", test, padded)
    local = np.sqrt(np.maximum(square, 0))
    # Row by row of the test: from (t-1, j-1), two template frames at once (t-1, j-2), or two test frames (t-2, j-1).
    cost = np.full((len(test), len(templates), longest), np.inf)
    cost[0, :, 0] = local[0, :, 0]
    for t in range(1, len(test)):
        before = cost[t - 1]
        straight = before[:, :-1] + 2 * local[t, :, 1:]
        cost[t, :, 1:] = straight
        fast = before[:, :-2] + 2 * local[t, :, 1:-1] + local[t, :, 2:]
        cost[t, :, 2:] = np.minimum(cost[t, :, 2:], fast)
        if t > 1:
            slow = cost[t - 2, :, :-1] + 2 * local[t - 1, :, 1:] + local[t, :, 1:]
            cost[t, :, 1:] = np.minimum(cost[t, :, 1:], slow)
    ends = np.array([len(one) - 1 for one in templates])
    return cost[-1, np.arange(len(templates)), ends] / (len(test) + ends)
