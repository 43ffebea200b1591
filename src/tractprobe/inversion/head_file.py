"""Head files: one layer's head with everything that is needed to use it elsewhere, as safetensors.

The tensors are those of a bank of one head; everything else is JSON under ``tractprobe`` in the header: which encoder
and layer, where its frames sit, channels and units, the training speakers' means and deviations, corpora and scores.

A head file may come from anybody. What it names is built only if it is a public name, sizes are compared before
anything is allocated, nothing in it is executed, and a checksum over all of it finds damage.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tractprobe.data.scales import SpeakerScale
from tractprobe.data.targets import Channel
from tractprobe.encoders.assembly import drawing_at_most
from tractprobe.encoders.encoder import Encoder, weights_sha256
from tractprobe.encoders.frames import FrameGeometry
from tractprobe.encoders.layers import Label, Layers, is_label, label, of_label
from tractprobe.encoders.state_cache import Storage, as_storage
from tractprobe.inversion.head_header import FORMAT, HeadCard, HeadDescription, about_of, read_content, require
from tractprobe.probes.heads import Bank
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.runs.building import build
from tractprobe.runs.configuration import Plain, flat
from tractprobe.system.errors import EncoderError, HeadError, TractprobeError, first_line
from tractprobe.system.files import atomic, digest
from tractprobe.system.registry import names_of, unknown

_MAX_SETTING, _MAX_LAYERS, _MAX_CHANNELS, _MOST_DRAWN = 1 << 16, 512, 64, 1_000_000_000
_WITHOUT_SIZE = ("seed", "random_seed", "alphas", "alpha_without_validation")
_WEIGHTED = "tractprobe.heads.Weighted"
# Parts of an encoder's identity that a release of transformers or pyworld may write differently for the same weights.
_BY_RELEASE = ("config_sha256", "extractor_sha256", "pyworld", "revision", "deepest")


@dataclass(frozen=True, eq=False)
class HeadFile:
    """A head that was read, checked and built.

    Attributes
    ----------
    head
        A bank of one head; it predicts standardised channels.
    scales
        Mean and standard deviation of each training speaker, in the channels' units.
    about
        Everything that the file says about itself.
    """

    path: Path
    head: Bank | Ridge
    layers: Layers
    width: int
    channels: tuple[Channel, ...]
    geometry: FrameGeometry
    storage: Storage
    scales: Mapping[str, SpeakerScale]
    about: HeadCard

    @property
    def layer(self) -> Label:
        """What tables call the layers."""
        return label(self.layers)

    def encoder(self, name: str | None = None) -> Encoder:
        """Build the encoder that the head was fitted on; ``name`` says where its model is if it has moved."""
        settings = self.about["encoder"]["settings"]
        if name is not None:
            if "name" not in settings:
                raise EncoderError(f"{self.path} is of {settings['_target_']}, which has no model; leave out --encoder")
            settings = {**settings, "name": name, "revision": None}
        try:
            with drawing_at_most(_most_drawn(self.width)):
                return build(settings)
        except TractprobeError as error:
            moved = "give its place with --encoder" if "name" in settings else "or build it and load_head(encoder=...)"
            raise EncoderError(f"{error} (the encoder of {self.path}; {moved})") from None

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise EncoderError unless the head was fitted on states of this very encoder."""
        expected, given = ({key: value for key, value in identity.items() if key not in _BY_RELEASE}
                         for identity in (self.about["encoder"]["identity"], encoder.identity))  # fmt: skip
        if expected != given:
            raise EncoderError(f"{self.path} is of another encoder: {expected}, not {given}")
        has_layers = max(self.layers) < encoder.num_layers
        if not has_layers or (encoder.width, encoder.geometry) != (self.width, self.geometry):
            raise EncoderError(f"{self.path}: layer, width or frames are not those of {encoder.label}")


