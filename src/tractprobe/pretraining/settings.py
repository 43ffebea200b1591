"""What a pretraining is told: the section ``pretrain`` of conf/pretrain.yaml, typed and checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tractprobe.runs.configuration import Plain
from tractprobe.runs.settings import Node, Paths, typed
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import digest, file_safe

REACHED = "reached"
"""The value of ``pretrain.updates`` that stands for as many as there are already: only the cooldown follows."""
_MAX_CLUSTERS = 10_000
_PRETRAINING = "pretrain"
_WITHOUT_EFFECT = ("updates", "cooldown", "minutes", "workers", "checkpoint_s", "log_every", "score", "export")


@dataclass(frozen=True)
class TargetPolicy:
    """What is to be predicted: clusters of cepstra, or of a teacher's states.

    Attributes
    ----------
    teacher
        Folder of an encoder whose states are clustered: the second iteration. ``None``: cepstra, the first.
    layer
        Of the teacher.
    clusters
        How many.
    cepstra, deltas
        Coefficients of each frame, and the order of slopes appended to them.
    scaling
        ``corpus``: each dimension has unit variance over the corpora; ``none``: as it is. Never by utterance.
    frames
        How many frames, at most, the clusters are found from.
    """

    teacher: str | None
    layer: int | None
    clusters: int
    cepstra: int
    deltas: int
    scaling: Literal["corpus", "none"]
    frames: int

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not 2 <= self.clusters <= _MAX_CLUSTERS or self.frames < self.clusters:
            raise ConfigError(f"pretrain.targets: expected 2 to {_MAX_CLUSTERS} clusters, and at least as many frames")
        if (self.teacher is None) != (self.layer is None):
            raise ConfigError("pretrain.targets: teacher=<folder of an encoder> and layer=<number> go together")
        if not 0 <= self.deltas <= 2 or self.cepstra < 1:
            raise ConfigError("pretrain.targets: expected deltas of 0 to 2, and at least 1 of cepstra")


@dataclass(frozen=True)
class AugmentationPolicy:
    """What is done to the sound that is heard; 0 leaves an effect out. See ``augmentation``.

    Attributes
    ----------
    share
        Of crops that have each effect.
    speed, tract_length
        The largest change, as the logarithm of a factor: 0.15 is 0.86 to 1.16.
    equaliser_db
        Deviation of the random gains between which a frequency response is drawn.
    room_s
        The longest reverberation.
    noise_db, talker_db
        The lowest ratio of speech to noise, and to another talker; both reach up to 30 dB. ``None`` leaves it out.
    """

    share: float
    speed: float
    tract_length: float
    equaliser_db: float
    room_s: float
    noise_db: float | None
    talker_db: float | None

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not 0 <= self.share <= 1:
            raise ConfigError(f"pretrain.augmentation.share={self.share}: expected 0 to 1")
        if not (0 <= self.speed <= 0.5 and 0 <= self.tract_length <= 0.5):
            raise ConfigError("pretrain.augmentation: expected speed and tract_length from 0 to 0.5")
        if not (0 <= self.equaliser_db <= 30 and 0 <= self.room_s <= 2):
            raise ConfigError("pretrain.augmentation: expected equaliser_db from 0 to 30, and room_s from 0 to 2")
        if any(value is not None and not -10 <= value <= 30 for value in (self.noise_db, self.talker_db)):
            raise ConfigError("pretrain.augmentation: expected noise_db and talker_db from -10 to 30, or null")


@dataclass(frozen=True)
class ScorePolicy:
    """How often, and on what, articulation is read from the encoder while it trains.

    Attributes
    ----------
    every
        Updates between two scores; 0 for none.
    corpora, speaker, language
        Of the prepared corpora that heads are fitted on, and what they are tested on.
    """

    every: int
    corpora: list
    speaker: str | None
    language: str | None


@dataclass(frozen=True)
class Recipe:
    """How an encoder is pretrained; conf/pretrain.yaml says what each setting means."""

    languages: list | None
    start: str | None
    minutes: float | None
    updates: int | str
    cooldown: int
    batch: int
    crop_s: float
    temperature: float
    speaker_temperature: float
    optimiser: Literal["muon", "adamw"]
    learning_rate: float
    warmup: int
    weight_decay: float
    clip: float
    masked_weight: float
    unmasked_weight: float
    mask_share: float
    mask_frames: int
    precision: Literal["auto", "32-true", "bf16-mixed"]
    accelerator: Literal["auto", "cpu", "gpu"]
    workers: int
    checkpoint_s: float
    log_every: int
    export: Literal["float32", "float16"]
    targets: TargetPolicy
    augmentation: AugmentationPolicy
    score: ScorePolicy

    def check(self) -> None:
        """Raise ConfigError for numbers that cannot be."""
        if isinstance(self.updates, str) and self.updates != REACHED:
            raise ConfigError(f"pretrain.updates={self.updates}: expected a whole number, or {REACHED}")
        least = {"updates": 0, "cooldown": 0, "batch": 1, "warmup": 0, "workers": 0, "log_every": 1, "mask_frames": 1}
        for name, number in least.items():
            if isinstance(value := getattr(self, name), int) and value < number:
                raise ConfigError(f"pretrain.{name}={value}: expected a whole number of at least {number}")
        for name in ("minutes", "learning_rate", "clip", "checkpoint_s"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"pretrain.{name}={value}: expected a number above 0")
        if not 0.5 <= self.crop_s <= 30:
            raise ConfigError(f"pretrain.crop_s={self.crop_s}: expected 0.5 to 30")
        if not (self.temperature >= 1 and self.speaker_temperature >= 1):
            raise ConfigError("pretrain: expected temperature and speaker_temperature of at least 1")
        if min(self.masked_weight, self.unmasked_weight) < 0 or not self.masked_weight + self.unmasked_weight > 0:
            raise ConfigError("pretrain: expected masked_weight and unmasked_weight of at least 0, and one above 0")
        if not (0 < self.mask_share <= 1 and self.mask_frames <= self.crop_s * 50 - 1):
            raise ConfigError("pretrain: expected mask_share from 0 to 1, and mask_frames shorter than a crop")
        if self.languages is not None and not (
            self.languages and all(isinstance(each, str) for each in self.languages)
        ):
            raise ConfigError(f"pretrain.languages={self.languages}: expected a list such as [it], or null for all")
        self.targets.check()
        self.augmentation.check()


@dataclass(frozen=True, eq=False)
class Asked:
    """All that a pretraining is told.

    Attributes
    ----------
    raw
        As plain values.
    model
        ``random_weights`` of a HuBERT: the architecture, untrained.
    name
        The folder below paths.runs; made from the settings where none is given.
    """

    raw: Plain
    model: Node
    corpora: Any
    pretrain: Recipe
    paths: Paths
    tracking: Node
    seed: int
    name: str | None

    @classmethod
    def of(cls, raw: Plain) -> "Asked":
        """Type and check plain values."""
        asked = typed(cls, {"raw": raw, **raw})
        asked.pretrain.check()
        _check_model(asked.model, asked.seed)
        if asked.name is not None and (not asked.name or asked.name.startswith((".", "/")) or ".." in asked.name):
            raise ConfigError(f"name={asked.name}: expected a folder below paths.runs, such as name=pretrain/mine")
        return asked

    @property
    def folder(self) -> Path:
        """Where checkpoints, curves and the encoder lie."""
        return self.paths.runs / (self.name or default_name(self.raw))

    @property
    def identity(self) -> Plain:
        """What determines the weights after a given number of updates, but for the data's content."""
        return identity_of(self.raw)


