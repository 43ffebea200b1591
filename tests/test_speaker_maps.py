"""Analysis of speakers: a planted affine relation is found, unrelated movements are not, and nothing leaks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus
from scipy.stats import t as student

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.prepared.texts import sentence
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.control_targets import Shifted
from tractprobe.data.splits import SplitRule
from tractprobe.evidence.analyses.speakers import Speakers
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.affine import ReadOut
from tractprobe.evidence.methods.mapped import METRICS, Mapped, Pair, Way, mapped
from tractprobe.evidence.methods.template import PhoneStates, contrasts, likeness, phone_states
from tractprobe.evidence.methods.voices import parts_of, roles_of, sources_of, voices_of
from tractprobe.evidence.record import Evidence, Finding
from tractprobe.evidence.statistics.shares import share
from tractprobe.runs.building import build
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import ConfigError

ANALYSIS = Speakers(minutes=(0.05, 0.1, 9.0), control="", rotations=2, least_tokens=2, least_phones=2)


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers who say the same; s1's channels are mixtures of what s0's are, s2's are random walks."""
    raw = write_corpus(tmp_path_factory.mktemp("raw") / "kin", languages=("en", "it"), sentences=10)
    mixing, noise = np.random.default_rng(5).normal(size=(len(CHANNELS),) * 2), np.random.default_rng(6)
    for path in sorted(raw.glob("s1_*.npy")):
        np.save(path, (np.load(path) @ mixing / 3 + 25).astype(np.float32))
    for path in sorted(raw.glob("s2_*.npy")):
        walk = np.cumsum(noise.normal(size=np.load(path).shape), axis=0)
        np.save(path, walk.astype(np.float32))
    data = tmp_path_factory.mktemp("prepared")
    prepare(Folder("kin", raw), data)
    return data


@pytest.fixture
def bench(related: Path, configure: Callable[..., Any]) -> Bench:
    given = ("corpora=[kin]", f"paths.data={related}", "model=mel_frame", "head.alphas=[0.01,1,100]")
    return Bench(Settings.of(plain(configure(*given))))


def pairs_of(bench: Bench) -> tuple[Mapped, dict[str, Any]]:
    voices = voices_of(list(bench.entries.values()), least_s=60)
    rule = bench.rule("sentence", validation_folds=2)
    roles = roles_of(voices, parts_of(bench), [0.1], 2, rule, 0)
    sources = {target: sources_of(target, list(roles), 8, 0) for target in roles}
    targets = bench.targets("ema", Shifted(build(bench.settings.ema), 3.3))
    return mapped(bench, roles, sources, targets), {voice.speaker: voice for voice in roles}


def reached(found: Mapped, way: Way, source: Any, target: Any) -> float:
    each = [found.sums[way, Pair(source, target, language)] for language in ("en", "it")]
    return float(np.mean([np.nanmean(METRICS["r"](sums)) for sums in each]))


def test_a_planted_mixture_is_found_by_mixing_alone_and_unrelated_movements_are_not(bench: Bench):
    found, voices = pairs_of(bench)
    s0, s1, s2 = (voices[f"kin/s{number}"] for number in range(3))
    affine, scale = Way("head", "affine", 0.1), Way("head", "scale", 0.1)
    own = reached(found, Way("own", "identity", 0.1), s1, s1)
    assert own > 0.8
    assert reached(found, affine, s0, s1) > own - 0.1
    assert reached(found, scale, s0, s1) < own - 0.4
    assert abs(reached(found, affine, s0, s2)) < 0.4  # random walks of 1.2 s correlate by chance
    assert reached(found, affine, s0, s2) < reached(found, affine, s0, s1) - 0.4


