"""What can be held out: labels, several values at once, crossed cells; in splits, names of runs and tables."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_splits import WORLD, entry, parts

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.splits import SplitRule
from tractprobe.evidence.tables.comparison import differences
from tractprobe.evidence.tables.rows import collect
from tractprobe.evidence.tables.table import layer_tables
from tractprobe.jobs import train
from tractprobe.probes.opening import each_held_out
from tractprobe.runs.configuration import plain
from tractprobe.runs.identity import _as_folder, held_out_as_text
from tractprobe.runs.settings import Settings
from tractprobe.runs.status import statuses
from tractprobe.system.errors import ConfigError, RunError


def with_labels(one: Entry) -> Entry:
    gender = "f" if one.speaker in ("c/s0", "c/s1") else "m"
    style = "read" if int(one.text.split()[1]) < 6 else "free speech"
    return replace(one, labels={"gender": gender, "style": style})


LABELLED = [with_labels(one) for one in WORLD]


def test_a_value_of_a_label_is_nowhere_but_in_the_test():
    split = parts(SplitRule("gender", shared_texts_tested=0.2)(LABELLED, "f", 0), LABELLED)
    assert {one.labels["gender"] for one in split["test"]} == {"f"}
    assert {one.labels["gender"] for one in split["development"]} == {"m"}
    assert not {one.text for one in split["test"]} & {one.text for one in split["development"]}
    free = parts(SplitRule("style")(LABELLED, "free speech", 0), LABELLED)
    assert {one.speaker for one in free["test"]} == {one.speaker for one in free["development"]}
    assert len(free["test"]) == 48 and len(free["development"]) == 72
    assert SplitRule("gender").values(LABELLED) == ["f", "m"]


def test_an_utterance_without_the_label_is_named_or_left_out():
    some = [*LABELLED, entry("s8", "en", "en 3"), entry("s7", "en", "en 4")]
    with pytest.raises(ConfigError, match=r"2 of 122 utterances have no label gender \(the first: c/s7_en_en 4_0\)"):
        SplitRule("gender")(some, "f", 0)
    with pytest.raises(ConfigError, match="have no label gender"):
        SplitRule("gender").values(some)
    wider = [replace(LABELLED[0], labels={"gender": "f+m"}), *LABELLED]
    with pytest.raises(ConfigError, match=r"held_out=f\+m is one value of gender and also 2"):
        SplitRule("gender")(wider, "f+m", 0)
    out = SplitRule("gender", unlabelled="left_out", shared_texts_tested=0.2)
    assert out(some, "f", 0) == out(LABELLED, "f", 0) and out.values(some) == ["f", "m"]
    with pytest.raises(ConfigError, match="no utterance has the label rate; labels are gender, style"):
        SplitRule("rate", unlabelled="left_out")(some, "N", 0)
    with pytest.raises(ConfigError, match="these corpora have no labels"):
        SplitRule("nosuch")(WORLD, "it", 0)


def test_all_that_are_named_are_held_out_at_once():
    rule = SplitRule("speaker", shared_texts_tested=0.2)
    split = parts(rule(WORLD, "s1+c/s2", 0), WORLD)
    assert {one.speaker for one in split["test"]} == {"c/s1", "c/s2"}
    assert {one.speaker for one in split["development"]} == {"c/s0", "c/s3"}
    assert not {one.text for one in split["test"]} & {one.text for one in split["development"]}
    assert rule(WORLD, "s2+s1", 0) == rule(WORLD, "s1+c/s2", 0)
    languages = parts(SplitRule("language")(WORLD, "it+de", 0), WORLD)
    assert {one.language for one in languages["development"]} == {"en"} and len(languages["test"]) == 80
    folds = [set(SplitRule("sentence")(WORLD, name, 0).test) for name in ("fold0", "fold1", "fold0+fold1")]
    assert folds[2] == folds[0] | folds[1]


def test_a_crossed_cell_is_tested_by_heads_that_know_neither_of_its_values():
    rule = SplitRule("language:speaker")
    split = parts(rule(WORLD, "it:s1", 0), WORLD)
    assert {(one.language, one.speaker) for one in split["test"]} == {("it", "c/s1")} and len(split["test"]) == 10
    assert {one.language for one in split["development"]} == {"en", "de"}
    assert {one.speaker for one in split["development"]} == {"c/s0", "c/s2", "c/s3"}
    assert len(rule.values(WORLD)) == 12 and "it:c/s1" in rule.values(WORLD)
    both = parts(rule(WORLD, "it:s1+de:s0", 0), WORLD)
    assert {(one.language, one.speaker) for one in both["test"]} == {("it", "c/s1"), ("de", "c/s0")}
    assert {(one.language, one.speaker) for one in both["development"]} == {("en", "c/s2"), ("en", "c/s3")}
    styles = parts(SplitRule("speaker:style", shared_texts_tested=0.5)(LABELLED, "s1:read", 0), LABELLED)
    assert {one.labels["style"] for one in styles["development"]} == {"free speech"}
    assert "c/s1" not in {one.speaker for one in styles["development"]}


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "twice": (lambda: SplitRule("speaker")(WORLD, "s1+c/s1", 0), "names c/s1 twice"),
    "one unknown": (lambda: SplitRule("speaker")(WORLD, "s1+s77", 0), "held_out=s77 names no speaker"),
    "half a cell": (
        lambda: SplitRule("language:speaker")(WORLD, "it", 0),
        "one value of each, such as de:c/s0",
    ),
    "no such cell": (lambda: SplitRule("language:speaker")(WORLD, "it:s9", 0), "names no language:speaker"),
    "all of it": (lambda: SplitRule("language")(WORLD, "it+de+en", 0), "leaves nothing to learn from"),
    "no axis": (lambda: SplitRule("a b"), "split.by=a b: expected language, speaker, corpus, the name of a label"),
    "twice crossed": (lambda: SplitRule("speaker:speaker"), "split.by=speaker:speaker"),
    "crossed sentences": (lambda: SplitRule("sentence:speaker"), "folds"),
    "no label": (lambda: SplitRule("label"), "give split.by"),
    "folds twice": (lambda: SplitRule("sentence")(WORLD, "fold0+fold0", 0), "expected one of fold0"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_held_out_says_why(case: str):
    make, problem = ERRORS[case]
    with pytest.raises(ConfigError, match=problem):
        make()


names = st.sampled_from("abcd")


@given(
    st.lists(st.tuples(names, names, names, st.sampled_from("xyz")), min_size=3, max_size=40),
    st.sampled_from(["language:speaker", "speaker:style", "style", "language"]),
    st.integers(0, 3),
    st.randoms(),
)
def test_nothing_leaks_on_any_axis(rows, by, seed, random):
    entries = [
        replace(entry(speaker, language, text, number=n), labels={"style": style})
        for n, (speaker, language, text, style) in enumerate(rows)
    ]
    rule = SplitRule(by, shared_texts_tested=0.5)
    values = rule.values(entries)
    held_out = "+".join(sorted(set(random.choices(values, k=2))))
    try:
        split = rule(entries, held_out, seed)
    except ConfigError:
        return
    divided = parts(split, entries)
    test, development = divided["test"], divided["development"]
    for axis in by.split(":"):
        tested, learned = ({one.labels.get(axis) or getattr(one, axis) for one in side} for side in (test, development))
        assert tested and learned and not tested & learned
    assert not {one.text for one in test} & {one.text for one in development}
    shuffled = entries[:]
    random.shuffle(shuffled)
    assert rule(shuffled, held_out, seed) == split


def test_folders_are_one_of_a_kind():
    """Whatever is held out, no two of a split share a folder, and none leaves its place."""
    speakers = ["a/b-c", "a-b/c", "a/b", "a", "b-c", "c", "b", "a-b", "a-b-c"]
    lists = [f"{one}+{other}" for one in speakers for other in speakers if one < other]
    folders = [_as_folder(name, "speaker", ["a", "a-b"]) for name in ["a/b-c", "a-b/c", *lists]]
    assert len(set(folders)) == len(folders) and not any("/" in folder for folder in folders)
    texts = ["..", "../x", "x", "a b", "a-b", "a+b", "a/b", ".", "é", "a:b", "F" * 200, "-x"]
    labels = [_as_folder(text, "style", []) for text in texts]
    assert len(set(labels)) == len(labels)
    assert all(Path(label).name == label and label[0] not in ".-" and len(label) < 120 for label in labels)


def test_a_list_is_the_same_run_in_any_order(configure: Callable[..., Any]):
    settings = [
        Settings.of(plain(configure("split=speaker", f"held_out={value}"))) for value in ("[s1,s0]", "[s0,s1]", "s0+s1")
    ]
    assert {own.name for own in settings} == {settings[0].name} and "/s0+s1/" in settings[0].name
    assert settings[0].held_out == "s0+s1"
    (alone,) = {Settings.of(plain(configure("held_out=[it]"))).name, Settings.of(plain(configure("held_out=it"))).name}
    assert "/it/" in alone
    for bad, problem in {"[]": "held out|hold out", "[it,it]": "named once", "[all,it]": "hold out at once",
                         "[1,2]": "quoted twice"}.items():  # fmt: skip
        with pytest.raises(ConfigError, match=problem):
            Settings.of(plain(configure(f"held_out={bad}")))
    with pytest.raises(ConfigError, match="can only be held out alone"):
        held_out_as_text(["a+b", "c"])


def test_every_cell_in_turn(configure: Callable[..., Any]):
    runs = each_held_out(Settings.of(plain(configure("split=crossed", "held_out=all"))))
    assert len(runs) == 9 and len({own.name for own in runs}) == 9
    assert runs[0].held_out == "de:toy/s0" and "/de+toy-s0/" in runs[0].name


def test_runs_of_lists_and_cells_are_done_and_not_counted_twice(configure: Callable[..., Any], tmp_path: Path):
    together = train(configure("split=speaker", "model=mel_frame", "held_out=[s1,s0]"))
    assert {row["speaker"] for row in together["scores"]} == {"toy/s0", "toy/s1"}
    assert together["identity"]["held_out"] == "s0+s1" and together["settings"]["held_out"] == ["s1", "s0"]
    for value in ("s0", "s2"):
        train(configure("split=speaker", "model=mel_frame", f"held_out={value}"))
    rows = collect(tmp_path / "runs")
    assert [table.columns for table in layer_tables(rows)] == [("s0", "s2", "mean"), ("s0+s1",)]
    with pytest.raises(RunError, match="both test toy/s0 on the same utterances"):
        differences([row | {"head": head} for row in rows for head in ("ridge", "mlp")], "ridge")
    apart = [row for row in rows if row["held_out"] != "s0"]
    assert [table.columns for table in layer_tables(apart)] == [("s0+s1", "s2", "mean")]
    cell = train(configure("split=crossed", "model=mel_frame", "held_out=it:s1"))
    assert {(row["language"], row["speaker"]) for row in cell["scores"]} == {("it", "toy/s1")}
    assert list((tmp_path / "runs").glob("mel_frame/all/ridge/it+s1/s0-*/result.json"))


def test_every_value_of_a_label_in_turn(configure: Callable[..., Any], tmp_path: Path, raw_corpus: Path):
    """By gender speakers are apart, and the table has a mean; by style they are not, and their frames are pooled."""
    raw = tmp_path / "raw"
    shutil.copytree(raw_corpus, raw)
    for file in raw.glob("*.json"):
        fields = json.loads(file.read_text())
        style = "read" if file.stem[-1] in "01" else "free"
        gender = "f" if fields["speaker"] == "s0" else "m"
        file.write_text(json.dumps(fields | {"labels": {"gender": gender, "style": style}}))
    prepare(Folder("labelled", raw), tmp_path / "data")
    own = ["corpora=[labelled]", f"paths.data={tmp_path / 'data'}", "model=mel_frame", "split=label", "held_out=all"]
    runs = {by: train(configure(*own, f"split.by={by}")) for by in ("gender", "style")}
    assert [result["identity"]["held_out"] for result in runs["gender"]] == ["f", "m"]
    assert {row["speaker"] for row in runs["gender"][0]["scores"]} == {"labelled/s0"}
    assert {row["speaker"] for row in runs["style"][0]["scores"]} == {f"labelled/s{number}" for number in range(3)}
    tables = {table.score_rows[0]["split"]: table for table in layer_tables(collect(tmp_path / "runs"))}
    assert tables["gender"].columns == ("f", "m", "mean") and tables["style"].columns == ("free", "read", "pooled")
    cell = tables["style"].means[0, "pooled"]
    assert len(cell.rows) == 9 * 12 and not cell.averaged
    done = [status for status in statuses(tmp_path / "runs") if status.state == "done"]
    assert len(done) == 4 and {Path(status.run).parent.name for status in done} == {"f", "m", "read", "free"}