def identity_of(raw: Mapping[str, Any]) -> Plain:
    """Return the settings that change what is learned."""
    recipe = {name: value for name, value in raw[_PRETRAINING].items() if name not in _WITHOUT_EFFECT}
    recipe = {name: value for name, value in recipe.items() if name not in ("precision", "accelerator")}
    model = {name: value for name, value in raw["model"].items() if name not in ("about", "label", "compiled", "dtype")}
    return {"model": model, "corpora": list(raw["corpora"]), "seed": raw["seed"], _PRETRAINING: recipe}


def default_name(raw: Mapping[str, Any]) -> str:
    """Return the name of a pretraining by what tells it from others: model, languages, corpora, seed and a hash.

    One without any update has a name of its own: as the untrained twin, it stays beside the one that is trained.
    """
    languages, twin = raw[_PRETRAINING]["languages"], raw[_PRETRAINING]["updates"] == 0
    corpora: Sequence[str] = raw["corpora"]
    what = "+".join(map(str, languages)) if languages else "all"
    label = raw["model"].get("label", "model")
    parts = (f"{label}-untrained" if twin else label, what, "+".join(map(str, corpora)), f"s{raw['seed']}")
    return "pretrain/" + "-".join(map(file_safe, map(str, parts)))[:120] + f"-{digest(identity_of(raw))[:6]}"


def _check_model(model: Node, seed: int) -> None:
    architecture = model.arguments.get("architecture")
    if not isinstance(architecture, Mapping) or architecture.get("model_type") != "hubert":
        raise ConfigError(
            "model: only a HuBERT that is described with random weights can be pretrained: give model=small_hubert, or "
            "an option of conf/model with an architecture of model_type: hubert"
        )
    if (own := model.arguments.get("seed", 0)) not in (0, seed):
        raise ConfigError(f"model.seed={own} and seed={seed}: initial weights are drawn by seed; leave model.seed out")
    if not all(math.isfinite(value) for value in architecture.values() if isinstance(value, float)):
        raise ConfigError("model.architecture: expected finite numbers")
