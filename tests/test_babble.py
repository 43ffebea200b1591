"""Analysis of babble: what moves as speech does is read by heads of speech, what moves otherwise is not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.analyses.babble import Babble
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.babble import Babbled, kind_of, minutes_learned
from tractprobe.evidence.record import DoesNotApply
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError

ANALYSIS = Babble(acoustics=("mel_frame",), random_seeds=0, folds=2, validation_folds=2)


def babbling(raw: Path, *, otherwise: bool) -> Path:
    """Turn one of the languages into babble of two kinds, which moves as speech does or as nothing else does."""
    for path in sorted(raw.glob("*_de_*.json")):
        about = json.loads(path.read_text())
        number = int(path.stem.rpartition("_")[2])
        kind = f"babble_{'ab'[number % 2]}"
        text = f"{kind} {about['speaker']} {number}"
        path.write_text(json.dumps(about | {"language": "zxx", "text": text, "labels": {"kind": kind}}))
        if otherwise:
            values = np.load(path.with_suffix(".ema.npy"))
            np.save(path.with_suffix(".ema.npy"), np.roll(-values, 5, axis=1))
    return raw


@pytest.fixture(scope="module", params=[False, True], ids=["same", "otherwise"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    raw = write_corpus(tmp_path_factory.mktemp("raw") / "odd", languages=("en", "it", "de"), sentences=8)
    data = tmp_path_factory.mktemp("prepared")
    prepare(Folder("odd", babbling(raw, otherwise=request.param)), data)
    return data, request.param


@pytest.fixture
def bench(prepared: tuple[Path, bool], configure: Callable[..., Any]) -> Bench:
    given = ("corpora=[odd]", f"paths.data={prepared[0]}", "model=mel_frame", "head.alphas=[0.01,1,100]")
    return Bench(Settings.of(plain(configure(*given))))


def test_what_moves_as_speech_is_read_by_heads_of_speech_and_what_does_not_is_not(bench: Bench, prepared):
    _, otherwise = prepared
    evidence = ANALYSIS(bench)

    def value(name: str) -> float:
        found = evidence.finding(name)
        assert found is not None and found.value is not None, name
        return found.value

    assert value("babble_own_r") > 0.8 and value("speech_own_r") > 0.8
    if otherwise:
        assert value("babble_loss") > 0.5 and value("speech_loss") > 0.5
    else:
        assert abs(value("babble_loss")) < 0.05 and abs(value("speech_loss")) < 0.05
    # The encoder is the spectrum that it is compared with, so nothing is gained or kept over it.
    for name in ("babble_b_beyond_acoustics", "speech_beyond_acoustics", "babble_b_kept_over_acoustics"):
        assert value(name) == pytest.approx(0.0, abs=1e-9)
    assert evidence.finding("babble_a_r") and evidence.finding("babble_b_r")
    nothing = evidence.finding("babble_beyond_random")
    assert nothing is not None and nothing.value is None and "no weights" in nothing.says
    counted = {name: found.n["languages"] for name in ("speech_r", "babble_r") if (found := evidence.finding(name))}
    assert counted == {"speech_r": 2, "babble_r": 0}
    json.dumps([evidence.rows, [row for table in evidence.tables for row in table.rows]], allow_nan=False)


def test_heads_learn_equal_minutes_and_nothing_that_is_tested(bench: Bench):
    entries = list(bench.all_entries.values())
    splits = Babbled(2, None)(entries, bench.rule("sentence", validation_folds=2), 0)
    assert {case.condition for case in splits} == {
        (learned, tested) for learned in ("speech", "babble") for tested in ("speech", "babble_a", "babble_b")
    }
    for case, split in splits.items():
        learned, test = ([bench.all_entries[id_] for id_ in ids] for ids in (split.development, split.test))
        assert {entry.language == "zxx" for entry in learned} == {case.learned == "babble"}
        assert not {sentence(entry) for entry in learned} & {sentence(entry) for entry in test}
    for learned in ("speech", "babble"):
        tested = [id_ for case, split in splits.items() if case.learned == learned for id_ in split.test]
        assert sorted(tested) == sorted(bench.all_entries)
    minutes = minutes_learned(splits, bench.all_entries)
    assert minutes["speech"][0] == pytest.approx(minutes["babble"][0], abs=0.06)


def test_what_names_no_kind_of_babble_is_one_of_its_own_and_shared_texts_are_dealt_once(bench: Bench):
    babble = [entry for entry in bench.all_entries.values() if entry.language == "zxx"]
    odd = [
        replace(entry, labels={"kind": kind}, text=f"text {number // 2}")
        for number, (entry, kind) in enumerate(zip(babble, ["speech", "babble_a", "babble_b", "a+b"] * 9, strict=False))
    ]
    assert {kind_of(entry) for entry in odd} == {"babble_a", "babble_b", "babble_other"}
    speech = [entry for entry in bench.all_entries.values() if entry.language != "zxx"]
    texts = {entry.id: entry.text for entry in odd}
    splits = Babbled(2, None)([*speech, *odd], bench.rule("sentence", validation_folds=2), 0)
    for split in splits.values():
        assert not {texts.get(id_) for id_ in split.development} & {texts.get(id_) for id_ in split.test} - {None}


def test_a_corpus_without_babble_is_one_line(configure: Callable[..., Any]):
    bench = Bench(Settings.of(plain(configure("model=mel_frame"))))
    with pytest.raises(DoesNotApply, match="too little babble"):
        ANALYSIS(bench)
    with pytest.raises(ConfigError, match="margin_r"):
        Babble(margin_r=0.0)
