"""Rules: which findings make a claim supported, contradicted or undecided, and that nothing else does."""

from dataclasses import replace

import pytest
from evidence_records import ABOUT, SUPPORTING, found
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.evidence.record import Finding
from tractprobe.evidence.rules import CLAIMS, SPECIFIC, UNIVERSAL, Claim
from tractprobe.evidence.verdicts import NOT_RUN, answer, judged

BY_NAME = {claim.name: claim for claim in CLAIMS}
NUMBERS = st.floats(-2, 2)


def changed(analysis: str, name: str, **to) -> dict[str, tuple[Finding, ...]]:
    """What supports every claim, but for one finding."""
    own = tuple(replace(each, **to) if each.name == name else each for each in SUPPORTING[analysis])
    return {**SUPPORTING, analysis: own}


def verdict(claim: str, evidence, about=ABOUT) -> str:
    return judged(BY_NAME[claim], evidence, about).verdict


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_every_claim_can_be_supported(claim: Claim):
    judgement = judged(claim, SUPPORTING, ABOUT)
    assert judgement.verdict == "supported" and not judgement.missing
    assert all(read.verdict == "supported" and read.finding for read in judgement.reads)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_without_an_analysis_a_claim_is_undecided_and_says_which_is_missing(claim: Claim):
    for analysis in claim.analyses:
        judgement = judged(claim, {name: own for name, own in SUPPORTING.items() if name != analysis}, ABOUT)
        assert judgement.verdict == "undecided" and judgement.missing == (analysis,)
        assert judgement.why == f"{NOT_RUN}: {analysis}"


@pytest.mark.parametrize(
    ("claim", "analysis", "finding"),
    [(claim.name, reading.analysis, reading.finding) for claim in CLAIMS for reading in claim.readings
     if reading.kind == "superiority" and "*" not in reading.finding],
)  # fmt: skip
def test_superiority_is_judged_by_the_interval_alone(claim: str, analysis: str, finding: str):
    reading = next(each for each in BY_NAME[claim].readings if each.finding == finding)
    b = reading.bound
    above = {"value": b + 0.2, "low": b + 0.001, "high": b + 0.4}
    below = {"value": b - 0.2, "low": b - 0.4, "high": b - 0.001}
    across = {"value": b + 0.2, "low": b - 0.001, "high": b + 0.4}
    assert verdict(claim, changed(analysis, finding, **above)) == "supported"
    assert verdict(claim, changed(analysis, finding, **across)) == "undecided"
    assert verdict(claim, changed(analysis, finding, **below)) == ("undecided" if reading.gate else "contradicted")


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS], ids=lambda claim: claim.name)
def test_no_interval_decides_nothing(claim: Claim):
    for reading in claim.readings:
        names = [
            each.name for each in SUPPORTING[reading.analysis] if each.name.startswith(reading.finding.rstrip("*"))
        ]
        without = dict(SUPPORTING)
        for name in names:
            own = tuple(replace(each, low=None, high=None, p=None) if each.name == name else each
                        for each in without[reading.analysis])  # fmt: skip
            without[reading.analysis] = own
        assert judged(claim, without, ABOUT).verdict == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.01, 0.02, "supported"), (-0.029, 0.029, "supported"), (-0.03, 0.01, "undecided"), (0.0, 0.05, "undecided"),
     (0.03, 0.05, "contradicted"), (0.04, 0.05, "contradicted"), (-0.08, -0.03, "contradicted"),
     (-0.5, 0.5, "undecided")],
)  # fmt: skip
def test_equivalence_is_judged_by_where_the_interval_lies(low: float, high: float, expected: str):
    evidence = changed("crossed", "language_equivalence", value=(low + high) / 2, low=low, high=high)
    assert verdict("language_agnostic", evidence) == expected


def test_an_analysis_states_its_own_margin():
    wide = changed("crossed", "language_equivalence", value=0.03, low=0.01, high=0.04, margin=0.05)
    assert verdict("language_agnostic", wide) == "supported"
    none = changed("crossed", "language_equivalence", value=0.03, low=0.01, high=0.04, margin=None)
    assert verdict("language_agnostic", none) == "undecided"  # by the rule's own .03
    assert verdict("language_agnostic", changed("crossed", "language_equivalence", margin=0.0)) == "undecided"


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0.0, 0.02, "supported"), (0.06, 0.08, "contradicted"), (0.01, 0.05, "undecided"),
])  # fmt: skip
def test_a_mean_over_languages_does_not_hide_one_that_it_matters_to(low: float, high: float, expected: str):
    own = changed("crossed", "language_equivalence_every_language", value=(low + high) / 2, low=low, high=high)
    assert verdict("language_agnostic", own) == expected


def test_an_interval_of_a_lower_level_decides_nothing():
    assert verdict("decodable", changed("controls", "beyond_acoustics", level=0.9)) == "undecided"
    assert verdict("language_agnostic", changed("crossed", "language_equivalence", level=0.8)) == "undecided"
    assert verdict("language_agnostic", changed("crossed", "language_equivalence", level=0.95)) == "supported"


