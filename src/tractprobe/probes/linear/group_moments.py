"""First and second moments of groups of frames, from which everything linear follows without the frames.

For each group (a speaker's utterances in one language and one part of the sentences) and each of its inputs (an
encoder's layers): n, Σx, Σxxᵀ, Σxyᵀ, Σy, Σy² in float64, with targets in their own units. Moments of groups add and
subtract. Where a sensor was lost (a pair of neighbouring channels, x and y), the moments of the inputs of those frames
are kept by themselves, to be subtracted for its channels: a matrix for each sensor with losses, not for each
combination. So each input of a group has a row for all frames, then one for those that each of these sensors lacks.

On disk a group is one safetensors file, with a checksum of every tensor, and in place of Σxxᵀ its upper triangle or the
frames themselves, whichever is smaller (``scatter`` reads both)::

    count, y, yy            (channel)               n, Σy, Σy² of the valid targets
    frames                  (row)                   number of frames
    lost                    (row - 1, channel)      channels of the sensor that a row's frames lack
    x <input>               (row, width)            Σx
    xy <input>              (width, channel)        Σxyᵀ, where a target that was lost counts as 0
    xx <input>              (row, half)             Σxxᵀ, or instead of it
    frames <input>, lost at (frame, width), (row - 1, frame)
"""

import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tractprobe.probes.linear.scatter import FrameScatter, Scatter, TriangleScatter, add_square, packed
from tractprobe.system.errors import EncoderError
from tractprobe.system.files import atomic

log = logging.getLogger(__name__)

Lost = tuple[int, ...]
"""Channels that were lost together."""


class InputMoments:
    """Moments of one input over some frames; of Σxxᵀ only the upper triangle counts."""

    def __init__(self, width: int, channels: int, device: torch.device | str = "cpu"):
        self.x = torch.zeros(width, dtype=torch.float64, device=device)
        self.xy = torch.zeros(width, channels, dtype=torch.float64, device=device)

    @cached_property
    def xx(self) -> Float[Tensor, "width width"]:
        """Σxxᵀ, whose memory is not taken before it is asked for."""
        return self.x.new_zeros(len(self.x), len(self.x))

    def square(self, x: Float[Tensor, "frame width"]) -> None:
        """Add frames (float64) to Σxxᵀ."""
        add_square(self.xx, x)


