"""Records of analyses made by hand: each finding that a claim reads, figures of each kind, scores of four speakers."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tractprobe.evidence.record import (
    Band,
    Column,
    Evidence,
    Figure,
    Finding,
    Level,
    Part,
    Record,
    Series,
    Table,
    write_record,
)

LANGUAGES, SPEAKERS = ("de", "en", "it"), ("v/a", "v/b", "v/c", "v/d")
CORPORA = {"hprc": "ab" * 32}
N = {"speakers": 4, "languages": 3}
ABOUT = {"training": "self-supervised", "languages": ["en"], "hours": 960, "parameters_m": 94.4, "licence": "MIT",
         "raised_on": ["en"]}  # fmt: skip
ANALYSES = ("curves", "controls", "crossed", "babble", "speakers", "phones", "tokens", "disturbed", "erasure",
            "interventions", "steering", "prosody", "raised_in")  # fmt: skip


def found(name: str, value: float | None, half: float | None = 0.04, **more: Any) -> Finding:
    """A finding with an interval of a half width, or none."""
    low, high = (None, None) if value is None or half is None else (value - half, value + half)
    says = more.pop("says", f"what {name} is, in one sentence")
    return Finding(name, says, value, low, high, more.pop("unit", "r"), "mean over speakers, languages", N, **more)


SUPPORTING: Mapping[str, tuple[Finding, ...]] = {
    "curves": (found("r_language", 0.6), found("r_sentence", 0.65)),
    "controls": (found("r", 0.6), found("beyond_acoustics", 0.12), found("beyond_random", 0.3),
                 found("beyond_projection", 0.2), found("null", 0.6, p=0.001), found("selectivity", 0.25)),
    "crossed": (found("language_effect_new_speaker", 0.02), found("transfer_ratio", 0.97),
                found("language_equivalence", 0.01, 0.012, level=0.9, margin=0.03, p=0.004),
                found("language_equivalence_every_language", 0.012, 0.015, level=0.98, margin=0.03, p=0.01)),
    "speakers": (found("affine_share", 0.92, unit=""), found("affine_over_own", 0.02, 0.01),
                 found("offset_share", 0.5, unit=""), found("mixing_gain", 0.1),
                 found("beyond_mel_affine", 0.15), found("beyond_shuffled", 0.2)),
    "babble": (found("babble_b_kept_over_acoustics", 0.06), found("speech_kept_over_acoustics", 0.05),
               found("babble_b_beyond_acoustics", 0.1), found("speech_beyond_acoustics", 0.1)),
    "phones": (found("unique_states", 0.15, unit="R²"), found("unique_states_beyond_acoustics", 0.1, unit="R²"),
               found("unique_phones", 0.05, unit="R²")),
    "tokens": (found("movements_kept_50", 0.7, unit=""), found("movements_kept_500", 0.95, unit="")),
    "disturbed": (found("reversal_loss", 0.05), found("reversal_beyond_acoustics", -0.02)),
    "erasure": (found("damage_to_phones", 0.1), found("damage_to_other_articulators", 0.2)),
    "interventions": (found("interventions_gain", 0.6, unit="mm per mm"),
                      found("interventions_gain_beyond_shuffled", 0.5, unit="mm per mm"),
                      found("interventions_specificity_beyond_covariance", 0.2),
                      found("interventions_gain_beyond_mel", 0.2, unit="mm per mm")),
    "steering": (found("steering_gain", 0.2), found("steering_specificity", 0.1),
                 found("steering_response", 0.1)),
    "raised_in": (found("native_equivalence", 0.004, 0.01, level=0.9, margin=0.03, p=0.001),
                  found("native_both_equivalence", 0.006, 0.015, level=0.9, margin=0.03, p=0.01),
                  found("native_both_every_layer", 0.01, 0.015, level=0.98, margin=0.03, p=0.01),
                  found("native_own_equivalence", 0.002, 0.02, level=0.9, margin=0.03, p=0.02),
                  found("languages_beyond_untrained", 0.3), found("babble_minus_languages", 0.0, 0.02),
                  found("babble_beyond_untrained", 0.3)),
    "prosody": (found("f0", 0.7), found("f0_beyond_phones", 0.3)),
}  # fmt: skip
"""What supports every claim."""


def figures(analysis: str, r: float) -> tuple[Figure, ...]:
    """Figures of an analysis: of each kind, somewhere."""
    layers = [[layer, r + 0.03 * math.sin(layer), r - 0.03, r + 0.06] for layer in range(5)]
    lower = [[layer, r - 0.1 if layer != 2 else None, None, None] for layer in range(5)]
    curves = Figure("layers", "r against the layer", "layer", "r", (Series("held-out language", tuple(layers)),
                    Series("held-out sentence", tuple(lower))), "lines", Band("null, 95 %", -0.05, 0.05),
                    (Level("ceiling: own heads", r + 0.2),))  # fmt: skip
    bars = [[name, r - place / 20, r - place / 20 - 0.04, r - place / 20 + 0.04] for place, name in
            enumerate(("the encoder", "matched acoustics", "random weights", "random projection"))]  # fmt: skip
    matrix = [Series(language, tuple([to, r - 0.1 * (to != language), r - 0.15, r + 0.05] for to in LANGUAGES))
              for language in LANGUAGES]  # fmt: skip
    kinds = {
        "curves": (curves,),
        "controls": (Figure("against", "r against controls", "control", "r", (Series("r", tuple(bars)),), "bars"),),
        "crossed": (Figure("languages", "r by language", "tested on", "r", tuple(matrix), "matrix"),),
    }
    forest = [[name, r / 4, r / 4 - 0.04, r / 4 + 0.04] for name in ("tongue tip", "dorsum", "upper lip")]
    other = Figure("parts", "effect by articulator", "articulator", "r", (Series("effect", tuple(forest)),), "points")
    return kinds.get(analysis, (other,))


def scores(r: float, shift: float = 0.0) -> tuple[dict[str, Any], ...]:
    """Scores of four speakers; the encoders' differ by the shift and a little of each speaker's own."""
    return tuple(
        {"condition": "held-out language", "language": language, "speaker": speaker,
         "r": r + shift + 0.01 * place * (1 + shift), "rmse_mm": 1.5}
        for language in LANGUAGES
        for place, speaker in enumerate(SPEAKERS)
    )  # fmt: skip


def record(
    analysis: str, model: str = "hubert", findings: tuple[Finding, ...] | None = None, r: float = 0.6, **more: Any
) -> Record:
    """A record of an analysis, with everything that one can have."""
    findings = SUPPORTING[analysis] if findings is None else findings
    by = tuple(Part("language", language, r, r - 0.05, r + 0.05, 4) for language in LANGUAGES)
    first, *rest = findings
    columns = (Column("layer"), Column("r", "r"))
    made = Record(
        analysis=analysis,
        version=1,
        identity={"model": model, "layer": "all", "head": "ridge", "seed": 0, "corpora": CORPORA, "differences": {},
                  "encoder": {"weights_sha256": model * 8}, "targets": ["ema"],
                  "analysis": {"_target_": f"tractprobe.analyses.{analysis}"}, "versions": {"tractprobe": "0.1.0"}},
        settings={"targets": ["ema"], "ema": {"lowpass_hz": 10.0}},
        command=f"python train.py analysis={analysis} model={model} 'corpora=[hprc]'",
        about=ABOUT,
        material={"corpora": CORPORA, "languages": list(LANGUAGES), "speakers": list(SPEAKERS), "utterances": 60,
                  "minutes": 5.5, "layers": [0, 1, 2, 3, 4]},
        timing_s={"encode": 2.5, "analyse": 10.0},
        evidence=Evidence(
            (replace(first, by=by), *rest),
            (Table("layers", "r of each layer", columns, tuple({"layer": k, "r": r} for k in range(5))),),
            figures(analysis, r),
            scores(r),
            ("Four speakers are few.",),
        ),
    )  # fmt: skip
    return replace(made, **more)


def write(folder: Path, *records: Record) -> None:
    """Write records as a folder of runs has them."""
    for each in records:
        write_record(folder / each.model / "all" / "evidence" / each.analysis / f"s{each.identity['seed']}", each)