def test_read_outs_scored_from_moments_are_those_of_the_frames(bench: Bench):
    """The identity's sums against the predictions of the fitted heads, frame by frame, in the source's mm."""
    found, voices = pairs_of(bench)
    s0, s1 = voices["kin/s0"], voices["kin/s1"]
    parts = parts_of(bench)
    head: ReadOut = found.heads[s0, 0]["head"]
    predicted, measured = [], []
    for entry in s1.entries:
        if parts[entry.id] == 4 and entry.language == "en":
            predicted.append(bench.states_of(entry.id, [0])[0] @ head.weight + head.bias)
            measured.append(bench.problem.targets.at(bench.corpus_of(entry), entry, bench.times_s(entry.id)))
    p, y = np.concatenate(predicted), np.concatenate(measured)
    # The second rotation tests part 0 with another head: compare the first alone.
    first = {voice: of[:1] for voice, of in roles_again(bench).items()}
    by_name = {voice.speaker: voice for voice in first}
    targets = bench.targets("ema", Shifted(build(bench.settings.ema), 3.3))
    alone = mapped(
        bench, first, {by_name["kin/s1"]: [by_name["kin/s0"]], by_name["kin/s0"]: [], by_name["kin/s2"]: []}, targets
    )
    sums = alone.sums[Way("head", "identity", 0.0), Pair(by_name["kin/s0"], by_name["kin/s1"], "en")]
    known = np.isfinite(y).all(axis=1)
    expected = [np.corrcoef(p[known, channel], y[known, channel])[0, 1] for channel in range(len(CHANNELS))]
    np.testing.assert_allclose(METRICS["r"](sums), expected, atol=1e-6)
    np.testing.assert_allclose(METRICS["rmse"](sums), np.sqrt(np.mean((p - y)[known] ** 2, axis=0)), rtol=1e-5)


def roles_again(bench: Bench) -> Any:
    voices = voices_of(list(bench.entries.values()), least_s=60)
    return roles_of(voices, parts_of(bench), [0.1], 2, bench.rule("sentence", validation_folds=2), 0)


def finding(evidence: Evidence, name: str) -> Finding:
    found = evidence.finding(name)
    assert found is not None
    return found


def test_the_evidence_says_what_was_planted_and_is_json(bench: Bench):
    evidence = ANALYSIS(bench)
    gain = finding(evidence, "mixing_gain")
    assert gain.value is not None and gain.value > 0.1
    assert gain.n == {"speakers": 3, "languages": 2}
    assert {part.kind for part in gain.by} == {"language", "articulator", "language of the pair", "corpus of the pair"}
    assert finding(evidence, "beyond_mel_affine").value is None
    assert finding(evidence, "offset_error").value > 1  # type: ignore[operator]
    table = next(table for table in evidence.tables if table.name == "families")
    assert {row["minutes"] for row in table.rows if row["reading"] == "own"} == {0.05}  # of 0.1 and 9 there are none
    r = {(row["family"], row["minutes"]): row["r"] for row in table.rows if row["reading"] == "head"}
    assert r["identity", 0.0] == pytest.approx(r["offset", 0.05], abs=0.05)
    json.dumps([row for table in evidence.tables for row in table.rows], allow_nan=False)
    json.dumps(evidence.rows, allow_nan=False)
    assert any("gender" in caveat for caveat in evidence.caveats)


def test_heads_maps_and_tests_share_no_sentence_and_minutes_are_nested(bench: Bench):
    voices = voices_of(list(bench.entries.values()), least_s=60)
    roles = roles_of(voices, parts_of(bench), [0.05, 0.1], 5, bench.rule("sentence", validation_folds=2), 0)

    def said(ids: Any) -> set[str]:
        return {sentence(bench.entries[id_]) for id_ in ids}

    tested: set[str] = set()
    for number in range(5):
        heads = set().union(*(said(of[number].head.development) for of in roles.values()))
        maps = set().union(*(said(split.development) for of in roles.values() for split in of[number].own.values()))
        tests = set().union(*(said(of[number].test) for of in roles.values()))
        assert not heads & maps and not heads & tests and not maps & tests
        tested |= tests
        for of in roles.values():
            assert set(of[number].own[0.05].development) < set(of[number].own[0.1].development)
    assert tested == said(bench.entries)  # five rotations test everything


def entry(speaker: str, language: str, number: int, corpus: str = "c", gender: str = "") -> Entry:
    labels = {"gender": gender} if gender else {}
    id_ = f"{corpus}/{speaker}_{language}_{number}"
    return Entry(id_, corpus, f"{corpus}/{speaker}", language, f"{language} {number}", 16000 * 10, labels)


def test_speakers_of_several_languages_are_halved_where_there_is_enough_speech():
    entries = [entry(speaker, language, number) for speaker in "ab" for language in ("en", "it") for number in range(3)]
    assert [voice.languages for voice in voices_of(entries, 30)] == [("en",), ("it",)] * 2
    assert [voice.languages for voice in voices_of(entries, 31)] == [("en", "it")] * 2


