"""Pictures of one speaker: positions of sensors, lag of the audio, and one utterance.

Only functions that draw import matplotlib, so an audit without pictures works without it. Labels and names come from
untrusted files, and none is interpreted as TeX.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tractprobe.corpora.audit.lag import LAGS_MS
from tractprobe.corpora.audit.limits import Interval
from tractprobe.corpora.audit.result import Example, SpeakerAudit
from tractprobe.corpora.audit.timing import LAG, LAG_GROWTH
from tractprobe.signals.channels import ARTICULATORS, CHANNELS
from tractprobe.signals.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# Okabe and Ito's colours, which colour-blind readers can distinguish; sensors are also labelled.
_COLOURS = {"td": "#0072B2", "tb": "#56B4E9", "tt": "#009E73", "li": "#555555", "ul": "#CC79A7", "ll": "#D55E00"}
_EXTRA_COLOUR, _GREY = "#B8860B", "#666666"
INKS = {"td": "#0067A3", "tb": "#1B6F9E", "tt": "#00724F", "li": "#555555", "ul": "#A0417A", "ll": "#B04B00"}
"""The same hues for letters: contrast of 4.5 at least, by day and as the page inverts them by night."""
EXTRA_INK = "#7D5A00"
_HALF = 4.8, 4.4  # inches, which a phone shows at two thirds
_NAMES = {"td": "dorsum", "tb": "blade", "tt": "tip", "li": "lower incisor", "ul": "upper lip", "ll": "lower lip"}
_TRACES = ("tt", "td", "ll", "li")
_CHI2_95 = 5.991
_DRAWN_MM = 1e5
_LABEL_LENGTH, _MAX_LABELS = 8, 120


def positions_picture(speaker: SpeakerAudit) -> "Figure":
    """Draw the positions of each sensor, with 95 % ellipses and the palate."""
    figure = new_figure(*_HALF)
    _draw_plane(figure.subplots(), speaker)
    return figure


def lags_picture(speaker: SpeakerAudit) -> "Figure":
    """Draw R² as a function of the audio's lag."""
    figure = new_figure(*_HALF)
    # With few utterances, the thirds are too short for a peak and are not drawn.
    thirds = speaker.check(LAG_GROWTH).measured is not None
    curves = {name: curve for name, curve in speaker.lag_curves.items() if name == "all" or thirds}
    low, high = speaker.check(LAG).limits.look
    _draw_lags(figure.subplots(), curves, (max(low, LAGS_MS[0]), min(high, LAGS_MS[-1])))
    return figure


