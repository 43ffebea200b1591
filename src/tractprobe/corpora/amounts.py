"""How much speech there is: minutes, speakers and utterances of each language, minutes of each source and licence."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

_SHOWN = 5
_UNSAID = "not stated"


@dataclass
class _Amount:
    """What there is of one language: seconds by speaker, and the locales it is from."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    utterances: int = 0
    locales: set[str] = field(default_factory=set)

    @property
    def total_s(self) -> float:
        """Seconds of all speakers."""
        return sum(self.seconds.values())


class Amounts:
    """Sums over utterances, as a table by language, the one with most minutes first."""

    def __init__(self):
        self._languages = defaultdict[str, _Amount](_Amount)
        self._labels = {name: defaultdict[str, float](float) for name in ("source", "licence")}
        self._languages_of = defaultdict[str, set[str]](set)

    def add(self, speaker: str, language: str, labels: Mapping[str, str], seconds: float) -> None:
        """Count an utterance."""
        amount = self._languages[language]
        amount.seconds[speaker] += seconds
        amount.utterances += 1
        amount.locales.add(labels.get("locale", language))
        self._languages_of[speaker].add(language)
        for name, sums in self._labels.items():
            sums[labels.get(name, _UNSAID)] += seconds

    def lines(self) -> list[str]:
        """Return the table, the minutes by source and licence if any is stated, and speakers of several languages."""
        ranked = sorted(self._languages.items(), key=lambda item: (-item[1].total_s, item[0]))
        lines = ["  language  minutes  speakers  utterances  loudest speaker"]
        lines += [_line(language, amount) for language, amount in ranked]
        lines += [
            f"  {name}: {', '.join(f'{text} {seconds / 60:.1f} min' for text, seconds in _ranked(sums))}"
            for name, sums in self._labels.items()
            if set(sums) != {_UNSAID}
        ]
        if several := [speaker for speaker, languages in sorted(self._languages_of.items()) if len(languages) > 1]:
            named = [f"{speaker} ({' '.join(sorted(self._languages_of[speaker]))})" for speaker in several[:_SHOWN]]
            more = ", ..." if len(several) > _SHOWN else ""
            lines.append(f"  speakers of several languages: {len(several)}: {', '.join(named)}{more}")
        return lines


def _ranked(sums: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))


def _line(language: str, amount: _Amount) -> str:
    share = max(amount.seconds.values()) / amount.total_s
    locales = "" if amount.locales == {language} else f"  from {' '.join(sorted(amount.locales))}"
    counts = f"{amount.total_s / 60:9.1f}{len(amount.seconds):10}{amount.utterances:12}"
    return f"  {language:<8}{counts}{share:16.0%}{locales}".rstrip()
