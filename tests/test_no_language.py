"""Babble (zxx, no linguistic content) is held out and tested like anything else, and never counted as a language."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus, write_utterance

from tractprobe.corpora.audit import audit
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.prepare import describe, prepare
from tractprobe.corpora.prepared.texts import doubts
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.crossed import CrossedRule
from tractprobe.data.splits import SplitRule
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.conduct import conducted
from tractprobe.evidence.record import DoesNotApply
from tractprobe.evidence.tables.rows import tidy
from tractprobe.evidence.tables.table import layer_means, layer_tables, transfer
from tractprobe.jobs import train
from tractprobe.runs.configuration import plain
from tractprobe.runs.result import mean_r, of_languages, speaker_means
from tractprobe.runs.settings import Settings

LANGUAGES = {"de", "en", "it"}
KINDS = ("babble_a", "babble_b")
MODEL = ["model=mel", "model.bands=12", "model.context=1"]
Configure = Callable[..., Any]


def label(root: Path, id_: str, **fields: Any) -> None:
    path = root / f"{id_}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of prepared corpora: `toy` with babble by its speakers, `speech` without it, `babble` alone."""
    root, folder = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("prepared")
    for name in ("toy", "speech"):
        write_corpus(root / name)
        for path in list((root / name).glob("*.json")):
            label(root / name, path.stem, labels={"kind": "speech"})
    for name in ("toy", "babble"):
        for speaker in range(3):
            for number in range(4):
                id_ = f"s{speaker}_zxx_{number}"
                write_utterance(
                    root / name, id_, speaker=f"s{speaker}", language="zxx", text="", seed=900 + 10 * speaker + number
                )
                label(root / name, id_, phones=[], labels={"kind": KINDS[number % 2]})
    for name in ("toy", "speech", "babble"):
        prepare(Folder(name, root / name), folder)
    return folder


@pytest.fixture(scope="module")
def entries(data: Path) -> tuple[Entry, ...]:
    return PreparedCorpus(data / "toy").entries


