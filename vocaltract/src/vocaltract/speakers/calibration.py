"""Bring every speaker's vowels to their formants and every consonant to its constriction; writes ``calibrated.json``.

``python -m vocaltract.speakers.calibration [speaker ...]`` takes about two minutes of processor time per speaker.
Run it after any change to ``shapes.toml`` or ``speakers.toml``: for ``m1`` first, whose vowels are everyone's model.

1. Vowels of ``m1`` that JD3 lacks, and English and Mandarin r, are fitted to published formants.
2. Every other speaker's vowels are fitted to those of ``m1``, times the ratio of the lengths of their tracts
   (a uniform tube's formants are inverse to its length), loosely, so that the anatomy's own colour remains.
3. Every consonant's articulator is pushed on or drawn back above every vowel, until contact is as long
   as JD3's, times the speaker's size, or an approximant's area as large.
"""

import argparse
import json
import multiprocessing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vocaltract.speakers import calibrated, contact
from vocaltract.speakers.acoustics import formants_hz
from vocaltract.speakers.context import CORNERS
from vocaltract.speakers.fitting import FREE, fit
from vocaltract.speakers.shapes import Shapes, definitions
from vocaltract.speakers.speaker import SPEAKERS, Speaker, load
from vocaltract.states import TRACT

MODEL = "m1"
LOOSE = 0.04
"""Tolerance of a speaker's formants around the scaled ones, as a share."""
LEAST_AREA_CM2 = 0.3
"""Of a fitted vowel, times the square of the speaker's size; less would make noise."""


def calibrate(name: str, model: dict[str, Any]) -> dict[str, Any]:
    """Calibrate one speaker; ``model`` is what was found for ``m1`` (empty for ``m1`` itself)."""
    speaker = load(name)
    speaker.activate()
    scale = 1.0 if name == MODEL else model["length_cm"] / length_cm(speaker)
    targets = _targets(name, model, scale)
    vowels = calibrated.scaled_vowels(speaker.anatomy)
    moved = {key: _fitted(speaker, state, targets[key], name) for key, state in vowels.items() if key in targets}
    changed_vowels = {key: calibrated.changes(vowels[key], state) for key, state in moved.items()}
    vowels |= {key: calibrated.changed(vowels[key], values) for key, values in changed_vowels.items()}
    rhotics = _rhotics(speaker, vowels, scale)
    found: dict[str, Any] = {"length_cm": round(length_cm(speaker), 3)}
    found["formants_hz"] = {key: formants_hz(state, 3).round().tolist() for key, state in vowels.items()}
    found |= {"vowels": {k: v for k, v in changed_vowels.items() if v}, "consonants": rhotics}
    return found | {"pushes_cm": _pushes(speaker, vowels)}


def length_cm(speaker: Speaker) -> float:
    """Length of the speaker's tract in schwa as defined, before calibration."""
    from vocaltractlab_cython import get_cross_sections

    return float(get_cross_sections(calibrated.scaled_vowels(speaker.anatomy)["ə"])["positions"][-1])


def _targets(name: str, model: dict[str, Any], scale: float) -> dict[str, list[float]]:
    if name == MODEL:
        entries = definitions()["vowels"]
        return {key: entry["formants_hz"] for key, entry in entries.items() if "formants_hz" in entry}
    return {key: [scale * f for f in formants] for key, formants in model["formants_hz"].items()}


def _fitted(speaker: Speaker, state: np.ndarray, targets_hz: list[float], name: str) -> np.ndarray:
    size = speaker.anatomy.oral
    least = LEAST_AREA_CM2 * size * speaker.anatomy.depth
    if name == MODEL:
        return fit(state, targets_hz, speaker.limits, size, least)
    return fit(state, targets_hz, speaker.limits, size, 0.8 * least, tolerance=LOOSE)


def _rhotics(speaker: Speaker, vowels: dict[str, np.ndarray], scale: float) -> dict[str, list[dict[str, float]]]:
    """Consonants that are known by their formants, fitted above a, i and u."""
    found = {}
    starts = calibrated.scaled_consonants(speaker.anatomy)
    least = LEAST_AREA_CM2 * speaker.anatomy.oral * speaker.anatomy.depth
    for key, entry in definitions()["consonants"].items():
        if "formants_hz" not in entry:
            continue
        own = definitions()["active"][entry["active"]]
        active = np.array([TRACT.index(p) for p in own])
        free = [p for p in FREE if p in own]
        targets = [scale * f for f in entry["formants_hz"]]
        found[key] = []
        for corner, start in zip(CORNERS, starts[key], strict=True):
            state = contact.above(vowels[corner], start, active)
            fitted = fit(state, targets, speaker.limits, speaker.anatomy.oral, least, free)
            found[key].append(calibrated.changes(start, contact.above(start, fitted, active)))
    return found


def _pushes(speaker: Speaker, vowels: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    size, area = speaker.anatomy.oral, speaker.anatomy.oral * speaker.anatomy.depth
    unpushed = Shapes(vowels, calibrated.scaled_consonants(speaker.anatomy), {}, {}, speaker.limits)
    found = {}
    for key in unpushed.consonants:
        goal = contact.goal(key, size, area)
        if goal is None:
            continue
        row = {}
        for vowel, state in vowels.items():
            push = contact.push_cm(state, unpushed.consonant(key, state), goal, speaker.limits, size)
            if abs(push) > 5e-4:
                row[vowel] = round(push, 3)
        found[key] = row
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("speakers", nargs="*", help="names, all by default")
    parser.add_argument("--processes", type=int, default=1)
    default = Path(__file__).with_name(calibrated.FILE)
    parser.add_argument("--out", type=Path, default=default, help="file to update")
    return parser.parse_args()


def main() -> None:
    """Calibrate the speakers that the command line names, each in a process of its own."""
    arguments = _arguments()
    names = arguments.speakers or list(SPEAKERS)
    found = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.is_file() else {}
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.processes, maxtasksperchild=1) as pool:
        if MODEL in names:
            found[MODEL] = pool.apply(calibrate, (MODEL, {}))
            _write(found, arguments.out)
        others = [name for name in names if name != MODEL]
        results = pool.imap(partial(calibrate, model=found[MODEL]), others)
        for name, result in zip(others, results, strict=True):
            found[name] = result
            _write(found, arguments.out)


def _write(found: dict[str, Any], file: Path) -> None:
    ordered = {"made_from": calibrated.sources_hash()} | {name: found[name] for name in SPEAKERS if name in found}
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


if __name__ == "__main__":
    main()