def test_pairs_are_the_same_or_different_by_what_the_corpora_state():
    voices = voices_of(
        [entry("a", "en", 0, gender="f"), entry("b", "en", 0, "d", gender="m"), entry("x", "it", 0)], least_s=1
    )
    a, b, x = voices
    assert a.relations(b) == {"gender": "different", "language": "same", "corpus": "different"}
    assert a.relations(x) == {"gender": "unknown", "language": "different", "corpus": "same"}


def test_sources_are_drawn_from_each_kind_in_turn_and_never_the_target_itself():
    entries = [entry(f"s{number}", "en" if number < 9 else "it", 0) for number in range(12)]
    voices = voices_of(entries, 1)
    drawn = sources_of(voices[0], voices, 4, 0)
    assert len(drawn) == 4 and voices[0] not in drawn
    assert sum(voice.languages == ("it",) for voice in drawn) == 2
    assert drawn == sources_of(voices[0], voices[::-1], 4, 0)  # in whatever order they come
    assert len(sources_of(voices[0], voices, 99, 0)) == 11


def test_too_little_speech_is_one_line(bench: Bench):
    with pytest.raises(ConfigError, match=r"two speakers with 9 min .* the most that any has in all is 0\.4 min"):
        Speakers(minutes=(9.0,), control="")(bench)
    with pytest.raises(ConfigError, match="rotations"):
        Speakers(rotations=6)


def test_a_share_has_fiellers_interval():
    random = np.random.default_rng(3)
    whole = {("en", str(number)): value for number, value in enumerate(random.normal(1.0, 0.3, 8))}
    part = {key: 0.6 * value + random.normal(0, 0.1) for key, value in whole.items()}
    found = share(part, whole)
    assert found is not None
    x, y = np.array(list(part.values())), np.array([whole[key] for key in part])
    g = student.ppf(0.975, 7) ** 2 / 8
    (xx, xy), (_, yy) = np.cov(x, y)
    a, b, c = y.mean() ** 2 - g * yy, x.mean() * y.mean() - g * xy, x.mean() ** 2 - g * xx
    ends = (b + np.array([-1, 1]) * np.sqrt(b**2 - a * c)) / a
    assert found.mean == pytest.approx(x.mean() / y.mean())
    np.testing.assert_allclose([found.low, found.high], ends, atol=1e-6)


def test_of_nothing_there_is_no_share():
    whole = {("en", str(number)): value for number, value in enumerate([-0.1, 0.1, 0.05, -0.02])}
    assert share(dict.fromkeys(whole, 0.5), whole) is None
    assert share({}, whole) is None


def pattern(seed: int, phones: str = "ptkiaumnszlo") -> dict[str, np.ndarray]:
    return {phone: np.random.default_rng([seed, ord(phone)]).normal(size=len(CHANNELS)) for phone in phones}


def test_patterns_that_differ_by_offset_and_size_are_alike_and_random_ones_are_not():
    one = pattern(1)
    moved = {phone: 3 * value + 7 for phone, value in one.items()}
    assert likeness(one, moved, 8) == pytest.approx(1)
    assert contrasts(one, moved) == pytest.approx(1)
    assert abs(likeness(one, pattern(2), 8) or 1) < 0.25
    assert abs(contrasts(one, pattern(2)) or 1) < 0.25
    assert likeness(one, pattern(1, "pt"), 8) is None
    assert contrasts(pattern(1, "pa"), pattern(1, "pa")) is None  # no minimal pair
    assert contrasts(pattern(1, "pb"), pattern(1, "pb")) is None  # in voicing alone


def test_means_of_states_in_phones_are_those_of_the_frames(bench: Bench):
    ids = [id_ for id_ in bench.entries if "s0_en" in id_]
    means: PhoneStates = phone_states(bench, ids, [0], least=2)
    tokens = []
    for id_ in ids:
        times_s, states = bench.times_s(id_), bench.states_of(id_, [0])[0]
        tokens.append(states[np.abs((times_s - 0.1) / 0.4 - 0.5) <= 1 / 6].mean(axis=0))  # "a" from 0.1 to 0.5 s
    np.testing.assert_allclose(means.states["0"]["kin/s0"]["a"], np.mean(tokens, axis=0), rtol=1e-5)


def test_a_rule_refuses_sides_that_share_a_sentence():
    rule = SplitRule("sentence")
    with pytest.raises(AssertionError):
        rule.of_sides([entry("a", "en", 0)], [entry("b", "en", 0)], 0)
