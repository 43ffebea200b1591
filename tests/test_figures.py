"""Pictures draw what was measured: points where points are, levels as levels, and only common values compared."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tractprobe.encoders.layers import Label
from tractprobe.evidence.tables.curves import data_size_curves, layer_curves
from tractprobe.evidence.tables.figures import drawings, write_pictures
from tractprobe.evidence.tables.rows import tidy
from tractprobe.evidence.tables.table import LayerTable, layer_tables

LANGUAGES = ("de", "en", "it")


def r_of(layer: Label, language: str, speaker: str, base: float) -> float:
    depth = layer if isinstance(layer, int) else 20
    return base + 0.01 * depth + 0.05 * LANGUAGES.index(language) + 0.002 * "abc".index(speaker)


def rows(
    model: str,
    layers: Sequence[Label],
    held_out: Sequence[str] = LANGUAGES,
    base: float = 0.3,
    layer: Any = "all",
    **differences: Any,
) -> list[Any]:
    """Rows of runs, each of which held out a language."""
    made = []
    for language in held_out:
        identity = {"model": model, "head": "ridge", "split": "language", "held_out": language, "seed": 0,
                    "layer": layer, "corpora": {}, "encoder": model, "differences": differences}  # fmt: skip
        scores = [
            {"layer": each, "corpus": "c", "language": language, "speaker": speaker, "target": "ema", "channel": "tt_x",
             "unit": "mm", "n_frames": 9, "r": r_of(each, language, speaker, base), "rmse": 1, "r2": 0, "ccc": 0}
            for each in layers for speaker in "abc"
        ]  # fmt: skip
        made += tidy(f"{model}/{language}/s0", {"identity": identity, "scores": scores})
    return made


def mean(layer: Label, languages: Sequence[str], base: float = 0.3) -> float:
    return float(np.mean([r_of(layer, language, speaker, base) for language in languages for speaker in "abc"]))


def drawn(tables: list[LayerTable]) -> tuple[list[np.ndarray], Any]:
    """The (x, y) of each line that is named, and the axes."""
    (axes,) = layer_curves(tables).axes
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    return [np.array(line.get_xydata()) for line in named], axes


def test_a_single_layer_is_a_point_where_it_is():
    (line,), axes = drawn(layer_tables(rows("hubert", [6], layer=6)))
    assert line[:, 0].tolist() == [6] and line[0, 1] == pytest.approx(mean(6, LANGUAGES))
    assert axes.get_xlim() == (5.5, 6.5) and axes.get_xlabel() == "layer"


def test_lines_join_neighbouring_layers_only():
    (line,), _ = drawn(layer_tables(rows("hubert", [0, 1, 6, 9], layer=6)))
    assert np.isnan(line[:, 0]).tolist() == [False, False, True, False, True, False]


def test_a_spectrum_alone_is_a_point_at_its_layer_and_has_no_layer_1():
    (line,), axes = drawn(layer_tables(rows("mel", [0])))
    assert line[:, 0].tolist() == [0] and axes.get_xlim() == (-0.5, 0.5)


def test_a_spectrum_beside_an_encoder_is_a_level_with_its_name():
    tables = layer_tables(rows("hubert", range(3)) + rows("mel", [0], base=0.1))
    (curve, level), axes = drawn(tables)
    assert curve[:, 0].tolist() == [0, 1, 2] and np.unique(level[:, 1]) == pytest.approx(mean(0, LANGUAGES, 0.1))
    assert [text.get_text() for text in axes.texts] == ["mel"] and axes.get_xlim() == (-0.5, 2.5)


def test_one_layer_of_an_encoder_is_no_level_beside_others():
    (curve, point), _ = drawn(layer_tables(rows("hubert", range(3)) + rows("wavlm", [0], layer=0)))
    assert len(curve) == 3 and point[:, 0].tolist() == [0]


def test_layers_side_by_side_are_a_level_without_an_axis():
    (level,), axes = drawn(layer_tables(rows("hubert", ["0+6"], layer=[0, 6])))
    assert np.unique(level[:, 1]) == pytest.approx(mean("0+6", LANGUAGES))
    assert axes.get_xticks().tolist() == [] and axes.get_xlabel() == ""
    assert [text.get_text() for text in axes.texts] == ["hubert, layers 0+6"]


def test_names_of_levels_do_not_lie_on_each_other():
    tables = layer_tables(rows("hubert", range(3)) + rows("mel", [0], base=0.1) + rows("mfcc", [0], base=0.1001))
    _, axes = drawn(tables)
    low, high = sorted(text.get_position()[1] for text in axes.texts)
    assert high - low > 0.04


def test_only_what_all_were_tested_on_is_compared_and_said():
    tables = layer_tables(rows("hubert", range(3)) + rows("wavlm", range(3), ["en", "it"]))
    (hubert, wavlm), axes = drawn(tables)
    assert hubert[:, 1].tolist() == wavlm[:, 1].tolist()
    assert hubert[1, 1] == pytest.approx(mean(1, ["en", "it"])) != pytest.approx(mean(1, LANGUAGES))
    assert axes.get_title() == "over what all were tested on: en, it; 3 speakers"


def test_what_cannot_be_compared_is_said():
    _, axes = drawn(layer_tables(rows("hubert", range(3), ["de"]) + rows("wavlm", range(3), ["en"])))
    assert axes.get_title() == "tested on different speakers or languages: levels cannot be compared"
    _, axes = drawn(layer_tables(rows("hubert", range(3)) + rows("wavlm", range(3))))
    assert axes.get_title() == ""


def test_all_minutes_stand_by_themselves():
    made = rows("hubert", [0, 6])
    for minutes in (1, 2):
        made += rows("hubert", [0, 6], base=0.1 * minutes, **{"split.train_min": minutes})
    (axes,) = data_size_curves(layer_tables(made)).axes
    lines = [line.get_xdata().tolist() for line in axes.lines if len(line.get_xdata()) and line.get_linestyle() == "-"]
    assert lines == [[1, 2], [3.2]] * 2
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "all"]


def test_a_layer_without_any_r_is_not_drawn(tmp_path: Path):
    made = rows("hubert", [0, 1])
    for row in made:
        row["r"] = None if row["layer"] == 1 else row["r"]
    (line,), _ = drawn(layer_tables(made))
    assert line[:, 0].tolist() == [0]
    for row in made:
        row["r"] = None
    assert len(write_pictures(layer_tables(made), tmp_path)) == 2


def test_names_of_pictures_fit_into_file_systems_and_stay_apart(tmp_path: Path):
    """Titles name each setting that differs: 15 of them are longer than any file name."""
    long = {f"model.a_setting_of_the_encoder_{n}": "quite a long value" for n in range(15)}
    made = [*rows("hubert", [0, 1], **long), *rows("hubert", [0, 1], **long, last=1), *rows("é", [0]), *rows("è", [0])]
    files = write_pictures(layer_tables(made), tmp_path)
    assert len(set(files)) == len(files) == 5 and all(file.stat().st_size > 0 for file in files)
    assert all(len(file.name) < 210 for file in files)
    assert list(drawings(layer_tables(rows("hubert", [0])))) == [
        "layers.png", "matrix-hubert-ridge-r-by-held-out-language.png"
    ]  # fmt: skip


def test_a_mean_without_interval_has_no_bar_and_the_table_says_why():
    """Two speakers of each language have an interval; where one is left of a language, the mean over it has none."""
    every = rows("hubert", [0, 1])
    one_left = [row for row in every if row["language"] != "it" or row["speaker"] == "a"]
    for kept, bars in ((every, 2), (one_left, 0)):
        tables = layer_tables(kept)
        _, axes = drawn(tables)
        assert sum(len(bar.get_segments()) for bar in axes.collections) == bars
        said = "a mean over it has no interval: one speaker does not tell how others differ" in str(tables[0])
        assert said == (bars == 0)
