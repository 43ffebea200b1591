"""Languages that an encoder has heard against others, by what heads read that know neither language nor speaker.

Languages differ in how hard they are to read, whatever the encoder has heard. So the contrast is also taken of the
difference to acoustics, on which the same heads were fitted: hard languages are hard there, too. Intervals are over
speakers; of one or a few languages on either side nothing is said about other languages.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from math import sqrt
from typing import Any

from tractprobe.data.crossed import LANGUAGE_ONLY, NEITHER
from tractprobe.evidence.methods.factorial import Factorial
from tractprobe.evidence.record import Finding
from tractprobe.evidence.statistics.effects import OVER, none
from tractprobe.evidence.statistics.inference import differences, effect
from tractprobe.runs.estimate import Estimate, Scores, interval

_WITHIN = "mean over channels, then languages of each side, then speakers"


def heard_here(about: Mapping[str, Any], there: Set[str]) -> Set[str] | str:
    """Return which of some languages an encoder has heard, or why that cannot be compared with others."""
    heard = about.get("languages")
    if not isinstance(heard, list):
        stated = f"{heard} languages, not which" if isinstance(heard, int) else "nothing"
        return f"which languages the encoder has heard is not known: model.about.languages says {stated}"
    if not there & set(heard) or not there - set(heard):
        which = "all" if there & set(heard) else "none"
        return f"the encoder has heard {which} of the languages here, {', '.join(sorted(there))}"
    return there & set(heard)


def heard_against_others(
    scores: Factorial, heard: Set[str] | str, control: Factorial | None, name_of_control: str
) -> list[Finding]:
    """Return the contrast in r, in what an encoder has beyond acoustics, and in what knowing the language adds."""
    names = ("heard_languages", "heard_languages_beyond_acoustics", "heard_languages_effect")
    neither = scores.cells(NEITHER).of_speakers()
    if isinstance(heard, str) or not neither:
        reason = heard if isinstance(heard, str) else scores.lacking(LANGUAGE_ONLY, NEITHER)
        return [none(name, reason) for name in names]
    beyond = differences(neither, control.cells(NEITHER).of_speakers()) if control is not None else {}
    asked = {
        "r, by heads that know neither language nor speaker,": neither,
        f"r minus that of {name_of_control}, by such heads,": beyond,
        "what knowing the language adds to r for new speakers,": scores.difference(
            LANGUAGE_ONLY, NEITHER
        ).of_speakers(),
    }
    return list(_findings(names, asked, heard))


def _findings(names: tuple[str, ...], asked: Mapping[str, Scores], heard: Set[str]) -> Iterator[Finding]:
    for name, (what, values) in zip(names, asked.items(), strict=True):
        sides = [{key: value for key, value in values.items() if (key[0] in heard) is side} for side in (True, False)]
        if not all(sides):
            yield none(name, f"{what.rstrip(',')} is not known in languages of both kinds")
            continue
        of, others = ("+".join(sorted({language for language, _ in side})) for side in sides)
        says = f"{what} in languages that the encoder has heard ({of}) minus others ({others})"
        reached, over = contrast(*sides)
        count = {"speakers": reached.n, "languages": len({language for language, _ in values})}
        yield Finding(name, says, reached.mean, reached.low, reached.high, "r", over, count)


def contrast(one: Scores, other: Scores) -> tuple[Estimate, str]:
    """Return the difference between languages, and what it is over.

    Within speakers where all speak languages of both kinds; between speakers where none does (Welch). Where some do,
    there is no interval.
    """
    first, second = _by_speaker(one), _by_speaker(other)
    if first.keys() == second.keys():
        return effect({("", speaker): first[speaker] - second[speaker] for speaker in first}), _WITHIN
    a, b = effect(one), effect(other)
    difference = Estimate(a.mean - b.mean, None, None, len(first.keys() | second.keys()))
    if first.keys() & second.keys() or not (a.se and b.se and a.df and b.df):
        return difference, OVER
    se = sqrt(a.se**2 + b.se**2)
    df = se**4 / (a.se**4 / a.df + b.se**4 / b.df)
    low, high = interval(difference.mean, se, df, difference.level)
    return replace(difference, low=low, high=high, se=se, df=df), OVER


def _by_speaker(values: Scores) -> dict[str, float]:
    each: dict[str, list[float]] = {}
    for (_, speaker), value in values.items():
        each.setdefault(speaker, []).append(value)
    return {speaker: sum(own) / len(own) for speaker, own in each.items()}
