"""Speakers of a corpus that was misread are named under the table of what was scored."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.tables.backwards import read_backwards
from tractprobe.jobs import train
from tractprobe.signals.channels import CHANNELS


def rows(r: Mapping[str, float], speaker: str = "lab/anna", layer: int = 0, **more: Any) -> list[dict[str, Any]]:
    fields = {"layer": layer, "speaker": speaker, "language": "it", "target": "ema", "n_frames": 5000, **more}
    return [fields | {"channel": channel, "r": value} for channel, value in r.items()]


GOOD = dict.fromkeys(CHANNELS, 0.6)
X = {name: -0.55 for name in CHANNELS[::2]}


def test_an_axis_that_is_mirrored_is_named_with_its_speaker():
    (line,) = read_backwards([*rows(GOOD, "lab/good"), *rows(GOOD | X)])
    assert line.startswith("lab/anna is read backwards in every x (r -0.55 to -0.55), layer 0")
    assert "tractprobe audit lab --against" in line


def test_a_sensor_that_is_turned_round_is_named():
    (line,) = read_backwards(rows(GOOD | {"tt_x": -0.4, "tt_y": -0.3}))
    assert "in both axes of tt (r -0.40 to -0.30)" in line


@pytest.mark.parametrize(
    "r",
    [
        GOOD,
        GOOD | {"tt_x": -0.9},
        GOOD | X | {"ll_x": -0.1},
        dict.fromkeys(CHANNELS, 0.0),
        {"tt_x": -0.9},
        GOOD | {"tt_x": None, "tt_y": -0.9},
    ],
)
def test_what_is_not_all_strongly_negative_is_not_named(r: dict[str, Any]):
    assert read_backwards(rows(r)) == []


def test_few_frames_other_targets_and_layers_that_read_less_do_not_count():
    assert read_backwards(rows(GOOD | X, n_frames=100)) == []
    assert read_backwards(rows(GOOD | X, target="source")) == []
    assert read_backwards([*rows(GOOD, layer=3), *rows({name: -0.3 for name in CHANNELS}, layer=1)]) == []
    assert len(read_backwards([*rows(GOOD | X, layer=3), *rows({name: 0.1 for name in CHANNELS}, layer=1)])) == 1
    assert read_backwards([]) == []


def test_languages_of_a_speaker_are_judged_together():
    assert read_backwards([*rows(GOOD | X, language="it"), *rows(GOOD, language="de")]) == []
    languages = [rows(GOOD | X, language=language, n_frames=125) for language in ("de", "en", "it")]
    assert read_backwards(languages[0]) == [] and len(read_backwards([row for each in languages for row in each])) == 1


def test_a_run_names_them_under_its_table(
    configure: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Of three speakers one is mirrored; heads learn from the others."""
    raw = write_corpus(tmp_path / "raw", languages=("en",), speakers=3, sentences=10)
    for path in raw.glob("s1_*.ema.npy"):
        np.save(path, np.load(path) * np.tile([-1.0, 1.0], 6))
    prepare(Folder("lab", raw), tmp_path / "data")
    settings = ["corpora=[lab]", f"paths.data={tmp_path / 'data'}", "split=speaker", "split.shared_texts_tested=0.6"]
    with caplog.at_level("INFO"):
        train(configure(*settings, "held_out=all"))
    below = caplog.text.rpartition("held-out speaker")[2]
    lines = [line for line in below.splitlines() if "read backwards" in line]
    assert len(lines) == 1 and "lab/s1 is read backwards in every x" in lines[0]
    assert caplog.text.count("read backwards") == 1
    caplog.clear()
    with caplog.at_level("INFO"):
        train(configure(*settings, "held_out=lab/s1", f"paths.runs={tmp_path / 'alone'}"))
    assert caplog.text.count("lab/s1 is read backwards in every x") == 1
