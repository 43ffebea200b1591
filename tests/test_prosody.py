"""Source and prosody: layers chosen for each channel, and what states say beyond a transcript, with known truths."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import r2_score

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.targets import Targets
from tractprobe.evidence.analyses.prosody import Prosody
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.per_channel import explained, fit_channels
from tractprobe.evidence.record import Evidence, Finding
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

Configure = Callable[..., Any]
SMALL = ["model=random", "model.layers=2", "model.width=16", "model.channels=8"]
ALONE = Prosody(("mel_frame",), twins=0)


def bench_of(configure: Configure, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure(*overrides))))


@pytest.fixture(scope="module")
def with_source(tmp_path_factory: pytest.TempPathFactory, raw_corpus: Path) -> Path:
    """The toy corpus with source channels."""
    folder = tmp_path_factory.mktemp("source")
    prepare(Folder("toy", raw_corpus), folder, source_channels=True)
    return folder


def states_of(corpus: PreparedCorpus, root: Path, what: Callable[..., np.ndarray]) -> Path:
    """Write states (layer, time, width) that are a function of loudness and phones, and noise."""
    (root / "toy").mkdir(parents=True)
    (root / "features.json").write_text(json.dumps({"rate_hz": 50, "start_s": 199.5 / 16000}))
    random = np.random.default_rng(0)
    for entry in corpus.entries:
        times_s = (199.5 + 320 * np.arange((entry.num_samples - 400) // 320 + 1)) / 16000
        loudness = Targets(["source"]).at(corpus, entry, times_s)[:, 2:]
        labels = PhoneLabels.of(corpus, entry)
        at, position = labels.phone_at(times_s)[:, None], np.nan_to_num(labels.position_at(times_s))[:, None]
        phones = np.concatenate([at == 0, at == 1, (at == 0) * position, (at == 1) * position], axis=1).astype(float)
        states = what(loudness, phones, 0.01 * random.normal(size=(len(times_s), 3)))
        np.save(root / f"{entry.id}.npy", states.astype(np.float32))
    return root


def bench_table(evidence: Evidence) -> dict[tuple[str, str], float]:
    return {(row["measure"], row["who"]): row["r"] for row in evidence.tables[1].rows}


def by_name(evidence: Evidence) -> dict[str, Finding]:
    return {finding.name: finding for finding in evidence.findings}


def test_each_channel_has_the_layer_that_validation_chose_for_it_and_the_scores_that_runs_have(configure: Configure):
    bench = bench_of(configure, *SMALL)
    splits = list(bench.splits().values())
    fits, fitted = fit_channels(bench, splits, bench.targets("ema")), bench.fit(splits)
    for place, (expected, by_label) in enumerate(zip(fitted, fits.rows, strict=True)):
        rows = {(row["layer"], row["speaker"], row["channel"]): row["r"] for row in expected.rows()}
        ours = {(row["layer"], row["speaker"], row["channel"]): row["r"] for own in by_label.values() for row in own}
        assert ours == pytest.approx(rows, abs=1e-12)
        means = [float(np.mean(r)) for r in fits.validation_r[place].values()]
        assert means == pytest.approx(expected.report["best_validation_r"], abs=1e-9)
    choices = fits.chosen()
    for choice, of_split in zip(choices, fits.validation_r, strict=True):
        for number, channel in enumerate(fits.channels):
            assert of_split[choice[channel]][number] == max(r[number] for r in of_split.values())
    at = fits.at(choices)
    assert len(at) == sum(len(fitted.rows()) for fitted in fitted) / len(bench.labels)
    assert all(choices[place][row["channel"]] == row["layer"] for place, split in enumerate(splits)
               for row in at if row["language"] == bench.entries[split.test[0]].language)  # fmt: skip


def test_what_is_explained_about_the_means_is_r2_of_centred_predictions():
    random = np.random.default_rng(0)
    measured = random.normal(3, 2, 400)
    for predicted in (0.5 * measured + random.normal(0, 1, 400) + 7, random.normal(0, 3, 400)):
        row = {
            "r": np.corrcoef(predicted, measured)[0, 1],
            "sd_predicted": predicted.std(),
            "sd_measured": measured.std(),
        }
        expected = r2_score(measured - measured.mean(), predicted - predicted.mean())
        assert explained(row) == pytest.approx(expected)
    assert explained({"r": None, "sd_predicted": 0.0, "sd_measured": 2.0}) == 0
    assert explained({"r": None, "sd_predicted": 1.0, "sd_measured": 0.0}) is None


def test_states_that_are_loudness_say_it_beyond_phones_in_the_layer_that_has_it(
    configure: Configure, with_source: Path, tmp_path: Path
):
    def what(loudness: np.ndarray, phones: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.stack([noise, noise + loudness])

    root = states_of(PreparedCorpus(with_source / "toy"), tmp_path / "states", what)
    evidence = ALONE(bench_of(configure, "model=features", f"model.root={root}", f"paths.data={with_source}"))
    found = by_name(evidence)
    assert found["loudness"].value > 0.99
    assert found["loudness_beyond_phones"].value > 0.6 and found["loudness_beyond_phones"].low > 0
    assert found["loudness_beyond_phones"].unit == "R²"
    layers = {row["layer"]: row for row in evidence.tables[0].rows if row["measure"] == "loudness"}
    assert layers[1]["r"] > 0.99 and layers[0]["r"] < 0.3
    assert layers[1]["chosen"] == 3 and layers[0]["chosen"] == 0
    shares = next(row for row in evidence.tables[2].rows if (row["measure"], row["who"]) == ("loudness", "the encoder"))
    assert shares["both"] == pytest.approx(
        shares["beyond_phones"] + shares["beyond_states"] + shares["common"], abs=1e-9
    )
    beyond = found["loudness_beyond_phones"].value
    assert shares["beyond_phones"] == pytest.approx(beyond)
    assert beyond <= shares["both"] + 1e-9 and beyond <= shares["both"] - shares["transcript"] + 1e-9
    assert {part.kind for part in found["loudness"].by} == {"language", "speaker"}


def test_states_that_are_the_transcript_say_nothing_beyond_it(configure: Configure, with_source: Path, tmp_path: Path):
    def what(loudness: np.ndarray, phones: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.concatenate([phones, noise], axis=1)[None]

    root = states_of(PreparedCorpus(with_source / "toy"), tmp_path / "states", what)
    found = by_name(ALONE(bench_of(configure, "model=features", f"model.root={root}", f"paths.data={with_source}")))
    assert -0.2 < found["loudness_beyond_phones"].value < 0.02
    assert found["loudness_beyond_acoustics"].value < -0.3 and found["loudness_beyond_acoustics"].high < 0
    assert found["loudness_beyond_phones_acoustics"].value > 0.3


def test_without_source_channels_there_is_speech_rate_alone_and_the_way_to_prepare_them(configure: Configure):
    evidence = ALONE(bench_of(configure, "model=mel_frame"))
    found = by_name(evidence)
    assert found["rate"].value is not None
    assert "undefined" in found["rate"].says  # phones of the toy corpus last equally long
    for name in ("f0", "voicing", "loudness", "f0_beyond_phones"):
        assert found[name].value is None and "source_channels=true" in found[name].says
    assert any("tractprobe prepare" in said and "source_channels=true" in said for said in evidence.caveats)
    assert found["rate_beyond_acoustics"].value is None and "mel_frame itself" in found["rate_beyond_acoustics"].says


def test_with_neither_source_channels_nor_phones_it_does_not_apply(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(PreparedCorpus, "phones", lambda corpus, id_: ())
    with pytest.raises(ConfigError, match="neither source channels nor phone labels; tractprobe prepare"):
        ALONE(bench_of(configure, "model=mel_frame"))


def test_random_weights_are_compared_with(configure: Configure, with_source: Path):
    bench = bench_of(configure, *SMALL, "model.seed=3", f"paths.data={with_source}")
    evidence = replace(ALONE, twins=1)(bench)
    found = by_name(evidence)
    assert found["loudness_beyond_twin"].value is not None and abs(found["loudness_beyond_twin"].value) < 0.5
    expected = found["loudness"].value - found["loudness_beyond_twin"].value  # what the twin reads
    table = bench_table(evidence)
    assert table["loudness", "random weights, seed 0"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("wrong", [{"controls": ()}, {"twins": -1}, {"margin_r": 0.0}])
def test_impossible_settings_are_one_line(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        Prosody(**wrong)
