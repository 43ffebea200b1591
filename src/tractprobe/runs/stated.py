"""What is stated about an encoder: by its settings, and by the folder of one of our own (``pretraining.json``)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tractprobe.corpora.languages import is_language
from tractprobe.encoders.builtin import PUBLIC_NAME, builtin_folder
from tractprobe.encoders.raised import Raised
from tractprobe.runs.settings import Node


def raised_of(model: Node) -> Raised | None:
    """Return what the encoder of some settings was raised on; ``None`` if no folder of it says so."""
    place = model.arguments.get("name") or model.arguments.get("root")
    if model.target == PUBLIC_NAME:
        place = str(builtin_folder())
    if not isinstance(place, str) or not (folder := Path(place).expanduser()).is_dir():
        return None
    raised, seed = Raised.read(folder), model.arguments.get("random_seed")
    return raised if raised is None or seed is None else replace(raised, updates=0, hours_heard=0.0, seed=int(seed))


def about_of(model: Node) -> dict[str, Any]:
    """Return the facts that are stated about an encoder: by its settings first, then by its folder."""
    stated = {name: value for name, value in (model.arguments.get("about") or {}).items() if value is not None}
    if (raised := raised_of(model)) is None:
        return dict(model.arguments.get("about") or {})
    heard = heard_by(raised)
    return {
        "training": "self-supervised" if raised.is_trained else "none",
        "languages": [name for name in heard if is_language(name)],
        "raised_on": list(heard),
        "hours": raised.hours_of_data if raised.is_trained else 0,
        "labelled_hours": 0,
        "parameters_m": round(raised.parameters / 1e6, 2),
        "licence": ", ".join(raised.licences) or None,
    } | stated


def heard_by(raised: Raised) -> tuple[str, ...]:
    """Return the languages that an encoder heard, babble (zxx) among them; none if it was not trained."""
    return tuple(sorted(name for name, hours in raised.languages.items() if hours > 0)) if raised.is_trained else ()
