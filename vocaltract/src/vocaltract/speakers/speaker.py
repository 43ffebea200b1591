"""The eight speakers: who they are, and how one of them becomes the synthesiser's."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.speakers import anatomy, calibrated, jd3, voice
from vocaltract.speakers.shapes import Shapes
from vocaltract.speakers.sizes import Anatomy

SPEAKERS = ("m1", "m2", "m3", "f1", "f2", "f3", "c1", "c2")


@dataclass(frozen=True)
class Sensors:
    """Where the coils of the articulograph sit.

    Attributes
    ----------
    ribs
        Rib of the tongue's mesh (surface 16, midline vertex) by channel: tt, tb, td.
    offsets_mm
        (x, y) by channel, added to the tract's own point (x to the front, y up, before the
        head frame's rotation): li at the edge of the lower incisors, ul and ll at the foremost point of the lips.
    """

    ribs: Mapping[str, int]
    offsets_mm: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Speaker:
    """A virtual speaker.

    Attributes
    ----------
    f0_hz
        Base of the pitch.
    voice
        Voice quality by default, as ``Manner.voice``.
    anatomy
        Size of the parts of the tract, relative to JD3's.
    rotation_deg, origin_mm
        Head frame: EMA = R(rotation) x + origin, x in mm in the tract's coordinates.
    limits
        (19, 2) smallest and largest value of each tract parameter.
    file
        The speaker file for the synthesiser, complete.
    """

    name: str
    sex: str
    age_years: float
    f0_hz: float
    voice: str
    anatomy: Anatomy
    rotation_deg: float
    origin_mm: tuple[float, float]
    sensors: Sensors
    limits: np.ndarray
    shapes: Shapes
    file: Path

    def activate(self) -> None:
        """Make the synthesiser speak with this tract in this process.

        The synthesiser holds one speaker per process; nothing happens where this one is active already.
        Initialising again costs 9 MB, which are never given back: give every speaker a process of its own.
        """
        from vocaltractlab_cython import VocalTractLabApi as vtl

        if vtl.active_speaker() == str(self.file):
            return
        anatomy.validate(self.file)
        vtl._close()
        vtl._initialize(str(self.file))

    def in_head_frame(self, points_mm: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the tract in mm, as this speaker's articulograph sees them."""
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return points_mm @ turn.T + np.asarray(self.origin_mm)

    def palate_mm(self) -> np.ndarray:
        """Midline of the hard palate from front to back, (point, 2) mm in the speaker's frame."""
        return self.in_head_frame(anatomy.palate_mm(self.file))


@cache
def descriptions() -> Mapping[str, Any]:
    """Read ``speakers.toml``."""
    return tomllib.loads(resources.files(__package__).joinpath("speakers.toml").read_text(encoding="utf-8"))


@cache
def load(name: str) -> Speaker:
    """Load a speaker by name; its speaker file is written to the cache folder where it is not there yet.

    Raises VocalTractError where there is no such speaker.
    """
    if name not in SPEAKERS:
        raise VocalTractError(f"There is no speaker {name!r}; there are {', '.join(SPEAKERS)}.")
    entry = descriptions()[name]
    build = Anatomy.from_description(entry)
    file = anatomy.written(name, build, entry["f0_hz"])
    limits = jd3.limits(jd3.document(file))
    shapes = calibrated.shapes(name, build, limits, voice.glottis_shapes(entry["f0_hz"], build.glottis))
    return Speaker(
        name=name,
        sex=entry["sex"],
        age_years=entry["age_years"],
        f0_hz=entry["f0_hz"],
        voice=entry["voice"],
        anatomy=build,
        rotation_deg=entry["rotation_deg"],
        origin_mm=tuple(entry["origin_mm"]),
        sensors=Sensors(entry["ribs"], {key: tuple(value) for key, value in entry["offsets_mm"].items()}),
        limits=limits,
        shapes=shapes,
        file=file,
    )