class GroupMoments:
    """Moments of one group's frames, added up batch by batch.

    Of a group with fewer frames than about twice their width, the frames themselves are kept in place of Σxxᵀ, which
    would be larger.

    Parameters
    ----------
    widths
        Name of each input to its number of features.
    channels
        Number of targets.
    lost_together
        Channels that may be lost together, each in one tuple; by default each two neighbours, x and y of a sensor.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        channels: int,
        device: torch.device | str = "cpu",
        lost_together: Sequence[Lost] | None = None,
    ):
        self.sensors = tuple(_pairs(channels) if lost_together is None else lost_together)
        self.widths, self.num_channels, self.device = dict(widths), channels, device
        self.frames = 0
        self.count = torch.zeros(channels, dtype=torch.int64, device=device)
        self.y = torch.zeros(channels, dtype=torch.float64, device=device)
        self.yy = torch.zeros(channels, dtype=torch.float64, device=device)
        self.all_frames = self._inputs(channels)
        self.lost: dict[Lost, dict[str, InputMoments]] = {}
        self._lost_at: dict[Lost, Tensor] = {}  # indices among the group's frames
        self._kept: list[Mapping[str, Tensor]] | None = []  # the frames, while they are few

    def _inputs(self, channels: int) -> dict[str, InputMoments]:
        return {name: InputMoments(width, channels, self.device) for name, width in self.widths.items()}

    def include(
        self,
        states: Mapping[str, Float[Tensor, "frame _width"]],
        target: Float[Tensor, "frame channel"],
        valid: Bool[Tensor, "frame channel"],
    ) -> None:
        """Add frames, in place; targets that are not valid may hold any number."""
        used = valid.any(dim=1)
        if not used.any():
            return
        valid, y = valid[used], torch.where(valid, target, 0)[used].double()
        states = {name: states[name][used] for name in self.widths}
        self._start(valid)
        # A channel that the group has not had yet costs nothing: once it appears, all frames before are its losses.
        shown = (self.count > 0) | valid.any(dim=0)
        for channels in _sensors(valid, shown, self.sensors):
            lost = ~valid[:, channels[0]]
            if shown[channels[0]] and lost.any():
                self._lose(channels, torch.nonzero(lost).flatten(), {name: x[lost] for name, x in states.items()})
        self.frames += len(y)
        self.count += valid.sum(dim=0)
        self.y += y.sum(dim=0)
        self.yy += y.square().sum(dim=0)
        for name, x in states.items():
            self.all_frames[name].x += x.double().sum(0)
            self.all_frames[name].xy.addmm_(x.double().T, y)
            if self._kept is None:
                self.all_frames[name].square(x.double())
        if self._kept is not None:
            self._kept.append(states)
            if any(self.frames * x.element_size() > 4 * x.shape[1] for x in states.values()):
                self._add_up()

    def _lose(self, channels: Lost, places: Tensor, states: Mapping[str, Tensor]) -> None:
        """Count frames as losses of some channels; ``places`` are their indices after the frames so far."""
        inputs = self.lost.setdefault(channels, self._inputs(0))
        before = self._lost_at.get(channels, places[:0])
        self._lost_at[channels] = torch.cat([before, self.frames + places])
        for name, x in states.items():
            inputs[name].x += x.double().sum(0)
            if self._kept is None:
                inputs[name].square(x.double())

    def _start(self, valid: Bool[Tensor, "frame channel"]) -> None:
        """Count all frames so far as losses of the channels that appear for the first time."""
        first = torch.nonzero((self.count == 0) & valid.any(dim=0)).flatten().tolist()
        if not self.frames or not first:
            return
        for sensor in self.sensors:
            if channels := tuple(channel for channel in sensor if channel in first):
                inputs = self.lost.setdefault(channels, self._inputs(0))
                self._lost_at[channels] = torch.arange(self.frames, device=self.device)
                for name, so_far in self.all_frames.items():
                    inputs[name].x += so_far.x
                    if self._kept is None:
                        inputs[name].xx += so_far.xx

    def _add_up(self) -> None:
        """Turn the frames that were kept into Σxxᵀ."""
        for name in self.widths:
            x = self._frames(name).double()
            self.all_frames[name].square(x)
            for channels, places in self._lost_at.items():
                self.lost[channels][name].square(x[places])
        self._kept = None

    def _frames(self, name: str) -> Tensor:
        return torch.cat([states[name] for states in self._kept or ()])

    def save(self, path: Path) -> None:
        """Write the moments atomically."""
        from safetensors.torch import save

        masks = torch.zeros(len(self.lost), self.num_channels, dtype=torch.bool)
        for row, channels in enumerate(self.lost):
            masks[row, list(channels)] = True
        frames = [self.frames, *(len(places) for places in self._lost_at.values())]
        tensors = {"count": self.count, "y": self.y, "yy": self.yy, "lost": masks, "frames": torch.tensor(frames)}
        for name in self.widths:
            parts = [self.all_frames[name], *(inputs[name] for inputs in self.lost.values())]
            tensors[f"x {name}"] = torch.stack([part.x for part in parts])
            tensors[f"xy {name}"] = self.all_frames[name].xy
            if self._kept:
                tensors[f"frames {name}"] = self._frames(name)
            else:
                tensors[f"xx {name}"] = torch.stack([packed(part.xx) for part in parts])
        if self._kept:
            tensors["lost at"] = at = torch.zeros(len(self.lost), self.frames, dtype=torch.bool, device=self.device)
            for row, places in enumerate(self._lost_at.values()):
                at[row, places] = True
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        checks = {name: _check(tensor) for name, tensor in tensors.items()}
        with atomic(path) as temporary:
            temporary.write_bytes(save(tensors, metadata={"checks": json.dumps(checks)}))


@dataclass(frozen=True)
class SavedMoments:
    """A group's file, read tensor by tensor.

    Raises
    ------
    EncoderError
        The file is incomplete, or was changed.
    """

    path: Path

    def read(self, *names: str) -> list[Tensor]:
        """Return tensors by name (``x 3`` is Σx of input 3), checked against what was written."""
        from safetensors import SafetensorError, safe_open

        checks = self._checks()
        try:
            with safe_open(self.path, "pt") as file:
                tensors = [file.get_tensor(name) for name in names]
        except (OSError, SafetensorError) as error:
            problem = f"incomplete ({error!r:.200}); remove its folder, and it is made again"
            raise EncoderError(f"{self.path}: {problem}") from None
        if [_check(tensor) for tensor in tensors] != [checks.get(name) for name in names]:
            raise EncoderError(f"{self.path}: damaged; remove its folder, and it is made again")
        return tensors

    def scatter(self, name: str) -> Scatter:
        """Return Σxxᵀ of an input: of all frames, and of those that each lost sensor lacks."""
        if f"xx {name}" in self._checks():
            return TriangleScatter(*self.read(f"xx {name}", f"x {name}", "frames"))
        frames, lost = self.read(f"frames {name}", "lost at")
        return FrameScatter(frames, torch.cat([lost.new_ones(1, len(frames)), lost]))

    def is_complete(self, inputs: Sequence[str]) -> bool:
        """Return whether every tensor is there, as it was written and finite."""
        try:
            names = set(self._checks())
            tensors = self.read(*names)
        except EncoderError:
            log.warning("%s: damaged or incomplete; making it again", self.path)
            return False
        if not all(bool(tensor.isfinite().all()) for tensor in tensors):
            return False  # of an encoder that fails: the pass over its frames says at which layer
        of_inputs = {f"{kind} {name}" for name in inputs for kind in ("x", "xy")}
        expected = {"count", "y", "yy", "lost", "frames"} | of_inputs
        return expected <= names and all(names & {f"xx {name}", f"frames {name}"} for name in inputs)

    def _checks(self) -> dict[str, int]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                return dict(json.loads((file.metadata() or {})["checks"]))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            problem = f"incomplete ({error!r:.200}); remove its folder, and it is made again"
            raise EncoderError(f"{self.path}: {problem}") from None


def _pairs(channels: int) -> list[Lost]:
    return [tuple(range(first, min(first + 2, channels))) for first in range(0, channels, 2)]


def _sensors(
    valid: Bool[Tensor, "frame channel"], shown: Bool[Tensor, " channel"], declared: Sequence[Lost]
) -> list[Lost]:
    """Return the declared sensors, or their channels by themselves where these were not lost together."""
    sensors: list[Lost] = []
    for sensor in declared:
        alike = all(bool(shown[sensor[0]] == shown[other]) for other in sensor)
        together = alike and all(torch.equal(valid[:, sensor[0]], valid[:, other]) for other in sensor)
        sensors += [sensor] if together else [(channel,) for channel in sensor]
    return sensors


def _check(tensor: Tensor) -> int:
    return zlib.crc32(tensor.contiguous().view(-1).view(torch.uint8).numpy().data) if tensor.numel() else 0
