"""Pictures of a corpus for ``docs/virtual_corpus.md``, as wide as a phone's screen."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.signal import spectrogram

from vocaltract import speakers
from vocaltract.checks.reading import Utterance, utterances
from vocaltract.corpus.folder import EMA_CHANNELS
from vocaltract.errors import VocalTractError
from vocaltract.speakers.acoustics import formants_hz
from vocaltract.synthesis.recorded import RECORDED_HZ

WIDTH_IN, DPI = 4.2, 180
COLOURS = {"tt_y": "#c0392b", "tb_y": "#d68910", "td_y": "#1e8449", "ll_y": "#2471a3", "li_y": "#7d3c98"}
NAMES = {"tt_y": "tongue tip", "tb_y": "blade", "td_y": "dorsum", "ll_y": "lower lip", "li_y": "jaw"}
SPEAKER_COLOURS = dict(
    zip(
        speakers.SPEAKERS,
        ("#1b4f72", "#2e86c1", "#85c1e9", "#922b21", "#e74c3c", "#f1948a", "#1d8348", "#82e0aa"),
        strict=True,
    )
)
CORNERS = ("i", "e", "ɛ", "a", "ɑ", "ɔ", "o", "u")
BABBLE_S = 3.0


def draw(corpus: Path, out: Path) -> None:
    """Draw all pictures from a corpus that has one English sentence by a man, a woman and a child, and babble of m1.

    Raises
    ------
    VocalTractError
        If it lacks them.
    """
    found = {one.id: one for one in utterances(corpus)}
    out.mkdir(parents=True, exist_ok=True)
    sentence = [_one(found, f"{name}_en_001") for name in ("m2", "f1", "c2")]
    titles = [f"{one.speaker}: {one.said['text']}" for one in sentence]
    save(strips(sentence, titles), out / "sentence.png")
    beside = [_one(found, name) for name in ("m1_de_001", "m1_zxx_a01", "m1_zxx_b01", "m1_zxx_c01")]
    kinds = ("speech", "babble a: near speech", "babble b: the whole space", "babble c: phones in any order")
    save(
        strips(beside, [f"{one.speaker}, {kind}" for one, kind in zip(beside, kinds, strict=True)], BABBLE_S),
        out / "babble.png",
    )
    save(vowel_chart(), out / "vowels.png")


def strips(some: Sequence[Utterance], titles: Sequence[str], seconds: float | None = None) -> Figure:
    """Spectrogram with phones, and height of tongue, lip and jaw below it, for each utterance."""
    height_in = 2.0 * len(some) + 0.3
    figure = plt.figure(figsize=(WIDTH_IN, height_in))
    rows = figure.add_gridspec(
        len(some), 1, left=0.085, right=0.995, bottom=0.5 / height_in, top=1 - 0.32 / height_in, hspace=0.32
    )
    pairs = [
        row.subgridspec(2, 1, height_ratios=(1.15, 1), hspace=0.07)
        for row in (rows[place] for place in range(len(some)))
    ]
    axes = [figure.add_subplot(cell) for pair in pairs for cell in pair]
    for one, title, above, below in zip(some, titles, axes[::2], axes[1::2], strict=True):
        end_s = min(seconds or np.inf, len(one.sound) / RECORDED_HZ)
        _spectrogram(above, one, end_s)
        above.set_title(title, fontsize=7, loc="left", pad=11 if one.phones else 3)
        _heights(below, one, end_s)
    axes[-1].set_xlabel("s", fontsize=6, labelpad=1)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(
        handles, labels, ncols=5, fontsize=6, frameon=False, loc="lower center", handlelength=1.2, columnspacing=1
    )
    return figure


def _spectrogram(axes: Axes, one: Utterance, end_s: float) -> None:
    hz, at_s, power = spectrogram(
        one.sound[: int(end_s * RECORDED_HZ)], RECORDED_HZ, nperseg=128, noverlap=96, nfft=512
    )
    level_db = 10 * np.log10(power + 1e-12)
    top = level_db.max()
    axes.pcolormesh(at_s, hz / 1000, level_db, vmin=top - 60, vmax=top, cmap="Greys", rasterized=True)
    for ipa, start, end in one.phones:
        if end <= end_s:
            axes.axvline(start, color="#2471a3", linewidth=0.3, alpha=0.6)
            axes.text((start + end) / 2, 8.15, ipa, fontsize=5.5, ha="center", va="bottom")
    _plain(axes, end_s, "kHz")
    axes.set_ylim(0, 8)
    axes.set_xticklabels([])


def _heights(axes: Axes, one: Utterance, end_s: float) -> None:
    assert one.ema is not None
    frames = one.ema[: int(end_s * 100)]
    for offset, (channel, colour) in enumerate(COLOURS.items()):
        track = frames[:, EMA_CHANNELS.index(channel)]
        axes.plot(
            np.arange(len(track)) / 100,
            track - np.median(track) - 9 * offset,
            color=colour,
            linewidth=0.9,
            label=NAMES[channel],
        )
    _plain(axes, end_s, "mm, each by 9")


def _plain(axes: Axes, end_s: float, label: str) -> None:
    axes.set_xlim(0, end_s)
    axes.set_ylabel(label, fontsize=6, labelpad=1)
    axes.tick_params(labelsize=5.5, length=2, pad=1)
    axes.spines[["top", "right"]].set_visible(False)


def vowel_chart() -> Figure:
    """F1 and F2 of the corner vowels' targets for each speaker, from the tract's transfer function."""
    figure, axes = plt.subplots(figsize=(WIDTH_IN, 3.4))
    for name in speakers.SPEAKERS:
        speaker = speakers.load(name)
        speaker.activate()
        pairs = np.array([formants_hz(speaker.shapes.vowel(vowel), 2) for vowel in CORNERS])
        axes.plot(
            pairs[:, 1], pairs[:, 0], "o-", color=SPEAKER_COLOURS[name], markersize=2.5, linewidth=0.9, label=name
        )
        for vowel, (first, second) in zip(CORNERS, pairs, strict=True):
            if name in ("m3", "c2"):
                axes.annotate(vowel, (second, first), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="F2, Hz", ylabel="F1, Hz")
    axes.set_xticks([700, 1000, 1500, 2000, 3000], ["700", "1000", "1500", "2000", "3000"])
    axes.set_yticks([250, 350, 500, 700, 1000], ["250", "350", "500", "700", "1000"])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.invert_yaxis()
    axes.legend(fontsize=6, ncols=2, frameon=False)
    axes.tick_params(labelsize=6)
    axes.xaxis.label.set_size(7)
    axes.yaxis.label.set_size(7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.4)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 128 colours on white, which reads on light and dark pages alike."""
    raw = io.BytesIO()
    figure.savefig(raw, dpi=DPI, facecolor="white")
    plt.close(figure)
    Image.open(raw).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def _one(found: dict[str, Utterance], name: str) -> Utterance:
    if name not in found:
        raise VocalTractError(f"the pictures need {name}; plans shipped and full have it")
    return found[name]
