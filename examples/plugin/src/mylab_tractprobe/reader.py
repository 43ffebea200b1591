from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tractprobe.corpora.utterance import Reader, Utterance, found, naming
from tractprobe.signals.channels import in_canonical_order
from tractprobe.signals.track import Track


@dataclass
class Npz(Reader):
    """One <speaker>_<language>_<sentence>.npz for each utterance: audio at 16 kHz, and a row in mm for each channel."""

    name: str
    root: Path
    ema_rate_hz: float = 100.0

    def __post_init__(self):
        self.root = Path(self.root).expanduser()

    def sources(self):
        return found(self.root, list(self.root.glob("*.npz")), "<speaker>_<language>_<sentence>.npz")

    def read(self, source):
        path = self.root / source
        with naming(path), np.load(path, allow_pickle=False) as fields:
            speaker, language, sentence = path.stem.split("_")
            columns = {name: fields[name] for name in fields.files if name != "audio"}
            track = Track(in_canonical_order(columns), self.ema_rate_hz)
            return [Utterance(path.stem, speaker, language, f"{language} {sentence}", fields["audio"], 16000, track)]
