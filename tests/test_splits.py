import json
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.texts import doubts, drawn_as, letters, sentence, version, words
from tractprobe.data.splits import Split, SplitRule
from tractprobe.evidence.tables.rows import collect
from tractprobe.evidence.tables.table import layer_tables
from tractprobe.jobs import train
from tractprobe.system.errors import ConfigError


def entry(speaker: str, language: str, text: str, corpus: str = "c", number: int = 0) -> Entry:
    return Entry(f"{corpus}/{speaker}_{language}_{text}_{number}", corpus, f"{corpus}/{speaker}", language, text, 16000)


LANGUAGES = ("en", "it", "de")
WORLD = [
    entry(f"s{speaker}", language, f"{language} {text}")
    for speaker in range(4)
    for language in LANGUAGES
    for text in range(10)
]
by_language = SplitRule("language")


def parts(split: Split, entries: list[Entry]) -> dict[str, list[Entry]]:
    by_id = {one.id: one for one in entries}
    names = ("train", "validation", "development", "test")
    return {name: [by_id[id_] for id_ in getattr(split, name)] for name in names}


def test_the_held_out_language_is_nowhere_but_in_the_test():
    split = parts(by_language(WORLD, "it", 0), WORLD)
    assert {one.language for one in split["test"]} == {"it"} and len(split["test"]) == 40
    for name in ("train", "validation", "development"):
        assert {one.language for one in split[name]} == {"en", "de"}


def test_validation_is_disjoint_in_speaker_and_text_and_development_holds_all_that_is_left():
    split = parts(by_language(WORLD, "it", 0), WORLD)
    assert len(split["development"]) == 80
    assert not {one.speaker for one in split["train"]} & {one.speaker for one in split["validation"]}
    assert not {one.text for one in split["train"]} & {one.text for one in split["validation"]}
    assert {one.language for one in split["validation"]} == {"en", "de"}


def test_every_speaker_is_validated_on_once_and_every_sentence_is_fitted_and_validated_on():
    by_id = {one.id: one for one in WORLD}
    folds = by_language(WORLD, "it", 0).folds
    validated = [{by_id[id_].speaker for id_ in fold.validation} for fold in folds]
    assert len(folds) == 4 and sorted(name for names in validated for name in names) == [f"c/s{n}" for n in range(4)]
    for part in ("train", "validation"):
        texts = {by_id[id_].text for fold in folds for id_ in getattr(fold, part)}
        assert len(texts) == 20


def test_more_speakers_than_folds_are_dealt_into_them():
    many = [
        entry(f"s{n}", language, f"{language} {t}") for n in range(12) for language in ("en", "it") for t in range(6)
    ]
    folds = SplitRule("language", validation_folds=3)(many, "it", 0).folds
    by_id = {one.id: one for one in many}
    assert [len({by_id[id_].speaker for id_ in fold.validation}) for fold in folds] == [4, 4, 4]


def test_shared_sentences_leave_training():
    shared = [*WORLD, entry("s9", "it", "EN  3!"), entry("s9", "it", "de 4")]
    split = parts(by_language(shared, "it", 0), shared)
    assert not {"en 3", "de 4"} & {one.text for one in split["development"]}
    assert len(split["test"]) == 42


def test_a_held_out_speaker_keeps_a_fifth_of_the_sentences_that_others_say_too():
    split = parts(SplitRule("speaker", shared_texts_tested=0.2)(WORLD, "s1", 0), WORLD)
    assert {one.speaker for one in split["test"]} == {"c/s1"} and len(split["test"]) == 6
    assert {one.language for one in split["test"]} == set(LANGUAGES)
    assert {one.speaker for one in split["development"]} == {"c/s0", "c/s2", "c/s3"}
    assert len(split["development"]) == 72


def test_a_speaker_may_be_named_with_or_without_its_corpus_unless_two_share_the_name():
    rule = SplitRule("speaker", shared_texts_tested=0.2)
    assert rule(WORLD, "s1", 0) == rule(WORLD, "c/s1", 0)
    both = [*WORLD, *(entry("s1", "en", f"other {n}", corpus="d") for n in range(5))]
    with pytest.raises(ConfigError, match="more than one speaker: c/s1, d/s1"):
        rule(both, "s1", 0)
    assert {one.corpus for one in parts(rule(both, "d/s1", 0), both)["test"]} == {"d"}


