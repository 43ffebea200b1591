"""Settings shared by several readers: names of articulators, patterns, and the axes of a device."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tractprobe.corpora.utterance import checked_labels
from tractprobe.signals.channels import ARTICULATORS
from tractprobe.system.errors import ConfigError, CorpusError

AUDIO_CHANNEL = "corpus.audio_channel="
"""The setting that chooses a channel of the audio, as messages name it."""

_AXES = {
    f"{sign}{axis}": (column, -1 if sign == "-" else 1) for sign in ("", "+", "-") for column, axis in enumerate("xyz")
}


def check_articulators(setting: str, names: Iterable[str]) -> None:
    """Raise ConfigError unless all names that a setting maps from are articulators."""
    if unknown := sorted(set(names) - set(ARTICULATORS)):
        raise ConfigError(f"{setting} names {', '.join(unknown)}; articulators are {' '.join(ARTICULATORS)}")


def check_audio_channel(channel: object) -> None:
    """Raise ConfigError unless ``corpus.audio_channel`` is a number from 0, or not given."""
    if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int) or channel < 0):
        raise ConfigError(f"{AUDIO_CHANNEL}{channel}: expected the number of a channel, counted from 0")


def check_pattern(setting: str, pattern: str, group: str | None = None) -> None:
    """Raise ConfigError unless a setting is a regular expression, with the named ``group`` if one is required."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(f"{setting} {pattern!r} is not a regular expression: {error}") from None
    if group is not None and group not in groups:
        raise ConfigError(f"{setting} {pattern!r} has no group (?P<{group}>...)")


def speaker_of(path: Path, name: str, pattern: str) -> str:
    """Return the speaker that the group ``speaker`` of ``corpus.speaker_pattern`` finds in a name.

    Raises
    ------
    CorpusError
        The pattern finds no speaker; the error names the file ``path``.
    """
    match = re.search(pattern, name)
    if match is None or not match["speaker"]:
        raise CorpusError(path, f"corpus.speaker_pattern {pattern!r} finds no speaker in {name}")
    return match["speaker"]


def check_label_pattern(pattern: str | None) -> None:
    """Raise ConfigError unless ``corpus.label_pattern`` is a regular expression whose groups are names of labels."""
    if pattern is None:
        return
    check_pattern("corpus.label_pattern", pattern)
    groups = re.compile(pattern).groupindex
    try:
        checked_labels(dict.fromkeys(groups, "x"))
    except ValueError as error:
        raise ConfigError(f"corpus.label_pattern {pattern!r}: {error}") from None
    if not groups:
        raise ConfigError(f"corpus.label_pattern {pattern!r} has no group such as (?P<style>...)")


def labels_of(name: str, pattern: str | None) -> dict[str, str]:
    """Return the labels that the groups of ``corpus.label_pattern`` find in a name; none where it does not match.

    >>> labels_of("s1_read_03", "_(?P<style>read|free)_"), labels_of("s1_03", "_(?P<style>read|free)_")
    ({'style': 'read'}, {})
    """
    match = re.search(pattern, name) if pattern is not None else None
    return {label: text for label, text in match.groupdict().items() if text} if match else {}


def check_default_speakers(root: Path, names: Iterable[str], speaker: str | None, pattern: str, default: str) -> None:
    """Raise ConfigError if nobody said where names hold the speaker, and the default finds what is hardly one.

    Speakers are the unit of standardisation, splits and intervals: a wrong guess changes every number.

    Parameters
    ----------
    names
        Names in which ``pattern`` is searched for, without the endings of files.
    """
    names = list(names)
    if speaker is not None or pattern != default:
        return
    matches = {name: match["speaker"] for name in names if (match := re.search(pattern, name))}
    files = [name for name, found in matches.items() if found == name.rpartition("/")[2]]
    ask = "corpus.speaker=<name> if there is one, or corpus.speaker_pattern, a regular expression with a group"
    ask = f"{ask} (?P<speaker>...), searched for in names such as {', '.join(names[:2])}"
    if files:
        raise ConfigError(f"{root}: each file would be a speaker, such as {files[0]}; give {ask}")
    if len(names) > 1 and len(set(matches.values())) == 1:
        problem = f"all {len(names)} recordings would be of one speaker, {matches[names[0]]}"
        raise ConfigError(f"{root}: {problem}; give {ask}")


def check_axes(front: str, up: str) -> None:
    """Raise ConfigError unless ``front`` and ``up`` are two different axes of the device, such as ``x`` and ``-z``."""
    if not {front, up} <= set(_AXES) or front[-1] == up[-1]:
        raise ConfigError(f"corpus.front={front}, corpus.up={up}: expected two different axes out of x y z -x -y -z")


def direction(axis: str) -> Float[np.ndarray, "3"]:
    """Return one of the device's axes as a direction.

    >>> direction("-y").tolist()
    [0.0, -1.0, 0.0]
    """
    column, sign = _AXES[axis]
    return np.where(np.arange(3) == column, float(sign), 0.0)


def in_plane(positions: Float[np.ndarray, "time sensor 3"], front: str, up: str) -> Float[np.ndarray, "time sensor 2"]:
    """Return positions along the two axes of the device that point to the front and upwards."""
    return np.stack([sign * positions[..., column] for column, sign in (_AXES[front], _AXES[up])], axis=-1)
