"""Recordings of the NDI Wave articulograph: tab-separated text, one row per sample, in mm.

There are two dialects. WaveFront's (after merging with the audio): ``AudioTime[s]``, two counters, then for each sensor
``Sensor n Id``, ``Sensor n Status`` (a number), ``X[mm] Y[mm] Z[mm]`` and the quaternion ``Q0 Qx Qy Qz``; a missing
position is an empty cell. The Wave's own: ``Wav Time``, then for each sensor its id, ``Frame``, ``State`` (text), the
quaternion FIRST and then ``Tx Ty Tz``; missing is -3.697314E28 or any ``State`` but ``OK``; a column named by a single
blank separates its two units; the header may be missing. Columns are found by the names in the header.

The first column is in seconds from the start of the WAV file. A few rows at the start may carry times of the device's
set-up (thousands of seconds, out of order). Later, whole rows may be missing; they are restored as missing positions.
Example3.tsv of ematoblender and the recordings of rsprouse/ema_head_correction are real examples; that the clock starts
with nonsense is known from Marquette's own viewer, which looks for the first time between 0 and 0.1 s. Numbers may
have decimal commas, as programs of some countries write them.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from tractprobe.corpora.formats.tables import number
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import read_text

_CLOCKS = ("AudioTime[s]", "Wav Time")
_AXES = (("X[mm]", "Y[mm]", "Z[mm]"), ("Tx", "Ty", "Tz"))
_STATE = "State"
_STATUS = re.compile(r"Sensor (\S+) Status")
_OWN_BLOCK = ("Frame", _STATE, "Q0", "Qx", "Qy", "Qz", "Tx", "Ty", "Tz")
_MISSING_BELOW = -3.0e28
"""The threshold by which NDI's own headers recognise their missing value, -3.697314E28."""
_MAX_MM = 1e4
_SETUP_END_S = 0.1
_MAX_JITTER = 0.1
_MAX_DRIFT = 0.5


@dataclass(frozen=True, eq=False)
class WaveRecording:
    """Positions of the sensors of an NDI Wave over time.

    Attributes
    ----------
    sensors
        Names in the file's order: ``1`` of ``Sensor 1 Id``, or an id such as ``B5-03859-P01-CH0``.
    positions_mm
        x, y, z along the file's own axes; NaN where the sensor was lost.
    states
        The device's state of each sensor, as in the file; empty in rows missing from the file.
    rate_hz, start_s
        The file's clock; the first row's time is in seconds from the start of the WAV file.
    """

    sensors: tuple[str, ...]
    positions_mm: Float[np.ndarray, "time sensor 3"]
    states: np.ndarray
    rate_hz: float
    start_s: float


@dataclass(frozen=True)
class _Columns:
    """The columns of one sensor."""

    name: str
    state: int
    axes: tuple[int, int, int]
    is_text: bool


def read_wave(path: Path) -> WaveRecording:
    """Read an NDI Wave recording in either dialect.

    Raises
    ------
    CorpusError
        The file is in neither dialect, a row does not match the header, or times are not those of a constant rate.
    """
    lines = read_text(path, "utf-8-sig").rstrip("\n").split("\n")
    names = [cell.strip() for cell in lines[0].split("\t")]
    header_lines = 1 if names[0] in _CLOCKS else 0
    sensors = _sensors(path, names if header_lines else _own_header(path, names))
    table, states = _rows(path, lines[header_lines:], header_lines + 1, sensors, len(names))
    kept, places, rate_hz = _clock(path, table[:, 0], header_lines + 1)
    positions = table[:, 1:].reshape(len(table), len(sensors), 3)[kept:]
    lost = _lost(sensors, states[kept:]) | (np.isnan(positions) | (positions < _MISSING_BELOW)).any(axis=2)
    positions[lost] = np.nan
    if (beyond := np.flatnonzero((np.abs(positions) > _MAX_MM).any(axis=(1, 2)))).size:
        place = f"line {header_lines + 1 + kept + beyond[0]}"
        raise CorpusError(path, f"a position beyond {_MAX_MM:.0f} mm", place=place)
    grid_positions = np.full((places[-1] + 1, len(sensors), 3), np.nan)
    grid_states = np.full((places[-1] + 1, len(sensors)), "", dtype=object)
    grid_positions[places], grid_states[places] = positions, states[kept:]
    names = tuple(sensor.name for sensor in sensors)
    return WaveRecording(names, grid_positions, grid_states, rate_hz, float(table[kept, 0]))


def _own_header(path: Path, row: Sequence[str]) -> list[str]:
    """Reconstruct the header of a file in the Wave's own dialect that has none, from its first row."""
    names, column = [_CLOCKS[1]], 1
    while column < max(len(row), 2):
        block = row[column : column + 1 + len(_OWN_BLOCK)]
        if block and not block[0]:
            names.append("")
            column += 1
            continue
        is_own = len(block) == 1 + len(_OWN_BLOCK) and not _is_number(block[2])
        if not is_own or not all(map(_is_number, (row[0], block[1], *block[3:]))):
            problem = f"neither a header with {' or '.join(_CLOCKS)} nor a row of the Wave's own dialect"
            raise CorpusError(path, problem, place="line 1")
        names += [block[0], *_OWN_BLOCK]
        column += len(block)
    return names