def test_folds_of_sentences_cover_everything_once():
    rule = SplitRule("sentence", folds=5)
    tests = [set(rule(WORLD, f"fold{number}", 0).test) for number in range(5)]
    assert sum(map(len, tests)) == len(WORLD) and set().union(*tests) == {one.id for one in WORLD}
    split = parts(rule(WORLD, "fold2", 0), WORLD)
    assert {one.language for one in split["test"]} == set(LANGUAGES) == {one.language for one in split["train"]}


def test_a_corpus_is_held_out_whole():
    other = [entry("x", "fr", f"fr {n}", corpus="d") for n in range(5)]
    split = parts(SplitRule("corpus")([*WORLD, *other], "d", 0), [*WORLD, *other])
    assert {one.corpus for one in split["test"]} == {"d"} and {one.corpus for one in split["development"]} == {"c"}


def test_one_speaker_alone_is_validated_on_other_sentences():
    alone = [entry("s", "en", f"{n}") for n in range(10)] + [entry("s", "it", f"it {n}") for n in range(5)]
    split = parts(by_language(alone, "it", 0), alone)
    assert len(split["validation"]) == 2 and len(split["train"]) == 8


def test_too_little_to_be_divided_leaves_no_validation():
    two = [entry("a", "en", "one sentence"), entry("b", "en", "one sentence")]
    split = SplitRule("speaker", disjoint_text=False)(two, "b", 0)
    assert (len(split.train), split.validation, len(split.development), len(split.test)) == (1, (), 1, 1)


def test_the_seed_draws_other_folds_and_nothing_else_changes():
    drawn = {parts(by_language(WORLD, "it", seed), WORLD)["validation"][0].speaker for seed in range(20)}
    assert len(drawn) == 4
    assert len({by_language(WORLD, "it", seed).development for seed in range(5)}) == 1
    assert len({by_language(WORLD, "it", seed).test for seed in range(5)}) == 1


