"""Traps of the libraries we stand on, each measured once and watched since."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tractprobe

CONSTRAINTS = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line[:1] != "#"
    )
}


def test_torchvision_is_absent():
    """PyPI's torchvision beside a CPU torch breaks Lightning, torchmetrics and transformers at import."""
    assert "torchvision" not in CONSTRAINTS and "torchaudio" not in CONSTRAINTS
    for name in ("torchvision", "torchaudio"):
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)


def test_what_is_installed_is_what_is_pinned():
    for requirement in importlib.metadata.requires("tractprobe") or []:
        name = Requirement(requirement).name
        extra = re.search(r"extra == ['\"](parallel|slurm|tensorboard)['\"]", requirement)
        if not extra:
            assert importlib.metadata.version(name).partition("+")[0] == CONSTRAINTS[canonicalize_name(name)], name


def test_hydra_did_not_fall_back():
    """omegaconf 2.4 makes pip take hydra-core 1.3.0, which lacks the blocklist of instantiate."""
    assert importlib.metadata.version("hydra-core") == "1.3.8"


def test_lightning_is_the_package_that_was_not_hijacked():
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("lightning")


def test_the_version_is_said_once():
    assert importlib.metadata.version("tractprobe") == tractprobe.__version__


def test_no_pickle_is_read_or_written():
    source = "\n".join(path.read_text() for path in (REPOSITORY / "src").rglob("*.py"))
    assert not re.search(r"pickle\.(load|dump)|allow_pickle=True|weights_only=False|trust_remote_code=True", source)
    assert len(re.findall(r"torch\.load\(", source)) == len(re.findall(r"torch\.load\([^)]*weights_only=True", source))


def test_a_checkpoint_with_objects_would_not_load():
    """Why configurations are turned into plain values before Lightning sees them."""
    import io

    from omegaconf import OmegaConf

    for value in (OmegaConf.create({"a": 1}), Path("x")):
        buffer = io.BytesIO()
        torch.save({"hyper": value}, buffer)
        buffer.seek(0)
        with pytest.raises(Exception, match=r"weights_only|Unsupported"):
            torch.load(buffer, weights_only=True)


def test_importing_the_package_does_nothing():
    """No folders made, no loggers configured, no heavy libraries pulled in."""
    code = (
        "import logging, sys, pathlib; before = set(pathlib.Path().iterdir()); "
        "import tractprobe, tractprobe.runs.hydra; "
        "assert 'torch' not in sys.modules; assert not logging.root.handlers; "
        "assert set(pathlib.Path().iterdir()) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