def _sensors(path: Path, names: Sequence[str]) -> list[_Columns]:
    """Return the columns of each sensor, which extend from its state to the next sensor's."""
    states = [column for column, name in enumerate(names) if name == _STATE or _STATUS.fullmatch(name)]
    if not states:
        raise CorpusError(path, "no sensors: expected columns State or Sensor n Status", place="line 1")
    sensors = []
    for count, (start, stop) in enumerate(pairwise([*states, len(names)]), start=1):
        own = list(names[start:stop])
        present = [axes for axes in _AXES if all(own.count(axis) == 1 for axis in axes)]
        if len(present) != 1:
            problem = f"sensor {count}: expected one set of columns {' or '.join(map(' '.join, _AXES))}"
            raise CorpusError(path, problem, place="line 1")
        x, y, z = (start + own.index(axis) for axis in present[0])
        sensors.append(_Columns(_name(names, start, count), start, (x, y, z), names[start] == _STATE))
    if len({sensor.name for sensor in sensors}) < len(sensors):
        raise CorpusError(path, "two sensors have the same name", place="line 1")
    return sensors


def _name(names: Sequence[str], state: int, place: int) -> str:
    if status := _STATUS.fullmatch(names[state]):
        return status[1]
    return names[state - 2] if state >= 2 and names[state - 1] == "Frame" else str(place)


def _rows(
    path: Path, lines: Sequence[str], first_line: int, sensors: Sequence[_Columns], columns: int
) -> tuple[Float[np.ndarray, "row column"], np.ndarray]:
    """Return times and positions of all rows, and the states of all sensors."""
    pick = itemgetter(0, *(axis for sensor in sensors for axis in sensor.axes))
    numbers, states = array("d"), []
    for at, line in enumerate(lines, start=first_line):
        cells = line.split("\t")
        if len(cells) != columns:
            raise CorpusError(path, f"{len(cells)} cells instead of {columns}", place=f"line {at}")
        try:
            numbers.extend(map(number, pick(cells)))
        except ValueError as error:
            raise CorpusError(path, str(error), place=f"line {at}") from None
        states.append([cells[sensor.state].strip() for sensor in sensors])
    if len(states) < 2:
        raise CorpusError(path, f"{len(states)} rows; expected at least two")
    return np.array(numbers).reshape(len(states), -1), np.array(states, dtype=object)


def _lost(sensors: Sequence[_Columns], states: np.ndarray) -> Bool[np.ndarray, "time sensor"]:
    """Return where the device says in words that a sensor was not OK; status numbers do not say so."""
    is_text = np.array([sensor.is_text for sensor in sensors])
    in_words = {state: state != "OK" and not _is_number(state) for state in set(states.flat)}
    not_ok = np.array([[in_words[state] for state in row] for row in states], dtype=bool)
    return np.where(is_text, states != "OK", not_ok & (states != ""))


def _clock(
    path: Path, times_s: Float[np.ndarray, " row"], first_line: int
) -> tuple[int, Int[np.ndarray, " time"], float]:
    """Return the first row after set-up, the place of each row from there on a constant grid, and its rate (Hz).

    Times are rounded, commonly to 0.1 ms, so the tolerance is a tenth of a step rather than 1 % of it. Each row must
    also lie nearest to its own place on a grid of one rate from the first row to the last.
    """
    with np.errstate(all="ignore"):
        kept = _end_of_setup(times_s)
        times_s = times_s[kept:]
        steps = np.diff(times_s)
        if (wrong := np.flatnonzero(~((steps > 0) & (steps < np.inf)))).size or len(times_s) < 2:
            place = f"line {first_line + kept + 1 + (wrong[0] if wrong.size else 0)}"
            raise CorpusError(path, "time does not increase", place=place)
        regular = steps[np.abs(steps / np.median(steps) - 1) < _MAX_JITTER]
        ratios = steps / regular.mean() if regular.size else steps * np.nan
        if not ratios.sum() <= 2 * len(times_s):
            raise CorpusError(path, "its times imply that more rows are missing than present")
        counts = np.round(ratios)
        uneven = (np.abs(ratios - counts) > _MAX_JITTER) | (counts < 1)
        places = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rate_hz = float(places[-1] / (times_s[-1] - times_s[0]))
        drift = np.abs((times_s - times_s[0]) * rate_hz - places)
        if (wrong := np.flatnonzero(uneven | (drift[1:] > _MAX_DRIFT))).size:
            place = f"line {first_line + kept + 1 + wrong[0]}"
            raise CorpusError(path, f"time does not follow a constant rate of {rate_hz:.2f} Hz", place=place)
    return kept, places, rate_hz


def _end_of_setup(times_s: Float[np.ndarray, " row"]) -> int:
    """Return the first row after those of the device's set-up; 0 where the clock is in order from the start."""
    if (np.diff(times_s) > 0).all():
        return 0
    started = np.flatnonzero((times_s > 0) & (times_s < _SETUP_END_S))
    return int(started[0]) if started.size else 0


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return bool(cell.strip())