def write_head(path: Path, tensors: Mapping[str, Tensor], description: HeadDescription) -> None:
    """Write a head file, unless it could not be read back."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    card: dict[str, Any] = {"format": FORMAT, **description}
    card["sha256"] = _checksum(tensors, card)
    content = save(tensors, metadata={"tractprobe": json.dumps(card, allow_nan=False)})
    _parsed(path, content)
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def read_head(path: Path) -> HeadFile:
    """Read a head file; HeadError names what in it is incomplete, not ours or contradictory."""
    return _parsed(path, read_content(path))


def _parsed(path: Path, content: bytes) -> HeadFile:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        about = about_of(content)
        tensors = load(content)
        require(about.get("sha256") == _checksum(tensors, about), "damaged: its checksum does not match its contents")
        return _built(path, tensors, about)
    except TractprobeError as error:
        raise HeadError(f"{path}: {error}") from None
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RecursionError, RuntimeError) as error:
        raise HeadError(f"{path}: not a head file, or a damaged one ({first_line(error)})") from None


def _built(path: Path, tensors: Mapping[str, Tensor], about: HeadCard) -> HeadFile:
    channels = tuple(Channel(each["target"], each["name"], each["unit"]) for each in about["channels"])
    names = [channel.name for channel in channels]
    require(1 <= len(names) <= _MAX_CHANNELS and len(set(names)) == len(names), "no channels, or some of one name")
    require(all(re.fullmatch(r"\w{1,32}", name, re.ASCII) for name in names), "names of channels that are not words")
    units = [channel.unit for channel in channels]
    require(all(isinstance(unit, str) and len(unit) <= 64 for unit in units), "a unit that is not a text")
    layer, width = about["layer"], about["encoder"]["width"]
    require(is_label(layer) and len(str(layer)) <= _MAX_LAYERS, f"layer {layer!r:.20}")
    require(max(map(int, re.findall(r"\d+", str(layer)))) < _MAX_LAYERS, f"layer {layer!r:.20}")
    layers = of_label(layer)
    require(type(width) is int and 0 < width <= max(max(value.shape, default=0) for value in tensors.values()),
             f"a width of {width!r:.20}")  # fmt: skip
    settings = about["encoder"]["settings"]
    _check_settings(settings, names_of("encoder"))
    require(isinstance(about["encoder"]["identity"], dict), "no identity of an encoder")
    _check_origin(about)
    return HeadFile(
        path=path,
        head=_head(about["head"], tensors, layers, width, len(channels)),
        layers=layers,
        width=width,
        channels=channels,
        geometry=_geometry(about["frames"]),
        storage=as_storage(about["storage"]),
        scales=_scales(about["speakers"], len(channels)),
        about=about,
    )


def _head(
    settings: Plain, tensors: Mapping[str, Tensor], layers: Layers, width: int, num_channels: int
) -> Bank | Ridge:
    """Build a head, at first without memory, to compare the sizes of its tensors with those in the file."""
    heads = names_of("head", "closed-form head")
    _check_settings(settings, heads)
    added = settings["_target_"] == _WEIGHTED
    if added:
        _check_settings(settings.get("head"), heads - {_WEIGHTED})
    inputs = {"num_layers": len(layers), "width": width} if added else {"num_layers": 1, "width": width * len(layers)}
    size = {**inputs, "num_channels": num_channels}
    with torch.device("meta"):
        empty = build(settings, **size)
    kind, expected = type(empty), {name: (value.shape, value.dtype) for name, value in empty.state_dict().items()}
    in_file = {name: (value.shape, value.dtype) for name, value in tensors.items()}
    require(expected == in_file, "tensors of other names, sizes or number formats than its head has")
    for name, value in tensors.items():
        never_fitted = value.isnan() if (kind, name) == (Ridge, "bias") else torch.zeros_like(value, dtype=torch.bool)
        require(bool((torch.isfinite(value) | never_fitted).all()), f"numbers that are not finite in {name}")
    head = build(settings, **size)
    head.load_state_dict(dict(tensors))
    return head.requires_grad_(False).eval()


def _check_settings(settings: Any, targets: frozenset[str]) -> None:
    """Raise HeadError unless settings build one of these targets, of a plausible size."""
    require(isinstance(settings, dict), "settings that are not a mapping")
    _check_target(settings.get("_target_"), targets)
    for key, value in flat(settings).items():
        name = key.rpartition(".")[2]
        if name == "_target_":
            _check_target(value, names_of("encoder", "head", "closed-form head"))
        limit = _MAX_LAYERS if "layers" in name or name == "depth" else _MAX_SETTING
        several = value if isinstance(value, list) else [value]
        require(len(several) <= _MAX_LAYERS, f"a setting {key} of more than {_MAX_LAYERS} numbers")
        for part in several:
            require(part is None or isinstance(part, (str, int, float)), f"a setting {key} that is not of numbers")
            require(not isinstance(part, str) or "${" not in part, f"a setting {key} that is yet to be resolved")
            if isinstance(part, (int, float)) and name not in _WITHOUT_SIZE:
                require(math.isfinite(part) and abs(part) <= limit, f"a setting {key} beyond {limit}")


def _most_drawn(width: int) -> int:
    """Return the most weights that may be drawn at random for a head on states of a width.

    As many as the largest encoders of that width have, decoders included: 48 blocks of at most 28 width², tables of at
    most 60,000 rows, and convolutions.
    """
    return min(_MOST_DRAWN, 48 * 28 * width**2 + 60_000 * width + 20_000_000)


def _check_target(name: Any, targets: frozenset[str]) -> None:
    if not isinstance(name, str) or name not in targets:
        raise HeadError(f"what it names is not ours to build: {unknown(name)}")


def _check_origin(about: HeadCard) -> None:
    """Raise HeadError unless a viewer can be told what a head was fitted on, and how well it did."""
    texts = (about["encoder"]["label"], about["run"]["head"], about["run"]["held_out"])
    require(all(isinstance(text, str) for text in texts), "no encoder, head or held-out value that has a name")
    require(isinstance(about["corpora"], dict), "no corpora that it was fitted on")
    for metrics in about["means"].values():
        r = [metrics["r"]["mean"]] if "r" in metrics else []
        require(all(isinstance(mean, (int, float)) for mean in r), "a score that is not a number")


def _geometry(frames: Plain) -> FrameGeometry:
    stride, first, field = frames["stride"], frames["first"], frames["field"]
    require(type(stride) is int and 0 < stride <= _MAX_SETTING, "frames without a distance")
    require(type(field) is int and 0 < field and abs(float(first)) <= _MAX_SETTING, "frames that see nothing")
    return FrameGeometry(stride, float(first), field)


def _scales(speakers: Plain, num_channels: int) -> dict[str, SpeakerScale]:
    def numbers(values: list) -> Tensor:
        return torch.tensor([math.nan if value is None else float(value) for value in values], dtype=torch.float64)

    scales = {}
    for name, scale in speakers.items():
        mean, sd = numbers(scale["mean"]), numbers(scale["sd"])
        require(len(mean) == len(sd) == num_channels, f"a speaker {name!r:.40} of other channels")
        require(not (mean.isinf() | sd.isinf() | (sd <= 0)).any(), f"a speaker {name!r:.40} without a scale")
        scales[name] = SpeakerScale(mean.numpy(), sd.numpy(), torch.zeros(num_channels, dtype=torch.bool).numpy())
    require(bool(scales), "no speaker whose mean and scale a track could have")
    return scales


def _checksum(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    holder = torch.nn.Module()
    for index, (_, value) in enumerate(sorted(tensors.items())):
        holder.register_buffer(f"t{index}", value)
    content = {key: value for key, value in card.items() if key != "sha256"}
    return digest([content, sorted(tensors), weights_sha256(holder)])
