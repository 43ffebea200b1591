"""Rhythm of each language's texts as they are spoken here, from durations of vocalic and consonantal intervals.

An interval is a stretch of vowels, or of consonants, without a pause inside, whatever words and syllables it spans.
Glides before vowels count as consonants, diphthongs as vowels (Ramus, Nespor, Mehler 1999, Cognition 73).
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from vocaltract.languages import LANGUAGES
from vocaltract.languages.inventory import spoken_texts
from vocaltract.languages.sounds import is_vowel
from vocaltract.spoken import Phone, Spoken


@dataclass(frozen=True)
class Rhythm:
    """Figures of one language.

    Attributes
    ----------
    percent_v
        %V: vocalic intervals' share of the time without pauses, in percent (Ramus et al. 1999).
    delta_c_ms
        ΔC: standard deviation of consonantal intervals (Ramus et al. 1999).
    npvi_v
        nPVI-V = 100/(m-1) Σ |d_k - d_{k+1}| / ((d_k + d_{k+1}) / 2) over successive vocalic intervals
        (Grabe, Low 2002).
    rpvi_c_ms
        rPVI-C = 1/(m-1) Σ |d_k - d_{k+1}| over successive consonantal intervals (Grabe, Low 2002).
    syllables_per_s, phones_per_s
        Over the time without pauses.
    """

    percent_v: float
    delta_c_ms: float
    npvi_v: float
    rpvi_c_ms: float
    syllables_per_s: float
    phones_per_s: float


def phrases(spoken: Spoken) -> list[list[Phone]]:
    """Phones between pauses."""
    found: list[list[Phone]] = []
    for phone in spoken.phones:
        if not found or phone.start_s - found[-1][-1].end_s > 1e-6:
            found.append([])
        found[-1].append(phone)
    return found


def intervals_ms(phrase: list[Phone]) -> tuple[np.ndarray, np.ndarray]:
    """Vocalic and consonantal intervals of a phrase, in order, each (interval,)."""
    vocalic: list[float] = []
    consonantal: list[float] = []
    for vowel, phones in groupby(phrase, key=lambda phone: is_vowel(phone.ipa)):
        stretch = list(phones)
        (vocalic if vowel else consonantal).append(1000.0 * (stretch[-1].end_s - stretch[0].start_s))
    return np.array(vocalic), np.array(consonantal)


def rhythm(spoken: tuple[Spoken, ...]) -> Rhythm:
    """Figures over sentences; successive intervals are compared within phrases only."""
    stretches = [phrase for sentence in spoken for phrase in phrases(sentence)]
    pairs = [intervals_ms(phrase) for phrase in stretches]
    vocalic = np.concatenate([pair[0] for pair in pairs])
    consonantal = np.concatenate([pair[1] for pair in pairs])
    relative = [np.abs(np.diff(v)) / ((v[1:] + v[:-1]) / 2) for v, _ in pairs]
    raw = [np.abs(np.diff(c)) for _, c in pairs]
    time_s = (vocalic.sum() + consonantal.sum()) / 1000.0
    syllables = sum(len({phone.syllable for phone in sentence.phones}) for sentence in spoken)
    return Rhythm(
        percent_v=float(100.0 * vocalic.sum() / (1000.0 * time_s)),
        delta_c_ms=float(consonantal.std()),
        npvi_v=float(100.0 * np.concatenate(relative).mean()),
        rpvi_c_ms=float(np.concatenate(raw).mean()),
        syllables_per_s=float(syllables / time_s),
        phones_per_s=float(sum(len(phrase) for phrase in stretches) / time_s),
    )


def row(language: str) -> dict[str, str | float]:
    """One language's row of the rhythm table."""
    figures = rhythm(spoken_texts(language))
    return {
        "language": language,
        "%V": round(figures.percent_v, 1),
        "ΔC ms": round(figures.delta_c_ms, 1),
        "nPVI-V": round(figures.npvi_v, 1),
        "rPVI-C ms": round(figures.rpvi_c_ms, 1),
        "syllables/s": round(figures.syllables_per_s, 1),
        "phones/s": round(figures.phones_per_s, 1),
    }


def rows() -> list[dict[str, str | float]]:
    """Rows of the rhythm table, one a language."""
    return [row(language) for language in LANGUAGES]
