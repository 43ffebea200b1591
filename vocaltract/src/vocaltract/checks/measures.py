"""What a check measured: numbers by speaker and language, and what is wrong."""

from dataclasses import dataclass, field


@dataclass
class Share:
    """So many of so many.

    Attributes
    ----------
    good, all
        How many are as they should be, and how many there are.
    """

    good: int = 0
    all: int = 0

    def add(self, good: bool) -> None:
        self.good += bool(good)
        self.all += 1

    @property
    def rate(self) -> float:
        return self.good / self.all if self.all else float("nan")

    def __str__(self) -> str:
        return f"{self.good}/{self.all}" if self.all else "-"


@dataclass
class Report:
    """All that was measured.

    Attributes
    ----------
    numbers
        By measure, then by group (a speaker, or speaker and language): what the table shows.
    failures
        One line for everything that is wrong.
    """

    numbers: dict[str, dict[str, object]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def put(self, measure: str, group: str, value: object) -> None:
        self.numbers.setdefault(measure, {})[group] = value

    def require(self, good: bool, what: str) -> bool:
        """Note a failure unless ``good``; gives back whether it is."""
        if not good:
            self.failures.append(what)
        return bool(good)
