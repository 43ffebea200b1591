"""Targets made from labels: phones, features, further sensors, speech rate; what scales and moments make of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_corpus

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.utterance import Phone, Utterance
from tractprobe.data.extra_targets import ExtraSensors
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.phone_targets import Features, InPhones, Phones
from tractprobe.data.rate_targets import SpeechRate
from tractprobe.data.scales import SpeakerScale
from tractprobe.data.targets import Positions, Targets
from tractprobe.inversion.export import _sets
from tractprobe.probes.linear.fit import fit as fit_linear
from tractprobe.probes.linear.group_moments import GroupMoments
from tractprobe.probes.problem import Problem
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError, RunError

TIMES_S = (320 * np.arange(60) + 199.5) / 16000
SYLLABLES = ("a", "m", "sil", "ai", "tʃ", "?", "i")
"""In the labelled corpus one after the other, 0.1 s each, from 0.1 s on."""


@dataclass
class Relabelled(Folder):
    """The toy corpus with other labels, and a velum for one speaker."""

    labels: tuple[str, ...] = SYLLABLES

    def read(self, source: Any) -> Any:
        for utterance in super().read(source):
            own = self.labels if utterance.language != "de" else ("a", "n̩")
            phones = [Phone(label, 0.1 + 0.1 * n, 0.2 + 0.1 * n) for n, label in enumerate(own)]
            velum = utterance.track.values[:, 0] if utterance.speaker == "s0" else None
            extra = {"v_x": velum, "v_y": -velum, "bn_x": velum * 0} if velum is not None else {}
            fields = {name: getattr(utterance, name) for name in Utterance.__dataclass_fields__}
            yield Utterance(**{**fields, "phones": tuple(phones), "phone_set": "ipa", "extra": extra})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    raw = write_corpus(root / "raw", speakers=2, sentences=3)
    prepare(Relabelled("toy", raw), root / "data")
    prepare(Relabelled("silent", raw, labels=()), root / "data")
    return root / "data"


@pytest.fixture(scope="module")
def labelled(folder: Path) -> PreparedCorpus:
    return PreparedCorpus(folder / "toy")


def test_phones_are_one_hot_where_there_is_one_and_missing_elsewhere(labelled: PreparedCorpus):
    phones = Phones().over([labelled])
    assert phones.channels == ("a", "ai", "i", "m", "n̩", "tʃ")
    entry = next(entry for entry in labelled.entries if entry.language == "it")
    values = phones.at(labelled, entry, TIMES_S)
    for time_s, row in zip(TIMES_S, values, strict=True):
        number = int(np.floor((time_s - 0.1) / 0.1 + 1e-9))
        label = SYLLABLES[number] if 0 <= number < len(SYLLABLES) else "sil"
        if label in ("sil", "?"):
            assert np.isnan(row).all()
        else:
            assert row.tolist() == [float(channel == label) for channel in phones.channels]


def test_a_phone_outside_the_inventory_is_none_of_it(labelled: PreparedCorpus):
    entry = next(entry for entry in labelled.entries if entry.language == "it")
    values = Phones(("m",)).at(labelled, entry, np.array([0.15, 0.25, 0.35]))
    assert values[:2].tolist() == [[0.0], [1.0]] and np.isnan(values[2, 0])
    assert Phones(("m",)).over([labelled]).channels == ("m",)


def test_features_are_those_of_the_phone_and_missing_where_it_has_none(labelled: PreparedCorpus):
    features = Features().over([labelled])
    entry = next(entry for entry in labelled.entries if entry.language == "it")
    at = dict(zip(features.channels, features.at(labelled, entry, np.array([0.15, 0.25, 0.45, 0.35])).T, strict=True))
    np.testing.assert_array_equal(at["manner=nasal"], [0, 1, 0, np.nan])
    np.testing.assert_array_equal(at["place=bilabial"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(at["height=open"], [1, np.nan, np.nan, np.nan])  # ai has no one height
    np.testing.assert_array_equal(at["voicing=voiced"], [1, 1, 1, np.nan])
    blocks = features.lost_together
    assert sorted(channel for block in blocks for channel in block) == list(range(len(features.channels)))
    values = features.at(labelled, entry, TIMES_S)
    for block in blocks:  # exactly one value of a category where it is defined
        defined = np.isfinite(values[:, list(block)])
        assert (defined.all(axis=1) == defined.any(axis=1)).all()
        np.testing.assert_array_equal(values[defined.all(axis=1)][:, list(block)].sum(axis=1), 1)


def test_a_corpus_without_labels_is_named(folder: Path, labelled: PreparedCorpus, configure: Callable[..., Any]):
    silent = PreparedCorpus(folder / "silent")
    for name in ("phones", "features"):
        with pytest.raises(ConfigError, match=f"targets={name}: silent has no phone labels"):
            Targets([name]).over([replace_german(silent)])
    assert Phones().over([replace_german(silent), labelled]).channels == Phones().over([labelled]).channels


def replace_german(corpus: PreparedCorpus) -> PreparedCorpus:
    """Leave out the utterances that have labels whatever ``labels`` says."""
    corpus.__dict__["entries"] = tuple(entry for entry in corpus.entries if entry.language != "de")
    return corpus


def test_rate_counts_phones_and_nuclei_per_second_of_speech(labelled: PreparedCorpus):
    entry = next(entry for entry in labelled.entries if entry.language == "it")
    values = SpeechRate(0.02).at(labelled, entry, np.array([0.15, 0.25, 0.35, 0.45]))
    np.testing.assert_allclose(values, [[10, 10], [10, 0], [np.nan, np.nan], [10, 10]])
    german = next(entry for entry in labelled.entries if entry.language == "de")
    wide = SpeechRate(1.0).at(labelled, german, np.array([0.2]))
    np.testing.assert_allclose(wide, [[10, 10]])  # n̩ is a nucleus, and pauses count neither way
    wide = SpeechRate(10.0).at(labelled, entry, np.array([0.15]))
    np.testing.assert_allclose(wide, [[10, 6]], rtol=0.02)  # three of five phones


def test_extra_sensors_are_masked_where_a_speaker_has_none(labelled: PreparedCorpus, toy: PreparedCorpus):
    extra = ExtraSensors(Smoothing()).over([labelled])
    assert extra.channels == ("v_x", "v_y") and extra.lost_together == ((0, 1),)
    for entry in labelled.entries[:6]:
        values = extra.at(labelled, entry, TIMES_S)
        if entry.speaker == "toy/s0":
            expected = Positions(Smoothing()).at(labelled, entry, TIMES_S)[:, 0]
            np.testing.assert_allclose(values, np.stack([expected, -expected], axis=1))
        else:
            assert np.isnan(values).all()
    with pytest.raises(ConfigError, match="targets=extra: toy has no sensor"):
        Targets(["extra"]).over([toy])


def test_movements_in_phones_are_movements_at_labelled_frames_only(labelled: PreparedCorpus):
    positions, entry = Positions(Smoothing()), labelled.entries[0]
    inside, everywhere = (each.at(labelled, entry, TIMES_S) for each in (InPhones(positions), positions))
    at = PhoneLabels.of(labelled, entry).phone_at(TIMES_S) >= 0
    np.testing.assert_array_equal(inside[at], everywhere[at])
    assert np.isnan(inside[~at]).all() and at.any() and not at.all()


def test_sets_say_what_is_lost_together_and_what_is_not_standardised(labelled: PreparedCorpus):
    assert Targets(["ema", "source"]).lost_together == (*((n, n + 1) for n in range(0, 14, 2)), (14,))
    targets = Targets(["ema", "phones", "source"]).over([labelled])
    phones = tuple(range(12, 18))
    assert targets.lost_together == (*((n, n + 1) for n in range(0, 12, 2)), phones, (18, 19), (20,))
    assert targets.as_they_are.tolist() == [False] * 12 + [True] * 6 + [False] * 3
    assert targets.identity[2]["phones"]["phones"] == list(Phones().over([labelled]).channels)


def test_yes_or_no_channels_stay_as_they_are_even_if_a_speaker_never_has_them():
    developed = np.array([[9.0, 9, 0], [0, 4, 0], [0, 4, 0]])
    tested = np.array([[5.0, 5, 0], [2, 1, 0], [2, 1, 0]])
    scale = SpeakerScale.of(developed, tested, np.array([True, True, True]))
    np.testing.assert_array_equal(scale.mean, [0, 0, np.nan])
    np.testing.assert_array_equal(scale.sd, [1, 1, np.nan])
    assert not scale.from_test.any()
    assert np.isnan(SpeakerScale.of(developed, tested).mean[0])  # what a movement that never moves gets


def test_channels_that_are_lost_together_have_one_matrix():
    random = np.random.default_rng(0)
    valid = torch.ones(50, 9, dtype=torch.bool)
    valid[10:20, 2:8] = False
    x, y = (torch.from_numpy(random.normal(size=(50, width))) for width in (2, 9))
    blocks = [(0, 1), (2, 3, 4, 5, 6, 7), (8,)]
    by_block, by_pair = GroupMoments({"0": 2}, 9, lost_together=blocks), GroupMoments({"0": 2}, 9)
    for part in (slice(0, 15), slice(15, 50)):
        for moments in (by_block, by_pair):
            moments.include({"0": x[part].float()}, y[part], valid[part])
    assert list(by_block.lost) == [blocks[1]] and list(by_pair.lost) == [(2, 3), (4, 5), (6, 7)]
    for pair in by_pair.lost:
        torch.testing.assert_close(by_pair.lost[pair]["0"].xx, by_block.lost[blocks[1]]["0"].xx)
    expected = x[10:20].float().double().T @ x[10:20].float().double()
    torch.testing.assert_close(by_block.lost[blocks[1]]["0"].xx.triu(), expected.triu())


def test_heads_of_what_corpora_decide_are_not_exported():
    assert _sets(Path("run"), ["ema", "rate"]) == ["ema"] * 12 + ["rate"] * 2
    with pytest.raises(RunError, match="run: heads of phones, extra belong to the run's corpora"):
        _sets(Path("run"), ["ema", "phones", "extra"])


def test_the_engine_decodes_phones_and_features_with_undefined_r_only_where_nothing_varies(
    configure: Callable[..., Any], folder: Path
):
    config = configure(f"paths.data={folder}", "held_out=it", "model.context=1", "targets=[phones,features,ema]")
    problem = Problem.of(Settings.of(plain(config)))
    (fitted,) = fit_linear([problem], problem.states(torch.device("cpu")), torch.device("cpu"))
    rows = fitted.rows()
    assert {row["target"] for row in rows} == {"phones", "features", "ema"}
    by_channel = {(row["channel"], row["speaker"]): row for row in rows}
    assert by_channel["n̩", "toy/s0"]["r"] is None  # no Italian has it
    assert by_channel["n̩", "toy/s0"]["n_frames"] == by_channel["a", "toy/s0"]["n_frames"] > 0
    for row in rows:
        assert (row["r"] is None) == (row["sd_measured"] == 0), row["channel"]
    alone = replace(problem, targets=Targets(["phones"]).over(problem.corpora))
    (fitted_alone,) = fit_linear([alone], alone.states(torch.device("cpu")), torch.device("cpu"))
    for row in fitted_alone.rows():  # other sets do not change a number
        assert row["r"] == pytest.approx(by_channel[row["channel"], row["speaker"]]["r"], abs=1e-9)
