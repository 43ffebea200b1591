"""Audio files and folders in, a folder of tracks out: what ``tractprobe invert`` does."""

import re
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.builtin import origin
from tractprobe.inversion.film import MAX_SHOWN_S, Film
from tractprobe.inversion.inverter import Inverter
from tractprobe.inversion.plan import Plan, Source, Wanted
from tractprobe.inversion.player import write_player
from tractprobe.inversion.tables import read_phones, write_csv, write_npz, write_phone_csv
from tractprobe.inversion.video import write_video
from tractprobe.signals.audio import opened_audio, resampled
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError, TractprobeError
from tractprobe.system.printable import printable


@dataclass(frozen=True)
class Report:
    """The outcome: files made, files skipped because they existed, and problems with others."""

    made: int
    skipped: int
    problems: tuple[str, ...]
    seconds: float
    elapsed_s: float

    def __str__(self) -> str:
        speed = self.seconds / self.elapsed_s
        rate = f"; {self.seconds:.0f} s of audio in {self.elapsed_s:.1f} s ({speed:.3g} x real time)" * bool(self.made)
        there = f", {self.skipped} there already" if self.skipped else ""
        wrong = f", {len(self.problems)} with problems" if self.problems else ""
        return f"{self.made} file{'s' * (self.made != 1)}{there}{wrong}{rate}"


def invert_files(inverter: Inverter, plan: Plan) -> Report:
    """Invert files one after another; one that fails is reported and does not stop the others."""
    wanted, made = plan.wanted, 0
    nyquist_hz = inverter.file.geometry.rate_hz / 2
    if wanted.lowpass_hz is not None and not 0 < wanted.lowpass_hz < nyquist_hz:
        raise ConfigError(f"--lowpass {wanted.lowpass_hz}: expected 0 to {nyquist_hz:g} Hz, half the encoder's rate")
    began, seconds, problems = time.perf_counter(), 0.0, []
    with _bar(plan.outputs) as bar:

        def note(source: Source, error: Exception) -> None:
            is_named = any(str(path) in str(error) for path in (source.audio, source.grid) if path)
            problems.append(str(error) if is_named else f"{source.audio}: {error}")
            bar.write(printable(f"tractprobe: {problems[-1]}"), file=sys.stderr)

        for source, outputs in plan.outputs.items():
            try:
                phones, outputs = _labels(source, outputs, wanted, partial(note, source))
                seconds += _invert(inverter, source, outputs, phones, wanted, bar.update)
                made += 1
            except (TractprobeError, OSError) as error:
                note(source, error)
    elapsed_s = time.perf_counter() - began
    return Report(made, plan.skipped, tuple(problems), seconds, elapsed_s)


def _bar(todo: Collection[Source]) -> "tqdm":
    shape = "{desc} {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of audio, {rate_noinv_fmt}, {remaining} left"
    total = sum(_duration_s(source.audio) for source in todo)
    return tqdm(
        total=total, desc="inverting", unit=" s", bar_format=shape, disable=not sys.stderr.isatty(), leave=False
    )


def _duration_s(path: Path) -> float:
    """Return what the header says; 0 if it cannot be read, which is reported when the file's turn comes."""
    try:
        with opened_audio(path, 0) as audio:
            return audio.num_samples / audio.rate_hz
    except TractprobeError:
        return 0.0


def _invert(
    inverter: Inverter,
    source: Source,
    outputs: Mapping[str, Path],
    phones: Sequence[Phone],
    wanted: Wanted,
    done: Callable[[float], object],
) -> float:
    """Make the outputs of one audio file; return its duration in seconds."""
    seconds = 0.0

    readings = count()

    def blocks() -> Iterator[np.ndarray]:
        nonlocal seconds
        first = next(readings) == 0  # the file may be read twice, but counts once
        with opened_audio(source.audio, wanted.channel, "--channel ") as audio:
            for block in audio.blocks:
                yield block
                if first:
                    seconds += len(block) / audio.rate_hz
                    done(len(block) / audio.rate_hz)

    with opened_audio(source.audio, wanted.channel, "--channel ") as audio:
        rate_hz = audio.rate_hz
    track = inverter.of_blocks(blocks, rate_hz)
    if wanted.lowpass_hz is not None:
        track = track.lowpassed(wanted.lowpass_hz)
    table = track if wanted.rate_hz is None else track.resampled(wanted.rate_hz)
    if not len(table.values):
        raise CorpusError(source.audio, f"too short: no row at {wanted.rate_hz:g} Hz falls in it; give a higher --rate")
    _write_tables(table, phones, inverter, outputs)
    _show(track, phones, inverter, source, outputs, wanted.channel)
    return seconds


