"""Checks of the files: level, silence, clipping, jumps, and whether sound, movements and labels agree in time."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vocaltract.checks.levels import power
from vocaltract.checks.measures import Report
from vocaltract.checks.reading import Utterance
from vocaltract.movement.glottis import PAUSE_S
from vocaltract.movement.phones import gestures
from vocaltract.synthesis.recorded import RECORDED_HZ, speech_level

LEVEL_DBFS = (-40.0, -8.0)
CLIPPED = 0.999
SILENT_DBFS = -65.0
LONGEST_SILENCE_S = 0.35
"""Within phones: longer than any closure, geminates of slow speech included."""
JUMP_MM = 1.5
"""Away in one frame and back in the next. A tip that leaves the palate may start as fast, but does not come back."""
FASTEST_MM = 12.0
"""From frame to frame, 1.2 m/s: twice what the tongue's tip reaches in a tap."""
COVERED = 0.97
VOICED = 0.75
BEFORE_DB = -20.0
"""Loudest sound before a phrase's first label, relative to the phrase's vowels."""
_BEFORE_S = (0.05, 0.02)


def check_files(some: Sequence[Utterance], report: Report) -> None:
    """Check sound, movements and labels of one speaker's utterances."""
    speaker = some[0].speaker
    measured = [_sound(one, report) for one in some]
    report.put("minutes", speaker, sum(len(one.sound) for one in some) / RECORDED_HZ / 60)
    report.put("level_dbfs", speaker, float(np.median([level for level, _ in measured])))
    report.put("peak", speaker, float(max(peak for _, peak in measured)))
    for one in some:
        _labels(one, report)
    before = [level for one in some if one.is_speech and one.is_plainly_recorded for level in before_phrases_db(one)]
    if before:
        report.put("before_db", speaker, float(max(before)))
    moving = [one for one in some if one.ema is not None]
    if moving:
        jumps, fastest = zip(*(_movement(one, report) for one in moving), strict=True)
        report.put("jump_mm", speaker, float(max(jumps)))
        report.put("fastest_mm", speaker, float(max(fastest)))


def _sound(one: Utterance, report: Report) -> tuple[float, float]:
    """Level (dBFS) and peak."""
    level = 20 * np.log10(speech_level(one.sound) + 1e-12)
    peak = float(np.abs(one.sound).max())
    report.require(LEVEL_DBFS[0] < level < LEVEL_DBFS[1], f"{one.id}: speech at {level:.1f} dBFS")
    report.require(peak < CLIPPED, f"{one.id}: peak of {peak:.3f}")
    stated = one.said["duration_s"]
    report.require(
        abs(len(one.sound) / RECORDED_HZ - stated) < 1e-3,
        f"{one.id}: {len(one.sound) / RECORDED_HZ:.3f} s of sound, {stated:.3f} s stated",
    )
    longest = longest_silence_s(one)
    report.require(longest < LONGEST_SILENCE_S, f"{one.id}: {longest:.2f} s of silence within its phones")
    return level, peak


def longest_silence_s(one: Utterance) -> float:
    """Longest stretch below ``SILENT_DBFS`` inside phones, or anywhere in babble."""
    hop = RECORDED_HZ // 100
    frames = one.sound[: len(one.sound) // hop * hop].reshape(-1, hop)
    silent = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12) < SILENT_DBFS
    if one.phones:
        at_s = (np.arange(len(silent)) + 0.5) / 100
        silent &= np.any([(start <= at_s) & (at_s < end) for _, start, end in one.phones], axis=0)
    else:
        silent[:40] = silent[-40:] = False  # the silences around it
    edges = np.flatnonzero(np.diff(np.r_[0, silent.astype(int), 0]))
    return float(np.max(edges[1::2] - edges[::2], initial=0)) / 100


def _movement(one: Utterance, report: Report) -> tuple[float, float]:
    """Largest one-frame jump and largest step from frame to frame, both in mm."""
    ema, f0_hz = one.ema, one.f0_hz
    assert ema is not None
    finite = report.require(bool(np.isfinite(ema).all()), f"{one.id}: movements have missing values")
    report.require(
        abs(len(ema) / 100 - len(one.sound) / RECORDED_HZ) <= 0.02,
        f"{one.id}: {len(ema)} frames of movement for {len(one.sound) / RECORDED_HZ:.3f} s of sound",
    )
    report.require(f0_hz is not None and len(f0_hz) == len(ema), f"{one.id}: pitch is not as long as the movements")
    if not finite or len(ema) < 3:
        return 0.0, 0.0
    points = ema.reshape(len(ema), -1, 2)
    jump, fastest = jump_mm(points), float(np.linalg.norm(np.diff(points, axis=0), axis=2).max())
    report.require(jump < JUMP_MM, f"{one.id}: a sensor jumps by {jump:.1f} mm for one frame")
    report.require(fastest < FASTEST_MM, f"{one.id}: a sensor moves by {fastest:.1f} mm in one frame")
    return jump, fastest


