"""The 2 x 2 of language and speaker: its design whatever the corpus, and what it finds where the truth is planted."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_splits import entry

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.crossed import (
    BOTH,
    CONDITIONS,
    LANGUAGE_ONLY,
    NEITHER,
    SPEAKER_ONLY,
    Arm,
    Condition,
    CrossedRule,
)
from tractprobe.evidence.methods.heard import contrast, heard_here
from tractprobe.system.errors import ConfigError

WORLD = [
    entry(f"s{speaker}", language, f"{language} {text}")
    for speaker in range(4)
    for language in ("de", "en", "it")
    for text in range(12)
]


def of(arms: Sequence[Arm], condition: Condition) -> list[Arm]:
    return [arm for arm in arms if arm.condition == condition]


def check(arms: Sequence[Arm], entries: Sequence[Entry]) -> None:
    """What a design promises."""
    by_id = {one.id: one for one in entries}
    tests: dict[tuple[int, tuple[str, str]], dict[Condition, set[str]]] = {}
    for arm in arms:
        learned, tested = ([by_id[id_] for id_ in ids] for ids in (arm.split.development, arm.split.test))
        assert learned and tested and {(one.language, one.speaker) for one in tested} == arm.tested
        assert not {one.text for one in learned} & {one.text for one in tested}
        for language, speaker in arm.tested:
            assert (language in {one.language for one in learned}) is arm.condition.language
            assert (speaker in {one.speaker for one in learned}) is arm.condition.speaker
            own = {one.id for one in tested if (one.language, one.speaker) == (language, speaker)}
            assert arm.condition not in tests.setdefault((arm.fold, (language, speaker)), {})
            tests[arm.fold, (language, speaker)][arm.condition] = own
        assert arm.minutes == pytest.approx(sum(one.duration_s for one in learned) / 60)
        for fold in arm.split.folds:
            fitted, kept = ([by_id[id_] for id_ in ids] for ids in (fold.train, fold.validation))
            assert fitted and kept and {*fold.train, *fold.validation} <= set(arm.split.development)
            assert not {one.text for one in fitted} & {one.text for one in kept}
            if len({one.speaker for one in learned}) > 1:
                assert not {one.speaker for one in fitted} & {one.speaker for one in kept}
    for each in tests.values():  # the same utterances under every condition
        assert len({frozenset(ids) for ids in each.values()}) == 1


def test_four_heads_of_equal_minutes_are_tested_on_the_same_utterances():
    arms = CrossedRule(text_folds=3, blocks=4)(WORLD, 0)
    check(arms, WORLD)
    assert Counter(arm.condition for arm in arms) == {BOTH: 3, LANGUAGE_ONLY: 12, SPEAKER_ONLY: 9, NEITHER: 36}
    minutes = [arm.minutes for arm in arms]
    assert max(minutes) - min(minutes) <= 1 / 60 + 1e-9  # an utterance, which lasts a second
    for condition in CONDITIONS:
        tested = [id_ for arm in of(arms, condition) for id_ in arm.split.test]
        assert sorted(tested) == sorted(one.id for one in WORLD)
    known = {arm.condition: arm.shares(unit) for arm in arms for unit in arm.tested}
    assert {name: tuple(minutes > 0 for minutes in shares) for name, shares in known.items()} == {
        condition: (condition.language, condition.speaker) for condition in CONDITIONS
    }


def test_conditions_share_whatever_they_can():
    """Of what heads that know neither learned from, the others keep as much as fits beside what they know."""
    arms = CrossedRule(text_folds=2, blocks=3)(WORLD, 0)
    by_id = {one.id: one for one in WORLD}
    for neither in of(arms, NEITHER):
        (unit,) = {(language, speaker) for language, speaker in neither.tested}
        for condition in (BOTH, LANGUAGE_ONLY, SPEAKER_ONLY):
            (other,) = (arm for arm in of(arms, condition) if unit in arm.tested and arm.fold == neither.fold)
            excluded = {
                id_ for id_ in other.split.development
                if by_id[id_].language == unit[0] or by_id[id_].speaker == unit[1]
            }  # fmt: skip
            assert set(other.split.development) - excluded < set(neither.split.development)
            assert excluded


def test_fewer_minutes_are_part_of_more():
    sizes = [CrossedRule(train_min=minutes)(WORLD, 0) for minutes in (0.1, 0.2, 0.35)]
    for smaller, larger in pairwise(sizes):
        for one, other in zip(smaller, larger, strict=True):
            assert set(one.split.development) < set(other.split.development)
    with pytest.raises(ConfigError, match="train_min=5: there are only 0"):
        CrossedRule(train_min=5)(WORLD, 0)


def test_every_unit_comes_up_in_proportion():
    """Ten times as much of one speaker: whatever is drawn, it has ten times as much of him, but for a part."""
    much = [entry("s0", "en", f"en {n}", number=n) for n in range(240)]
    little = [entry(f"s{s}", "en", f"en {n}", number=n) for s in (1, 2, 3) for n in range(24)]
    (both, *_) = of(CrossedRule(text_folds=2, blocks=12, train_min=0.5)([*much, *little], 0), BOTH)
    seconds = {speaker: 60 * both.minutes_of["en", f"c/{speaker}"] for speaker in ("s0", "s1", "s2", "s3")}
    assert sum(seconds.values()) == pytest.approx(30, abs=5)
    assert seconds["s0"] == pytest.approx(30 * 240 / 312, abs=10) and seconds["s1"] == pytest.approx(
        30 * 24 / 312, abs=1.1
    )


def test_speakers_of_one_language_each_leave_three_conditions():
    nested = [entry(f"{language}{s}", language, f"{language} {n}") for language in ("en", "it") for s in range(3)
              for n in range(6)]  # fmt: skip
    arms = CrossedRule()(nested, 0)
    check(arms, nested)
    assert {arm.condition for arm in arms} == {BOTH, LANGUAGE_ONLY, NEITHER}
    alone = [one for one in WORLD if one.speaker == "c/s0"]
    arms = CrossedRule()(alone, 0)
    check(arms, alone)
    assert {arm.condition for arm in arms} == {BOTH, SPEAKER_ONLY}
    with pytest.raises(ConfigError, match="nothing to compare"):
        CrossedRule()([one for one in alone if one.language == "it"], 0)


def test_many_speakers_are_new_in_groups_and_need_few_groups_of_moments():
    many = [entry(f"s{s}", lang, f"{lang} {n}") for s in range(60) for lang in ("en", "it") for n in range(40)]
    arms = CrossedRule(text_folds=2, blocks=3, speaker_folds=5)(many, 0)
    assert len(arms) == 2 * (1 + 5 + 2 + 10)
    sides = [set(ids) for arm in arms for fold in arm.split.folds
             for ids in (arm.split.development, arm.split.test, fold.train, fold.validation)]  # fmt: skip
    alike = {(one.speaker, one.language, tuple(one.id in side for side in sides)) for one in many}
    assert len(alike) <= 60 * 2 * 6 < len(many) / 6


def test_what_has_no_text_is_refused_unless_it_may_be_a_sentence_of_its_own():
    silent = [*WORLD, entry("s0", "it", "?!")]
    with pytest.raises(ConfigError, match="1 utterances have no text"):
        CrossedRule()(silent, 0)
    assert CrossedRule(disjoint_text=False)(silent, 0)
    for wrong in ({"text_folds": 1}, {"blocks": 0}, {"train_min": 0.0}):
        with pytest.raises(ConfigError):
            CrossedRule(**wrong)


names = st.sampled_from("abcde")


@settings(max_examples=40)
@given(
    st.lists(st.tuples(names, st.sampled_from(["en", "it", "de"]), names), min_size=8, max_size=40),
    st.integers(0, 3),
    st.integers(2, 3),
    st.integers(2, 5),
    st.randoms(),
)
def test_a_design_holds_what_it_promises_whatever_the_corpus(rows, seed, text_folds, speaker_folds, random):
    """Sentences may occur in several languages here."""
    entries = [entry(speaker, language, text, number=n) for n, (speaker, language, text) in enumerate(rows)]
    rule = CrossedRule(text_folds=text_folds, blocks=2, speaker_folds=speaker_folds)
    try:
        arms = rule(entries, seed)
    except ConfigError:
        return
    check(arms, entries)
    shuffled = entries[:]
    random.shuffle(shuffled)
    assert rule(shuffled, seed) == arms


# Languages that an encoder has heard


def test_heard_languages_are_compared_within_speakers_or_between_them():
    random = np.random.default_rng(1)
    speakers = [f"s{n}" for n in range(5)]
    both = {(language, speaker): random.normal() for language in ("en", "it", "de") for speaker in speakers}
    heard, others = ({key: value for key, value in both.items() if (key[0] == "en") is side} for side in (True, False))
    reached, _ = contrast(heard, others)
    gains = [heard["en", s] - (others["it", s] + others["de", s]) / 2 for s in speakers]
    expected = stats.ttest_1samp(gains, 0).confidence_interval(0.95)
    assert (reached.mean, reached.low, reached.high) == pytest.approx((np.mean(gains), *expected))
    apart = {("it", f"t{n}"): random.normal() for n in range(7)}
    reached, _ = contrast(heard, apart)
    welch = stats.ttest_ind(list(heard.values()), list(apart.values()), equal_var=False).confidence_interval(0.95)
    assert (reached.low, reached.high, reached.n) == (pytest.approx(welch.low), pytest.approx(welch.high), 12)
    some, _ = contrast(heard, apart | {("it", "s0"): 0.1})
    assert some.low is None and some.mean == pytest.approx(
        np.mean(list(heard.values())) - np.mean([*apart.values(), 0.1])
    )


@pytest.mark.parametrize(("about", "expected"), [
    ({"languages": ["en", "fi"]}, {"en"}), ({"languages": []}, "has heard none of the languages here, de, en"),
    ({"languages": ["en", "de"]}, "has heard all"), ({"languages": 99}, "99 languages, not which"),
    ({}, "says nothing"), ({"languages": None}, "says nothing"),
])  # fmt: skip
def test_which_languages_an_encoder_has_heard(about: dict, expected: set | str):
    found = heard_here(about, {"de", "en"})
    assert found == expected if isinstance(expected, set) else expected in found
