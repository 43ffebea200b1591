"""Encoders raised in one language each: the design, planted effects of a match, and who is compared with whom."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import write_corpus
from evidence_records import found, record, write
from scipy import stats
from test_splits import entry

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.taught import Taught, TaughtRule
from tractprobe.encoders.mel import LogMel
from tractprobe.encoders.raised import Raised
from tractprobe.evidence.analyses.raised_in import RaisedIn
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.conduct import conducted
from tractprobe.evidence.methods.match_effects import Crossing, Effect
from tractprobe.evidence.methods.raised_report import Joined
from tractprobe.evidence.methods.raised_together import Together
from tractprobe.evidence.methods.upbringing import told
from tractprobe.evidence.record import Column, DoesNotApply, Finding, Record, Table, read_record, write_record
from tractprobe.evidence.statistics.inference import effect
from tractprobe.report.claims import claim_rows, judgements
from tractprobe.report.collect import collect
from tractprobe.report.content import document
from tractprobe.report.markdown import markdown
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Node, Settings
from tractprobe.runs.stated import about_of, raised_of
from tractprobe.system.errors import ConfigError, EncoderError

SPEAKS = {"m1": "abcd", "m2": "abcd", "f1": "abef", "f2": "abef", "c1": "cdef", "c2": "cdef"}
"""Four of the six speakers speak each language."""

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
        assert sorted(ids) == sorted(
            each.id for each in entries if (each.language, each.speaker) == (language, speaker)
        )
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
    random: np.random.Generator,
    heard: Sequence[str],
    beta: dict[str, float],
    noise: float = 0.01,
    own: float = 0.01,
    luck: float = 0.0,
) -> Crossing:
    """Scores in which heads, tests, speakers and encoders differ much, and a match adds what is planted.

    Parameters
    ----------
    luck
        By how much training makes an encoder better or worse in a language, whatever it heard.
    """
    units = tuple(sorted((language, speaker) for speaker, languages in SPEAKS.items() for language in languages))
    heads = tuple("abcdef")
    r = random.normal(0.6, 0.1, (1, len(heads), len(units))) + random.normal(0, 0.1, (len(heard), 1, 1))
    of_speaker = {speaker: random.normal(0, own, len(heard)) for speaker in SPEAKS}
    r = r + np.stack([of_speaker[speaker] for _, speaker in units], axis=1)[:, None, :]
    r = r + random.normal(0, noise, (len(heard), 1, len(units))) + random.normal(0, noise / 2, r.shape)
    of_language = dict(zip(heads, random.normal(0, luck, (len(heads), len(heard))), strict=True))
    r = r + np.stack([of_language[language] for language, _ in units], axis=1)[:, None, :]
    own_heads = np.array([[[p == head] for head in heads] for p in heard])
    own_test = np.array([[[p == test for test, _ in units]] for p in heard])
    where = {"learned": own_heads & ~own_test, "tested": own_test & ~own_heads, "both": own_heads & own_test}
    r = r + sum(size * where[name] for name, size in beta.items())
    return Crossing(tuple(heard), heads, units, r)


def test_effects_are_those_of_least_squares_with_an_intercept_for_each_encoder_and_pair_of_languages():
    own = crossing(np.random.default_rng(0), "abc", {"tested": 0.05, "both": 0.1}, noise=0.05)
    means = own.means()
    e, h, t = np.indices(means.shape)
    pair = (h * means.shape[2] + t).ravel()
    design = [np.eye(means.shape[0])[e.ravel()], np.eye(pair.max() + 1)[pair]]
    design += [each.ravel()[:, None] for each in own.matches().values()]
    solved = np.linalg.lstsq(np.hstack(design), means.ravel(), rcond=None)[0][-3:]
    found = [each.estimate().mean for each in own.effects(list(own.matches().values())) if each]
    np.testing.assert_allclose(found, solved, atol=1e-10)


def test_what_is_planted_is_found_and_encoders_and_languages_play_no_part():
    planted = {"learned": 0.02, "tested": 0.03, "both": 0.08}
    own = crossing(np.random.default_rng(1), "abcd", planted, noise=0.0, own=0.0)
    found = own.effects(list(own.matches().values()))
    assert [each.estimate().mean for each in found if each] == pytest.approx(list(planted.values()))
    moved = replace(own, r=own.r + np.arange(4)[:, None, None] + np.arange(6)[None, :, None])
    for one, other in zip(found, moved.effects(list(own.matches().values())), strict=True):
        assert one and other and one.estimate().mean == pytest.approx(other.estimate().mean)


@pytest.mark.parametrize("luck", [0.0, 0.01])
@pytest.mark.parametrize("heard", ["abc", "abcdef"])
def test_intervals_hold_the_truth_and_tests_err_as_often_as_they_say(heard: str, luck: float):
    """Four of six speakers speak a language; encoders differ by speaker, and with luck by language as well."""
    random, times, names = np.random.default_rng(2), 300, ("match", "learned", "tested", "both")
    held, equivalent, wrongly, different = Counter(), 0, 0, 0
    for _ in range(times):
        own = crossing(random, heard, {"tested": 0.03, "both": 0.03}, luck=luck)
        for name, truth, each in zip(names, (0.03, 0.0, 0.03, 0.03), all_effects(own), strict=True):
            reached = each.estimate()
            assert reached.low is not None and reached.high is not None
            held[name] += reached.low <= truth <= reached.high
            if name == "match":
                p = each.p(0.03)
                assert p is not None
                wrongly += p < 0.05  # the truth is the margin itself
        (none, *_) = all_effects(crossing(random, heard, {}, luck=luck))
        p, against = none.p(0.03), none.p()
        assert p is not None and against is not None
        equivalent += p < 0.05
        different += against < 0.05
    assert all(held[name] >= 0.92 * times for name in names), held
    assert wrongly / times <= 0.08 and different / times <= 0.08
    assert equivalent / times >= (0.9 if len(heard) > 3 or not luck else 0.6)  # power


def all_effects(own: Crossing) -> list[Effect]:
    each = [*own.effects([own.match()]), *own.effects(list(own.matches().values()))]
    return [one for one in each if one is not None]


def test_p_and_interval_are_of_one_test():
    (one, *_) = all_effects(crossing(np.random.default_rng(6), "abc", {}, luck=0.01))
    reached, p = one.estimate(), one.p()
    assert reached.se is not None and reached.df is not None and p is not None
    assert p == pytest.approx(2 * stats.t.sf(abs(reached.mean) / reached.se, reached.df))
    assert one.p(0.03) == pytest.approx(stats.t.sf((0.03 - abs(reached.mean)) / reached.se, reached.df))
    alone = effect(one.scores)
    assert alone.se is not None and reached.se >= alone.se


def test_the_error_over_encoders_is_that_of_a_regression_on_their_means():
    """Of a match with the test, whatever heads heard: an ordinary regression of means over heads and speakers."""
    own = crossing(np.random.default_rng(7), "abcd", {}, luck=0.02)
    means = own.means().mean(axis=1)
    e, t = np.indices(means.shape)
    design = np.hstack([np.eye(4)[e.ravel()], np.eye(6)[t.ravel()][:, 1:], own.match().mean(axis=1).ravel()[:, None]])
    solved, left, _, _ = np.linalg.lstsq(design, means.ravel(), rcond=None)
    df = means.size - design.shape[1]
    se = np.sqrt(left[0] / df * np.linalg.inv(design.T @ design)[-1, -1])
    (one, *_) = all_effects(own)
    assert one.estimate().mean == pytest.approx(solved[-1])
    assert (one.se, one.df) == (pytest.approx(se), pytest.approx(df))


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
    (alone,) = two.effects([two.match()])
    assert alone is not None and alone.estimate().low is None  # nothing is left to tell luck from
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
    assert slope.estimate().mean == pytest.approx(-0.1) and match.estimate().mean == pytest.approx(0.05)


# Who is compared with whom


def raised(languages: str | dict[str, float], **changes: Any) -> Raised:
    hours = {name: 2.0 for name in languages.split()} if isinstance(languages, str) else languages
    own = Raised(
        objective="hubert", languages=hours, corpora={"virtual_audio": "ab" * 32}, hours_of_data=sum(hours.values()),
        hours_heard=40.0, updates=4000, iteration=2, targets={"clusters": 100}, seed=0, parameters=5_200_000,
        licences=("CC0-1.0",),
    )  # fmt: skip
    return replace(own, **changes)


def of(label: str, own: Raised | None, r: np.ndarray, layers: int = 2, **about: Any) -> Record:
    """The record of an encoder with these scores, array (head, unit), at every layer and at the chosen ones."""
    made = record("raised_in", label, findings=(found("r_same", 0.6), found("r_other", 0.5)))
    cells = tuple(
        {"layer": layer, "head": head, "test": test, "speaker": speaker, "r": float(r[h, u]), "channels": 12}
        for layer in ("chosen", *map(str, range(layers)))
        for h, head in enumerate("abcdef")
        for u, (test, speaker) in enumerate(UNITS)
    )
    tables = [Table("cells", "r of every speaker", tuple(map(Column, cells[0])), cells)]
    if own is not None:
        rows = tuple({"fact": name, "value": value} for name, value in told(own).items())
        tables.append(Table("upbringing", "What it was raised on", (Column("fact"), Column("value")), rows))
    between = tuple(
        {"one": a, "other": b, "distance": 0.2 + 0.1 * (ord(b) - ord(a))} for a in "abcdef" for b in "abcdef" if a < b
    )
    tables.append(Table("distances", "Phones", tuple(map(Column, between[0])), between))
    facts = {"training": "self-supervised", "raised_on": sorted(own.languages)} if own and own.updates else {}
    return replace(
        made, evidence=replace(made.evidence, tables=tuple(tables), figures=(), rows=()),
        about=facts | about, identity=made.identity | {"analysis": {"_target_": "RaisedIn", "margin_r": 0.03}},
    )  # fmt: skip


UNITS = tuple(sorted((language, speaker) for speaker, languages in SPEAKS.items() for language in languages))


def world_of(beta: float, babble: float = 0.0, seed: int = 0) -> dict[str, Record]:
    """Three encoders of a language each, one of babble, one of all, the twin and a spectrum; a match adds beta."""
    own = crossing(np.random.default_rng(seed), "abcdef", {"tested": beta, "both": beta}, 0.004, 0.004)
    r = own.r - own.r.mean(axis=(1, 2), keepdims=True) + 0.6  # as good as each other
    return {
        **{f"only_{p}": of(f"only_{p}", raised(p), r[e]) for e, p in enumerate("abc")},
        "babble": of("babble", raised("zxx"), r[3] - beta * np.array([t == "d" for t, _ in UNITS]) + babble),
        "all": of("all", raised({name: 0.5 for name in "abcd"}), r[4] + 0.01),
        "twin": of("twin", raised("a", updates=0, hours_heard=0.0), r[5] - 0.3, training="none"),
        "mel": of("mel", None, r[5] - 0.1, layers=1, training="none", parameters_m=0),
    }


def together(records: dict[str, Record]) -> Together:
    made = Together.of(list(records.items()))
    assert made is not None
    return made


def value(name: str, findings: Sequence[Finding]) -> Finding:
    return next(each for each in findings if each.name == name)


@pytest.mark.parametrize("beta", [0.0, 0.06])
def test_encoders_together_tell_what_was_planted(beta: float):
    own = together(world_of(beta))
    findings = own.findings()
    names = [each.name for each in findings]
    assert len(names) == len(set(names))
    for name in ("native", "native_tested", "native_both"):
        reached = value(name, findings)
        assert reached.low is not None and reached.high is not None and reached.low < beta < reached.high
        assert reached.value == pytest.approx(beta, abs=0.012)
        tested = value(f"{name}_equivalence", findings)
        assert tested.level == 0.9 and tested.margin == 0.03 and tested.p is not None
        assert (tested.p < 0.05) is (beta == 0.0)
    learned = value("native_learned", findings)
    assert learned.value == pytest.approx(0.0, abs=0.012)
    assert value("native_by_chance", findings).n == {"encoders": 3}
    assert abs(value("languages_beyond_untrained", findings).value - 0.3) < 0.05
    assert value("babble_minus_languages", findings).value == pytest.approx(-beta / 6, abs=0.015)
    assert value("several_minus_languages", findings).value == pytest.approx(0.01, abs=0.02)
    assert value("distance_slope", findings).unit == "r per share of phones not shared"
    for encoder in own.experiment.of_part("one language"):
        (one, equivalent) = own.own(encoder)
        assert one.value == pytest.approx(beta, abs=0.02) and equivalent.name == "native_own_equivalence"
    assert own.layers() == ("0", "1") and not own.left_out


def test_a_match_in_a_layer_that_heads_do_not_choose_is_found():
    records = world_of(0.0)
    for language in "abc":
        of_one = records[f"only_{language}"]
        (cells, *others) = of_one.evidence.tables
        rows = tuple(
            row | {"r": row["r"] + 0.08 * (row["layer"] == "1" and row["head"] == row["test"] == language)}
            for row in cells.rows
        )
        evidence = replace(of_one.evidence, tables=(replace(cells, rows=rows), *others))
        records[of_one.identity["model"]] = replace(of_one, evidence=evidence)
    findings = together(records).findings()
    chosen, deepest = value("native_both", findings), value("native_both_every_layer", findings)
    assert chosen.high is not None and chosen.high < 0.03
    assert deepest.low is not None and deepest.low > 0.03 and deepest.value == pytest.approx(0.08, abs=0.012)
    assert "(1)" in deepest.says and deepest.level == pytest.approx(0.95) and (deepest.p or 0.0) > 0.5


def test_of_several_acoustics_the_best_is_compared_with():
    records = world_of(0.0)
    before = value("languages_beyond_acoustics", together(records).findings()).value
    worse = np.full((6, len(UNITS)), 0.1)
    records["mfcc"] = of("mfcc", None, worse, layers=1, training="none", parameters_m=0)
    assert value("languages_beyond_acoustics", together(records).findings()).value == before


def refused(**changed: Record) -> tuple[str, ...]:
    return tuple(together({**world_of(0.0), **changed}).experiment.refused.values())


def test_encoders_that_differ_in_more_than_their_language_are_refused_by_name():
    assert refused() == ()
    r = np.full((6, len(UNITS)), 0.5)
    for changes, said in (
        ({"updates": 3000}, "updates 3000 (4000)"), ({"parameters": 9_000_000}, "parameters 9000000 (5200000)"),
        ({"objective": "cpc"}, "objective cpc (hubert)"), ({"iteration": 1}, "iteration 1 (2)"),
        ({"hours_heard": 30.0}, "hours_heard 30 (40)"),
    ):  # fmt: skip
        (sentence,) = refused(only_c=of("only_c", raised("c", **changes), r))
        assert sentence == f"only_c is not compared, as it differs in more than its language: {said}"
        (sentence,) = refused(babble=of("babble", raised("zxx", **changes), r))
        assert sentence == f"babble is not compared: {said}"
    assert refused(all=of("all", raised({"a": 4.0, "b": 4.0}), r)) == ()
    (sentence,) = refused(only_c=of("only_c", raised({"c": 3.0}), r))
    assert "hours_of_data 3 (2)" in sentence
    (sentence,) = refused(twin=of("twin", raised("a", updates=0, hours_heard=0.0, parameters=7), r))
    assert sentence == "twin is not compared: parameters 7 (5200000)"
    (sentence,) = refused(xls=of("xls", None, r))
    assert sentence == "xls is no part of the experiment: what it heard is not known"
    odd = of("only_c", raised("c"), r)
    odd = replace(odd, identity=odd.identity | {"analysis": {"_target_": "RaisedIn", "margin_r": 0.1}})
    assert refused(only_c=odd) == ("only_c is not compared: its analysis had other settings",)
    both = Together.of([*world_of(0.0).items(), ("only_c", odd)])  # the same encoder, asked twice
    assert both is not None
    assert value("native", Joined.of(both).findings_of("only_c")).value is not None


def test_what_differs_without_being_refused_is_said():
    r = np.full((6, len(UNITS)), 0.5)
    several = of("all", raised({"a": 4.0, "b": 4.0}), r)
    other = raised("c", corpora={"speech": "cd" * 32}, targets={"clusters": 50}, hours_heard=41.0, seed=1)
    own = Joined.of(together({**world_of(0.0), "only_c": of("only_c", other, r), "all": several}))
    (table,) = [table for table in own.evidence.tables if table.name == "encoders"]
    said = {row["encoder"]: row["differs"] for row in table.rows}
    assert said["only_c"] == "corpora, targets, seed 1 (0)" and said["only_b"] == "nothing"
    assert said["all"] == "hours_of_data 8 (2)" and said["mel"] == "everything"
    assert any("different seeds" in caveat for caveat in own.evidence.caveats)


def test_records_that_cannot_be_read_are_named():
    r = np.full((6, len(UNITS)), 0.5)
    whole = of("only_c", raised("c"), r)
    cells, upbringing, _ = whole.evidence.tables
    broken = {
        "is none": (replace(cells, rows=({**cells.rows[0], "r": "0.5"}, *cells.rows[1:])), upbringing),
        "there twice": (replace(cells, rows=(*cells.rows, cells.rows[0])), upbringing),
        "does not say whose": (replace(cells, rows=({"r": 0.5, "channels": 12},)), upbringing),
        "cannot be read": (cells, replace(upbringing, rows=({"fact": ["x"], "value": "1"},))),
        "it has no scores": (upbringing,),
        "expected a text": (cells, replace(upbringing, rows=tuple(
            row | {"value": "7"} if row["fact"] == "objective" else row for row in upbringing.rows))),
    }  # fmt: skip
    for said, tables in broken.items():
        (sentence,) = refused(only_c=replace(whole, evidence=replace(whole.evidence, tables=tables)))
        assert sentence.startswith("only_c is not compared: ") and said in sentence, sentence


def test_speakers_whom_not_all_encoders_have_are_left_out_and_counted():
    r = np.full((6, len(UNITS)), 0.5)
    less = of("only_c", raised("c"), r)
    cells, *others = less.evidence.tables
    rows = tuple(row for row in cells.rows if (row["test"], row["speaker"]) != UNITS[0])
    rows = tuple(row | {"channels": 11} if (row["test"], row["speaker"]) == UNITS[1] else row for row in rows)
    less = replace(less, evidence=replace(less.evidence, tables=(replace(cells, rows=rows), *others)))
    own = together({**world_of(0.0), "only_c": less})
    assert own.left_out == 2 and len(own.units) == len(UNITS) - 2


def test_one_language_alone_is_no_experiment_and_encoders_of_others_are_none():
    records = world_of(0.0)
    kept = {name: records[name] for name in ("only_a", "twin", "mel")}
    findings = together(kept).findings()
    assert value("native", findings).value is None and "two encoders" in value("native", findings).says
    assert value("languages_beyond_untrained", findings).value is not None
    assert value("babble_r", findings).value is None
    assert Together.of([("mel", records["mel"])]) is None


def test_the_page_has_the_experiment_and_its_claims(tmp_path: Path):
    write(tmp_path, *world_of(0.0, babble=-0.005).values())
    (group,) = collect(tmp_path).groups
    own = {subject.label: {each.claim.name: each for each in judged} for subject, judged in judgements(group).items()}
    for label in ("only_a", "babble", "all"):
        assert own[label]["no_native_advantage"].verdict == "supported", own[label]["no_native_advantage"].why
        assert own[label]["babble_suffices"].verdict == "supported"
    for label in ("mel", "twin"):
        assert own[label]["no_native_advantage"].verdict == "does not apply"
    text = markdown(document(collect(tmp_path), "The evidence"))
    assert "Raised in one language each" in text and "Encoders of the experiment" in text
    assert r"native\_both\_equivalence" in text and "no native-language advantage" in text
    rows = claim_rows([group])
    assert {row["verdict"] for row in rows if row["claim"] == "babble_suffices" and row["encoder"] == "all"} == {
        "supported"
    }


def test_a_planted_advantage_contradicts_and_a_babble_that_taught_nothing_is_none(tmp_path: Path):
    write(tmp_path, *world_of(0.08, babble=-0.3).values())
    (group,) = collect(tmp_path).groups
    own = {subject.label: {each.claim.name: each for each in judged} for subject, judged in judgements(group).items()}
    assert own["only_a"]["no_native_advantage"].verdict == "contradicted"
    assert own["only_a"]["babble_suffices"].verdict == "contradicted"


# The analysis


class Room(NamedTuple):
    """Where the experiment is: prepared corpora, encoders by name, and how to conduct the analysis of one."""

    encoders: dict[str, Path]
    conduct: Callable[..., Record]
    runs: Path


@pytest.fixture
def room(tmp_path: Path, toy: PreparedCorpus, configure: Callable[..., Any]) -> Room:
    """Encoders whose states are the movements' sound, in one language clearer than in others if it is their own."""
    random, encoders = np.random.default_rng(0), {}
    plain_states = {each.id: LogMel(bands=20, context=2)([torch.from_numpy(toy.audio(each.id))])[0].numpy()
                    for each in toy.entries}  # fmt: skip
    languages = {"only_en": "en", "only_it": "it", "only_de": "de", "babble": "zxx", "twin": "en"}
    for name, language in languages.items():
        folder = encoders[name] = tmp_path / "encoders" / name
        (folder / "toy").mkdir(parents=True)
        (folder / "features.json").write_text(json.dumps({"rate_hz": 50, "start_s": 199.5 / 16000}))
        for each in toy.entries:
            blur = 40.0 if name == "twin" else 0.3 if each.language == language else 6.0
            states = plain_states[each.id]
            blurred = states + blur * random.standard_normal(states.shape)
            np.save(folder / f"{each.id}.npy", blurred.astype(np.float32))
        own = raised(language) if name != "twin" else raised(language, updates=0, hours_heard=0.0)
        own.write(folder)

    def conduct(name: str) -> Record:
        asked = ["analysis=raised_in", "analysis.text_folds=2", "analysis.blocks=1", "analysis.validation_folds=2"]
        asked += ["model=features", f"model.root={encoders[name]}"] if name in encoders else [f"model={name}"]
        settings = Settings.of(plain(configure(*asked, "head.alphas=[0.1,10,1000]")))
        made = conducted(settings)
        write_record(settings.folder, made)
        return read_record(settings.folder)

    return Room(encoders, conduct, tmp_path / "runs")


