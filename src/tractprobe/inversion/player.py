"""A track as one HTML page: the midsagittal plane moving with the sound, from disk and without a network.

Names and labels come from files of unknown origin. They enter the page escaped, as data, and its scripts only draw
them on a canvas; the page may load nothing from anywhere (Content-Security-Policy).
"""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.film import COLOURS, FILM_HZ, NAMES, TONGUE, Film
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.track import Track
from tractprobe.system.files import atomic


def write_player(
    path: Path,
    track: Track,
    audio: Float[np.ndarray, " sample"],
    title: str,
    about: str = "",
    phones: Sequence[Phone] = (),
) -> None:
    """Write the page of a track and its 16 kHz audio, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(player(track, audio, title, about, phones), encoding="utf-8")


def player(
    track: Track, audio: Float[np.ndarray, " sample"], title: str, about: str = "", phones: Sequence[Phone] = ()
) -> str:
    """Return the page as HTML."""
    duration_s, film = len(audio) / RATE_HZ, Film.of(track, FILM_HZ)
    data = {
        "bounds": film.bounds, "rateHz": film.rate_hz, "startS": film.start_s, "durationS": duration_s,
        "count": len(film.points),
        "phones": [[phone.label, phone.start_s, phone.end_s] for phone in phones],
        "points": [
            {"label": NAMES[name], "colour": COLOURS[name], "tongue": name in TONGUE,
             "x": _numbers(film.points[:, number, 0]), "y": _numbers(film.points[:, number, 1])}
            for number, name in enumerate(film.names)
        ],
    }  # fmt: skip
    # Only "<" can end a script element, and JSON can write it as an escape.
    parts = {
        "title": escape(title),
        "about": escape(about),
        "data": json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c"),
        "audio": base64.b64encode(_wav(audio)).decode(),
    }
    first, *rest = (
        resources.files("tractprobe.inversion").joinpath("player.html").read_text(encoding="utf-8").split("{{")
    )
    filled = [parts[name] + text for name, _, text in (part.partition("}}") for part in rest)]
    return "".join([first, *filled])


def _wav(audio: Float[np.ndarray, " sample"]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _numbers(values: Float[np.ndarray, " time"]) -> list[float | None]:
    return [round(value, 2) if np.isfinite(value) else None for value in values.tolist()]
