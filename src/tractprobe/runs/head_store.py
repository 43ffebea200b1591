"""The heads of a run on disk: safetensors with a card of what they are, and a checksum over all of it.

``result.json`` records the hash of the whole file, so that another run's heads are noticed as well as damage.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.runs.configuration import Plain
from tractprobe.system.files import digest

if TYPE_CHECKING:
    from torch import Tensor

CARD, CHECKSUM = "tractprobe", "sha256"
"""Keys of safetensors' metadata: JSON of what the heads are, and the checksum, which files of earlier versions lack."""


def packed(tensors: "Mapping[str, Tensor]", card: Plain) -> bytes:
    """Return heads as the bytes of a file that carries its own checksum."""
    from safetensors.torch import save

    content = save(dict(tensors), metadata={CARD: json.dumps(card)})
    header, data = _taken_apart(content)
    header["__metadata__"][CHECKSUM] = _checksum(header, data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text + data


def read_checked(path: Path, recorded: str | None) -> tuple[bytes, Plain, bool]:
    """Return a file's bytes, its card, and whether anything vouches for them.

    Parameters
    ----------
    recorded
        The SHA-256 of the file as ``result.json`` has it; ``None`` for runs of earlier versions.

    Raises
    ------
    ValueError
        The file is damaged, is not the recorded one, or is no file of heads.
    """
    content = path.read_bytes()
    if recorded is not None and hashlib.sha256(content).hexdigest() != recorded:
        raise ValueError("damaged or replaced: not the file whose checksum result.json records")
    header, data = _taken_apart(content)
    metadata = header.get("__metadata__", {})
    own = metadata.get(CHECKSUM)
    if own is not None and own != _checksum(header, data):
        raise ValueError("damaged: its checksum does not match its contents")
    return content, json.loads(metadata.get(CARD, "null")), recorded is not None or own is not None


def _taken_apart(content: bytes) -> tuple[dict[str, Any], memoryview]:
    size = int.from_bytes(content[:8], "little")
    if not 2 <= size <= len(content) - 8:
        raise ValueError("not safetensors, or cut short")
    try:
        header = json.loads(content[8 : 8 + size])
    except RecursionError:
        raise ValueError("not safetensors: a header too deep") from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise ValueError("not safetensors: no header")
    return header, memoryview(content)[8 + size :]


def _checksum(header: Mapping[str, Any], data: memoryview) -> str:
    """Return the SHA-256 of a header without its checksum, and of the tensors' bytes."""
    metadata = {key: value for key, value in header["__metadata__"].items() if key != CHECKSUM}
    told = digest({**header, "__metadata__": metadata})
    total = hashlib.sha256(told.encode())
    total.update(data)
    return total.hexdigest()
