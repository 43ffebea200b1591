"""Cells: plans carried out. Heads are fitted and scored.

Closed-form heads are fitted and scored from sums of groups, those of many cells after one pass of the frames; others
are trained and tested by Lightning, which also scores any head that is loaded.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tractprobe.data.datamodule import EmaData
from tractprobe.data.splits import Split
from tractprobe.data.targets import Targets
from tractprobe.encoders.layers import Label, read_by
from tractprobe.encoders.state_cache import FeatureCache, as_storage, cached
from tractprobe.probes.gradient.fit import fit_heads, inversion_settings, warn_without_folds
from tractprobe.probes.gradient.inversion import Head, Inversion
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.accumulate import partition, sum_groups
from tractprobe.probes.linear.fit import fit_divisions
from tractprobe.probes.linear.selection import Division
from tractprobe.probes.problem import Plan
from tractprobe.probes.scores import Scores
from tractprobe.runs.building import build
from tractprobe.runs.identity import head_label
from tractprobe.runs.settings import Plain
from tractprobe.runs.trainer import trainer_of
from tractprobe.system.errors import ConfigError, RunError, first_line
from tractprobe.system.files import atomic, digest
from tractprobe.system.progress import progress

if TYPE_CHECKING:
    import numpy as np
    from pytorch_lightning.loggers import WandbLogger


class Cell:
    """A plan with its features computed, ready to be fitted and scored."""

    def __init__(self, plan: Plan, folder: Path, logger: "WandbLogger | None" = None):
        settings, encoder = plan.settings, plan.encoder
        self.plan, self.folder = plan, folder
        self.trainer = trainer_of(settings, folder, logger)
        self.targets = Targets(settings["targets"], build(settings["ema"]))
        self.states = self._states()
        self.data = self.new_data(plan.split)
        self.rows: list[Plain] | None = None
        self.module = Inversion(
            encoder,
            self.new_head(len(plan.heads)),
            heads=plan.heads,
            groups=self.data.groups,
            identity=digest({key: value for key, value in plan.identity.items() if key != "versions"}),
            **inversion_settings(plan),
        )

    @property
    def head_reads_several(self) -> bool:
        """Whether one head adds up several layers."""
        return head_label(self.plan.settings) == "weighted"

    def new_data(self, split: Split, *, standardise: bool = True) -> EmaData:
        """Return the batches of a split of the plan's corpora."""
        encoder, settings = self.plan.encoder, self.plan.settings
        return EmaData(
            self.plan.corpora,
            split,
            encoder.geometry,
            encoder.count_frames,
            layers=read_by(self.plan.heads),
            states=self.states,
            targets=self.targets,
            standardise=standardise,
            seed=settings["seed"],
            **settings["data"],
        )

    def new_head(self, count: int) -> Head:
        """Return so many heads, before they have learned anything."""
        layers, width = len(self.plan.heads[0]), self.plan.encoder.width
        if self.head_reads_several:
            count = layers
        else:
            width *= layers  # side by side
        size = {"num_layers": count, "width": width, "num_channels": len(self.targets.channels)}
        return build(self.plan.settings["head"], **size)

    def fit(self) -> Plain:
        """Fit the heads; return what was chosen on the validation part."""
        if isinstance(self.module.head, Ridge):
            return fit_linear([self])[0]
        warn_without_folds([self.plan.split])
        self.data.setup()
        return fit_heads(self.module, self.data, self.trainer, self.folder)

    def score(self) -> list[Plain]:
        """Return the test set's scores, one row for each layer, speaker and channel."""
        if self.rows is None:
            self.trainer.test(self.module, datamodule=self.data, verbose=False)
            assert self.module.scores is not None
            self.rows = self.module.scores.rows(self.plan.labels, self.data.groups, self.targets.channels)
        if not self.rows:
            raise RunError("not one frame of the test set has a target")
        return self.rows

    def examples(self, most: int) -> list[str]:
        """Return the first test utterance of each of the first speakers, always the same."""
        by_speaker = {self.data.entries[id_].speaker: id_ for id_ in sorted(self.plan.split.test, reverse=True)}
        return [by_speaker[speaker] for speaker in sorted(by_speaker)[:most]]

    @torch.no_grad()
    def predicted(self, utterance_id: str, layer: Label) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Return frame times in s, predictions and truth (time, channel) in the channels' units, NaN where unknown."""
        device = self.trainer.strategy.root_device
        self.data.setup()
        (batch,) = (batch.to(device) for batch in self.data.loader([(utterance_id,)]))
        sd, mean = batch.sd[0], batch.mean[0]
        predicted = self.module.to(device).eval()(batch)[self.plan.labels.index(layer), 0] * sd + mean
        truth = (batch.target[0] * sd + mean).masked_fill(~batch.valid[0], torch.nan)
        return self.plan.encoder.geometry.times_s(len(truth)), predicted.cpu().numpy(), truth.cpu().numpy()

    def own_scale(self) -> list[str]:
        """Return the speakers whose means and scales come, at least in part, from their own test frames."""
        return sorted(name for name, scale in self.data.scales.items() if scale.from_test.any())

    def scales(self) -> Plain:
        """Return what each speaker's numbers in units were made with; None for a channel that cannot be used."""
        known = {name: scale.plain() for name, scale in sorted(self.data.scales.items())}
        return {"channels": [channel.name for channel in self.targets.channels], "speakers": known}

    def source_origins(self) -> dict[str, dict[str, int]]:
        """Return of each corpus where pitch and voicing come from, if they are decoded."""
        wanted = self.plan.corpora if "source" in self.targets.names else ()
        return {corpus.name: corpus.source_origins for corpus in wanted}

    def save_heads(self, path: Path) -> None:
        """Write the heads with their channels, unit, layers and identity."""
        from safetensors.torch import save

        weights = {name: value.detach().cpu().contiguous() for name, value in self.module.head.state_dict().items()}
        with atomic(path) as temporary:
            temporary.write_bytes(save(weights, metadata={"tractprobe": json.dumps(self._about())}))

    def load_heads(self, path: Path) -> None:
        """Take the heads of a finished run; RunError if the file is not theirs."""
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("tractprobe", "null"))
            self.module.head.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise RunError(f"{path}: not the heads of this run: {first_line(error)}") from None
        if about != json.loads(json.dumps(self._about())):
            raise RunError(f"{path}: the heads of another run, by the channels, layers and identity that they name")

    def _about(self) -> Plain:
        return {
            "channels": [channel.name for channel in self.targets.channels],
            "units": [channel.unit for channel in self.targets.channels],
            "target": "standardised per speaker",
            "layers": list(self.plan.labels),
            "identity": {key: value for key, value in self.plan.identity.items() if key != "versions"},
        }

    def _states(self) -> dict[str, FeatureCache] | None:
        settings, device = self.plan.settings, self.trainer.strategy.root_device
        if not settings["features"]["cache"]:
            return None
        cache, storage = Path(settings["paths"]["cache"]), as_storage(settings["features"]["storage"])
        batch_size, num_workers = settings["data"]["batch_size"], settings["data"]["num_workers"]
        return {
            corpus.name: cached(self.plan.encoder, corpus, cache, storage, device, batch_size, num_workers)
            for corpus in self.plan.corpora
        }


