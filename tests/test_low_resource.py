"""Analysis of low resource: a language that needs its own minutes is told from one that does not, and nothing leaks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.analyses.low_resource import ADDED, ALONE, OTHERS, LowResource
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.voices import parts_of
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

ANALYSIS = LowResource(minutes=(0.05, 0.1, 9.0), speaker_folds=3, validation_folds=2)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three languages, in the third of which every channel moves as another one does in the others."""
    raw = write_corpus(tmp_path_factory.mktemp("raw") / "odd", languages=("en", "it", "de"), sentences=8)
    for path in sorted(raw.glob("*_de_*.npy")):
        values = np.load(path)
        np.save(path, np.roll(-values, 5, axis=1))
    data = tmp_path_factory.mktemp("prepared")
    prepare(Folder("odd", raw), data)
    return data


@pytest.fixture
def bench(odd: Path, configure: Callable[..., Any]) -> Bench:
    given = ("corpora=[odd]", f"paths.data={odd}", "model=mel_frame", "head.alphas=[0.01,1,100]")
    return Bench(Settings.of(plain(configure(*given))))


def test_what_minutes_add_is_found_in_the_language_that_needs_them(bench: Bench):
    evidence = ANALYSIS(bench)
    found = evidence.finding("gain_most")
    assert found is not None and found.n == {"speakers": 3, "languages": 3}
    by = {part.name: part.value for part in found.by if part.kind == "language"}
    over = evidence.finding("others_over_most")
    assert over is not None
    over_by = {part.name: part.value for part in over.by if part.kind == "language"}
    assert by["de"] > max(by["en"], by["it"])  # type: ignore[operator, type-var]
    assert over_by["de"] < -0.4  # type: ignore[operator]
    # Half of what the others teach en and it is the odd language, which contradicts them; all of what they teach de is.
    assert min(over_by["en"], over_by["it"]) > over_by["de"] + 0.3  # type: ignore[operator, type-var]
    rows = {(row["condition"], row["minutes"], row["language"]): row["r"] for row in evidence.rows}
    assert rows[ALONE, 0.1, "de"] > 0.6
    assert {minutes for _, minutes, _ in rows} == {0.0, 0.05, 0.1}  # there are no 9 min
    json.dumps([evidence.rows, [row for table in evidence.tables for row in table.rows]], allow_nan=False)
    assert any("unknown in every condition" in caveat for caveat in evidence.caveats)


@pytest.mark.parametrize("held_out", [True, False])
def test_no_test_sentence_or_held_out_speaker_is_learned_from_and_minutes_are_nested(bench: Bench, held_out):
    analysis = LowResource(minutes=(0.05, 0.1), held_out_speakers=held_out, speaker_folds=3, validation_folds=2)
    rule, entries = bench.rule("sentence", validation_folds=2), bench.entries
    cases = list(analysis._cases(bench, "it", parts_of(bench), rule))
    assert len(cases) == (15 if held_out else 5)
    tested = [id_ for case, split in cases if case.condition == OTHERS for id_ in split.test]
    assert len(tested) == len(set(tested)) and {entries[id_].speaker for id_ in tested} == {
        "odd/s0",
        "odd/s1",
        "odd/s2",
    }
    for case, split in cases:
        learned, test = ([entries[id_] for id_ in ids] for ids in (split.development, split.test))
        assert {entry.language for entry in test} == {"it"}
        assert not {sentence(entry) for entry in learned} & {sentence(entry) for entry in test}
        assert bool({entry.speaker for entry in learned} & {entry.speaker for entry in test}) != held_out
        languages = {entry.language for entry in learned}
        assert languages == {OTHERS: {"en", "de"}, ALONE: {"it"}, ADDED: {"en", "de", "it"}}[case.condition]
        if case.condition == ALONE:
            assert sum(entry.duration_s for entry in learned) >= 60 * case.minutes
    alone = {(case.minutes, split.test): set(split.development) for case, split in cases if case.condition == ALONE}
    for (minutes, test), ids in alone.items():
        assert minutes == 0.1 or ids < alone[0.1, test]


def test_minutes_too_few_to_choose_a_layer_by_are_read_at_that_of_other_languages(
    odd: Path, configure: Callable[..., Any]
):
    given = ("corpora=[odd]", f"paths.data={odd}", "model=random", "model.layers=2", "model.width=16")
    bench = Bench(Settings.of(plain(configure(*given, "head.alphas=[0.01,1,100]"))))
    evidence = LowResource(minutes=(0.02, 0.1), speaker_folds=3, validation_folds=2)(bench)  # one sentence; five
    layers = {
        (row["condition"], row["minutes"], row["language"], row["speaker"]): row["layer"] for row in evidence.rows
    }
    for (condition, minutes, *tested), layer in layers.items():
        if (condition, minutes) == (ALONE, 0.02):
            assert layer == layers[OTHERS, 0.0, *tested]
    assert any(said.startswith("0.02 min alone are too few") for said in evidence.caveats)


def test_too_little_speech_or_one_language_is_one_line(bench: Bench, configure: Callable[..., Any]):
    with pytest.raises(ConfigError, match=r"no language has 9 min"):
        LowResource(minutes=(9.0,))(bench)
    with pytest.raises(ConfigError, match="speaker_folds"):
        LowResource(speaker_folds=1)
