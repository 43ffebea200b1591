"""Tracks as files: npz for programs, CSV for everything else, and a row per phone where there is an alignment."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tractprobe.corpora.formats.textgrid import PAUSES, read_textgrid
from tractprobe.corpora.utterance import Phone
from tractprobe.signals.channels import UNIT
from tractprobe.signals.track import Track
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import atomic
from tractprobe.system.printable import csv_cell

PHONE_TIERS = ("phones", "phone", "phonemes", "segments", "MAU", "KAN-MAU")
"""Names that aligners give to the tier of phones, in upper or lower case."""

_MAX_PHONE_S = 0.4  # half of all phones of a tier are never longer, half of all sentences are never shorter


def read_phones(path: Path, duration_s: float, tier: str | None = None) -> tuple[Phone, ...]:
    """Return the phones of a TextGrid without its pauses; CorpusError if no tier of that name holds any.

    Without ``tier`` it is the first of PHONE_TIERS that exists, or the only tier, unless that holds words or sentences.

    Parameters
    ----------
    duration_s
        Length of the audio, which the grid's times are compared with.
    """
    grid = read_textgrid(path).check_times(duration_s)
    if tier is not None:
        return _without_pauses(grid.intervals(tier))
    names = [name for name, _ in grid.tiers]
    usual = [name for tier_name in PHONE_TIERS for name in names if name.lower() == tier_name.lower()]
    if not usual and len(names) != 1:
        problem = f"which tier holds the phones? It has {', '.join(names) or 'none'}"
        raise CorpusError(path, f"{problem}; give --tier, or --no-grids")
    phones = _without_pauses(grid.intervals((usual or names)[0]))
    if not usual and not _could_be_phones(phones):
        problem = f"its only tier, {names[0]!r:.60}, holds words or sentences rather than phones"
        raise CorpusError(path, f"{problem}; give --tier to use it all the same, or --no-grids")
    return phones


def _without_pauses(intervals: Sequence[Phone]) -> tuple[Phone, ...]:
    return tuple(phone for phone in intervals if phone.label not in PAUSES)


def _could_be_phones(phones: Sequence[Phone]) -> bool:
    if not phones:
        return True
    longest_usual = np.median([phone.end_s - phone.start_s for phone in phones]) <= _MAX_PHONE_S
    return bool(longest_usual) and not any(" " in phone.label for phone in phones)


def write_npz(path: Path, track: Track, units: Sequence[str], head: str) -> None:
    """Write values (time, channel), times_s, rate_hz, start_s, channels, units and the head's checksum; no pickle."""
    arrays: dict[str, Any] = {
        "values": track.values, "times_s": track.times_s, "rate_hz": track.rate_hz, "start_s": track.start_s,
        "channels": np.array(track.channels), "units": np.array(units), "head_sha256": np.array(head),
    }  # fmt: skip
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def write_csv(path: Path, track: Track, units: Sequence[str], phones: Sequence[Phone] = ()) -> None:
    """Write a row per time: ``time_s``, the phone at that time if any were given, and each channel; NaN is empty."""
    labels = phones_at(track.times_s, phones)
    rows = (
        [f"{time_s:.6f}", *([csv_cell(labels[row])] if phones else []), *map(_number, track.values[row])]
        for row, time_s in enumerate(track.times_s)
    )
    _write(path, ["time_s", *(["phone"] if phones else []), *_columns(track, units)], rows)


def write_phone_csv(path: Path, track: Track, units: Sequence[str], phones: Sequence[Phone]) -> None:
    """Write a row per phone: label, start, end, each channel at its middle, and each channel's mean over it."""
    columns = _columns(track, units)
    middles = track.at(np.array([(phone.start_s + phone.end_s) / 2 for phone in phones]))
    rows = (
        [
            csv_cell(phone.label),
            f"{phone.start_s:.6f}",
            f"{phone.end_s:.6f}",
            *map(_number, [*middle, *_mean(track, phone)]),
        ]
        for phone, middle in zip(phones, middles, strict=True)
    )
    means = [f"{column}_mean" for column in columns]
    _write(path, ["phone", "start_s", "end_s", *columns, *means], rows)


def phones_at(times_s: np.ndarray, phones: Sequence[Phone]) -> list[str]:
    """Return the label of the phone at each time, empty between them."""
    labels = np.full(len(times_s), "", dtype=object)
    for phone in phones:
        start, stop = np.searchsorted(times_s, [phone.start_s, phone.end_s])
        labels[start:stop] = phone.label
    return labels.tolist()


def _times(phone: Phone) -> list[str]:
    return [f"{phone.start_s:.6f}", f"{phone.end_s:.6f}"]


def _mean(track: Track, phone: Phone) -> np.ndarray:
    start, stop = np.searchsorted(track.times_s, [phone.start_s, phone.end_s])
    return track.values[start:stop].mean(axis=0) if stop > start else np.full(track.values.shape[1], np.nan)


def _columns(track: Track, units: Sequence[str]) -> list[str]:
    """Return the channels' names, those in mm with their unit; the others bear it already or have none."""
    return [f"{name}_{unit}" if unit == UNIT else name for name, unit in zip(track.channels, units, strict=True)]


def _number(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
