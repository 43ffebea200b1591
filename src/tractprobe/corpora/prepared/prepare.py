"""Raw corpus in, prepared corpus out: once, atomically, without touching the raw corpus.

Audio becomes 16 kHz 16-bit FLAC, movements become float32 .npy at their own rate, and phones are also given in IPA; all
are listed in a lhotse manifest. Unreadable utterances are reported and skipped. Several processes convert the raw
files; results are taken in order, and each is noted in a journal when its files are in place, so a run after one that
was killed resumes after the last one noted. The folder appears under its name only when it is complete.

A *source* here is a name that a reader lists and reads, mostly that of a raw file; the *voice source* is the glottis.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tractprobe.corpora.amounts import Amounts
from tractprobe.corpora.prepared import texts
from tractprobe.corpora.prepared.convert import Converted, convert
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.description import write_description
from tractprobe.corpora.prepared.manifest import AUDIO, DESCRIPTION, EMA, FORMAT, Entry
from tractprobe.corpora.prepared.placing import Placed, placed
from tractprobe.corpora.utterance import Reader, settings_of
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.errors import CorpusError
from tractprobe.system.files import digest, is_there, read_json
from tractprobe.system.printable import one_line, printable
from tractprobe.system.processes import Death, in_processes
from tractprobe.system.products import Journal, staged_folder
from tractprobe.system.progress import progress
from tractprobe.system.registry import public_name
from tractprobe.system.version import __version__

log = logging.getLogger(__name__)

_TOLD_TWICE = 10
_FEW = 5  # folds of split=sentence
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def prepare(reader: Reader, data: Path, workers: int = 1, source_channels: bool = False) -> PreparedCorpus:
    """Prepare a corpus under ``data/<reader.name>``; do nothing if that is done and the raw corpus has not changed.

    Parameters
    ----------
    workers
        Number of processes that read and convert; the result does not depend on it. A raw file that kills its process
        twice is skipped; with one worker there is only this process, and such a file ends it.
    source_channels
        Also measure pitch, voicing and loudness, from the laryngograph if there is one: six times faster than speech.

    Raises
    ------
    CorpusError
        The name is invalid, the raw corpus is missing, or none of its utterances could be read.
    ProcessError
        Processes die whatever they read; what was finished is kept for the next run.
    """
    if not _NAME.fullmatch(reader.name):
        raise CorpusError(reader.root, f"corpus.name={reader.name!r}: use lower-case letters, digits, '_' and '-' only")
    folder = data / reader.name
    _check_places(reader, folder)
    sources = reader.sources()
    fingerprint = _fingerprint(reader, source_channels)
    if not _is_done(reader, folder, fingerprint):
        reader.about()
        reader.check_speakers(sources)
    # The lock's holder asks again: another process may have prepared the folder meanwhile.
    with staged_folder(folder, lambda: _is_done(reader, folder, fingerprint), resume=fingerprint[:16]) as staging:
        if staging is not None:
            _write(reader, sources, staging, fingerprint, workers, source_channels)
    return PreparedCorpus(folder)


def _check_places(reader: Reader, folder: Path) -> None:
    """Raise CorpusError if preparing would touch anything but a prepared corpus."""
    root, target = reader.root.resolve(), folder.resolve()
    if root == target or root in target.parents or target in root.parents:
        problem = "the raw and the prepared corpus would be nested in each other; give paths.data=<another folder>"
        raise CorpusError(folder, problem)


def _check_source(reader: Reader, folder: Path, fingerprint: str) -> None:
    """Raise CorpusError if a folder holds a corpus of another source, or one that does not say of which."""
    made_from = PreparedCorpus.source(folder)
    if made_from is None or made_from.resolve() == reader.root.resolve():
        return
    if read_json(folder / DESCRIPTION).get("fingerprint") != fingerprint:  # which depends on the resolved source
        problem = f"holds a corpus made from {made_from}, not from {reader.root}; give corpus.name=<another name>"
        raise CorpusError(folder, f"{problem}, or move it away")


def _is_done(reader: Reader, folder: Path, fingerprint: str) -> bool:
    """Return whether a folder holds what would be prepared; CorpusError if it holds what must not be replaced."""
    _check_source(reader, folder, fingerprint)
    if not is_there(folder):
        return False
    try:
        corpus = PreparedCorpus(folder)
        corpus.check_manifest()
    except CorpusError as error:
        log.warning("%s\npreparing it again from %s", printable(str(error)), reader.root)
        return False
    return corpus.description["fingerprint"] == fingerprint


def _fingerprint(reader: Reader, source_channels: bool) -> str:
    """Hash what the result depends on: the reader with its settings, and the raw files by name, size and time."""
    settings = settings_of(reader)
    stats = [_stats(place) for place in (reader.root, *_named_by(reader))]
    return digest(
        [
            FORMAT,
            __version__,
            public_name(type(reader)),
            str(settings),
            source_channels,
            str(reader.root.resolve()),
            stats,
            *([list(reader.kept_labels)] if reader.kept_labels else []),
        ]
    )


def _named_by(reader: Reader) -> list[Path]:
    """Return the files and folders outside its root that a reader's settings name, such as a list of prompts."""
    texts = [value for key, value in vars(reader).items() if key != "root" and isinstance(value, (str, Path)) and value]
    places = [reader.root / Path(text).expanduser() for text in texts if "/" in str(text)]
    return [place for place in places if place.exists()]


