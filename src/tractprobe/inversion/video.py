"""A track as a video: the midsagittal plane moving, the waveform below, the audio with it (MP4, H.264 and AAC)."""

import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from jaxtyping import Float, UInt8

from tractprobe.inversion.film import COLOURS, FILM_HZ, NAMES, TRAIL_S, Film
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.figures import new_figure
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.files import atomic
from tractprobe.system.progress import progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FRAMES_PER_S, CODEC = 25, "libx264"
_SIZE_INCHES, _ENVELOPE = (6.4, 5.12), 1000


def require_video() -> Any:
    """Return imageio-ffmpeg; ConfigError says what to install where it is missing."""
    try:
        return import_module("imageio_ffmpeg")
    except ImportError:
        raise ConfigError('videos need imageio-ffmpeg, which brings ffmpeg: pip install "tractprobe[video]"') from None


def write_video(path: Path, track: Track, audio: Float[np.ndarray, " sample"], title: str) -> None:
    """Write the video of a track and its 16 kHz audio, atomically."""
    library = require_video()
    film = Film.of(track, FILM_HZ)
    frames = _Frames(film, audio, title)
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

    def __init__(self, film: Film, audio: Float[np.ndarray, " sample"], title: str):
        self.film, self.duration_s = film, len(audio) / RATE_HZ
        self.figure: Any = new_figure(*_SIZE_INCHES)
        self.figure.set_dpi(100)
        plane, wave = self.figure.subplots(2, 1, height_ratios=[4, 1])
        self._draw_plane(plane, title)
        self.cursor = self._draw_wave(wave, audio)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")  # the axes keep their places from here on
        self.moving = [self.tongue, *(artist for artists in self.points for artist in artists), self.clock, self.cursor]
        for artist in self.moving:
            artist.set_animated(True)  # not drawn with the rest
        self.figure.canvas.draw()
        self.still = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    @property
    def size(self) -> tuple[int, int]:
        return tuple(self.figure.canvas.get_width_height())

    def __len__(self) -> int:
        return max(1, round(self.duration_s * FRAMES_PER_S))

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
        return (self.draw(index / FRAMES_PER_S) for index in range(len(self)))

    def draw(self, time_s: float) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture at a time."""
        film = self.film
        frame = int(np.clip(round((time_s - film.start_s) * film.rate_hz), 0, len(film.points) - 1))
        trail = film.trail(frame)
        self.tongue.set_data(*film.tongue(frame).T)
        for number, (line, dot, label) in enumerate(self.points):
            line.set_data(*trail[:, number].T)
            dot.set_data(*trail[-1:, number].T)
            label.xy = tuple(np.nan_to_num(trail[-1, number], nan=1e6))
        self.clock.set_text(f"{time_s:.2f} s")
        self.cursor.set_xdata([time_s, time_s])
        self.figure.canvas.restore_region(self.still)
        for artist in self.moving:
            artist.axes.draw_artist(artist)
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3]

    def _draw_plane(self, axes: "Axes", title: str) -> None:
        left, right, bottom, top = self.film.bounds
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x (mm), front →", ylabel="y (mm), up →")
        axes.set_aspect("equal", adjustable="box")
        axes.grid(color="#eeeeee", lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left", fontsize=10).set_parse_math(False)
        self.clock = axes.set_title("", loc="right", fontsize=10, family="monospace")
        (self.tongue,) = axes.plot([], [], color="#B5654A", lw=3, solid_capstyle="round")
        self.points = []
        for name in self.film.names:
            (line,) = axes.plot([], [], color=COLOURS[name], lw=1.5, alpha=0.45)
            (dot,) = axes.plot([], [], "o", color=COLOURS[name], ms=7)
            label = axes.annotate(
                NAMES[name], (0, 0), (0, 7), textcoords="offset points", color=COLOURS[name], fontsize=8, ha="center"
            )
            self.points.append((line, dot, label))
        axes.text(0.99, 0.02, f"lines: the last {TRAIL_S * 1000:.0f} ms", transform=axes.transAxes, fontsize=7,
                  ha="right", color="#666666")  # fmt: skip

    def _draw_wave(self, axes: "Axes", audio: Float[np.ndarray, " sample"]) -> Any:
        edges = np.linspace(0, len(audio), min(_ENVELOPE, len(audio)) + 1).astype(int)[:-1]
        low, high = np.minimum.reduceat(audio, edges), np.maximum.reduceat(audio, edges)
        axes.fill_between(edges / RATE_HZ, low, high, color="#888888", lw=0.4)
        axes.set(xlim=(0, self.duration_s), yticks=[], xlabel="time (s)")
        axes.spines[["top", "right", "left"]].set_visible(False)
        return axes.axvline(0, color="#D55E00", lw=1.2)