def _draw_plane(axes: "Axes", speaker: SpeakerAudit) -> None:
    place = {name: index for index, name in enumerate(speaker.channels)}
    extra = sorted({name[:-2] for name in speaker.channels} - set(ARTICULATORS))
    for sensor in (*ARTICULATORS, *extra):
        if {f"{sensor}_x", f"{sensor}_y"} <= set(place):
            points = speaker.cloud[:, [place[f"{sensor}_x"], place[f"{sensor}_y"]]]
            points = points[(np.abs(points) < _DRAWN_MM).all(axis=1)]
            if len(points) > 2:
                _draw_sensor(axes, sensor, points)
    if speaker.palate is not None:
        axes.plot(*speaker.palate.T, color="black", lw=1.5)
        end = tuple(speaker.palate[np.argmin(speaker.palate[:, 0])])
        axes.annotate("palate", end, (-4, 2), textcoords="offset points", ha="right", fontsize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.grid(color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    axes.set(xlabel="x (mm), front →", ylabel="y (mm), up →")
    axes.set_title("sensor positions, 95 % ellipses", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_sensor(axes: "Axes", sensor: str, points: np.ndarray) -> None:
    from matplotlib.patches import Ellipse

    colour = _COLOURS.get(sensor, _EXTRA_COLOUR)
    axes.scatter(*points.T, s=3, color=colour, alpha=0.18, lw=0, rasterized=True)
    middle = points.mean(axis=0)
    variances, axes_of = np.linalg.eigh(np.cov(points.T))
    height, width = 2 * np.sqrt(_CHI2_95 * np.maximum(variances, 0))
    angle = np.degrees(np.arctan2(axes_of[1, 1], axes_of[0, 1]))
    axes.add_patch(Ellipse(tuple(middle), width, height, angle=angle, fill=False, color=colour, lw=1.4))
    top = max(middle[1] + 1.1 * np.sqrt(_CHI2_95 * points[:, 1].var()), np.quantile(points[:, 1], 0.995))
    text = axes.annotate(
        sensor, (middle[0], top), (0, 2), textcoords="offset points", ha="center", va="bottom",
        color=INKS.get(sensor, EXTRA_INK), fontsize=10, fontweight="bold",
    )  # fmt: skip
    _halo(text)


def _halo(text: "Text") -> None:
    from matplotlib.patheffects import withStroke

    text.set_parse_math(False)
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _draw_lags(axes: "Axes", curves: Mapping[str, np.ndarray], limits: Interval) -> None:
    styles = {"all": ("black", "-", 2.0), "first third": ("#0072B2", "--", 1.2), "last third": ("#D55E00", ":", 1.6)}
    axes.axvspan(*limits, color="#efefef", lw=0)
    for name, curve in curves.items():
        colour, line, width = styles[name]
        axes.plot(LAGS_MS, curve, color=colour, ls=line, lw=width, label=name)
    axes.axvline(0, color=_GREY, lw=0.8)
    axes.set(xlabel="audio later than movements by (ms)", ylabel="R² of movements from audio", xlim=LAGS_MS[[0, -1]])
    axes.set_ylim(bottom=0)
    axes.set_title("audio against movements; grey: usual", loc="left", fontsize=10)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8.5, loc="upper right", title="parts of utterances", title_fontsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)


def example_picture(example: Example) -> "Figure":
    """Draw waveform, spectrogram and vertical movements of an utterance over a common time axis, with its phones."""
    figure = new_figure(9.6, 5.6)
    wave, spectrum, movement = figure.subplots(3, 1, sharex=True, height_ratios=[0.7, 1.3, 1.9])
    duration_s = len(example.audio) / example.audio_rate_hz
    _draw_wave(wave, example)
    _draw_spectrum(spectrum, example)
    _draw_movements(movement, example, duration_s)
    _draw_phones((wave, spectrum, movement), example, duration_s)
    movement.set(xlabel="time from the start of the audio (s)", xlim=(0, duration_s))
    for axes in (wave, movement):
        axes.spines[["top", "right"]].set_visible(False)
    figure.align_ylabels()
    return figure


def _draw_wave(axes: "Axes", example: Example) -> None:
    step = max(len(example.audio) // 4000, 1)
    audio = example.audio[: len(example.audio) // step * step].reshape(-1, step)
    times_s = np.arange(len(audio)) * step / example.audio_rate_hz
    axes.fill_between(times_s, audio.min(axis=1), audio.max(axis=1), color="#333333", lw=0.4)
    axes.set_ylabel("amplitude\n(full scale 1)")
    axes.locator_params(axis="y", nbins=3)


def _draw_spectrum(axes: "Axes", example: Example) -> None:
    rate_hz = example.audio_rate_hz
    width, hop = max(int(0.008 * rate_hz), 4), max(int(0.002 * rate_hz), 1)
    padded = np.pad(example.audio.astype(float), (width // 2, width))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, width)[: len(example.audio) : hop]
    spectra = np.fft.rfft(pieces * np.hanning(width), n=max(512, width)).T
    power_db = 10 * np.log10(np.abs(spectra) ** 2 + 1e-20)
    left, right = -hop / 2 / rate_hz, (power_db.shape[1] - 0.5) * hop / rate_hz
    top = power_db.max()
    axes.imshow(
        power_db, origin="lower", aspect="auto", cmap="Greys", vmin=top - 65, vmax=top, interpolation="bilinear",
        extent=(left, right, 0, rate_hz / 2000),
    )  # fmt: skip
    axes.set(ylabel="frequency (kHz)", ylim=(0, min(8.0, rate_hz / 2000)))


def _draw_movements(axes: "Axes", example: Example, duration_s: float) -> None:
    """Draw y of four sensors, each around its own level, to show when they move."""
    times_s, levels = example.track.times_s, []
    for sensor in _TRACES:
        values = example.track.values[:, CHANNELS.index(f"{sensor}_y")]
        values = np.where(np.abs(values) < _DRAWN_MM, values, np.nan)
        if np.isfinite(values).any():
            levels.append((sensor, values - np.nanmedian(values)))
    offset, ticks = 0.0, []
    for sensor, values in levels:
        height = np.nanmax(values) - np.nanmin(values)
        offset -= np.nanmax(values)
        axes.plot(times_s, values + offset, color=_COLOURS[sensor], lw=1.6)
        ticks.append((offset, f"{_NAMES[sensor]} ({sensor})", INKS[sensor]))
        offset += np.nanmin(values) - 0.12 * height - 1.0
    axes.set_yticks([place for place, _, _ in ticks], [name for _, name, _ in ticks])
    for label, (_, _, colour) in zip(axes.get_yticklabels(), ticks, strict=True):
        label.set_color(colour)
    _draw_scale(axes, duration_s)
    axes.set_ylabel("y, up")


def _draw_scale(axes: "Axes", duration_s: float) -> None:
    """Draw a bar of 10 mm, because the traces are offset from each other."""
    low, high = axes.get_ylim()
    place = 1.012 * duration_s
    middle = (low + high) / 2
    axes.plot([place, place], [middle - 5, middle + 5], color="black", lw=2, clip_on=False)
    axes.text(1.02 * duration_s, middle, "10 mm", rotation=90, va="center", ha="left", fontsize=9)


def _draw_phones(panels: "tuple[Axes, ...]", example: Example, duration_s: float) -> None:
    """Mark the starts of phones, and label them above; a label that would overlap the previous one goes a line up."""
    phones = [phone for phone in example.phones if phone.start_s < duration_s][:_MAX_LABELS]
    free_s = [0.0, 0.0, 0.0]  # where each line of labels is free again
    for phone in phones:
        for axes in panels:
            axes.axvline(phone.start_s, color="#bbbbbb", lw=0.5, zorder=0)
        shown, middle = _printable(phone.label), (phone.start_s + min(phone.end_s, duration_s)) / 2
        half_s = (0.4 + 0.6 * len(shown)) * duration_s / 120
        row = next((row for row, taken_s in enumerate(free_s) if middle - half_s >= taken_s), None)
        if row is not None:
            free_s[row] = middle + half_s
            place = (middle, 1.03 + 0.17 * row)
            text = panels[0].text(*place, shown, transform=panels[0].get_xaxis_transform(), ha="center", fontsize=9)
            text.set_parse_math(False)


def _printable(label: str) -> str:
    shown = "".join(letter if letter.isprintable() else "·" for letter in label)
    return shown if len(shown) <= _LABEL_LENGTH else shown[: _LABEL_LENGTH - 1] + "…"