LANGS = ("de", "en", "it")


def more_of_its_own(of_one: Record, language: str) -> float:
    """How much better an encoder is read in its own language than in the others, over heads of all."""
    (matrix,) = [table for table in of_one.evidence.tables if table.name == "matrix"]
    own = [row["r"] for row in matrix.rows if row["test"] == language]
    return float(np.mean(own) - np.mean([row["r"] for row in matrix.rows if row["test"] != language]))


def test_an_advantage_that_is_planted_in_states_is_found_from_end_to_end(room: Room):
    records = {name: room.conduct(name) for name in (*room.encoders, "mel_frame")}
    own = records["only_it"]
    assert own.about["raised_on"] == ["it"] and own.about["training"] == "self-supervised"
    assert records["twin"].about["training"] == "none" and records["twin"].about["raised_on"] == []
    tables = {table.name: table for table in own.evidence.tables}
    assert {(row["head"], row["test"]) for row in tables["matrix"].rows} == {(h, t) for h in LANGS for t in LANGS}
    assert {(row["one"], row["other"]): row["distance"] for row in tables["distances"].rows} == {
        ("de", "en"): 0.0, ("de", "it"): 0.0, ("en", "it"): 0.0
    }  # fmt: skip
    expected = np.mean([more_of_its_own(records[f"only_{language}"], language) for language in LANGS])
    assert expected > 0.1
    (group,) = collect(room.runs).groups
    assert group.raised is not None and not any("not compared" in each for each in group.raised.evidence.caveats)
    found_ = {each.name: each for each in group.raised.evidence.findings}
    assert found_["native"].low is not None and found_["native"].low > 0.1
    assert found_["native"].value == pytest.approx(expected, abs=1e-9)  # every language is heard by one encoder
    assert found_["native_both"].value > found_["native_learned"].value > 0.0  # heads learn more from clear states, too
    assert found_["babble_beyond_untrained"].value > 0.2
    assert found_["babble_beyond_acoustics"].value < 0.0  # it is the same spectrum, blurred
    rows = claim_rows([group])
    assert {row["verdict"] for row in rows if row["claim"] == "no_native_advantage" and "babble" in row["encoder"]} == {
        "contradicted"
    }


