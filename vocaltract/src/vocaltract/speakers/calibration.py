"""Bring every speaker's vowels to their formants and every consonant to its constriction; writes ``calibrated.json``.

``python -m vocaltract.speakers.calibration [speaker ...]`` takes about two minutes of processor time per speaker.
Run it after any change to ``shapes.toml`` or ``speakers.toml``: for ``m1`` first, whose vowels are everyone's model.

1. Vowels of ``m1`` that JD3 lacks, and English and Mandarin r, are fitted to published formants.
2. Every other speaker's vowels are fitted to those of ``m1``, times the ratio of the lengths of their tracts
   (a uniform tube's formants are inverse to its length), loosely, so that the anatomy's own colour remains.
3. The tongue's body comes forward in consonants that would shut a short pharynx.
4. Every consonant's articulator is pushed on or drawn back above every vowel, until contact is as long
   as JD3's, times the speaker's size, or an approximant's area as large.
"""

import argparse
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np

from vocaltract.speakers import anatomy, calibrated, contact
from vocaltract.speakers.acoustics import formants_hz, smallest_area_cm2
from vocaltract.speakers.context import CORNERS
from vocaltract.speakers.fitting import FREE, fit
from vocaltract.speakers.shapes import Shapes, definitions
from vocaltract.speakers.shapes import vowels as defined_vowels
from vocaltract.speakers.speaker import SPEAKERS, Speaker, load
from vocaltract.states import TRACT

MODEL = "m1"
LOOSE = 0.04
"""Tolerance of a speaker's formants around the scaled ones, as a share."""
RETRY_BEYOND = 0.08
LEAST_PHARYNX_CM2, PHARYNX_UNTIL = 0.25, 0.42
"""Of a consonant's pharynx, times the square of the speaker's size, up to that share of the way to the lips."""
CLEARING_CM, MOST_CLEARING_STEPS = 0.06, 10
LEAST_AREA_CM2 = 0.3
"""Of a fitted vowel, times the square of the speaker's size; less would make noise."""


def calibrate(name: str, model: dict[str, Any], known_vowels: dict[str, Any] | None = None) -> dict[str, Any]:
    """Calibrate one speaker.

    ``model`` is what was found for ``m1`` (empty for ``m1`` itself); with ``known_vowels``, an earlier
    result for this speaker, only the consonants are new.
    """
    speaker = load(name)
    speaker.activate()
    scale = 1.0 if name == MODEL else model["length_cm"] / length_cm(speaker)
    vowels = calibrated.scaled_vowels(speaker.anatomy)
    changes = (
        known_vowels["vowels"] if known_vowels else _fitted_vowels(speaker, vowels, _targets(name, model, scale), model)
    )
    vowels |= {key: calibrated.changed(vowels[key], values) for key, values in changes.items()}
    starts = calibrated.scaled_consonants(speaker.anatomy)
    consonants = {key: _cleared(speaker, vowels, key, v) for key, v in _rhotics(speaker, vowels, starts, scale).items()}
    return {
        "length_cm": round(length_cm(speaker), 3),
        "formants_hz": {key: formants_hz(state, 3).round().tolist() for key, state in vowels.items()},
        "vowels": changes,
        "consonants": _variant_changes(starts, consonants),
        "pushes_cm": _pushes(speaker, vowels, consonants),
    }


def _fitted_vowels(
    speaker: Speaker, vowels: dict[str, np.ndarray], targets_hz: dict[str, list[float]], model: dict[str, Any]
) -> dict[str, dict[str, float]]:
    """Fit vowels from their definitions; where that fails, from the model's fitted shape as well."""
    found = {}
    for key, targets in targets_hz.items():
        best = _fitted(speaker, vowels[key], targets)
        if model and _error(best, targets) > RETRY_BEYOND:
            start = anatomy.scaled(
                calibrated.changed(defined_vowels()[key], model["vowels"].get(key, {})), speaker.anatomy
            )
            again = _fitted(speaker, start, targets)
            best = again if _error(again, targets) < _error(best, targets) else best
        found[key] = calibrated.changes(vowels[key], best)
    return {key: values for key, values in found.items() if values}


def _error(state: np.ndarray, targets_hz: list[float]) -> float:
    errors = np.abs(np.log(formants_hz(state, len(targets_hz)) / targets_hz))
    return float(np.where(np.isnan(errors), np.inf, errors).max())


def length_cm(speaker: Speaker) -> float:
    """Length of the speaker's tract in schwa as defined, before calibration."""
    from vocaltractlab_cython import get_cross_sections

    return float(get_cross_sections(calibrated.scaled_vowels(speaker.anatomy)["ə"])["positions"][-1])


