"""Analyses over languages find the same, to the last bit, with babble in the corpora as without."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus, write_utterance

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.control_targets import Control, Mismatched, Shifted
from tractprobe.data.extra_targets import ExtraSensors
from tractprobe.data.movement_features import Movements
from tractprobe.data.phone_labels import inventory, phone_counts
from tractprobe.evidence.conduct import conducted
from tractprobe.evidence.record import Record
from tractprobe.evidence.statistics.effects import Cells
from tractprobe.evidence.tables.comparison import differences
from tractprobe.evidence.tables.condition import Condition
from tractprobe.report.collect import Collection, Group
from tractprobe.report.content import document
from tractprobe.report.markdown import markdown
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.smoothing import Smoothing

MODEL = ["model=mel", "model.bands=12", "model.context=1"]
CONTROLS = ["analysis=controls", "analysis.acoustics=[mfcc]", "analysis.voice=[]", "analysis.random_seeds=0",
            "analysis.projections=1", "analysis.shifts=1000", "analysis.shift_s=0.2"]  # fmt: skip
SMOOTHING, TIMES_S = Smoothing(), np.arange(0.0, 1.2, 0.02)


def write_babble(root: Path) -> None:
    """Write babble that moves elsewhere, comes first by id, is longer, and has a phone of its own."""
    for speaker in range(3):
        for number in range(3):
            id_ = f"b{speaker}_zxx_{number}"
            seed = 900 + 10 * speaker + number
            write_utterance(root, id_, speaker=f"s{speaker}", language="zxx", text="", seed=seed, duration_s=1.7)
            np.save(root / f"{id_}.ema.npy", 3 * np.load(root / f"{id_}.ema.npy") + 20)
            fields = json.loads((root / f"{id_}.json").read_text())
            (root / f"{id_}.json").write_text(json.dumps(fields | {"phones": [["y", 0.1, 1.5]]}))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of prepared corpora: `toy` without babble and `babble` beside it; `toy` with the same babble in it."""
    found = {name: tmp_path_factory.mktemp(name) for name in ("without", "within")}
    for name, place in found.items():
        raw = tmp_path_factory.mktemp("raw")
        write_babble(raw / "babble")
        write_corpus(raw / "toy")
        if name == "within":
            write_babble(raw / "toy")
        for corpus in ("toy", "babble"):
            prepare(Folder(corpus, raw / corpus), place, source_channels=corpus == "toy")
    return found


def test_findings_are_the_same_bits_and_the_report_names_it(configure, places):
    def conduct(corpora: str, place: str) -> Record:
        said = [*CONTROLS, f"corpora=[{corpora}]", f"paths.data={places[place]}", *MODEL]
        return conducted(Settings.of(plain(configure(*said))))

    alone, within, beside = conduct("toy", "without"), conduct("toy", "within"), conduct("babble,toy", "without")
    selectivity = alone.evidence.finding("selectivity")
    assert selectivity is not None and selectivity.value is not None
    for record in (within, beside):
        *caveats, last = record.evidence.caveats
        assert "no linguistic content (zxx)" in last and tuple(caveats) == alone.evidence.caveats
        for part in ("findings", "tables", "figures", "rows"):
            assert getattr(record.evidence, part) == getattr(alone.evidence, part), part
    assert within.material["languages"] == ["de", "en", "it"] and "babble" not in alone.material
    assert within.material["babble"] == {"utterances": 9, "minutes": 0.25}
    group = Group(dict(within.material["corpora"]), "ema", (within,))
    text = markdown(document(Collection("runs", (group,), ()), "Evidence"))
    assert "3 speakers, 3 languages and babble, 0.72 min of speech and 0.25 min of babble; 1 encoder" in text


def test_a_speaker_is_described_by_speech(places):
    without, within = (PreparedCorpus(places[name] / "toy") for name in ("without", "within"))
    for entry in without.entries[::5]:
        for of in (Control(SMOOTHING), Shifted(SMOOTHING, 0.7), Mismatched(SMOOTHING), Movements(SMOOTHING)):
            np.testing.assert_array_equal(
                of.at(without, entry, TIMES_S), type(of)(SMOOTHING, *_given(of)).at(within, entry, TIMES_S)
            )
    assert inventory([within], "") == ("a", "m") and phone_counts(within) == phone_counts(without)


def _given(of: Any) -> list[Any]:
    return [of.shift_s] if isinstance(of, Shifted) else []


def test_babble_has_a_circle_of_its_own_and_describes_whoever_only_babbles(places):
    within, babble = PreparedCorpus(places["within"] / "toy"), PreparedCorpus(places["without"] / "babble")
    own = [entry for entry in within.entries if entry.language == "zxx" and entry.speaker == "toy/s0"]
    following = within.track(own[1].id)
    shifted = Shifted(SMOOTHING, own[0].duration_s).at(within, own[0], TIMES_S)
    np.testing.assert_allclose(shifted, SMOOTHING(following).at(TIMES_S), atol=1e-9)
    assert np.isfinite(Movements(SMOOTHING).at(babble, babble.entries[0], TIMES_S)).any()
    assert np.isfinite(Control(SMOOTHING).at(babble, babble.entries[0], TIMES_S)).any()
    assert inventory([babble], "") == ("y",) and not phone_counts(babble)


def test_sensors_that_only_babble_has_are_no_channels(places, monkeypatch):
    corpora = [PreparedCorpus(places["without"] / name) for name in ("toy", "babble")]
    sensors = {"toy": ("ui_x", "ui_y"), "babble": ("ui_x", "ui_y", "v_x", "v_y")}
    monkeypatch.setattr(PreparedCorpus, "extra_channels", lambda self, _: sensors[self.name])
    assert ExtraSensors(SMOOTHING).over(corpora).channels == sensors["toy"]
    assert ExtraSensors(SMOOTHING).over(corpora[1:]).channels == sensors["babble"]


def test_no_number_of_languages_counts_it():
    cells = {(language, f"s{speaker}", "tt_x"): 0.5 for language in ("en", "it", "zxx") for speaker in range(2)}
    assert Cells(cells).count() == {"speakers": 2, "languages": 2, "channels": 1}
    babble = {key: value for key, value in cells.items() if key[0] == "zxx"}
    assert Cells(babble).count()["languages"] == 0


def test_a_difference_of_heads_is_over_languages():
    def rows(head: str, r: float) -> list[dict[str, Any]]:
        each = [("it", r), ("en", r), ("zxx", -1.0)]
        same = {"model": "mel", "split": "language", "material": "", "at_once": True, "settings": Condition(),
                "layer": 0, "target": "ema", "seed": 0, "channel": "tt_x", "n_frames": 9}  # fmt: skip
        return [
            same | {"head": head, "held_out": language, "language": language, "speaker": f"c/s{speaker}", "r": value}
            for language, value in each
            for speaker in range(2)
        ]

    (found,) = differences([*rows("mlp", 0.6), *rows("ridge", 0.5)], "ridge")
    assert found.held_out == ("en", "it") and found.difference.mean == pytest.approx(0.1)