def fit_linear(cells: Sequence[Cell], splits: Sequence[Split] | None = None) -> list[Plain]:
    """Fit and score the closed-form heads of cells that differ in their splits only; return what was chosen for each.

    The frames are passed over once, for all layers and cells, and for other splits that are to be fitted from the same
    sums some time.
    """
    first = cells[0]
    rule = first.module.head
    assert isinstance(rule, Ridge)
    if not rule.per_channel and len(first.targets.names) > 1:
        raise ConfigError("head.alpha_per_channel=false chooses one alpha for all: give one set of targets")
    warn_without_folds([cell.plan.split for cell in cells])
    plan, settings, device = first.plan, first.plan.settings, first.trainer.strategy.root_device
    store = sum_groups(
        plan.encoder,
        plan.corpora,
        partition(plan.corpora, splits or [cell.plan.split for cell in cells]),
        first.targets,
        {str(name): layers for name, layers in zip(plan.labels, plan.heads, strict=True)},
        Path(settings["paths"]["cache"], "sums"),
        states=first.data.states,
        storage=as_storage(settings["features"]["storage"]),
        device=device,
        batch_size=settings["data"]["batch_size"],
        batch_s=settings["data"]["batch_s"],
        num_workers=settings["data"]["num_workers"],
    )
    divisions = [Division.of(cell.plan.split, store) for cell in cells]
    chosen, validated, scores = [[] for _ in cells], [[] for _ in cells], [[] for _ in cells]
    for index, name in enumerate(progress(plan.labels, "fitting ridge", unit="layer")):
        solved = fit_divisions(store, str(name), divisions, rule, device)
        for number, (found, reached) in enumerate(solved):
            head = cells[number].module.head
            assert isinstance(head, Ridge)
            head.take(index, found.weight, found.bias)
            chosen[number].append([alpha if alpha == alpha else None for alpha in found.alpha.tolist()])
            r = float(found.validation_r[first.targets.first].nanmean())
            validated[number].append(r if r == r else None)
            scores[number].append(reached)
    for cell, division, by_layer in zip(cells, divisions, scores, strict=True):
        cell.data.scales = dict(division.scales)
        cell.rows = Scores.stacked(by_layer).rows(plan.labels, tuple(division.test), first.targets.channels)
    return [{"alpha": alphas, "best_validation_r": r} for alphas, r in zip(chosen, validated, strict=True)]
