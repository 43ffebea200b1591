"""Raising an encoder: from configuration to its folder, with the articulation that can be read from it on the way."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.encoders.raised import Raised
from tractprobe.pretraining.settings import Asked, ScorePolicy
from tractprobe.probes.opening import open_corpora
from tractprobe.runs.building import build
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import BUILTIN
from tractprobe.runs.result import ScoreRow
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError
from tractprobe.system.files import clear_temporaries, locked

if TYPE_CHECKING:
    from tractprobe.data.splits import Split
    from tractprobe.evidence.bench import Bench

log = logging.getLogger(__name__)

_LICENCES = "licences"


def raise_encoder(config: DictConfig) -> Path:
    """Pretrain as the configuration says, or continue; return the encoder's folder."""
    asked = Asked.of(plain(config))
    build(asked.tracking).check()
    corpora = opened_corpora(asked.corpora, asked.paths.data)
    reader = ArticulationReader(asked.pretrain.score, asked) if asked.pretrain.score.every else None
    from tractprobe.pretraining.fit import train
    from tractprobe.pretraining.job import opened

    with locked(asked.folder):
        clear_temporaries(asked.folder)
        pretraining = opened(asked, corpora, licences_of(corpora))
        log.info("pretraining %s\n%s", asked.folder, _in_words(pretraining.raised()))
        total = pretraining.learning.schedule.total
        if pretraining.learning.update < total:
            identity = {"corpora": {corpus.name: corpus.content_hash for corpus in corpora}, "encoder": None}
            tracking, name = build(asked.tracking), asked.folder.relative_to(asked.paths.runs).as_posix()
            with tracking.run(name, asked.folder, asked.raw, "pretrain", identity) as loggers:
                train(pretraining, loggers, reader)
        folder = pretraining.export()
    _say_end(pretraining.raised(), folder, pretraining.learning.update, total)
    return folder


def opened_corpora(names: Any, data: Path) -> list[PreparedCorpus]:
    """Open prepared corpora by name, with or without movements; built-in ones are prepared first if need be."""
    if not isinstance(names, list) or not names or not all(map(_is_name, names)) or len(set(names)) < len(names):
        raise ConfigError(f"corpora={names}: expected a list of prepared corpora below {data}, each once")
    if built_in := [name for name in names if name in BUILTIN]:
        open_corpora(built_in, data)
    return [PreparedCorpus(data / name) for name in names]


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and Path(name).name == name and not name.startswith(".")


def _say_end(raised: Raised, folder: Path, update: int, total: int) -> None:
    if update < total:
        log.info("%d of %d updates; the same command continues", update, total)
    stretches = raised.rates["stretches"]
    speed = f", {stretches[-1]['x_real_time']:.0f} x real time" if stretches else ""
    log.info(
        "%s: %d updates, %.2f hours heard%s\ntractprobe train model=hub model.name=%s",
        folder, raised.updates, raised.hours_heard, speed, folder,
    )  # fmt: skip


def _in_words(raised: Raised) -> str:
    hours = ", ".join(f"{language} {value:.2f}" for language, value in raised.languages.items())
    targets = "cepstra" if raised.iteration == 1 else f"layer {raised.targets['layer']} of a teacher"
    return (
        f"{raised.parameters / 1e6:.1f} million weights; {raised.hours_of_data:.2f} hours ({hours}); "
        f"{raised.targets['clusters']} clusters of {targets}"
    )


def licences_of(corpora: Sequence[PreparedCorpus]) -> tuple[str, ...]:
    """Return the licences that utterances or descriptions name, in alphabetical order."""
    named = {entry.labels["licence"] for corpus in corpora for entry in corpus.entries if "licence" in entry.labels}
    for corpus in corpora:
        said = corpus.description.get(_LICENCES, ())
        named |= {each for each in said if isinstance(each, str)} if isinstance(said, list) else set()
    return tuple(sorted(named))


class ArticulationReader:
    """Reads movements from each layer of an encoder by ridge: for a speaker, and a language, that no head has heard.

    Parameters
    ----------
    policy
        On what.
    asked
        Where corpora lie.

    Raises
    ------
    ConfigError
        The corpora lack such a speaker or language.
    """

    def __init__(self, policy: ScorePolicy, asked: Asked):
        self._asked, self._raw = asked, _training(policy.corpora)
        corpora = open_corpora(policy.corpora, asked.paths.data)
        speakers = sorted({entry.speaker.partition("/")[2] for corpus in corpora for entry in corpus.entries})
        languages = sorted({entry.language for corpus in corpora for entry in corpus.entries} - {"zxx"})
        self.held_out = {
            "speaker": _chosen("speaker", policy.speaker, speakers),
            "language": _chosen("language", policy.language, languages),
        }

    def __call__(self, folder: Path) -> list[dict[str, Any]]:
        """Return a row for each layer and each value held out: mean r over channels, speakers and languages."""
        from tractprobe.evidence.bench import Bench

        with tempfile.TemporaryDirectory(prefix="tractprobe-") as cache:
            bench = Bench(self._settings(folder, Path(cache)))
            splits = [self._split(bench, by, value) for by, value in self.held_out.items()]
            fits = bench.fit(splits)
            scores = [(fitted.rows(), fitted.problem.labels) for fitted in fits]
        return [
            {"split": by, "held_out": value, "layer": layer, "r": _mean_r(rows, layer)}
            for (by, value), (rows, layers) in zip(self.held_out.items(), scores, strict=True)
            for layer in layers
        ]

    def _split(self, bench: "Bench", by: str, value: str) -> "Split":
        splits = bench.splits(by)
        return next(split for name, split in splits.items() if name == value or name.endswith(f"/{value}"))

    def _settings(self, folder: Path, cache: Path) -> Settings:
        model = {**self._raw["model"], "name": str(folder.resolve())}
        settings = Settings.of({**self._raw, "model": model})
        return replace(settings, paths=replace(self._asked.paths, cache=cache))


def _training(corpora: Sequence[str]) -> dict[str, Any]:
    """Return the settings of training linear heads on an encoder, whose folder is still to be named."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    overrides = ["model=hub", "model.name=/", "features.cache=false", "tracking=off"]
    overrides.append(f"corpora=[{','.join(corpora)}]")
    if GlobalHydra.instance().is_initialized():
        return plain(compose("train", overrides=overrides))
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return plain(compose("train", overrides=overrides))


def _chosen(by: str, asked: str | None, there: Sequence[str]) -> str:
    if len(there) < 2:
        raise ConfigError(
            f"pretrain.score.corpora: there is one {by} only, so that none can be held out; give others, or "
            "pretrain.score.every=0"
        )
    if asked is not None and asked not in there:
        raise ConfigError(f"pretrain.score.{by}={asked}: no such {by}; there are {', '.join(there)}")
    return asked or there[0]


def _mean_r(rows: Sequence[ScoreRow], layer: Any) -> float | None:
    """Return the mean r of a layer over the rows in which it is defined."""
    values = [row["r"] for row in rows if row["layer"] == layer and row["r"] is not None]
    return sum(values) / len(values) if values else None
