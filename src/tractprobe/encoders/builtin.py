"""The encoder that is part of the package: a small HuBERT of our own, read like any other model's folder.

``benchmarks/ship_encoder.py`` puts it there; README.md in its folder says what it was raised on. Configurations and
head files name no folder, so they mean the same wherever the package is installed; the identity holds the weights'
hash. Nothing slow is imported here.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.system.errors import EncoderError

if TYPE_CHECKING:
    from tractprobe.encoders.encoder import Encoder

PUBLIC_NAME = "tractprobe.encoders.builtin"
FOLDER = "builtin_encoder"
FILES = ("config.json", "preprocessor_config.json", "pretraining.json")
"""What the folder holds besides its weights."""
WEIGHTS = "model.safetensors"


def builtin_folder() -> Path:
    """Return where the encoder lies in the package."""
    return Path(str(resources.files("tractprobe") / FOLDER))


def builtin(
    label: str = "builtin",
    random_seed: int | None = None,
    dtype: str = "float32",
    compiled: bool = False,
    about: Mapping[str, Any] | None = None,
) -> "Encoder":
    """Load the encoder of the package, or its untrained twin; never from a network.

    Parameters
    ----------
    label
        Name in run directories and tables.
    random_seed
        Draw the weights with this seed instead of reading the trained ones.
    dtype, compiled
        See :class:`~tractprobe.encoders.execution.Execution`. The file holds float16; float32 is computed with.
    about
        Facts about the model; stored with the results, without effect here.

    Raises
    ------
    EncoderError
        The package is incomplete.
    """
    from tractprobe.encoders.pretrained import pretrained

    folder = builtin_folder()
    for name in (*FILES, *(() if random_seed is not None else (WEIGHTS,))):
        if not (folder / name).is_file():
            raise EncoderError(f"{folder / name} is missing, a part of this package: install tractprobe again")
    return pretrained(
        str(folder), label, local_files_only=True, dtype=dtype, compiled=compiled, random_seed=random_seed
    )
