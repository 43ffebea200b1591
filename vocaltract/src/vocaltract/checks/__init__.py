"""Checks of a corpus that this program made."""

import json
from collections import defaultdict
from pathlib import Path

from vocaltract import speakers
from vocaltract.checks.levels import check_sibilants
from vocaltract.checks.measures import Report, Share
from vocaltract.checks.reading import Utterance, utterances
from vocaltract.checks.recogniser import check_intelligibility
from vocaltract.checks.signals import check_files
from vocaltract.checks.table import lines
from vocaltract.checks.tract import check_tract
from vocaltract.checks.vowels import check_vowels

__all__ = ["Report", "check", "measure"]


def check(root: Path, *, json_file: Path | None = None, recogniser: bool = True) -> int:
    """Measure, print the table, write it as JSON; 1 if anything fails.

    Raises
    ------
    VocalTractError
        If the folder is no corpus of this program.
    """
    report = measure(root, recogniser=recogniser)
    print("\n".join(lines(report)))
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(report), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 1 if report.failures else 0


def measure(root: Path, *, recogniser: bool = True) -> Report:
    """Measure everything that can be measured of what the folder holds."""
    by_speaker: defaultdict[str, list[Utterance]] = defaultdict(list)
    for one in utterances(root):
        by_speaker[one.speaker].append(one)
    report = Report()
    speech = {name: [one for one in some if one.is_speech] for name, some in by_speaker.items()}
    for name, some in by_speaker.items():
        check_files(some, report)
        if speech[name]:
            check_tract(speech[name], report)
            check_vowels(speech[name], report)
    check_sibilants({name: some for name, some in speech.items() if some}, report)
    if recogniser:
        check_intelligibility([one for some in speech.values() for one in some], report)
    order = {name: place for place, name in enumerate(speakers.SPEAKERS)}
    report.failures.sort(key=lambda text: order.get(text[:2], len(order)))
    return report


def as_json(report: Report) -> dict[str, object]:
    """Numbers and failures; a share as ``[good, all]``."""
    numbers = {
        measure: {group: _plain(value) for group, value in groups.items()} for measure, groups in report.numbers.items()
    }
    return {"numbers": numbers, "failures": report.failures}


def _plain(value: object) -> object:
    return [value.good, value.all] if isinstance(value, Share) else value
