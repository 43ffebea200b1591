"""Level of /s/ against the vowels around it, speaker by speaker, against the adult m1."""

from collections.abc import Sequence

import numpy as np

from vocaltract.checks.measures import Report
from vocaltract.checks.reading import Utterance
from vocaltract.movement.phones import gestures
from vocaltract.synthesis.recorded import RECORDED_HZ

WEAKER_DB = 10.0
ADULT = "m1"
FEWEST = 3


def check_sibilants(by_speaker: dict[str, Sequence[Utterance]], report: Report) -> None:
    """Require every speaker's vowel-to-/s/ level within ``WEAKER_DB`` of the adult's."""
    below = {name: vowel_to_s_db(some) for name, some in by_speaker.items()}
    for name, levels in below.items():
        if len(levels) >= FEWEST:
            report.put("s_below_vowel_db", name, float(np.median(levels)))
    known = report.numbers.get("s_below_vowel_db", {})
    if ADULT not in known:
        return
    for name, db in known.items():
        weaker = float(db) - float(known[ADULT])
        report.require(weaker <= WEAKER_DB, f"{name}: /s/ {weaker:.1f} dB weaker against its vowels than {ADULT}'s")


def vowel_to_s_db(some: Sequence[Utterance]) -> list[float]:
    """For every s of plainly recorded speech, the level of its neighbouring vowels above it in dB."""
    found = []
    for one in some:
        if not one.is_plainly_recorded:
            continue
        for before, (ipa, start, end), after in zip(one.phones, one.phones[1:], one.phones[2:], strict=False):
            vowels = [phone for phone in (before, after) if gestures(phone[0]).vowel]
            if ipa in ("s", "sː") and vowels:
                loud = np.mean([power(one.sound, *phone[1:]) for phone in vowels])
                found.append(float(10 * np.log10(loud / power(one.sound, start, end))))
    return found


def power(sound: np.ndarray, start_s: float, end_s: float) -> float:
    """Mean square of the middle half."""
    first, last = 0.75 * start_s + 0.25 * end_s, 0.25 * start_s + 0.75 * end_s
    return float(np.mean(sound[int(first * RECORDED_HZ) : int(last * RECORDED_HZ) + 1] ** 2)) + 1e-12
