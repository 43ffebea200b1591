"""Pretrainings that take seconds: a HuBERT of a few thousand weights on toy speech."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from tractprobe.commands import pretrain
from tractprobe.pretraining.settings import Asked, Recipe
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.hydra import register_resolvers

assert pretrain  # its resolver is registered

SMALL_MODEL = [
    f"model.architecture.{setting}"
    for setting in (
        "hidden_size=32", "num_hidden_layers=2", "num_attention_heads=2", "intermediate_size=64",
        "conv_dim=[16,16,16,16,16,16,16]", "num_conv_pos_embeddings=16", "num_conv_pos_embedding_groups=4",
        "hidden_dropout=0.1", "layerdrop=0.1",
    )
]  # fmt: skip
SMALL = [
    *SMALL_MODEL,
    "corpora=[toy]",
    "tracking=off",
    "pretrain.updates=6",
    "pretrain.warmup=2",
    "pretrain.batch=2",
    "pretrain.crop_s=0.8",
    "pretrain.targets.clusters=8",
    "pretrain.targets.frames=1000",
    "pretrain.score.every=0",
    "pretrain.log_every=2",
    "pretrain.precision=32-true",
]


def composed(*overrides: str) -> Any:
    """Return the configuration of a pretraining."""
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("pretrain", overrides=list(overrides))


def recipe_of(*overrides: str) -> Recipe:
    """Return the recipe of a configuration."""
    return Asked.of(plain(composed(*overrides))).pretrain
