"""A track as a video: the midsagittal plane moving, the waveform below, the audio with it (MP4, H.264 and AAC)."""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from jaxtyping import Float, UInt8

from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.film import TRAIL_S, Film, smooth
from tractprobe.inversion.outline import Shape
from tractprobe.inversion.palette import LIGHT, NAMES
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.figures import new_figure
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import atomic
from tractprobe.system.printable import one_line
from tractprobe.system.progress import progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES_PER_S, CODEC = 25, "libx264"
_SIZE_INCHES, _ENVELOPE, _LETTERS, _TITLE_LETTERS, _LEAST_SHARE = (6.4, 5.12), 1000, 12, 66, 1 / 200


def require_video() -> Any:
    """Return imageio-ffmpeg; ConfigError says what to install where it is missing."""
    try:
        return import_module("imageio_ffmpeg")
    except ImportError:
        raise ConfigError('videos need imageio-ffmpeg, which brings ffmpeg: pip install "tractprobe[video]"') from None


def write_video(
    path: Path, film: Film, audio: Float[np.ndarray, " sample"], title: str, phones: Sequence[Phone] = ()
) -> None:
    """Write the video of a film and its 16 kHz audio, atomically."""
    library = require_video()
    frames = _Frames(film, audio, title, phones)
    with atomic(path) as temporary, tempfile.TemporaryDirectory() as folder:
        sound = Path(folder, "audio.wav")
        soundfile.write(sound, audio, RATE_HZ, subtype="PCM_16")
        writer = library.write_frames(
            str(temporary), frames.size, fps=FRAMES_PER_S, codec=CODEC, audio_path=str(sound), audio_codec="aac",
            ffmpeg_log_level="error", output_params=["-f", "mp4", "-movflags", "+faststart"],
        )  # fmt: skip
        try:
            writer.send(None)
            for frame in progress(frames, f"drawing {path.name}", unit="frame", total=len(frames)):
                writer.send(np.ascontiguousarray(frame))
            writer.close()
        except OSError as error:
            raise CorpusError(path, f"ffmpeg could not write it: {str(error).strip().splitlines()[-1]:.200}") from None


