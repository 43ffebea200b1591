"""Where weights come from: the Hub's cache without a network, folders filled by ``hf download``, and which commit."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_encoders import BASE, only_pickle, save_model, waves

from tractprobe.encoders.pretrained import pretrained
from tractprobe.system.errors import EncoderError

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub as a download leaves it: a branch and a pull request of one repository."""
    cache = tmp_path / "hub"
    repository = cache / "models--lab--speech"
    model = save_model(tmp_path / "model", "Hubert", BASE)
    for commit, ref in ((COMMIT, "main"), (OTHER, "refs/pr/1")):
        shutil.copytree(model, repository / "snapshots" / commit)
        (repository / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (repository / "refs" / ref).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return repository


@pytest.mark.parametrize("local_files_only", [True, False])
def test_a_cached_model_needs_no_network_and_names_its_commit(hub: Path, local_files_only: bool):
    encoder = pretrained("lab/speech", local_files_only=local_files_only)
    assert encoder.identity["revision"] == COMMIT and encoder.label == "lab--speech"
    assert encoder(waves(4000))[0].shape == (4, 12, 32)
    for revision in (OTHER, "refs/pr/1"):
        assert pretrained("lab/speech", revision=revision).identity["revision"] == OTHER
    assert pretrained(str(hub / "snapshots" / COMMIT)).identity == encoder.identity


def test_a_revision_that_is_not_there_is_an_error(hub: Path):
    with pytest.raises(EncoderError, match="cannot load lab/speech"):
        pretrained("lab/speech", revision="v2")


def test_a_cached_model_with_pickled_weights_alone_is_refused(hub: Path):
    only_pickle(hub / "snapshots" / COMMIT)
    with pytest.raises(EncoderError, match=r"--revision refs/pr/<number>"):
        pretrained("lab/speech")
    assert pretrained("lab/speech", revision="refs/pr/1").identity["revision"] == OTHER


def test_the_default_revision_is_the_one_for_which_converted_weights_are_looked_up(
    hub: Path, monkeypatch: pytest.MonkeyPatch
):
    """Transformers asks for a safetensors pull request only where the revision is main by name."""
    import transformers

    asked: list[dict[str, Any]] = []
    load = transformers.AutoModel.from_pretrained

    def listen(*given: Any, **options: Any) -> Any:
        asked.append(options)
        return load(*given, **options)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", listen)
    pretrained("lab/speech")
    (options,) = asked
    assert options["revision"] == "main" and options["use_safetensors"] is True
    assert options["trust_remote_code"] is False and options["dtype"] is torch.float32


def test_a_folder_filled_by_a_download_remembers_the_commit(tmp_path: Path):
    folder = save_model(tmp_path / "model", "Hubert", BASE)
    assert "revision" not in pretrained(str(folder)).identity
    note = folder / ".cache/huggingface/download/config.json.metadata"
    note.parent.mkdir(parents=True)
    for text, expected in ((f"{COMMIT}\netag\n1.0\n", COMMIT), ("nonsense\n", None), ("", None)):
        note.write_text(text)
        assert pretrained(str(folder)).identity.get("revision") == expected


def test_reading_weights_never_unpickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = save_model(tmp_path / "model", "Hubert", BASE)

    def refuse(*given: Any, **options: Any) -> None:
        raise AssertionError("unpickled")

    for name in ("torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler"):
        monkeypatch.setattr(name, refuse)
    pretrained(str(folder))