def jump_mm(points: np.ndarray) -> float:
    """Largest step of (frame, sensor, 2) that the next frame takes back: the smaller of the two, 0 where they agree.

    Where a step before or after the two is larger, the sensor turns in the middle of a fast movement, as in a trill.
    """
    steps = np.diff(points, axis=0)
    lengths = np.linalg.norm(steps, axis=2)
    back = np.sum(steps[:-1] * steps[1:], axis=2) < -0.5 * lengths[:-1] * lengths[1:]
    jumps = np.minimum(lengths[:-1], lengths[1:]) * back
    still = np.zeros((1, lengths.shape[1]))
    around = np.maximum(np.concatenate([still, lengths[:-2]]), np.concatenate([lengths[2:], still]))
    return float(np.max(jumps * (around < jumps), initial=0.0))


def _labels(one: Utterance, report: Report) -> None:
    """Phones in order and inside the sound, sound inside phones, pitch where vowels are."""
    phones = one.phones
    if not phones:
        report.require(not one.is_speech, f"{one.id}: speech without phones")
        return
    times = np.array([(start, end) for _, start, end in phones])
    ordered = bool((times[:, 1] > times[:, 0]).all() and (times[1:, 0] >= times[:-1, 1] - 1e-3).all())
    report.require(ordered, f"{one.id}: phones overlap or end before they begin")
    inside = times[0, 0] >= 0 and times[-1, 1] <= len(one.sound) / RECORDED_HZ + 1e-3
    report.require(bool(inside), f"{one.id}: phones outside the sound")
    if one.is_plainly_recorded:
        share = covered(one.sound, times)
        report.require(share > COVERED, f"{one.id}: {1 - share:.0%} of the sound's energy is outside its phones")
        loudest = max(before_phrases_db(one), default=-np.inf)
        report.require(loudest < BEFORE_DB, f"{one.id}: {loudest:.0f} dB re its vowels before a phrase's first phone")
    if one.f0_hz is not None and one.manner.voice != "whisper":
        share = voiced_vowels(one)
        report.require(share > VOICED, f"{one.id}: only {share:.0%} of its vowels have a pitch")


def covered(sound: np.ndarray, times: np.ndarray, slack_s: float = 0.03) -> float:
    """Share of the energy of (sample,) that lies in (phone, 2) seconds, widened by the decay of the last sound."""
    inside = np.zeros(len(sound), bool)
    for start, end in times:
        inside[max(0, int((start - slack_s) * RECORDED_HZ)) : int((end + slack_s) * RECORDED_HZ)] = True
    return float(np.sum(sound[inside] ** 2) / np.sum(sound**2))


def before_phrases_db(one: Utterance) -> list[float]:
    """For every phrase with vowels, the level from 50 to 20 ms before its first phone, in dB re the phrase's vowels."""
    found, starts = [], [0, *(k for k, (a, b) in enumerate(pairwise(one.phones), 1) if b[1] - a[2] > PAUSE_S)]
    for first, last in pairwise([*starts, len(one.phones)] if one.phones else []):
        vowels = [power(one.sound, a, b) for ipa, a, b in one.phones[first:last] if gestures(ipa).vowel]
        window = [int((one.phones[first][1] - by) * RECORDED_HZ) for by in _BEFORE_S]
        if vowels and window[0] >= 0:
            before = float(np.mean(one.sound[slice(*window)] ** 2)) + 1e-12
            found.append(float(10 * np.log10(before / np.mean(vowels))))
    return found


def voiced_vowels(one: Utterance) -> float:
    """Share of frames in the middle halves of vowels that have a pitch."""
    assert one.f0_hz is not None
    frames = [
        one.f0_hz[int(100 * (0.75 * start + 0.25 * end)) : int(100 * (0.25 * start + 0.75 * end)) + 1] > 0
        for ipa, start, end in one.phones
        if gestures(ipa).vowel
    ]
    return float(np.mean(np.concatenate(frames))) if frames else 1.0