def test_adding_a_corpus_does_not_move_sentences_between_folds():
    rule = SplitRule("speaker", shared_texts_tested=0.2)
    more = [*WORLD, *(entry("x", "fr", f"fr {n}", corpus="d") for n in range(7))]
    assert rule(WORLD, "s1", 0).test == rule(more, "s1", 0).test


ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown language": (lambda: by_language(WORLD, "fr", 0), "held_out=fr names no language; there are de, en, it"),
    "none given": (lambda: SplitRule("speaker")(WORLD, None, 0), "there are c/s0"),
    "unknown fold": (lambda: SplitRule("sentence")(WORLD, "it", 0), "fold0, fold1"),
    "nothing left": (lambda: by_language([w for w in WORLD if w.language == "it"], "it", 0), "nothing to learn from"),
    "all shared": (lambda: SplitRule("speaker")(WORLD, "s1", 0), "disjoint_text=false"),
    "no text": (lambda: by_language([*WORLD, entry("x", "fr", " ?!")], "it", 0), "1 utterances have no text"),
    "bad fraction": (lambda: SplitRule("language", shared_texts_tested=0), "shared_texts_tested=0"),
    "bad folds": (lambda: SplitRule("sentence", folds=1), "at least 2"),
    "one validation fold": (lambda: SplitRule("language", validation_folds=1), "at least 2"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_split_says_why(case: str):
    make, problem = ERRORS[case]
    with pytest.raises(ConfigError, match=problem):
        make()


def test_texts_are_compared_as_sentences():
    assert sentence(entry("a", "en", "The BIRCH-canoe, slid!")) == sentence(entry("b", "en", "the birch canoe  slid"))
    assert sentence(entry("a", "it", "perché")) != sentence(entry("a", "it", "perche"))
    assert sentence(entry("a", "hi", "कि")) != sentence(entry("a", "hi", "का"))


names = st.sampled_from("abcdef")


@given(
    st.lists(st.tuples(names, st.sampled_from(LANGUAGES), names, st.sampled_from("cd")), min_size=2, max_size=40),
    st.sampled_from(["language", "speaker", "sentence", "corpus"]),
    st.integers(0, 5),
    st.randoms(),
    st.booleans(),
)
def test_nothing_leaks_whatever_the_corpus(rows, by, seed, random, disjoint_text):
    entries = [entry(speaker, language, text, corpus, n) for n, (speaker, language, text, corpus) in enumerate(rows)]
    rule = SplitRule(by, disjoint_text=disjoint_text, shared_texts_tested=0.5)
    held_out = "fold0" if by == "sentence" else getattr(entries[0], by)
    try:
        split = rule(entries, held_out, seed)
    except ConfigError:
        return
    divided = parts(split, entries)
    test, development = divided["test"], divided["development"]
    assert test and divided["train"]
    if by != "sentence":
        assert {getattr(one, by) for one in test} == {held_out}
        assert held_out not in {getattr(one, by) for one in development}
    if disjoint_text:
        assert not {one.text for one in test} & {one.text for one in development}
    by_id = {one.id: one for one in entries}
    for fold in split.folds:
        train, validation = ([by_id[id_] for id_ in ids] for ids in (fold.train, fold.validation))
        assert train and validation and {*fold.train, *fold.validation} <= set(split.development)
        if disjoint_text:
            assert not {one.text for one in train} & {one.text for one in validation}
        if len({one.speaker for one in development}) > 1:
            assert not {one.speaker for one in train} & {one.speaker for one in validation}
    random.shuffle(entries)
    assert rule(entries, held_out, seed) == split


@pytest.mark.parametrize("held_out", ["en", "it", "de"])
def test_the_prepared_corpus_is_split_likewise(toy: PreparedCorpus, held_out: str):
    split = by_language(toy.entries, held_out, 0)
    by_id = {one.id: one for one in toy.entries}
    assert {by_id[id_].language for id_ in split.test} == {held_out}
    assert held_out not in {by_id[id_].language for id_ in split.development}


def test_fewer_minutes_are_part_of_more_and_the_test_is_the_same():
    """Each utterance of the world lasts a second."""
    sizes = [SplitRule("language", train_min=minutes)(WORLD, "it", 0) for minutes in (0.1, 0.5, 1.0)]
    assert [len(split.development) for split in sizes] == [6, 30, 60]
    for smaller, larger in pairwise(sizes):
        assert set(smaller.development) < set(larger.development) and smaller.test == larger.test
    assert all(set(fold.train) <= set(sizes[1].development) for fold in sizes[1].folds)
    assert SplitRule("language", train_min=80 / 60)(WORLD, "it", 0) == by_language(WORLD, "it", 0)
    with pytest.raises(ConfigError, match=r"train_min=2: there are only 1\.3 min"):
        SplitRule("language", train_min=2)(WORLD, "it", 0)
    with pytest.raises(ConfigError, match="train_min"):
        SplitRule("language", train_min=0)


SAME = [
    ("你好，世界。", "你好世界"), ("你 好 世 界", "你好世界！"), ("こんにちは、世界。", "こんにちは世界"),
    ("ｶﾀｶﾅ", "カタカナ"),
    ("が", "か\u3099"), ("สวัสดี ชาวโลก", "สวัสดีชาวโลก"), ("น้ำ", "น\u0e49\u0e4d\u0e32"), ("안녕, 세계", "안녕세계"),
    ("don't", "dont"), ("don’t", "don't"), ("м'ята", "м\u02bcята"), ("e-mail", "email"), ("e‑mail", "E–mail"),
    ("co\u00adoperate", "cooperate"), ("می\u200cخواهم", "میخواهم"), ("a\u200bb\ufeffc\u2060", "abc"),
    ("ＡＢＣ１２３", "abc123"),
    ("x²", "x2"), ("Kapitel Ⅳ", "kapitel iv"), ("ﬁn", "fin"), ("STRASSE", "straße"), ("ΣΟΦΟΣ", "σοφος"),
    ("IŞIK", "ışık"), ("İstanbul", "istanbul"), ("كتـــاب", "كتاب"), ("l'œuvre", "lœuvre"), ("葛\U000e0100", "葛"),
    ("บท ๑๒", "บท 12"), ("x\ufe0f", "x"), ("perche\u0301", "perché"), ("¿Qué?", "qué"), ("नमस्ते।", "नमस्ते"),
]  # fmt: skip
DIFFERENT = [
    ("perché", "perche"), ("कि", "का"), ("ปา", "ป้า"), ("はは", "ばば"), ("你好", "您好"), ("שלום", "שלוםם"), ("1", "2"),
    ("côte", "côté"), ("ma", "mä"), ("بَ", "بِ"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_sentence_is_the_same_however_it_is_typed(one: str, other: str):
    assert letters(one) == letters(other) != ""
    entries = [entry("a", "zh", one), entry("b", "zh", other), entry("b", "zh", "别的"), entry("a", "zh", "又一个")]
    split = parts(SplitRule("speaker")(entries, "b", 0), entries)
    assert one not in {utterance.text for utterance in split["development"]}


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_accents_vowel_signs_and_numbers_make_other_sentences(one: str, other: str):
    assert letters(one) != letters(other)


@pytest.mark.parametrize("nothing", ["", " ?!", "。、…", "\u200b\u00ad", "—", "\ufe0f"])
def test_a_text_without_letters_is_none(nothing: str):
    assert letters(nothing) == ""


def test_sentences_are_drawn_as_before_where_both_comparisons_agree():
    """So that folds, and with them numbers, stay what they were for corpora that the first comparison was right on."""
    assert version(WORLD) == 1 and drawn_as(WORLD) == {sentence(one): words(one.text) for one in WORLD}
    for seed in range(3):
        order = sorted({words(one.text) for one in WORLD}, key=lambda text: sha256(f"{seed}:{text}".encode()).digest())
        tests = [parts(SplitRule("sentence", folds=2)(WORLD, f"fold{n}", seed), WORLD)["test"] for n in range(2)]
        for language in LANGUAGES:
            own = [text for text in order if text.startswith(language)]
            assert {one.text for one in tests[0] if one.language == language} == set(own[::2])


@pytest.mark.parametrize(("text", "expected"), [("DONT", 2), ("do nt", 2), ("something else", 1), ("Don't!", 1)])
def test_a_comparison_that_splits_otherwise_has_another_version(text: str, expected: int):
    assert version([*WORLD, entry("s1", "en", "don't"), entry("s2", "en", text)]) == expected


def test_what_a_spelling_is_drawn_by_does_not_depend_on_the_order_of_utterances():
    several = [entry("a", "en", text) for text in ("e-mail", "email", "e mail", "other")]
    assert drawn_as(several) == drawn_as(several[::-1]) == {"email": "e mail", "other": "other"}


def spoken(text: str, seconds: float, number: int) -> Entry:
    return Entry(f"c/{number}", "c", "c/s", "zh", text, round(seconds * 16000))


def test_texts_that_cannot_be_what_was_said_are_told():
    whole = [spoken("请把花瓶放在窗边的架子上。", 3.4, number) for number in range(20)]
    words_alone = [spoken("milk", 2.5, number) for number in range(20)]
    assert doubts(whole) == doubts(words_alone) == []
    (doubt,) = doubts([*whole, *(spoken("花", 4.2, number) for number in range(20, 25))])
    assert doubt.startswith("5 of 25 utterances are long for their text (the first: c/20, 4.2 s of '花')")
    (doubt,) = doubts([*whole, *(spoken("<unk>", 1.2, number) for number in range(20, 25))])
    assert doubt.startswith("5 of 25 utterances have a text that looks like a placeholder ('<unk>')")
    assert doubts([*whole, spoken("none", 1.2, 20), spoken("milk", 9.0, 21)]) == []


def test_the_built_in_corpus_raises_no_doubts(toy: PreparedCorpus):
    assert doubts(toy.entries) == [] and version(toy.entries) == 1


def test_runs_that_another_comparison_split_are_not_mixed_with_present_ones(
    configure: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """A corpus on which the comparisons differ: results say so, and one without the word is named and kept apart."""
    monkeypatch.setattr("tractprobe.corpora.prepared.texts.version", lambda entries: 2)
    monkeypatch.setattr("tractprobe.runs.finished._version_of_texts", lambda *_: 2)  # which remembers
    for value in ("it", "en"):
        assert train(configure(f"held_out={value}", "model=mel_frame"))["identity"]["texts"] == 2
    assert "split by" not in caplog.text
    (file,) = tmp_path.rglob("it/s0*/result.json")
    result = json.loads(file.read_text())
    del result["identity"]["texts"]  # as it was before
    file.write_text(json.dumps(result))
    train(configure("held_out=it", "model=mel_frame"))
    assert f"{file.parent} was split by an earlier comparison of texts" in caplog.text
    tables = layer_tables(collect(tmp_path / "runs"))
    assert [table.columns for table in tables] in [[("it",), ("en",)], [("en",), ("it",)]]
    assert all("data and encoder" in table.title for table in tables)
