"""Formants of the vowels in speech, against what is known of men's and the length of each speaker's tract."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vocaltract import speakers
from vocaltract.checks.measures import Report, Share
from vocaltract.checks.reading import Utterance
from vocaltract.checks.tract import SHUT_VELUM_CM2, state
from vocaltract.movement.phones import gestures
from vocaltract.speakers.acoustics import formants_hz
from vocaltract.states import TRACT, Movement

MEN_HZ = {
    "i": (270, 2290),
    "ɪ": (390, 1990),
    "e": (370, 2180),
    "e_mid": (450, 1860),
    "ɛ": (530, 1840),
    "æ": (660, 1720),
    "a": (730, 1300),
    "ɑ": (730, 1090),
    "ʌ": (640, 1190),
    "ɔ": (570, 840),
    "o": (400, 750),
    "o_mid": (455, 870),
    "ʊ": (440, 1020),
    "u": (300, 870),
    "y": (290, 1750),
    "ø": (380, 1500),
    "œ": (510, 1480),
    "ə": (500, 1500),
    "ɚ": (490, 1350),
}
"""F1 and F2 of men: Peterson & Barney 1952 (American English), Bradlow 1995 (e_mid, o_mid: Spanish), Pätzold & Simpson
1997 (e, o, y, ø, œ, a: German); ə is a tube of even width."""
WIDE = (0.35, 0.35)
"""How far the median over all of a speaker's tokens may lie from these, relative: tokens are coarticulated."""
FEWEST = 4
LEAST = 0.75


def check_vowels(some: Sequence[Utterance], report: Report) -> None:
    """Check the vowels of one speaker's speech; makes the speaker the synthesiser's."""
    speaker = some[0].speaker
    scale = length_cm("m1") / length_cm(speaker)
    speakers.load(speaker).activate()
    tokens: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in some:
        for name, pair in vowel_formants_hz(one.movement):
            tokens[name].append(pair)
    medians = {name: np.nanmedian(pairs, axis=0) for name, pairs in tokens.items() if len(pairs) >= FEWEST}
    share, off = Share(), []
    for name in medians.keys() & MEN_HZ.keys():
        expected = np.array(MEN_HZ[name]) * scale
        good = bool((np.abs(medians[name] / expected - 1) <= WIDE).all())
        share.add(good)
        if not good:
            off.append(f"{name} at {medians[name].round().tolist()} Hz, expected {expected.round().tolist()}")
    report.put("vowels", speaker, share)
    report.put("formants_hz", speaker, {name: pair.round().tolist() for name, pair in sorted(medians.items())})
    report.put("off", speaker, off)
    if share.all:
        report.require(share.rate >= LEAST, f"{speaker}: vowels in their regions {share}: {'; '.join(off)}")


def vowel_formants_hz(movement: Movement) -> list[tuple[str, tuple[float, float]]]:
    """Quality, F1 and F2 in the middle of every monophthong, from the tract's transfer function.

    Not of those with an open velum there, nasal ones and neighbours of nasals: the nose adds peaks of its own.
    """
    found = []
    for phone in movement.spoken.phones:
        kind = gestures(phone.ipa)
        middle = state(movement.tract, (phone.start_s + phone.end_s) / 2)
        if kind.vowel and len(kind.places) == 1 and middle[TRACT.index("VO")] <= SHUT_VELUM_CM2:
            first, second = formants_hz(middle, 2)
            found.append((kind.places[0], (float(first), float(second))))
    return found


def length_cm(name: str) -> float:
    """From glottis to lips in the neutral vowel; makes the speaker the synthesiser's."""
    from vocaltractlab_cython import get_cross_sections

    speaker = speakers.load(name)
    speaker.activate()
    return float(get_cross_sections(speaker.shapes.vowel("neutral"))["positions"][-1])