def _stats(place: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of a file, or of all files below a folder, following links."""
    if place.is_file():
        return [(place.name, place.stat().st_size, place.stat().st_mtime_ns)]
    stats, seen = [], set[str]()
    for folder, folders, names in os.walk(place, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if os.path.realpath(Path(folder, name)) not in seen)
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file():
                status = path.stat()
                stats.append((path.relative_to(place).as_posix(), status.st_size, status.st_mtime_ns))
    return stats


def _write(
    reader: Reader, sources: Sequence[str], staging: Path, fingerprint: str, workers: int, source_channels: bool
) -> None:
    """Write everything; the description comes last, so that a folder without it never counts as complete."""
    for folder in (AUDIO, EMA) if reader.has_movements else (AUDIO,):
        (staging / folder).mkdir(exist_ok=True)
    began = time.perf_counter()
    journal = Journal(staging)
    done = [Placed.from_plain(entry) for entry in journal.entries()]
    journal.keep(len(done))
    if done:
        log.info("resuming: %d of %d raw files done", len(done), len(sources))
    before, names = len(done), {utterance.id for part in done for utterance in part.utterances}
    results = _converted(reader, sources[before:], staging, workers, source_channels)
    with journal.noting() as note, closing(results):
        for converted in progress(results, f"preparing {reader.name}", unit="file", total=len(sources) - before):
            done.append(placed(converted, staging, names, reader))
            note(asdict(done[-1]))
    if not names:
        shutil.rmtree(staging)
        raise CorpusError(reader.root, f"none of {len(sources)} raw files could be read; {_first_problem(done)}")
    write_description(reader, done, staging, fingerprint)
    journal.remove()
    _log_speed(reader, done[before:], time.perf_counter() - began)


def _converted(
    reader: Reader, sources: Sequence[str], staging: Path, workers: int, source_channels: bool
) -> Generator[Converted, None, None]:
    """Yield each source's conversion, in the sources' order; close the generator to end the processes."""
    task = partial(convert, reader, staging=staging, with_source=source_channels)
    if workers <= 1:
        yield from map(task, sources)
        return
    with closing(in_processes(task, sources, workers)) as results:
        for source, result in results:
            if isinstance(result, Death):
                lost = Converted(source)
                lost.skip(CorpusError(reader.root / source, str(result)))
                yield lost
            else:
                yield result


def _first_problem(done: Sequence[Placed]) -> str:
    problems = [skipped["problem"] for placed in done for skipped in placed.skipped]
    return f"the first problem: {problems[0]}" if problems else "they contain no utterance"


def _log_speed(reader: Reader, done: Sequence[Placed], elapsed_s: float) -> None:
    utterances = [one for part in done for one in part.utterances]
    audio_h = sum(one.num_samples for one in utterances) / RATE_HZ / 3600
    ema_h = sum(one.track.shape[0] / one.track.rate_hz for one in utterances if one.track) / 3600
    minutes = elapsed_s / 60
    speed = f"{audio_h / minutes:.2f} h of audio"
    speed += f", {ema_h / minutes:.2f} h of movements per minute" if reader.has_movements else " per minute"
    log.info("%s: prepared in %.1f s (%s)", reader.name, elapsed_s, speed)


def _counted(number: int, what: str = "utterance") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _group(group: Mapping[str, Any]) -> str:
    """Return the line of a speaker, language and frame; corpora prepared before have no number of utterances."""
    count = f"{_counted(group['utterances']):>17} " if "utterances" in group else ""
    return f"  {group['language']}  {group['speaker']:<24} {count}{group['minutes']:6.2f} min  {group['frame']}"


def _amounts(entries: Sequence[Entry]) -> list[str]:
    """Return the table by language of a corpus of sound alone, which may have thousands of speakers."""
    amounts = Amounts()
    for entry in entries:
        amounts.add(entry.speaker.partition("/")[2], entry.language, entry.labels, entry.duration_s)
    return amounts.lines()


def _twice(same: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each of the first recordings that are there several times, and how many more there are."""
    lines = [f"the same recording {len(ids)} times: {', '.join(ids[:5])}" for ids in same[:_TOLD_TWICE]]
    more = len(same) - len(lines)
    return [*lines, f"{_counted(more, 'more recording')} several times, listed in {DESCRIPTION}"] if more else lines


def _session(session: Mapping[str, Any]) -> str:
    """Return the line of a session's references on the head."""
    if not session["deviation_mm"]:
        return f"{session['session']}: head-corrected already, say its headers (normpos): corpus.head_corrected=true"
    pair, worst_mm = max(session["deviation_mm"].items(), key=lambda item: item[1])
    line = f"{session['session']}: head references keep their distances to {worst_mm:.2f} mm ({pair})"
    line += f", fit to {session['error_mm']:.2f} mm, {session['lost']:.1%} of frames without"
    return f"{line}; they were head-corrected already" if session["is_corrected"] else line


def _about_texts(entries: Sequence[Entry]) -> list[str]:
    """Return why texts may not be what was said, or that there are none."""
    if silent := texts.silent(entries):
        lack = f"without a text: {len(silent)} of {len(entries)} utterances, such as {silent[0]}"
        return [f"{lack}; splits need texts, or split.disjoint_text=false", *texts.doubts(entries)]
    return texts.doubts(entries)


def _said(corpus: PreparedCorpus) -> list[str]:
    """Return the line of what a corpus says of itself, if it says anything."""
    generator, about = (str(corpus.description.get(name) or "") for name in ("generator", "description"))
    made = "simulated" if corpus.simulated else "" if corpus.simulated is None else "recorded"
    said = ": ".join(part for part in (" by ".join(filter(None, (made, generator))), about) if part)
    return [f"  {said}"] if said else []


def describe(corpus: PreparedCorpus) -> str:
    """Return a summary by speaker and language, with skipped utterances and phone symbols that have no IPA.

    Labels and messages come from the corpus: they cannot control the terminal, nor forge a line.
    """
    try:
        return "\n".join(map(one_line, _described(corpus)))
    except CorpusError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError):
        problem = f"lacks part of its summary; remove {corpus.folder} and prepare it again"
        raise CorpusError(corpus.folder / DESCRIPTION, problem) from None


