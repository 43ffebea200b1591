"""A film as one HTML page: the midsagittal plane moving with the sound, from disk and without a network.

Names and labels come from files of unknown origin. They enter the page escaped, as data, and its scripts only draw
them on a canvas; the page may load nothing from anywhere (Content-Security-Policy). Points are 16-bit numbers, so that
the page of a long recording is hardly larger than its sound and opens at once.
"""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float, Int16

from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.film import Film
from tractprobe.inversion.outline import TONGUE
from tractprobe.inversion.palette import DARK, LIGHT, NAMES
from tractprobe.runs.result import ScoreRow
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.files import atomic
from tractprobe.system.printable import one_line

_STEP_MM, _MISSING, _GREATEST = 0.01, -32768, 32767
_DOT = '<svg width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="5"{}/></svg>'


def write_player(
    path: Path,
    film: Film,
    audio: Float[np.ndarray, " sample"],
    title: str,
    about: str = "",
    phones: Sequence[Phone] = (),
    scores: Sequence[ScoreRow] = (),
) -> None:
    """Write the page of a film and its 16 kHz audio, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(player(film, audio, title, about, phones, scores), encoding="utf-8")


def player(
    film: Film,
    audio: Float[np.ndarray, " sample"],
    title: str,
    about: str = "",
    phones: Sequence[Phone] = (),
    scores: Sequence[ScoreRow] = (),
) -> str:
    """Return the page as HTML; scores are of the predicted points, channel by channel."""
    origin, step = _grid(film)
    predicted = "" if film.predicted is None else _base64(_on_grid(film.predicted, origin, step))
    parts = {
        "title": _text(title),
        "about": _text(about),
        "picture": "Tongue, lips and jaw in the midsagittal plane" + (", measured and predicted" if predicted else ""),
        "colours": _colours(),
        "style": _asset("player.css"),
        "legend": _legend() if predicted else "",
        "scores": _table(scores) if scores else "",
        "data": _json(_data(film, len(audio) / RATE_HZ, phones) | {"origin": origin.tolist(), "step": step}),
        "points": _base64(_on_grid(film.points, origin, step)),
        "predicted": predicted,
        "audio": base64.b64encode(_wav(audio)).decode(),
        "script": f'"use strict";\n{_asset("player_draw.js")}\n{_asset("player.js")}',
    }
    first, *rest = _asset("player.html").split("{{")
    filled = [parts[name] + text for name, _, text in (part.partition("}}") for part in rest)]
    return "".join([first, *filled])


def _data(film: Film, duration_s: float, phones: Sequence[Phone]) -> dict[str, Any]:
    shapes = [
        {"point": None if shape.point is None else film.names.index(shape.point), "corners": _rounded(shape.corners)}
        for shape in film.outline.shapes
    ]
    return {
        "bounds": film.bounds, "rateHz": film.rate_hz, "startS": film.start_s, "durationS": duration_s,
        "count": len(film.points), "audioRateHz": RATE_HZ, "hasPredicted": film.predicted is not None,
        "phones": [[phone.label, phone.start_s, phone.end_s] for phone in phones],
        "points": [{"name": name, "label": NAMES[name], "tongue": name in TONGUE} for name in film.names],
        "outline": {"palate": _rounded(film.outline.palate), "schematic": film.outline.schematic, "shapes": shapes},
    }  # fmt: skip


def _grid(film: Film) -> tuple[Float[np.ndarray, "2"], float]:
    """Return the middle of the picture, in mm, and the step in which points are counted from there: .01 mm or more."""
    left, right, bottom, top = film.bounds
    furthest = max(right - left, top - bottom)  # points that far from the middle are not in the picture
    return np.array([left + right, bottom + top]) / 2, max(_STEP_MM, furthest / _GREATEST)


def _on_grid(
    points: Float[np.ndarray, "time point 2"], origin: Float[np.ndarray, "2"], step: float
) -> Int16[np.ndarray, "time point 2"]:
    """Return points in steps; those that are far outside the picture are moved to its surroundings."""
    known = np.isfinite(points).all(axis=2, keepdims=True)
    steps = np.round((np.where(known, points, origin) - origin) / step)
    return np.where(known, steps.clip(-_GREATEST, _GREATEST), _MISSING).astype("<i2")


def _legend() -> str:
    full, empty = _DOT.format(' class="full"'), _DOT.format("")
    return f'<p class="legend"><span>{full} measured</span><span>{empty} predicted</span></p>'


def _table(scores: Sequence[ScoreRow]) -> str:
    """Return r by point and axis; what is undefined is a dash and does not enter the mean."""
    r = {row["channel"]: row["r"] for row in scores}
    points = [name for name in NAMES if {f"{name}_x", f"{name}_y"} & set(r)]
    known = [value for value in r.values() if value is not None]
    mean = f"mean {_number(sum(known) / len(known))} over {len(known)} channels" if known else "no r is defined"
    frames = max(row["n_frames"] for row in scores)
    head = "".join(f'<th scope="col">{NAMES[name]}</th>' for name in points)
    rows = []
    for axis in "xy":
        cells = "".join(f"<td>{_number(r.get(name + '_' + axis))}</td>" for name in points)
        rows.append(f'<tr><th scope="row">{axis}</th>{cells}</tr>')
    caption = f"r between measured and predicted in this recording, {frames} frames; {mean}"
    return (
        f'<div class="scores"><table><caption>{caption}</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(r: float | None) -> str:
    return "–" if r is None else f"{round(r, 2) + 0.0:.2f}".replace("0.", ".", 1)  # no -.00


def _colours() -> str:
    """Return the palettes as CSS: the reader's choice, or where there is none, the system's."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in each.items()) for each in (LIGHT, DARK))
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}"
    )


def _asset(name: str) -> str:
    return resources.files("tractprobe.inversion").joinpath(name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    """Return a text for HTML, with what cannot be printed, such as the half of a surrogate pair, as escapes."""
    return escape(one_line(text))


def _json(value: Any) -> str:
    """Return JSON that cannot end a script element: only "<" can, and JSON can write it as an escape."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _base64(values: Int16[np.ndarray, "..."]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _rounded(points: Float[np.ndarray, "point 2"]) -> list[list[float]]:
    return np.round(points, 2).tolist()


def _wav(audio: Float[np.ndarray, " sample"]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
