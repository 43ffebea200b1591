"""JD3, the one speaker that the synthesiser's wheel brings: its file, read as data.

JD3 is an adult male speaker of German whose vocal tract was measured by MRI (Birkholz 2013, "Modeling
consonant-vowel coarticulation for articulatory speech synthesis", PLoS ONE 8(4): e60603).
"""

import xml.etree.ElementTree as xml
from functools import cache
from pathlib import Path

import numpy as np

from vocaltract.errors import VocalTractError
from vocaltract.states import GLOTTIS, TRACT

Table = dict[str, np.ndarray]


def path() -> Path:
    """Where the wheel keeps JD3's file."""
    from vocaltractlab_cython import speaker_path

    return Path(speaker_path())


def document(file: Path | None = None) -> xml.ElementTree:
    """Read a speaker file, JD3's by default; a new tree on every call, so that callers may change it."""
    return xml.parse(file or path())


def shapes(tree: xml.ElementTree) -> Table:
    """Every tract shape of a speaker file by name, each (19,)."""
    return _table(tree.findall("./vocal_tract_model/shapes/shape"), "param", TRACT)


def glottis_shapes(tree: xml.ElementTree) -> Table:
    """Every shape of the geometric glottis by name, each (11,)."""
    return _table(glottis_model(tree).findall("./shapes/shape"), "control_param", GLOTTIS)


def glottis_model(tree: xml.ElementTree) -> xml.Element:
    """Find the selected model of the glottis: the geometric one (Birkholz, Kroeger, Neuschaefer-Rube 2011)."""
    model = tree.find("./glottis_models/glottis_model[@selected='1']")
    if model is None or model.get("type") != "Geometric glottis":
        raise VocalTractError("The speaker file does not select the geometric glottis, the only one that is supported.")
    return model


def limits(tree: xml.ElementTree) -> np.ndarray:
    """Smallest and largest value of every tract parameter, (19, 2)."""
    found = {p.get("name"): (p.get("min"), p.get("max")) for p in tree.findall("./vocal_tract_model/anatomy/param")}
    return np.array([found[name] for name in TRACT], dtype=np.float64)


def neutral(tree: xml.ElementTree) -> np.ndarray:
    """Read the neutral tract, (19,)."""
    found = {p.get("name"): p.get("neutral") for p in tree.findall("./vocal_tract_model/anatomy/param")}
    return np.array([found[name] for name in TRACT], dtype=np.float64)


@cache
def original_shapes() -> Table:
    """JD3's own tract shapes; read once, not to be changed."""
    return shapes(document())


@cache
def original_limits() -> np.ndarray:
    """JD3's own parameter limits, (19, 2); read once, not to be changed."""
    return limits(document())


def _table(elements: list[xml.Element], tag: str, names: tuple[str, ...]) -> Table:
    table = {}
    for element in elements:
        values = {p.get("name"): float(p.get("value", "nan")) for p in element.findall(tag)}
        state = np.array([values.get(name, np.nan) for name in names])
        if not np.isfinite(state).all():
            raise VocalTractError(f"Shape {element.get('name')!r} of the speaker file lacks a parameter.")
        state.setflags(write=False)
        table[str(element.get("name"))] = state
    return table
