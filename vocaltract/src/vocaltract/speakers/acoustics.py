"""What a tract state sounds like and where it is narrow, by the synthesiser's own geometry and acoustics.

Every function needs the state's speaker to be active.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from vocaltract.states import AUDIO_HZ

SPECTRUM_BINS = 4096
LOWEST_FORMANT_HZ = 120.0
PROMINENCE_DB = 1.5
LIPS = 3
"""The synthesiser's number for lips among the articulators of a section: 1 is the tongue, 2 the incisors."""
MOUTH_FROM = 0.35
"""Share of the way from glottis to lips behind which pharynx and larynx are narrow in vowels as well."""


def formants_hz(state: np.ndarray, count: int = 4) -> np.ndarray:
    """Find the first resonances of the tract between glottis and lips.

    They are the peaks of the volume velocity transfer function (Birkholz 2013's acoustic model), refined by
    a parabola through three bins of 10.8 Hz; ripples below 1.5 dB do not count.

    Returns
    -------
    numpy.ndarray
        (count,) Hz; NaN where there are fewer peaks below 8 kHz.
    """
    from vocaltractlab_cython import tract_state_to_transfer_function

    result = tract_state_to_transfer_function(np.asarray(state, np.float64), SPECTRUM_BINS, save_phase_spectrum=False)
    bin_hz = AUDIO_HZ / SPECTRUM_BINS
    level_db = 20.0 * np.log10(result["magnitude_spectrum"][: int(8000 / bin_hz)] + 1e-12)
    peaks, _ = find_peaks(level_db, prominence=PROMINENCE_DB)
    peaks = peaks[peaks * bin_hz > LOWEST_FORMANT_HZ]
    before, at, after = level_db[peaks - 1], level_db[peaks], level_db[peaks + 1]
    refined = (peaks + 0.5 * (before - after) / (before - 2 * at + after)) * bin_hz
    return np.append(refined[:count], np.full(max(0, count - len(refined)), np.nan))


@dataclass(frozen=True)
class Constriction:
    """The narrowest stretch of a region of the tract.

    Attributes
    ----------
    area_cm2
        Smallest cross-section.
    length_cm
        Of the stretch around it with less than ``NARROW_CM2`` above the smallest possible area.
    from_lips_cm
        Middle of that stretch.
    """

    area_cm2: float
    length_cm: float
    from_lips_cm: float


NARROW_CM2 = 0.05


def constriction(state: np.ndarray, region: str = "mouth", floor_cm2: float = 0.0) -> Constriction:
    """Measure the constriction of a state.

    Parameters
    ----------
    region
        ``"lips"``, ``"tongue"`` (from the uvula to the teeth) or ``"mouth"``, both.
    floor_cm2
        What the model allows at least: 0 in a closure, 0.15 in a fricative's channel, 0.25 beside a lateral.
    """
    from vocaltractlab_cython import get_cross_sections

    sections = get_cross_sections(np.asarray(state, np.float64))
    area, place = sections["areas"], sections["positions"]
    inside = _region(place, sections["articulators"], region)
    narrowest = int(np.where(inside, area, np.inf).argmin())
    limit = max(floor_cm2, area[narrowest]) + NARROW_CM2
    first, last = _stretch(area <= limit, narrowest)
    start = _crossing(place, area, first, first - 1, limit)
    end = _crossing(place, area, last, last + 1, limit)
    return Constriction(float(area[narrowest]), end - start, float(place[-1] - 0.5 * (start + end)))


def _region(place: np.ndarray, articulators: np.ndarray, region: str) -> np.ndarray:
    lips = np.zeros(len(place), dtype=bool)
    lips[int(np.flatnonzero(articulators != LIPS)[-1]) + 1 :] = True
    beyond_larynx = place > place[-1] * MOUTH_FROM
    return {"lips": lips, "tongue": beyond_larynx & ~lips, "mouth": beyond_larynx}[region]


def _stretch(narrow: np.ndarray, at: int) -> tuple[int, int]:
    first = last = at
    while first > 0 and narrow[first - 1]:
        first -= 1
    while last < len(narrow) - 1 and narrow[last + 1]:
        last += 1
    return first, last


def _crossing(place: np.ndarray, area: np.ndarray, inside: int, outside: int, limit: float) -> float:
    """Where the area passes the limit between two neighbouring sections, by linear interpolation."""
    if not 0 <= outside < len(place):
        return float(place[inside])
    share = (limit - area[inside]) / (area[outside] - area[inside])
    return float(place[inside] + share * (place[outside] - place[inside]))


def smallest_area_cm2(state: np.ndarray, beyond: float = 0.5 * MOUTH_FROM, until: float = 1.0) -> float:
    """Measure the smallest area between two shares of the way from glottis to lips; by default above the larynx."""
    from vocaltractlab_cython import get_cross_sections

    sections = get_cross_sections(np.asarray(state, np.float64))
    share = sections["positions"] / sections["positions"][-1]
    return float(sections["areas"][(share > beyond) & (share < until)].min())
