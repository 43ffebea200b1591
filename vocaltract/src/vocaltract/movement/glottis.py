"""The glottal and the lung-pressure tier: voicing, aspiration, breathiness and glottal stops (Birkholz et al. 2011)."""

import numpy as np

from vocaltract.movement import contact
from vocaltract.movement.phones import Gestures, gestures
from vocaltract.movement.score import constriction_s
from vocaltract.movement.timing import phrases
from vocaltract.movement.trajectories import FAR_S, Target
from vocaltract.spoken import Phone
from vocaltract.states import GLOTTIS

ORDER = 3
GLOTTIS_TAU_S = 0.010
PRESSURE_TAU_S = 0.015
ONSET_TAU_S = 0.008
"""Of the pressure at the start of a phrase, which begins with its first label: half of it is there 21 ms later."""
FRICATIVE_PRESSURE = 1.6
"""Lung pressure in voiceless fricatives, relative to vowels: small tracts hardly hiss otherwise."""
VOT_S = {"": 0.015, "aspirated": 0.06, "breathy": 0.07}
"""From release to voice, within an aspirated plosive's label and after a plain one's (Lisker and Abramson 1964)."""
SHORT_S, SHORT_LEAD_S = 0.085, 0.014
"""Folds close earlier before a vowel shorter than this: a high one would be over before its voice begins."""
LIMITS = np.array(
    [
        *((40.0, 600.0), (0.0, 20000.0), (-0.05, 0.3), (-0.05, 0.3), (-0.25, 0.25), (0.0, 3.1415)),
        *((-1.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 100.0), (-40.0, 0.0)),
    ]
)
"""Of the geometric glottis, (11, 2)."""
_F0, _PRESSURE = GLOTTIS.index("F0"), GLOTTIS.index("PR")
_FOLDS = np.array([k for k in range(len(GLOTTIS)) if k not in (_F0, _PRESSURE)])
_PR = np.array([_PRESSURE])
PAUSE_S = 0.12
"""Shortest gap between labels in which the pressure is let down."""
_LAG_S = GLOTTIS_TAU_S * contact.time_to(0.5, ORDER)
_POSTURE_S = 0.06
"""How long before a voiced first phone the folds begin to close; there is no pressure yet."""
_PRESSURE_LEAD_S, _PRESSURE_END_S = 0.004, 0.02


def glottal_targets(phones: tuple[Phone, ...], speaker, voice: str) -> list[Target]:
    """Targets of all glottal parameters but F0."""
    shapes = speaker.shapes
    base = shapes.glottis(voice)
    full = float(base[_PRESSURE])
    targets = [
        Target(-FAR_S, FAR_S, _FOLDS, shapes.glottis("voiceless-fricative")[_FOLDS], GLOTTIS_TAU_S),
        Target(-FAR_S, FAR_S, _PR, np.zeros(1), PRESSURE_TAU_S),
    ]
    found = phrases(phones, PAUSE_S)
    for first, last in found:
        start, end = phones[first].start_s, phones[last - 1].end_s
        close = start - _POSTURE_S if gestures(phones[first].ipa).voiced else start
        targets.append(Target(close, end - 0.01, _FOLDS, base[_FOLDS], GLOTTIS_TAU_S))
        targets.append(Target(start, end, _PR, np.array([full]), PRESSURE_TAU_S))
    for k, phone in enumerate(phones):
        following = phones[k + 1] if k + 1 < len(phones) and phones[k + 1].start_s - phone.end_s < 1e-6 else None
        targets += _of_phone(phone, gestures(phone.ipa), following, speaker, voice)
    return targets + _pauses([(phones[first].start_s, phones[last - 1].end_s) for first, last in found])


def _pauses(phrases_s: list[tuple[float, float]]) -> list[Target]:
    """No pressure outside phrases, whatever their first and last phones ask for, and a quick rise at their starts."""
    edges = [-FAR_S, *(edge for phrase in phrases_s for edge in phrase), FAR_S]
    silences = zip(edges[::2], edges[1::2], strict=True)
    targets = [
        Target(end - _PRESSURE_END_S, start - _PRESSURE_LEAD_S, _PR, np.zeros(1), PRESSURE_TAU_S)
        for end, start in silences
    ]
    rises = [Target(start - _PRESSURE_LEAD_S, start + 0.06, _PR, None, ONSET_TAU_S) for start, _ in phrases_s]
    return targets + rises


def _of_phone(phone: Phone, spec: Gestures, following: Phone | None, speaker, voice: str) -> list[Target]:
    if spec.vowel or (spec.voiced and not spec.obstruent and spec.manner != "glottal" and not spec.aspiration):
        return []
    targets = []
    for shape, start, end in _states(phone, spec, following):
        if voice == "whisper" and shape.startswith("voiced"):
            continue
        targets.append(
            Target(start - _LAG_S, end - _LAG_S, _FOLDS, speaker.shapes.glottis(shape)[_FOLDS], GLOTTIS_TAU_S)
        )
    pressure = _pressure(spec)
    if pressure != 1.0:
        value = np.array([pressure * float(speaker.shapes.glottis(voice)[_PRESSURE])])
        start = constriction_s(phone)[1] - 0.02 if spec.manner == "affricate" else phone.start_s
        targets.append(Target(start - 0.02, max(phone.end_s - 0.04, start), _PR, value, PRESSURE_TAU_S))
    return targets


def _pressure(spec: Gestures) -> float:
    hisses = spec.manner in ("fricative", "affricate") and not spec.voiced
    return FRICATIVE_PRESSURE if hisses else 1.0


def _states(phone: Phone, spec: Gestures, following: Phone | None) -> list[tuple[str, float, float]]:
    """States of the glottis with the times at which the folds are half-way into and out of them."""
    start, end = phone.start_s, phone.end_s
    release = constriction_s(phone)[1]
    if spec.manner == "glottal":
        return [({"ʔ": "stop", "ɦ": "breathy"}.get(spec.ipa[0], "h"), start, end)]
    if spec.manner == "fricative":
        return [("voiced-fricative" if spec.voiced else "voiceless-fricative", start, end)]
    voiced = [("voiced-plosive", start, release)]
    if spec.aspiration == "breathy":
        return [*voiced, ("h", release, end)]
    if spec.voiced:
        return voiced if spec.manner == "plosive" else [*voiced, ("voiced-fricative", release, end)]
    if spec.manner == "affricate":
        return [
            ("voiceless-plosive", start + 0.01, release),
            ("voiceless-fricative", release, end + (0.03 if spec.aspiration else 0.0)),
        ]
    if spec.aspiration:
        return [("voiceless-plosive", start + 0.01, release - 0.01), ("open", release - 0.01, end)]
    return [("voiceless-plosive", start + 0.01, release + _plain_opening_s(following))]


def _plain_opening_s(following: Phone | None) -> float:
    """How long after the release of a plain plosive the folds are half-way back, so that voice begins after its VOT."""
    if following is not None and not gestures(following.ipa).voiced:
        return 0.02
    short = following is not None and following.end_s - following.start_s < SHORT_S
    return VOT_S[""] - 0.013 - (SHORT_LEAD_S if short else 0.0)