def _described(corpus: PreparedCorpus) -> list[str]:
    description = corpus.description
    speakers = len({group["speaker"] for group in description["minutes"]})
    count = f"{_counted(description['utterances'])}, {description['hours'] * 60:.1f} min"
    lines = [f"{corpus.folder}: {count}, {_counted(speakers, 'speaker')}"]
    lines += _said(corpus)
    lines += map(_group, description["minutes"]) if corpus.has_movements else _amounts(corpus.entries)
    if description["utterances"] < _FEW and corpus.has_movements:
        few = f"{_counted(description['utterances'])}: too few to learn from;"
        lines.append(
            f"{few} split=sentence needs {_FEW} different texts (2 with split.folds=2), split=speaker 2 speakers"
        )
    lines += _twice(description.get("twice", []))
    lines += _about_texts(corpus.entries) if corpus.has_movements else []
    lines += map(_session, description.get("head_references", []))
    if unknown := description["unknown_phones"]:
        symbols = ", ".join(f"{label} ({phone_set}, {count})" for phone_set, label, count in unknown)
        lines.append(f"phones without IPA: {symbols}")
    if description["skipped"]:
        lines.append(f"skipped {len(description['skipped'])}:")
        lines += [f"  {skipped['problem']}" for skipped in description["skipped"]]
    return lines