def test_what_an_encoder_heard_is_read_from_its_folder_and_drawn_weights_have_heard_nothing(tmp_path: Path):
    raised("it").write(tmp_path)
    arguments = {"_target_": "tractprobe.encoders.pretrained.pretrained", "name": str(tmp_path), "about": None}
    own = about_of(Node.of("model", arguments))
    assert own["languages"] == own["raised_on"] == ["it"] and own["hours"] == 2.0
    twin = raised_of(Node.of("model", arguments | {"random_seed": 3}))
    assert twin is not None and not twin.is_trained and twin.seed == 3
    stated = about_of(Node.of("model", arguments | {"about": {"licence": "MIT", "hours": None}}))
    assert stated["licence"] == "MIT" and stated["hours"] == 2.0
    assert about_of(Node.of("model", arguments | {"name": "facebook/none"})) == {}
    (tmp_path / "pretraining.json").write_text("{}")
    with pytest.raises(EncoderError, match="copy the encoder's folder again"):
        about_of(Node.of("model", arguments))


def test_one_language_or_one_speaker_is_nothing_to_ask(configure: Callable[..., Any], tmp_path: Path):
    for changes, said in (({"languages": ("it",)}, "two languages"), ({"speakers": 1}, "one speaker")):
        name = f"c{len(said)}"
        prepare(Folder(name, write_corpus(tmp_path / name, sentences=3, **changes)), tmp_path / "data")
        given = (f"corpora=[{name}]", f"paths.data={tmp_path / 'data'}", "model=mel_frame")
        with pytest.raises(DoesNotApply, match=said):
            RaisedIn()(Bench(Settings.of(plain(configure(*given)))))
    with pytest.raises(ConfigError, match="margin_r"):
        RaisedIn(margin_r=0.0)