def languages_of(entries: tuple[Entry, ...], ids: Any) -> set[str]:
    by_id = {entry.id: entry for entry in entries}
    return {by_id[id_].language for id_ in ids}


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results for each value that can be held out, by what is held out, of `toy`."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from tractprobe.runs.configuration import conf_dir
    from tractprobe.runs.hydra import register_resolvers

    register_resolvers()
    GlobalHydra.instance().clear()
    place = tmp_path_factory.mktemp("runs")
    paths = [f"paths.data={data}", f"paths.runs={place}", f"paths.cache={place / 'cache'}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("train", overrides=["corpora=[toy]", "tracking=off", "held_out=all", *MODEL, *paths])
    return {result["identity"]["held_out"]: result for result in train(config)}


def test_it_can_be_held_out_and_nothing_learns_from_it(entries):
    rule = SplitRule("language")
    assert rule.values(entries) == ["de", "en", "it", "zxx"]
    of_babble = rule(entries, "zxx", 0)
    assert languages_of(entries, of_babble.test) == {"zxx"} and len(of_babble.test) == 12
    assert languages_of(entries, of_babble.development) == LANGUAGES
    speech = [entry for entry in entries if entry.language != "zxx"]
    for held_out in LANGUAGES:
        assert rule(entries, held_out, 0) == rule(speech, held_out, 0)  # with babble as without


@pytest.mark.parametrize(
    ("by", "held_out", "tested", "learned"),
    [
        ("kind", "babble_a", {"zxx"}, LANGUAGES),
        ("kind", "babble_a+babble_b", {"zxx"}, LANGUAGES),
        ("kind", "speech", LANGUAGES, {"zxx"}),
        ("speaker", "s0", LANGUAGES | {"zxx"}, LANGUAGES),
        ("language", "it+zxx", {"it", "zxx"}, LANGUAGES - {"it"}),
        ("language:speaker", "zxx:s1", {"zxx"}, LANGUAGES),
        ("sentence", "fold1", LANGUAGES | {"zxx"}, LANGUAGES),
    ],
)
def test_heads_learn_from_it_only_where_nothing_else_is_left(entries, by, held_out, tested, learned):
    split = SplitRule(by, shared_texts_tested=0.5)(entries, held_out, 0)
    assert languages_of(entries, split.test) == tested
    assert languages_of(entries, split.development) == learned
    for fold in split.folds:
        assert languages_of(entries, (*fold.train, *fold.validation)) <= learned


def test_utterances_of_no_text_are_sentences_of_their_own(entries):
    split = SplitRule("kind")(entries, "speech", 0)
    assert len(split.development) == 12  # each is a sentence of its own
    assert SplitRule("kind")(entries, "babble_a", 0).test == tuple(
        sorted(entry.id for entry in entries if entry.labels["kind"] == "babble_a")
    )


def test_preparing_does_not_complain_of_texts(data, entries):
    assert "without a text" not in describe(PreparedCorpus(data / "toy"))
    long = [Entry(f"c/{number}", "c", "c/s", "zxx", "babble a 03", 16000 * 60) for number in range(9)]
    assert doubts([*long, *entries]) == []
    assert doubts([Entry("c/it", "c", "c/s", "it", "babble a 03", 16000 * 60)])


def test_the_audit_does_not_complain_of_phones(data):
    for name in ("babble", "toy"):
        corpus = PreparedCorpus(data / name)
        audited = audit((corpus.utterance(entry.id) for entry in corpus.entries), corpus.palates)
        checks = [check for speaker in audited.speakers for check in speaker.checks]
        assert not [check for check in checks if "phone" in check.detail and check.verdict in ("fail", "look")]


def test_babble_has_scores_of_its_own(runs):
    assert set(runs) == LANGUAGES | {"zxx"}
    assert {row["language"] for row in runs["zxx"]["scores"]} == {"zxx"} and mean_r(runs["zxx"], 0) is not None


def test_means_over_languages_omit_it_and_say_so(runs):
    rows = [row for held_out, result in runs.items() for row in tidy(f"mel/language/ridge/{held_out}/s0", result)]
    (table,) = layer_tables(rows)
    assert table.columns == ("de", "en", "it", "zxx", "mean")
    r = {column: table.cells[0, column].mean for column in table.columns}
    assert r["mean"] == pytest.approx(np.mean([r[language] for language in sorted(LANGUAGES)]))
    assert r["mean"] != pytest.approx(np.mean([r[column] for column in table.held_out]))
    assert table.cells[0, "mean"].languages == 3 and table.cells[0, "zxx"].n == 3
    assert "zxx (no linguistic content) is no language: means over several languages omit it" in str(table)
    assert [row["held_out"] for row in transfer(rows)] == ["de", "en", "it", "zxx"]
    assert "no language" not in str(layer_tables([row for row in rows if row["held_out"] != "zxx"])[0])


def test_a_test_of_speech_and_babble_is_a_mean_over_the_speech(runs):
    both = [*runs["it"]["scores"], *runs["zxx"]["scores"]]
    assert of_languages(both) == runs["it"]["scores"] and of_languages(runs["zxx"]["scores"]) == runs["zxx"]["scores"]
    assert speaker_means(both) == speaker_means(runs["it"]["scores"])
    means = layer_means(tidy("run", runs["it"] | {"scores": both}))[0]
    assert means["test/r/mean"] == means["test/r/it"] and "test/r/zxx" in means


def bench_of(configure: Configure, data: Path, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure(f"paths.data={data}", *MODEL, *overrides))))


def test_analyses_do_not_see_it_unless_they_ask(configure, data):
    bench = bench_of(configure, data)
    assert {entry.language for entry in bench.entries.values()} == LANGUAGES and len(bench.entries) == 36
    assert len(bench.all_entries) == 48
    assert set(bench.splits()) == LANGUAGES
    assert "zxx" not in {unit[0] for arm in CrossedRule(2, 1)(list(bench.entries.values()), 0) for unit in arm.tested}
    babble = next(id_ for id_ in bench.all_entries if "zxx" in id_)
    assert bench.states_of(babble).shape[1] == len(bench.times_s(babble))
    (fitted,) = bench.fit([SplitRule("language")(list(bench.all_entries.values()), "zxx", 0)])
    assert {row["language"] for row in fitted.rows()} == {"zxx"}


@pytest.mark.parametrize("corpora", ["toy", "speech"])
def test_a_record_says_what_it_left_out(configure, data, corpora):
    settings = ["analysis=published", f"corpora=[{corpora}]", f"paths.data={data}", *MODEL]
    record = conducted(Settings.of(plain(configure(*settings))))
    said = "12 of 48 utterances have no linguistic content (zxx), which is no language: nothing that is over"
    assert any(caveat.startswith(said) for caveat in record.evidence.caveats) == (corpora == "toy")
    assert record.material["languages"] == sorted(LANGUAGES) and record.material["utterances"] == 36


def test_babble_alone_has_no_languages_to_analyse(configure, data):
    with pytest.raises(DoesNotApply, match="no utterance is of a language"):
        bench_of(configure, data, "corpora=[babble]").splits()
