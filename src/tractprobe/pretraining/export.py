"""An encoder as a folder that transformers' ``AutoModel`` loads, with ``pretraining.json`` beside its weights."""

import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from tractprobe.encoders.raised import Raised
from tractprobe.signals.audio import RATE_HZ
from tractprobe.system.products import staged_folder

log = logging.getLogger(__name__)


def export_encoder(folder: Path, hubert: Any, raised: Raised, normalise: bool, dtype: str = "float32") -> None:
    """Write an encoder's folder in place of what was there; at no time is there half of one.

    Parameters
    ----------
    normalise
        Whether waves are standardised before they are encoded.
    dtype
        ``float16`` halves the file; weights are float32 again when they are loaded.
    """
    from transformers import Wav2Vec2FeatureExtractor
    from transformers.utils import logging as transformers_logging

    copied = deepcopy(hubert).cpu().to(getattr(torch, dtype)).eval()
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=RATE_HZ, do_normalize=normalise, return_attention_mask=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    transformers_logging.disable_progress_bar()
    with staged_folder(folder, lambda: False) as staging:
        assert staging is not None
        copied.save_pretrained(staging)
        extractor.save_pretrained(staging)
        raised.write(staging)
