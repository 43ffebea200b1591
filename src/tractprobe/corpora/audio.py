"""Audio files in, one channel of float32 samples out."""

from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from tractprobe.errors import CorpusError

MAX_DURATION_S = 3600


def read_audio(path: Path) -> tuple[Float[np.ndarray, " sample"], int]:
    """Read the samples (full scale 1) and rate (Hz) of a one-channel WAV or FLAC file.

    Decoded block by block: a header that promises more than the file holds allocates nothing.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 1:
                raise CorpusError(
                    path, f"{file.channels} audio channels; one is wanted, and which is not ours to guess"
                )
            limit, blocks, count = MAX_DURATION_S * file.samplerate, [], 0
            while len(block := file.read(1 << 18, dtype="float32")):
                blocks.append(block)
                count += len(block)
                if count > limit:
                    raise CorpusError(path, f"longer than {MAX_DURATION_S} s; cut it into utterances")
            rate_hz = file.samplerate
    except FileNotFoundError:
        raise CorpusError(path, "no such file") from None
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        if not path.exists():
            raise CorpusError(path, "no such file") from None
        raise CorpusError(path, f"not readable as audio: {error}") from None
    if not blocks:
        raise CorpusError(path, "holds no audio")
    return np.concatenate(blocks), int(rate_hz)