class _Frames:
    """The pictures, drawn one at a time; what does not move is drawn once."""

    def __init__(self, film: Film, audio: Float[np.ndarray, " sample"], title: str, phones: Sequence[Phone]):
        self.film, self.duration_s, self.phones = film, len(audio) / RATE_HZ, phones
        self.figure: Any = new_figure(*_SIZE_INCHES)
        self.figure.set_dpi(100)
        plane, wave = self.figure.subplots(2, 1, height_ratios=[4, 1])
        self._draw_plane(plane, title)
        self.cursor = self._draw_wave(wave, audio)
        with warnings.catch_warnings():  # a symbol that no font has becomes a box
            warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")  # the axes keep their places from here on
            self._draw_phones(wave)
            for artist in self.moving:
                artist.set_animated(True)  # not drawn with the rest
            self.figure.canvas.draw()
        self.still = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    @property
    def moving(self) -> list[Any]:
        points = (artist for artists in self.points for artist in artists)
        return [*self.shapes, self.predicted, self.tongue, *points, self.clock, self.phone, self.cursor]

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.figure.canvas.get_width_height())

    def __len__(self) -> int:
        return max(1, round(self.duration_s * FRAMES_PER_S))

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        return (self.draw(index / FRAMES_PER_S) for index in range(len(self)))

    def draw(self, time_s: float) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture at a time."""
        self._move(self.film.frame_at(time_s))
        self.clock.set_text(f"{time_s:.2f} s")
        labels = [phone.label for phone in self.phones if phone.start_s <= time_s < phone.end_s]
        self.phone.set_text(_short(labels[0]) if labels else "")
        self.cursor.set_xdata([time_s, time_s])
        self.figure.canvas.restore_region(self.still)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
            for artist in self.moving:
                artist.axes.draw_artist(artist)
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3]

    def _move(self, frame: int | None) -> None:
        """Put everything where it is in a frame, or nowhere."""
        film = self.film
        nowhere = np.full((len(film.names), 2), np.nan)
        trail = nowhere[None] if frame is None else film.trail(frame)
        guesses = nowhere if frame is None or film.predicted is None else film.predicted[frame]
        self.tongue.set_data(*film.tongue(trail[-1]).T)
        self.predicted.set_data(*film.tongue(guesses).T)
        for number, (line, guess, dot, label) in enumerate(self.points):
            line.set_data(*trail[:, number].T)
            guess.set_data(*guesses[number : number + 1].T)
            dot.set_data(*trail[-1:, number].T)
            label.xy = tuple(np.nan_to_num(trail[-1, number], nan=1e6))
        for patch, shape in zip(self.shapes, self._moving_shapes(), strict=True):
            patch.set_xy(smooth(shape.corners + trail[-1, film.names.index(str(shape.point))], closed=True))

    def _moving_shapes(self) -> list[Shape]:
        return [shape for shape in self.film.outline.shapes if shape.point is not None]

    def _draw_plane(self, axes: "Axes", title: str) -> None:
        left, right, bottom, top = self.film.bounds
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x (mm), front →", ylabel="y (mm), up →")
        axes.set_aspect("equal", adjustable="box")
        axes.grid(color=LIGHT["grid"], lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(_short(title, _TITLE_LETTERS), loc="left", fontsize=10).set_parse_math(False)
        self.clock = axes.set_title("", loc="right", fontsize=10, family="monospace")
        self._draw_outline(axes)
        (self.predicted,) = axes.plot([], [], color=LIGHT["tongue"], lw=1.5, ls="--")
        (self.tongue,) = axes.plot([], [], color=LIGHT["tongue"], lw=3, solid_capstyle="round")
        self.points = []
        for name in self.film.names:
            (line,) = axes.plot([], [], color=LIGHT[name], lw=1.5, alpha=0.45)
            (guess,) = axes.plot([], [], "o", color=LIGHT[name], ms=7, mfc="none", mew=1.5)
            (dot,) = axes.plot([], [], "o", color=LIGHT[name], ms=7)
            label = axes.annotate(
                NAMES[name], (0, 0), (0, 7), textcoords="offset points", color=LIGHT[name], fontsize=8, ha="center"
            )
            self.points.append((line, guess, dot, label))
        self.phone = axes.text(0.02, 0.98, "", transform=axes.transAxes, fontsize=18, va="top", parse_math=False)

    def _draw_outline(self, axes: "Axes") -> None:
        """Draw palate and teeth, and what will move with a point."""
        outline, drawn = self.film.outline, {"facecolor": LIGHT["flesh"], "edgecolor": LIGHT["outline"], "lw": 1.0}
        axes.plot(*smooth(outline.palate).T, color=LIGHT["outline"], lw=1.0 if outline.schematic else 2.0)
        for shape in outline.shapes:
            if shape.point is None:
                axes.fill(*smooth(shape.corners, closed=True).T, **drawn)
        self.shapes = [axes.fill([0, 0], [0, 0], **drawn)[0] for _ in self._moving_shapes()]

    def _draw_wave(self, axes: "Axes", audio: Float[np.ndarray, " sample"]) -> Any:
        edges = np.linspace(0, len(audio), min(_ENVELOPE, len(audio)) + 1).astype(int)[:-1]
        low, high = np.minimum.reduceat(audio, edges), np.maximum.reduceat(audio, edges)
        axes.fill_between(edges / RATE_HZ, low, high, color=LIGHT["wave"], lw=0.4)
        axes.set(xlim=(0, self.duration_s), yticks=[])
        axes.set_xlabel("time (s)", loc="right")
        axes.annotate(self._notes(), (0, 0), (0, -30), xycoords="axes fraction", textcoords="offset points", fontsize=7,
                      color=LIGHT["quiet"])  # fmt: skip
        axes.spines[["top", "right", "left"]].set_visible(False)
        if self.phones:  # room above the wave for their names
            low, high = axes.get_ylim()
            axes.set_ylim(low, high + 0.3 * (high - low))
        return axes.axvline(0, color=LIGHT["cursor"], lw=1.2)

    def _notes(self) -> str:
        """Return what a viewer must know."""
        film = self.film
        outline = "profile: schematic, not measured" if film.outline.schematic else "palate: measured"
        notes = [outline] if len(film.outline.palate) else []
        notes += [] if film.predicted is None else ["filled: measured, open: predicted"]
        return "; ".join([*notes, f"lines: the last {TRAIL_S * 1000:.0f} ms"])

    def _draw_phones(self, axes: "Axes") -> None:
        """Write the phones along the wave, where there is room for their names."""
        edges = [edge for phone in self.phones for edge in (phone.start_s, phone.end_s)]
        axes.vlines(edges, 0.8, 1, color=LIGHT["outline"], lw=0.5, transform=axes.get_xaxis_transform())
        for phone in self.phones:
            middle, long = (phone.start_s + phone.end_s) / 2, phone.end_s - phone.start_s
            if long < self.duration_s * _LEAST_SHARE or not 0 <= middle <= self.duration_s:
                continue  # narrower than a letter
            text = axes.text(middle, 0.97, _short(phone.label), transform=axes.get_xaxis_transform(), fontsize=7,
                             ha="center", va="top", parse_math=False)  # fmt: skip
            if text.get_window_extent().transformed(axes.transData.inverted()).width > long:
                text.remove()


def _short(text: str, letters: int = _LETTERS) -> str:
    """Return the beginning of a text, in one line."""
    text = one_line(text)
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
