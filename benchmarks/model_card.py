"""What is written of the encoder that ships: its model card and its options, from its JSON files alone."""

import json
from pathlib import Path
from textwrap import fill
from typing import Any

from tractprobe.encoders.raised import Raised
from tractprobe.inversion.builtin import Measured, Scores

LICENCE, SOURCES = "Apache-2.0", "sources.md"
_HEADERS = {
    "builtin": "The encoder of the package: a small HuBERT of our own (README.md in src/tractprobe/builtin_encoder).",
    "random_builtin": "The untrained twin of builtin: its architecture with random weights: model.random_seed=0,1,2.",
}
_USE = """```
python train.py model=builtin held_out=it     # heads on it; model=random_builtin: its untrained twin
tractprobe invert speech.wav --html           # movements of tongue, lips and jaw, by its head
```

With transformers alone, the folder that this file lies in: `AutoModel.from_pretrained(folder, dtype="float32")`."""
_LIMITS = (
    "It is small, and heard a few hours where others have heard thousands. It is here so that a fresh machine has an "
    "encoder that is really self-supervised; for claims about people, compare larger ones.",
    "On recordings of people it has not been shown to be better than log-mel: the 30 seconds that were at hand cannot "
    "tell them apart (docs/results.md). Its scores above are of simulated speech.",
    "Languages have unequal hours, speakers, devices and rooms: results for one say little about another. Languages "
    "and speakers are drawn by the square root of their hours, so those with few recordings were heard more often.",
    "Its head learned from a simulation, which stands on one measured anatomy. Millimetres are those of simulated "
    "mouths; there is no warning when the input is singing, noise, a child or disordered speech.",
    "Movements are inferred, not measured: do not use them for diagnosis.",
)


def option(name: str, folder: Path) -> str:
    """Return the text of conf/model/builtin.yaml, or of random_builtin.yaml."""
    raised, config = _raised(folder), _config(folder)
    trained = name == "builtin" and raised.is_trained
    codes = ", ".join("'no'" if code == "no" else code for code in sorted(raised.languages))  # YAML's no is false
    about = {
        "training": "self-supervised" if trained else "none",
        "licence": LICENCE if trained else "null",
        "layers": config["num_hidden_layers"],
        "width": config["hidden_size"],
        "parameters_m": round(raised.parameters / 1e6, 1),
        "languages": f"[{codes}]" if trained else "[]",
        "hours": round(raised.hours_of_data, 1) if trained else 0,
        "labelled_hours": 0,
    }
    lines = [
        f"# {_HEADERS[name]}",
        "_target_: tractprobe.encoders.builtin",
        f"label: {name}",
        f"random_seed: {'null' if name == 'builtin' else 0}",
        "dtype: float32",
        "compiled: false",
        "about:",
        *(_indented(f"{key}: {value}") for key, value in about.items()),
    ]
    return "\n".join(lines) + "\n"


def card(folder: Path) -> str:
    """Return the model card; what is not in scores.json is called not measured."""
    raised, scores = _raised(folder), Scores.read(folder)
    parts = [_front(raised), _what(raised, _config(folder)), _data(raised, folder), _recipe(raised), _scores(scores)]
    limits = "\n".join(fill(text, 118, initial_indent="- ", subsequent_indent="  ") for text in _LIMITS)
    return "\n\n".join([*parts, _head(scores), f"## Limits\n\n{limits}"]) + "\n"


def _raised(folder: Path) -> Raised:
    raised = Raised.read(folder)
    assert raised is not None, f"{folder} has no pretraining.json"
    return raised


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def _front(raised: Raised) -> str:
    """Return the header that the Hub reads."""
    codes = [f'- "{code}"' for code in sorted(raised.languages) if code != "zxx"]
    fields = [f"license: {LICENCE.lower()}", "library_name: transformers", "pipeline_tag: feature-extraction"]
    return "\n".join(["---", *fields, "language:", *codes, "---"])


def _what(raised: Raised, config: dict[str, Any]) -> str:
    shape = (
        f"A small HuBERT: {config['num_feat_extract_layers']} convolutions of {config['conv_dim'][0]} channels, "
        f"{config['num_hidden_layers']} blocks of {config['hidden_size']}, {raised.parameters / 1e6:.1f} million "
        "weights (stored as float16), a frame of 25 ms every 20 ms. It was trained by `tractprobe pretrain` on sound "
        "alone: no transcript, no label, no movement of a mouth."
    )
    made = "Written by `benchmarks/ship_encoder.py` from `pretraining.json` and `scores.json`; do not edit it."
    return "\n\n".join(["# The encoder of tractprobe", _filled(shape), _USE, made])


