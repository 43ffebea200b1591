"""Packages with plug-ins, as pip leaves them, made up for a test."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from tractprobe.runs.options import plugin_folders
from tractprobe.system.plugins import installed


def forget() -> None:
    """Have plug-ins looked up anew."""
    installed.cache_clear()
    plugin_folders.cache_clear()


def unload(package: str) -> None:
    """Have a package imported anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def install(site: Path, package: str, modules: Mapping[str, str], conf: Mapping[str, str] | None = None) -> None:
    """Write a package and the metadata of its entry point."""
    files = {**modules, **{f"conf/{name}": text for name, text in (conf or {}).items()}}
    for name, text in files.items():
        (site / package / name).parent.mkdir(parents=True, exist_ok=True)
        (site / package / name).write_text(dedent(text))
    about = site / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[tractprobe.plugins]\n{package} = {package}:plugin\n")


def of_names(names: Mapping[str, tuple[str, str]], conf: str | None = None) -> str:
    """Return the module of a plug-in."""
    return f"from tractprobe import Plugin\nplugin = Plugin({dict(names)!r}, {conf!r})\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    forget()
    for package in folder.iterdir():
        unload(package.name)