def _targets(name: str, model: dict[str, Any], scale: float) -> dict[str, list[float]]:
    if name == MODEL:
        entries = definitions()["vowels"]
        return {key: entry["formants_hz"] for key, entry in entries.items() if "formants_hz" in entry}
    return {key: [scale * f for f in formants] for key, formants in model["formants_hz"].items()}


def _fitted(speaker: Speaker, state: np.ndarray, targets_hz: list[float]) -> np.ndarray:
    size = speaker.anatomy.oral
    least = LEAST_AREA_CM2 * size * speaker.anatomy.depth
    if speaker.name == MODEL:
        return fit(state, targets_hz, speaker.limits, size, least)
    return fit(state, targets_hz, speaker.limits, size, 0.8 * least, tolerance=LOOSE)


def _rhotics(
    speaker: Speaker, vowels: dict[str, np.ndarray], starts: dict[str, np.ndarray], scale: float
) -> dict[str, np.ndarray]:
    """Fit the consonants that are known by their formants, above a, i and u; the others stay as they are."""
    least = LEAST_AREA_CM2 * speaker.anatomy.oral * speaker.anatomy.depth
    found = dict(starts)
    for key, entry in definitions()["consonants"].items():
        if "formants_hz" not in entry:
            continue
        own = definitions()["active"][entry["active"]]
        active = np.array([TRACT.index(p) for p in own])
        free = [p for p in FREE if p in own]
        targets = [scale * f for f in entry["formants_hz"]]
        variants = []
        for corner, start in zip(CORNERS, starts[key], strict=True):
            state = contact.above(vowels[corner], start, active)
            fitted = fit(state, targets, speaker.limits, speaker.anatomy.oral, least, free)
            variants.append(contact.above(start, fitted, active))
        found[key] = np.array(variants)
    return found


def _cleared(speaker: Speaker, vowels: dict[str, np.ndarray], key: str, variants: np.ndarray) -> np.ndarray:
    """Bring the tongue's body forward where it would shut a short pharynx above any vowel."""
    own = definitions()["active"][definitions()["consonants"][key]["active"]]
    if "TCX" not in own:
        return variants
    least = LEAST_PHARYNX_CM2 * speaker.anatomy.oral * speaker.anatomy.depth
    active = np.array([TRACT.index(p) for p in own])
    for _ in range(MOST_CLEARING_STEPS):
        shapes = Shapes(vowels, {key: variants}, {}, {}, speaker.limits)
        states = (contact.above(vowel, shapes.consonant(key, vowel), active) for vowel in vowels.values())
        if all(smallest_area_cm2(state, until=PHARYNX_UNTIL) >= least for state in states):
            break
        variants = variants.copy()
        variants[:, TRACT.index("TCX")] += CLEARING_CM * speaker.anatomy.oral
    return variants


def _variant_changes(starts: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, list[dict[str, float]]]:
    rows = {
        key: [calibrated.changes(a, b) for a, b in zip(starts[key], found[key], strict=True)]
        for key in definitions()["consonants"]
    }
    return {key: row for key, row in rows.items() if any(row)}


def _pushes(
    speaker: Speaker, vowels: dict[str, np.ndarray], consonants: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    size, area = speaker.anatomy.oral, speaker.anatomy.oral * speaker.anatomy.depth
    unpushed = Shapes(vowels, consonants, {}, {}, speaker.limits)
    found = {}
    for key in consonants:
        goal = contact.goal(key, size, area)
        if goal is None:
            continue
        states = [(vowel, state, unpushed.consonant(key, state)) for vowel, state in vowels.items()]
        row = {v: round(contact.push_cm(state, target, goal, speaker.limits, size), 3) for v, state, target in states}
        found[key] = {vowel: push for vowel, push in row.items() if push}
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("speakers", nargs="*", help="names, all by default")
    parser.add_argument("--consonants", action="store_true", help="keep the vowels that were found before")
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
    results = {}
    with context.Pool(arguments.processes, maxtasksperchild=1) as pool:
        for name in sorted(names, key=lambda name: name != MODEL):
            model = {} if name == MODEL else found[MODEL]
            known = found[name] if arguments.consonants else None
            results[name] = pool.apply_async(calibrate, (name, model, known))
            if name == MODEL:
                found[name] = results[name].get()
        for name, result in results.items():
            found[name] = result.get()
            _write(found, arguments.out)


def _write(found: dict[str, Any], file: Path) -> None:
    ordered = {"made_from": calibrated.sources_hash()} | {name: found[name] for name in SPEAKERS if name in found}
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


if __name__ == "__main__":
    main()
