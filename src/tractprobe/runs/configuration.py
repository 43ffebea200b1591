"""From Hydra's configuration to plain values: interpolations resolved, numbers finite and within bounds."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from tractprobe.system.errors import ConfigError, first_line

Plain = dict[str, Any]

_PACKAGE = Path(__file__).parents[1]
_WHOLE = {"seed": 0, "patience": 1, "data.batch_size": 1, "data.num_workers": 0}  # and the least value
_POSITIVE = ("checkpoint_s", "data.batch_s")


def plain(config: DictConfig) -> Plain:
    """Return a configuration as plain values, interpolations resolved; ConfigError names what is missing or wrong."""
    try:
        settings = {str(key): _plain(config, key) for key in config if key != "hydra"}
        layers = settings.get("layer")
        if isinstance(layers, list) and all(type(layer) is int for layer in layers):
            settings["layer"] = sorted(layers)  # side by side: their order means nothing
        model = settings.get("model", {})
        for key in ("name", "root"):
            if isinstance(model.get(key), str) and Path(model[key]).expanduser().is_dir():
                model[key] = str(Path(model[key]).expanduser().resolve())
        _check_numbers(flat(settings))
        return settings
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: this setting has no default; give {error.full_key}=<value>") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'configuration'}: {first_line(error)}") from None


def _check_numbers(values: Plain) -> None:
    for key, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value}: expected a finite number")
        if key in _WHOLE and not (number and isinstance(value, int) and value >= _WHOLE[key]):
            raise ConfigError(f"{key}={value}: expected a whole number of at least {_WHOLE[key]}")
        if key in _POSITIVE and not (number and value > 0):
            raise ConfigError(f"{key}={value}: expected a number above 0")


def _plain(config: DictConfig, key: Any) -> Any:
    value = config[key]
    if OmegaConf.is_config(value):
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    return value


def flat(value: Any, prefix: str = "") -> Plain:
    """Return nested values as ``{dotted key: value}``.

    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    if not isinstance(value, Mapping):
        return {prefix: value}
    parts = [flat(part, f"{prefix}.{name}".lstrip(".")) for name, part in value.items()]
    return {key: leaf for part in parts for key, leaf in part.items()}


def conf_dir() -> Path:
    """Return the folder of configuration files: the checkout's, or the one inside an installed package."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "conf"