def _labels(
    source: Source, outputs: Mapping[str, Path], wanted: Wanted, note: Callable[[Exception], None]
) -> tuple[tuple[Phone, ...], Mapping[str, Path]]:
    """Return the phones of an audio file, and the outputs to make; a bad TextGrid only costs what is made of phones."""
    if source.grid is None and "phones" in outputs:
        raise CorpusError(source.audio, "has no TextGrid beside it, which --format phones needs")
    if source.grid is None or not wanted.grids:
        return (), outputs
    with opened_audio(source.audio, wanted.channel, "--channel ") as audio:
        duration_s = audio.num_samples / audio.rate_hz
    try:
        return read_phones(source.grid, duration_s, wanted.tier), outputs
    except CorpusError as error:
        if set(outputs) == {"phones"}:
            raise
        note(error)
        return (), {name: path for name, path in outputs.items() if name != "phones"}


def _write_tables(track: Track, phones: Sequence[Phone], inverter: Inverter, outputs: Mapping[str, Path]) -> None:
    if "csv" in outputs:
        write_csv(outputs["csv"], track, inverter.units, phones)
    if "npz" in outputs:
        write_npz(outputs["npz"], track, inverter.units, inverter.file.about["sha256"])
    if "phones" in outputs:
        write_phone_csv(outputs["phones"], track, inverter.units, phones)


def _show(
    track: Track,
    phones: Sequence[Phone],
    inverter: Inverter,
    source: Source,
    outputs: Mapping[str, Path],
    channel: int | None,
) -> None:
    """Write the page and the video, whose audio is read again as a whole."""
    if not {"html", "video"} & set(outputs):
        return
    seconds = track.end_s
    if seconds > MAX_SHOWN_S:
        raise CorpusError(source.audio, f"{seconds:.0f} s; pages and videos are made of at most {MAX_SHOWN_S:.0f} s")
    with opened_audio(source.audio, channel) as audio:
        sound = np.concatenate(list(resampled(audio.blocks, audio.rate_hz)))
    title = source.audio.name.encode(errors="replace").decode()  # names need not be UTF-8
    film = Film.of(track)
    if "html" in outputs:
        write_player(outputs["html"], film, sound, title, _about(inverter), phones)
    if "video" in outputs:
        write_video(outputs["video"], film, sound, title, phones)


def _about(inverter: Inverter) -> str:
    """Return what a viewer must know about the origin of the movements."""
    about = inverter.file.about
    means, whose = about["means"].get("ema", {}).get("r"), inverter.speaker or "the average training speaker"
    tested = _tested_on(about["run"]["held_out"])
    scored = f", r = {means['mean']:.2f} on {tested} of these" if means else ""
    said = (
        f"Movements inferred from sound alone: {about['encoder']['label']}, layer {inverter.file.layer}, "
        f"{about['run']['head']} fitted on {', '.join(about['corpora'])}{scored}; in the mouth of {whose}."
    )
    return " ".join(filter(None, (origin(inverter.file.path, about["sha256"]), said)))


def _tested_on(held_out: str) -> str:
    """Say what was held out; sentences are in numbered folds.

    >>> _tested_on("it"), _tested_on("fold0")
    ('held-out it', 'sentences that were kept aside')
    """
    return "sentences that were kept aside" if re.fullmatch(r"fold\d+", held_out) else f"held-out {held_out}"