def _data(raised: Raised, folder: Path) -> str:
    """Say what it was raised on; sources.md, where there is one, is written by hand and taken as it is."""
    hours = sorted(raised.languages.items(), key=lambda pair: (-pair[1], pair[0]))
    heard = (
        f"{raised.hours_of_data:.2f} hours of speech in {len(raised.languages)} languages; the encoder listened "
        f"for {raised.hours_heard:.1f} hours, to each recording repeatedly, augmented anew each time. Hours "
        f"by language: {', '.join(f'{code} {own:.2f}' for code, own in hours)}."
    )
    corpora = ", ".join(f"{name} ({content[:12]})" for name, content in sorted(raised.corpora.items()))
    origin = (
        f"Corpora, with the beginning of their content hash: {corpora}. Their licences: "
        f"{', '.join(raised.licences) or 'not stated'}. The weights are under {LICENCE}."
    )
    by_hand = folder / SOURCES
    sources = [by_hand.read_text(encoding="utf-8").strip()] if by_hand.is_file() else []
    return "\n\n".join(["## Data", _filled(heard), _filled(origin), *sources])


def _recipe(raised: Raised) -> str:
    learned = raised.targets.get("learned_by", {})
    facts = {
        "objective": f"{raised.objective}, iteration {raised.iteration}",
        "targets": f"{raised.targets.get('clusters', '?')} clusters of {_clustered(raised)}",
        "updates": f"{raised.updates}, of {learned.get('batch', '?')} crops of {learned.get('crop_s', '?')} s",
        "optimiser": f"{learned.get('optimiser', '?')}, learning rate {learned.get('learning_rate', '?')}",
        "cooldown": f"{learned.get('cooldown', '?')} updates",
        "augmentation": ", ".join(f"{name} {value}" for name, value in raised.augmentation.items()) or "none",
        "trained on": _hardware(raised),
        "seed": raised.seed,
    }
    said = "docs/pretraining.md explains it. `pretraining.json` holds all of it, and the speed of training."
    rows = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(["## Recipe", "", said, "", "| | |", "|---|---|", *rows])


def _hardware(raised: Raised) -> str:
    stretches = raised.rates.get("stretches", [])
    each = (f"{one['device']}, {one['precision']}, {one['seconds']:.0f} s" for one in stretches)
    return "; then ".join(dict.fromkeys(each)) or "?"


def _clustered(raised: Raised) -> str:
    if raised.iteration == 2:
        return f"states of layer {raised.targets.get('layer')} of a first iteration"
    return f"{raised.targets.get('cepstra', '?')} MFCC with slopes up to order {raised.targets.get('deltas', '?')}"


def _scores(scores: Scores | None) -> str:
    if scores is None:
        return "## Scores\n\nNot measured."
    said = (
        f"Ridge heads on `corpora=[{','.join(scores.corpora)}]`{_simulated(scores)}, each with the layer that "
        "validation chose: r between predicted and true movements, the mean over languages and speakers with a 95 % "
        "interval over n speakers, of one training with one seed. What is held out is held out of heads: the encoder "
        "has heard the languages of this test, as sound, and where a language is held out, heads may know the speaker."
    )
    rows = [f"| {each.of} | {each} | {each.n} |" for each in scores.scores]
    return "\n".join(["## Scores", "", _filled(said), "", "| | r | n |", "|---|---|---|", *rows])


def _head(scores: Scores | None) -> str:
    title = "## The head of `tractprobe invert`\n\n"
    if scores is None:
        return f"{title}Not made yet."
    others = ", ".join(f"{name} {Measured('', r, None, None, 1)}" for name, r in scores.candidates.items())
    chosen = f" Kinds of heads were compared by r on three speakers kept aside: {others}." if others else ""
    real = "not measured" if scores.real is None else f"r = {scores.real} ({scores.real_recordings})"
    return title + _filled(
        f"{scores.head} on layer {scores.layer}, fitted on {', '.join(scores.corpora)}{_simulated(scores)}.{chosen} "
        f"On recordings of people, whom the head never heard: {real}."
    )


def _simulated(scores: Scores) -> str:
    return " (simulated vocal tracts, no person's movements)" if set(scores.corpora) <= set(scores.simulated) else ""


def _filled(text: str) -> str:
    return fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> str:
    return fill(text, 118, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
