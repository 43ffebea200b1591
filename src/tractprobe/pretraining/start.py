"""Initial weights of an encoder that was raised before, for a further iteration that does not begin anew."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tractprobe.encoders.raised import Raised
from tractprobe.pretraining.speech import Speech
from tractprobe.system.errors import ConfigError, first_line
from tractprobe.system.files import file_sha256

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Start:
    """An encoder's folder whose weights are the initial ones.

    Attributes
    ----------
    raised
        What it has been raised on.
    sha256
        Of its weights.
    """

    folder: Path
    raised: Raised
    sha256: str

    @classmethod
    def read(cls, folder: str) -> "Start":
        """Read what the folder says; ConfigError if it is not an encoder of ``tractprobe pretrain``."""
        path = Path(folder).expanduser()
        raised = Raised.read(path) if path.is_dir() else None
        if raised is None or not (path / _WEIGHTS).is_file():
            raise ConfigError(f"pretrain.start={folder}: expected the folder of an encoder of tractprobe pretrain")
        return cls(path, raised, file_sha256(path / _WEIGHTS))

    @property
    def plain(self) -> dict[str, Any]:
        """What ``pretraining.json`` says of it."""
        kept = ("updates", "hours_of_data", "hours_heard", "iteration", "seed")
        said = {name: getattr(self.raised, name) for name in kept}
        return {"weights_sha256": self.sha256, "corpora": dict(self.raised.corpora), **said}


def started(hubert: Any, start: Start, speech: Speech) -> None:
    """Put an encoder's weights into a HuBERT of the same architecture.

    Raises
    ------
    ConfigError
        The architecture is another one, the file is damaged, or the encoder has heard a language that is not among
        these, so that the languages of ``pretraining.json`` would not be all that were heard.
    """
    if others := sorted(set(start.raised.languages) - set(speech.hours)):
        raise ConfigError(
            f"pretrain.start={start.folder}: it has heard {', '.join(others)}, which these corpora lack or "
            "pretrain.languages leaves out; give all languages that it has heard"
        )
    try:
        earlier = type(hubert).from_pretrained(start.folder, local_files_only=True, use_safetensors=True)
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ConfigError(f"pretrain.start={start.folder}: {first_line(error)}") from None
    weights = earlier.float().state_dict()
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    if shapes != {name: tuple(value.shape) for name, value in hubert.state_dict().items()}:
        raise ConfigError(f"pretrain.start={start.folder}: another architecture; give the same model options")
    hubert.load_state_dict(weights)
