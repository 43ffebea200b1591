"""The files of a model in transformers' format, in a folder or on the Hub: found, read in bounds, and whole.

Weights are safetensors, in one file or in several that an index lists. What is wrong with them is found here, by their
headers, because what transformers raises for it names neither the file nor a way out.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tractprobe.system.errors import CorpusError, EncoderError, first_line
from tractprobe.system.files import check_regular, file_safe, read_json

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
WEIGHTS, SHARDS = "model.safetensors", "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
_POINTER = b"version https://git-lfs"
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit


@dataclass(frozen=True)
class ModelFiles:
    """Where the files of a model are.

    Attributes
    ----------
    name
        As it was given; what messages call the model.
    location
        A folder, or else an id on the Hub.
    """

    name: str
    location: str
    revision: str
    local_files_only: bool

    @classmethod
    def of(cls, name: str, revision: str | None = None, local_files_only: bool = False) -> "ModelFiles":
        """Take a name for a folder if there is one, and otherwise for an id on the Hub."""
        path = Path(name).expanduser()
        if not path.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
            raise EncoderError(f"model.name={name}: no such folder ({path.resolve()}), and not a Hub id either")
        return cls(name, str(path) if path.is_dir() else name, revision or "main", local_files_only)

    @property
    def folder(self) -> Path | None:
        """The folder, unless the model is on the Hub."""
        return Path(self.location) if os.path.isdir(self.location) else None

    def place(self, file: str) -> str:
        """Return what messages call one of the files."""
        return f"{self.location}/{file}" if self.folder else f"{file} of {self.name}"

    def find(self, file: str) -> Path | None:
        """Return where a file is, downloaded if it is on the Hub; ``None`` if the model has none of this name.

        Without a network, a model that is in the cache has the files that are there.
        """
        if self.folder:
            return self.folder / file if os.path.lexists(self.folder / file) else None
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            found = hf_hub_download(self.location, file, revision=self.revision, local_files_only=self.local_files_only)
            return Path(found)
        except EntryNotFoundError as error:
            if not isinstance(error, LocalEntryNotFoundError) or (file != CONFIG and self._is_cached()):
                return None
            raise self.unreachable(error) from error
        except Exception as error:  # of the Hub's client, its transport and its checks of names
            raise self.unreachable(error) from error

    def _is_cached(self) -> bool:
        """Whether the cache has the model: what is not in it there was not on the Hub, or was left out on purpose."""
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(self.location, CONFIG, revision=self.revision), str)

    def unreachable(self, error: BaseException) -> EncoderError:
        """Return the error for a model that is neither in a folder nor in the cache nor on the Hub."""
        from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE

        offline = ", which is switched off by HF_HUB_OFFLINE" if HF_HUB_OFFLINE else ""
        return EncoderError(
            f"cannot load {self.name}: there is no folder {Path(self.name).expanduser().resolve()}, and it was found "
            f"neither in the cache {HF_HUB_CACHE} nor on the Hub{offline} ({one_line(error)}). On a machine with a "
            f"network: hf download {self.name} --local-dir models/{file_safe(self.name)}; then, anywhere: model=hub "
            f"model.name=models/{file_safe(self.name)}"
        )

    def json(self, file: str) -> dict[str, Any] | None:
        """Read one of the JSON files; ``None`` if the model has none of this name."""
        path = self.find(file)
        if path is None:
            return None
        try:
            _check_no_pointer(path, self)
            content = read_json(path)
        except CorpusError as error:
            raise EncoderError(f"{self.place(file)}: {error.problem}; {self._again(file)}") from None
        if not isinstance(content, dict):
            raise EncoderError(f"{self.place(file)}: not a mapping; {self._again(file)}")
        return content

    def config(self) -> dict[str, Any]:
        """Read the description of the architecture."""
        content = self.json(CONFIG)
        if content is None:
            raise EncoderError(f"{self.place(CONFIG)} is missing: no model in transformers' format; {self._again()}")
        return content

    def preprocessor(self) -> dict[str, Any] | None:
        """Read what the model expects as input; ``None`` if it does not say."""
        both = self.json(PROCESSOR) or {}
        own = both.get("feature_extractor", both.get("audio_processor"))
        return own if isinstance(own, dict) else self.json(PREPROCESSOR)

    def weights_bytes(self) -> int | None:
        """Return the size of the weights, having checked that they are whole.

        ``None`` for what transformers has yet to find on the Hub: several files, or a pull request of a converter.

        Raises
        ------
        EncoderError
            They are not there, not all there, in another format, or cut short; says which, and what to do.
        """
        if self.folder is None:
            found = self.find(WEIGHTS)
            return None if found is None else self._checked(found)
        if (self.folder / WEIGHTS).is_file():
            files = [WEIGHTS]
        elif (self.folder / SHARDS).is_file():
            files = self._shards()
        else:
            raise EncoderError(self._without_weights())
        return sum(self._checked(self.folder / file) for file in files)

    def _shards(self) -> list[str]:
        assert self.folder is not None
        placed = (self.json(SHARDS) or {}).get("weight_map")
        files = sorted(set(placed.values())) if isinstance(placed, dict) and placed else []
        if not files or not all(
            isinstance(file, str) and re.fullmatch(r"[\w.-]+\.safetensors", file) for file in files
        ):
            raise EncoderError(f"{self.place(SHARDS)} does not say which file has which weight; {self._again(SHARDS)}")
        if missing := [file for file in files if not (self.folder / file).is_file()]:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise EncoderError(
                f"{self.place(missing[0])} is missing{others}: {SHARDS} lists {len(files)} files; "
                f"{self._again(*missing[:3])}"
            )
        return files

    def _without_weights(self) -> str:
        assert self.folder is not None
        names = sorted(os.listdir(self.folder))
        if pickles := [name for name in names if name.endswith(_PICKLES)]:
            convert = f"AutoModel.from_pretrained('{self.location}').save_pretrained('{self.location}')"
            return (
                f"{self.location} has weights only as {pickles[0]}, a format that can run code when it is read; "
                f'where you trust it, convert it: python -c "from transformers import AutoModel; {convert}"; or, if '
                "the Hub has safetensors in a pull request (docs/models.md), download them by "
                f"hf download <id> {WEIGHTS} --revision refs/pr/<number> --local-dir {self.location}"
            )
        others = [name for name in names if name.endswith(".safetensors")]
        found = f", but {others[0]}: rename it if it holds all weights" if others else f"; {self._again(WEIGHTS)}"
        return f"{self.location} has no {WEIGHTS}{found}"

    def _checked(self, path: Path) -> int:
        """Return the size of a file of weights, having compared it with its header."""
        try:
            check_regular(path)
            _check_no_pointer(path, self)
            size = path.stat().st_size
            expected = _expected_bytes(path)
        except CorpusError as error:
            raise EncoderError(f"{path}: {error.problem}; {self._again(path.name)}") from None
        except OSError as error:
            raise EncoderError(f"{path}: {error.strerror or error}") from None
        if size != expected:
            what = "cut short" if size < expected else "longer than its header says"
            raise EncoderError(f"{path}: {what}, {size} bytes of {expected}; {self._again(path.name)}")
        return size

    def _again(self, *files: str) -> str:
        which = f" {' '.join(files)}" if files else ""
        if self.folder is None:
            return f"download it again: hf download {self.name}{which} --force-download"
        return f"download it again: hf download <id>{which} --local-dir {self.location}"


def _check_no_pointer(path: Path, files: ModelFiles) -> None:
    """Raise EncoderError for a file that only says where Git LFS has the file itself."""
    check_regular(path)
    with open(path, "rb") as file:
        if file.read(len(_POINTER)) != _POINTER:
            return
    raise EncoderError(
        f"{files.place(path.name)} is a pointer of Git LFS, {path.stat().st_size} bytes in place of the file; run git "
        f"lfs pull in its folder, or hf download <id> {path.name} --local-dir {path.parent}"
    )


def _expected_bytes(path: Path) -> int:
    """Return how long a safetensors file has to be by its header; CorpusError if it has none."""
    with open(path, "rb") as file:
        begin = file.read(8)
        length = int.from_bytes(begin, "little")
        if len(begin) < 8 or not 2 <= length <= _MAX_HEADER_BYTES or length > path.stat().st_size:
            raise CorpusError(path, "not safetensors, or cut short within its header")
        header = file.read(length)
    try:
        ends = [each["data_offsets"][1] for name, each in json.loads(header).items() if name != "__metadata__"]
        return 8 + length + max(map(int, ends), default=0)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CorpusError(path, f"not safetensors ({first_line(error)})") from None


def one_line(error: BaseException, most: int = 300) -> str:
    """Return what an exception says, in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[: most - 3]}..."
