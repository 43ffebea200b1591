"""Encoders raised in one language each: the design, planted effects of a match, and who is compared with whom."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_corpus
from test_splits import entry

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.taught import Taught, TaughtRule
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.raised import Raised
from tractprobe.evidence.analyses.raised_in import RaisedIn
from tractprobe.evidence.methods.match_effects import Crossing
from tractprobe.evidence.methods.raised_report import Joined
from tractprobe.evidence.methods.raised_together import Together
from tractprobe.evidence.record import Record, read_record
from tractprobe.evidence.statistics.inference import effect, equivalence
from tractprobe.jobs import train
from tractprobe.report.collect import collect
from tractprobe.report.content import document
from tractprobe.report.markdown import markdown
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError, EncoderError

SPEAKS = {"m1": "abcd", "m2": "abcd", "f1": "abef", "f2": "abef", "c1": "cdef", "c2": "cdef"}
"""Half of the speakers speak any two languages of a pair."""

# Heads of one language each


def world(sentences: int = 12) -> list:
    return [
        entry(speaker, language, f"{language} {text}")
        for speaker, languages in SPEAKS.items() for language in languages for text in range(sentences)
    ]  # fmt: skip


def test_heads_of_one_language_are_tested_on_every_language_by_speakers_who_are_new_to_them():
    entries = world()
    heads = TaughtRule(text_folds=3, blocks=2)(entries, 0)
    by_id = {each.id: each for each in entries}
    tested: dict[tuple[str, str, str], list[str]] = {}
    for head in heads:
        learned, test = ([by_id[id_] for id_ in ids] for ids in (head.split.development, head.split.test))
        assert {each.language for each in learned} == {head.language}
        assert {each.speaker for each in learned} == set(head.speakers)
        assert not {each.speaker for each in test} & set(head.speakers)
        assert not {each.text for each in learned} & {each.text for each in test}
        for each in test:
            tested.setdefault((head.language, each.language, each.speaker), []).append(each.id)
        for fold in head.split.folds:
            fitted, kept = ([by_id[id_] for id_ in ids] for ids in (fold.train, fold.validation))
            assert fitted and kept
            assert not {each.speaker for each in fitted} & {each.speaker for each in kept}
            assert not {each.text for each in fitted} & {each.text for each in kept}
    # All pairs of languages, each with the same utterances under every head, each utterance once.
    spoken = {(each.language, each.speaker) for each in entries}
    assert set(tested) == {(head, *unit) for head in "abcdef" for unit in spoken}
    for (_, language, speaker), ids in tested.items():
        assert sorted(ids) == sorted(each.id for each in entries if (each.language, each.speaker) == (language, speaker))
    minutes = [head.minutes for head in heads]
    assert max(minutes) - min(minutes) <= 2 / 60 + 1e-9  # a block of two utterances of a second
    # Of a language of 4 speakers there are 4 heads that lack one of them, and one for all who do not speak it.
    assert len(heads) == 3 * sum(1 + sum(language in own for own in SPEAKS.values()) for language in "abcdef")


def test_what_cannot_be_taught_is_said():
    with pytest.raises(ConfigError, match="the least that a head could learn from"):
        TaughtRule(train_min=5.0)(world(), 0)
    with pytest.raises(ConfigError, match="have no text"):
        TaughtRule()([*world(), entry("m1", "a", "")], 0)
    with pytest.raises(ConfigError, match="at least 2"):
        TaughtRule(text_folds=1)
    alone = [entry(language, language, f"{language} {text}") for language in "ab" for text in range(9)]
    heads: Sequence[Taught] = TaughtRule()(alone, 0)
    assert all(head.language not in {language for language, _ in head.tested} for head in heads)


# Effects of a match


def crossing(
    random: np.random.Generator, heard: Sequence[str], beta: dict[str, float], noise: float = 0.01, own: float = 0.01
) -> Crossing:
    """Scores in which heads, tests, speakers and encoders differ much, and a match adds what is planted."""
    units = tuple(sorted((language, speaker) for speaker, languages in SPEAKS.items() for language in languages))
    heads = tuple("abcdef")
    r = random.normal(0.6, 0.1, (1, len(heads), len(units))) + random.normal(0, 0.1, (len(heard), 1, 1))
    of_speaker = {speaker: random.normal(0, own, len(heard)) for speaker in SPEAKS}
    r = r + np.stack([of_speaker[speaker] for _, speaker in units], axis=1)[:, None, :]
    r = r + random.normal(0, noise, r.shape[:1] + (1,) + r.shape[2:]) + random.normal(0, noise / 2, r.shape)
    for e, p in enumerate(heard):
        for h, head in enumerate(heads):
            for u, (test, _) in enumerate(units):
                name = {(True, False): "learned", (False, True): "tested", (True, True): "both"}.get((p == head, p == test))
                r[e, h, u] += beta.get(name or "", 0.0)
    return Crossing(tuple(heard), heads, units, r)


def test_effects_are_those_of_least_squares_with_an_intercept_for_each_encoder_and_pair_of_languages():
    own = crossing(np.random.default_rng(0), "abc", {"tested": 0.05, "both": 0.1}, noise=0.05)
    means = own.means()
    e, h, t = np.indices(means.shape)
    pair = (h * means.shape[2] + t).ravel()
    design = [np.eye(means.shape[0])[e.ravel()], np.eye(pair.max() + 1)[pair]]
    design += [each.ravel()[:, None] for each in own.matches().values()]
    solved = np.linalg.lstsq(np.hstack(design), means.ravel(), rcond=None)[0][-3:]
    found = [effect(scores).mean for scores in own.effects(list(own.matches().values())) if scores]
    np.testing.assert_allclose(found, solved, atol=1e-10)


def test_what_is_planted_is_found_and_encoders_and_languages_play_no_part():
    planted = {"learned": 0.02, "tested": 0.03, "both": 0.08}
    own = crossing(np.random.default_rng(1), "abcd", planted, noise=0.0, own=0.0)
    found = own.effects(list(own.matches().values()))
    assert [effect(scores).mean for scores in found if scores] == pytest.approx(list(planted.values()))
    moved = replace(own, r=own.r + np.arange(4)[:, None, None] + np.arange(6)[None, :, None])
    for one, other in zip(found, moved.effects(list(own.matches().values())), strict=True):
        assert one is not None and other is not None and effect(one).mean == pytest.approx(effect(other).mean)


@pytest.mark.parametrize("heard", ["abc", "abcdef"])
def test_intervals_hold_the_truth_and_tests_err_as_often_as_they_say(heard: str):
    """Encoders differ from speaker to speaker by as much as there is noise, and half of the speakers speak a language."""
    random, times = np.random.default_rng(2), 400
    held, equivalent, wrongly = 0, 0, 0
    for _ in range(times):
        (scores,) = (own := crossing(random, heard, {"tested": 0.03, "both": 0.03})).effects([own.match()])
        assert scores is not None
        reached = effect(scores)
        assert reached.low is not None and reached.high is not None
        held += reached.low <= 0.03 <= reached.high
        wrongly += equivalence(scores, 0.03).equivalent is True  # the truth is the margin itself
        (none,) = (own := crossing(random, heard, {})).effects([own.match()])
        assert none is not None
        equivalent += equivalence(none, 0.03).equivalent is True
    assert 0.92 <= held / times <= 0.985
    assert wrongly / times <= 0.08
    assert equivalent / times >= 0.8  # power


def test_chance_deals_languages_to_encoders():
    random = np.random.default_rng(3)
    large = crossing(random, "abcde", {"tested": 0.3, "both": 0.3}).by_chance()
    assert large is not None and large == (pytest.approx(1 / 120), 120)
    assert crossing(random, "ab", {}).by_chance() is None
    shares = [chance[0] for _ in range(60) if (chance := crossing(random, "abcd", {}).by_chance())]
    assert 0.35 < np.mean(shares) < 0.7 and min(shares) >= 1 / 24


def test_what_a_design_does_not_tell_apart_has_no_effect():
    own = crossing(np.random.default_rng(4), "ab", {})
    units = tuple(unit for unit in own.units if unit[0] in "ab")
    r = own.r[:, :2, [unit[0] in "ab" for unit in own.units]]
    two = Crossing(("a", "b"), ("a", "b"), units, r)
    learned, tested, both = two.effects(list(two.matches().values()))
    assert learned is None and tested is None and both is not None
    assert two.effects([two.match()])[0] is not None
    elsewhere = replace(own, heard=("x", "y"))
    assert elsewhere.effects([elsewhere.match()]) == [None] and elsewhere.distance({}) is None


def test_distance_is_told_from_the_match():
    heard, languages = "abc", "abcdef"
    random = np.random.default_rng(5)
    between = {}
    for one, other in ((a, b) for a in languages for b in languages if a < b):
        between[one, other] = between[other, one] = float(random.uniform(0.2, 0.9))
    own = crossing(random, heard, {"tested": 0.05, "both": 0.05}, noise=0.0, own=0.0)
    distance = own.distance(between)
    assert distance is not None
    place = [own.tested.index(language) for language, _ in own.units]
    own = replace(own, r=own.r - 0.1 * distance[:, :, place])
    slope, match = own.effects([distance, own.match()])
    assert slope is not None and match is not None
    assert effect(slope).mean == pytest.approx(-0.1) and effect(match).mean == pytest.approx(0.05)