def test_a_large_p_is_no_evidence_of_absence():
    for p in (0.05, 0.9, None):
        assert verdict("decodable", changed("controls", "null", p=p)) == "undecided"
    assert verdict("decodable", changed("controls", "null", p=0.049)) == "supported"


def test_what_cannot_be_computed_may_lack_where_the_rule_says_so_and_is_told():
    none = {"value": None, "low": None, "high": None, "says": "no phones in this corpus"}
    judgement = judged(BY_NAME["decodable"], changed("controls", "selectivity", **none), ABOUT)
    assert judgement.verdict == "supported" and judgement.why == "without selectivity: no phones in this corpus"
    assert verdict("decodable", changed("controls", "beyond_acoustics", **none)) == "undecided"
    acoustics = {**SUPPORTING, "controls": tuple(each for each in SUPPORTING["controls"] if each.name == "r")}
    assert "found no beyond_acoustics" in judged(BY_NAME["decodable"], acoustics, ABOUT).why


def test_of_several_units_the_most_decide():
    """And not the best: which is read was fixed before the data."""
    few = changed("tokens", "movements_kept_50", value=0.99, low=0.98, high=1.0)
    assert judged(BY_NAME["kept_by_tokens"], few, ABOUT).reads[0].name == "movements_kept_500"
    worse = changed("tokens", "movements_kept_500", value=0.5, low=0.4, high=0.6)
    assert verdict("kept_by_tokens", worse) == "contradicted"


def test_labels_are_ruled_out_by_training_without_them_only():
    for training in ("supervised", "both"):
        assert verdict("self_supervision", SUPPORTING, {"training": training}) == "undecided"
    assert verdict("self_supervision", SUPPORTING, {}) == "undecided"
    fails = changed("controls", "beyond_random", value=-0.1, low=-0.2, high=-0.05)
    assert verdict("self_supervision", fails, {"training": "supervised"}) == "contradicted"
    judgement = judged(BY_NAME["self_supervision"], SUPPORTING, {"training": "none"})
    assert judgement.verdict == "does not apply" and "not trained" in judgement.why


def test_how_many_speakers_would_decide_is_told_if_every_undecided_reading_tells():
    across = {"value": 0.02, "low": -0.1, "high": 0.14}
    judgement = judged(BY_NAME["taken_up"], changed("steering", "steering_gain", **across, needed=23), ABOUT)
    assert judgement.verdict == "undecided" and judgement.needed == 23
    both = {**SUPPORTING, "steering": tuple(replace(each, **across, needed=needed) for each, needed in
            zip(SUPPORTING["steering"], (23, None, 30), strict=True))}  # fmt: skip
    assert judged(BY_NAME["taken_up"], both, ABOUT).needed is None
    assert judged(BY_NAME["taken_up"], SUPPORTING, ABOUT).needed is None


@given(st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS), st.sampled_from(CLAIMS))
def test_more_certainty_never_takes_a_verdict_back(outer, share, claim):
    """An interval within another decides at least what the other does, and nothing else."""
    low, high = sorted(outer)
    inside = sorted(low + (high - low) * (part + 2) / 4 for part in share)
    reading = claim.readings[0]
    name = next(each.name for each in reversed(SUPPORTING[reading.analysis])
                if each.name.startswith(reading.finding.rstrip("*")))  # fmt: skip
    wide, narrow = (
        verdict(claim.name, changed(reading.analysis, name, value=(a + b) / 2, low=a, high=b, level=0.95))
        for a, b in ((low, high), inside)
    )
    assert wide == "undecided" or narrow == wide


@given(st.dictionaries(st.sampled_from([claim.name for claim in CLAIMS]),
                       st.sampled_from(["supported", "contradicted", "undecided", "does not apply"])))  # fmt: skip
def test_the_answer_rests_on_the_claims_that_it_names(verdicts):
    said = answer(verdicts)
    if said == "universal physics":
        assert all(verdicts[name] == "supported" for name in UNIVERSAL)
    elif said == "language-specific sounds":
        assert verdicts["decodable"] == "supported" and "contradicted" in [verdicts.get(name) for name in SPECIFIC]
    elif said == "neither":
        assert verdicts["decodable"] == "contradicted"
    else:
        assert said == "undecided"
    others = {name: verdicts[name] for name in verdicts if name not in (*UNIVERSAL, *SPECIFIC)}
    assert answer({**verdicts, **dict.fromkeys(others, "contradicted")}) == said


def test_rules_say_what_they_are():
    for claim in CLAIMS:
        assert claim.says.endswith(".") and len({reading.finding for reading in claim.readings}) == len(claim.readings)
        for reading in claim.readings:
            assert reading.finding in reading.rule and reading.why
            assert reading.kind != "equivalence" or reading.margin
    assert found("x", 1.0).low == pytest.approx(0.96)


def test_a_cell_shows_the_effect_that_contradicts():
    """A mean within the margin beside the word contradicted would read as a mistake."""
    far = {"value": 0.07, "low": 0.06, "high": 0.08, "p": 0.99}
    judgement = judged(
        BY_NAME["language_agnostic"], changed("crossed", "language_equivalence_every_language", **far), ABOUT
    )
    assert judgement.verdict == "contradicted"
    assert judgement.finding is not None and judgement.finding.name == "language_equivalence_every_language"
