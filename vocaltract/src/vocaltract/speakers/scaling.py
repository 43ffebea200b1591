"""JD3's speaker file for another anatomy: every length of it times that of its part.

The model's geometry is that of Birkholz (2013). Its coordinates have their origin at the gums of the upper
teeth's back end: x grows to the front, y upwards, z to the side; lengths are in cm.
"""

import xml.etree.ElementTree as xml

import numpy as np

from vocaltract.speakers import jd3
from vocaltract.speakers.sizes import Anatomy
from vocaltract.states import TRACT

ORAL = ("JX", "LP", "LD", "TCX", "TCY", "TTX", "TTY", "TBX", "TBY", "TRX")
PHARYNGEAL = ("HY", "TRY")
Scales = dict[str, float]


def factors(build: Anatomy) -> np.ndarray:
    """By how much each tract parameter is scaled, (19,).

    Angles, ratios (HX, VS) and the velum's opening stay. So do the tongue's sides: above 0.2, TS3 sets
    the smallest area of a fricative's channel, in cm², whatever the size of the tract.
    """
    values = dict.fromkeys(TRACT, 1.0)
    values |= dict.fromkeys(ORAL, build.oral) | dict.fromkeys(PHARYNGEAL, build.pharynx)
    return np.array([values[name] for name in TRACT])


def build_document(build: Anatomy, f0_hz: float) -> xml.ElementTree:
    """Scale JD3's file to another anatomy; its shapes and parameter limits likewise."""
    tree = jd3.document()
    anatomy = _found(tree.getroot(), "./vocal_tract_model/anatomy")
    _scale_jaws(anatomy, build)
    for path, scales in _parts(build).items():
        _scale(_found(anatomy, path), scales)
    for path, (x, y) in _outlines(build).items():
        _scale_points(_found(anatomy, path), x, y)
    _scale_tongue_root(_found(anatomy, "tongue/root"), build)
    _scale_parameters(tree, build)
    _scale_glottis(jd3.glottis_model(tree), build.glottis, f0_hz)
    return tree


def _scale_jaws(anatomy: xml.Element, build: Anatomy) -> None:
    teeth = build.oral * build.teeth
    cross: Scales = {"x": build.oral, "z": build.depth, "teeth_height": teeth}
    cross |= {"top_teeth_width": build.depth, "bottom_teeth_width": build.depth}
    for point in _found(anatomy, "palate"):
        _scale(point, cross | {"palate_height": build.oral * build.palate})
    jaw = _found(anatomy, "jaw")
    hinge = build.oral * build.fulcrum
    _scale(jaw, {"fulcrum_x": hinge, "fulcrum_y": hinge, "rest_pos_x": build.oral, "rest_pos_y": build.oral})
    _scale(jaw, {"tooth_root_length": teeth})
    for point in jaw:
        _scale(point, cross | {"jaw_height": build.oral})


def _parts(build: Anatomy) -> dict[str, Scales]:
    oral, pharynx, depth = build.oral, build.pharynx, build.depth
    epiglottis: Scales = {"epiglottis_width": depth, "epiglottis_height": pharynx, "epiglottis_depth": depth}
    return {
        "lips": {"width": oral * build.lips},
        "tongue/tip": {"radius": oral},
        "tongue/body": {"radius_x": oral, "radius_y": oral},
        "velum": {"uvula_width": depth, "uvula_height": oral, "uvula_depth": oral, "max_nasal_port_area": oral * depth},
        "pharynx": {"fulcrum_x": oral, "fulcrum_y": oral, "top_rib_y": oral}
        | dict.fromkeys(("upper_depth", "lower_depth", "back_side_width"), depth),
        "larynx": {"upper_depth": depth, "lower_depth": depth} | epiglottis,
        "piriform_fossa": {"length": pharynx, "volume": pharynx * oral * depth},
        "subglottal_cavity": {"length": pharynx},
        "nasal_cavity": {"length": oral},
    }


def _outlines(build: Anatomy) -> dict[str, tuple[float, float]]:
    """Scales of x and y of the drawn outlines; the velum's front must meet the palate's back."""
    velum = (build.oral, build.oral * build.palate)
    larynx = (build.oral, build.pharynx)
    return dict.fromkeys(("velum/low", "velum/mid", "velum/high"), velum) | dict.fromkeys(
        ("larynx/narrow", "larynx/wide"), larynx
    )


def _scale_tongue_root(root: xml.Element, build: Anatomy) -> None:
    """Scale the two lines by which the tongue's root follows; TRY follows TCX, so its slope is between two scales."""
    _scale(root, {"trx_intercept": build.oral, "try_intercept": build.pharynx})
    _scale(root, {"try_slope": build.pharynx / build.oral})


def _scale_parameters(tree: xml.ElementTree, build: Anatomy) -> None:
    scales = dict(zip(TRACT, factors(build), strict=True))
    for parameter in tree.findall("./vocal_tract_model/anatomy/param"):
        _scale(parameter, dict.fromkeys(("min", "max", "neutral"), scales[str(parameter.get("name"))]))
    for parameter in tree.findall("./vocal_tract_model/shapes/shape/param"):
        _scale(parameter, {"value": scales[str(parameter.get("name"))]})


def _scale_glottis(model: xml.Element, size: float, f0_hz: float) -> None:
    scales = {"RT": size, "RL": size, "CL": size}
    for parameter in _found(model, "static_params"):
        name = str(parameter.get("name"))
        if name == "RF0":
            parameter.set("neutral", f"{f0_hz:.6f}")
        elif name in scales:
            _scale(parameter, {"neutral": scales[name], "min": min(1.0, scales[name])})


def _scale(element: xml.Element, scales: Scales) -> None:
    for name, scale in scales.items():
        element.set(name, f"{float(element.attrib[name]) * scale:.4f}")


def _scale_points(element: xml.Element, x: float, y: float) -> None:
    values = np.array(element.attrib["points"].split(), dtype=np.float64).reshape(-1, 2) * (x, y)
    element.set("points", "".join(f"{value:.4f} " for value in values.ravel()))


def _found(element: xml.Element, path: str) -> xml.Element:
    found = element.find(path)
    if found is None:
        raise ValueError(f"JD3's speaker file has no {path}.")
    return found
