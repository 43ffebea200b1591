"""Intelligibility by a small recogniser: sentences and words, templates of other speakers, dynamic time warping.

What is tested is recognised as the nearest template (mean and variance normalised MFCC; symmetric local paths with
slopes of 1/2 to 2, Sakoe & Chiba 1978). Vocal tract length is normalised by the warp of the frequency axis that brings
the test nearest (Lee & Rose 1996). Words are cut out of their sentences at their labels, so they are coarticulated with
their neighbours. The sets are closed: it shows that speakers agree about what tells a language's words apart, not that
a listener would understand them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
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
CHANCE_LEVEL, ENOUGH = 0.01, 8
SHORTEST_WORD = 4
"""Phones; shorter words are mostly grammar, reduced to little."""


@dataclass(frozen=True, eq=False)
class Item:
    """A sentence or a word of one speaker.

    Attributes
    ----------
    name
        Its text, or its phones: what is recognised.
    warped
        (frame, 26) for each of ``WARPS``.
    plain
        (frame, 26), as a template.
    """

    speaker: str
    name: str
    warped: tuple[np.ndarray, ...]
    plain: np.ndarray


def check_intelligibility(speech: Sequence[Utterance], report: Report) -> None:
    """Recognise each speaker's sentences and words by those of the other speakers of the language."""
    by_language: defaultdict[str, list[Utterance]] = defaultdict(list)
    for one in speech:
        by_language[one.language].append(one)
    totals: defaultdict[tuple[str, str], Share] = defaultdict(Share)
    for language, some in sorted(by_language.items()):
        for what, items in items_of(some).items():
            for speaker in sorted({item.speaker for item in items}):
                share, choices = recognised(items, speaker)
                if share.all >= 2:
                    report.put(what, f"{speaker} {language}", share)
                    totals[what, speaker].good += share.good
                    totals[what, speaker].all += share.all
                    _require(report, f"{speaker} {language}: {what}", share, choices)
    for (what, speaker), share in totals.items():
        report.put(what, speaker, share)


def _require(report: Report, what: str, share: Share, choices: int) -> None:
    """Require more than chance can do, where there are enough to tell."""
    by_chance = float(binom.sf(share.good - 1, share.all, 1 / choices))
    report.require(
        share.all < ENOUGH or by_chance < CHANCE_LEVEL,
        f"{what}: {share} recognised among {choices}, which chance can do as well",
    )


def items_of(some: Sequence[Utterance]) -> dict[str, list[Item]]:
    """All sentences and words of a language's utterances."""
    items: dict[str, list[Item]] = {"sentences": [], "words": []}
    for one in some:
        warped, first = zip(*(features(one.sound, warp) for warp in (1.0, *WARPS)), strict=True)
        items["sentences"].append(Item(one.speaker, one.said["text"], warped[1:], warped[0]))
        for phones in one.words:
            if len(phones) < SHORTEST_WORD:
                continue
            start, end = (round(at * RECORDED_HZ / HOP) - first[0] for at in (phones[0][1], phones[-1][2]))
            cut = [feature[max(0, start) : end + 1] for feature in warped]
            items["words"].append(Item(one.speaker, " ".join(ipa for ipa, *_ in phones), tuple(cut[1:]), cut[0]))
    return items


def recognised(items: Sequence[Item], speaker: str) -> tuple[Share, int]:
    """How many of a speaker's items are recognised by the others', and among how many different ones."""
    templates = [item for item in items if item.speaker != speaker]
    names = {item.name for item in templates}
    share = Share()
    for item in items:
        if item.speaker == speaker and item.name in names:
            stored = [template.plain for template in templates]
            distances = np.min([distances_to(warped, stored) for warped in item.warped], axis=0)
            share.add(templates[int(np.argmin(distances))].name == item.name)
    return share, len(names)


def features(sound: np.ndarray, warp: float = 1.0) -> tuple[np.ndarray, int]:
    """MFCC, level and their slopes at 50 Hz, each of mean 0 and variance 1: (frame, 26); and the first active frame."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (0, WINDOW)), WINDOW)[::HOP]
    spectrum = np.abs(np.fft.rfft(frames * np.hamming(WINDOW), BINS)) ** 2
    level = np.log(spectrum.mean(axis=1) + 1e-9)
    active = level > level.max() - 7.0
    first, last = np.flatnonzero(active)[[0, -1]]
    cepstra = dct(np.log(spectrum @ filters(warp).T + 1e-7)[first : last + 1], norm="ortho", axis=1)[:, :COEFFICIENTS]
    both = np.hstack([cepstra, np.gradient(cepstra, axis=0)])
    return (both - both.mean(axis=0)) / (both.std(axis=0) + 1e-6), int(first)


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
