"""Interventions: the folder as it is read and refused, and what is found where the truth is known."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from intervened import CHANNELS, F0, OWN, VOICE, Planted, reading, together, write_corpus, write_interventions

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.corpora.readers.interventions import InterventionSet, Pair
from tractprobe.evidence.analyses.interventions import Interventions
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.conduct import conducted, finished_analysis
from tractprobe.evidence.methods.intervened import Course, known_speakers, spread
from tractprobe.evidence.methods.invariance import Movement, Nearness, slope, usual_of
from tractprobe.evidence.methods.responses import Responses, at, extent, over, over_units, truth
from tractprobe.evidence.record import DoesNotApply, Evidence, Finding, read_record, write_record
from tractprobe.probes.states import HeadInput
from tractprobe.report.collect import settings_of
from tractprobe.report.figures import check
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError, CorpusError, RunError

Configure = Callable[..., Any]
BODY = range(len(CHANNELS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_interventions(tmp_path_factory.mktemp("interventions"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    prepare(Folder("planted", write_corpus(root / "raw" / "planted")), root / "data")
    return root / "data"


@pytest.fixture(scope="module")
def known() -> dict[str, Evidence]:
    """What was found already."""
    return {}


@pytest.fixture
def ask(configure: Configure, prepared: Path, folder: Path, known: dict[str, Evidence]) -> Callable[..., Evidence]:
    """Return what is found about an encoder."""

    def findings(encoder: Planted, **changes: Any) -> Evidence:
        config = configure("model=mel_frame", "corpora=[planted]", f"paths.data={prepared}")
        bench = Bench(Settings.of(plain(config)))
        inputs = tuple(HeadInput.of((layer,)) for layer in range(encoder.num_layers))
        bench.problem = replace(bench.problem, encoder=encoder, inputs=inputs)
        mel = "mel_frame" if encoder.identity == Planted(reading(*BODY)).identity else None
        asked = replace(Interventions(str(folder), mel, 0), **changes)
        key = json.dumps([encoder.identity, repr(asked)])
        if key not in known:
            known[key] = asked(bench)
        return known[key]

    return findings


def by_name(evidence: Evidence) -> dict[str, Finding]:
    return {finding.name: finding for finding in evidence.findings}


def test_changed_audio_is_the_base_with_a_stretch_in_its_place_and_the_change_is_exact(folder: Path):
    heard = InterventionSet.read(folder)
    assert len(heard.bases) == 6 and len(heard.pairs) == 6 * (len(OWN) + 5)
    for pair in heard.pairs[:9]:
        base, changed = heard.bases[pair.base].audio, heard.changed(pair)
        first, last = pair.audio_start, pair.audio_start + pair.audio_samples
        np.testing.assert_array_equal(changed[:first], base[:first])
        np.testing.assert_array_equal(changed[last:], base[last:])
        movement = heard.movement(pair)
        assert (movement is None) == (pair.kind == "anatomy")
        if movement is not None:
            said = (changed - base).reshape(-1, 160)[:, : len(CHANNELS)] * 100  # the samples say where channels are
            np.testing.assert_allclose(said, movement.values, atol=0.004)
    tip = next(pair for pair in heard.pairs if pair.moved == "tongue_tip")
    assert np.abs(heard.movement(tip).values).max() == pytest.approx(3.0, abs=0.03)
    assert heard.content_hash == InterventionSet.read(folder).content_hash and heard.generator == "planted 1"


def damaged(folder: Path, target: Path, **fields: Any) -> Path:
    """Copy a folder with some fields of line 3 changed; ``None`` leaves a field out."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    lines = (target / "pairs.jsonl").read_text().splitlines()
    line = json.loads(lines[2]) | fields
    lines[2] = json.dumps({name: value for name, value in line.items() if value is not None})
    (target / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return target


@pytest.mark.parametrize(("fields", "says"), [
    ({"base": "nobody"}, "no utterance"), ({"base": "../../etc/passwd"}, "no name"), ({"id": "a/b"}, "no name"),
    ({"id": "s0_en_900_p000"}, "twice"), ({"kind": "breath"}, "kind"), ({"moved": "nose"}, "moved"),
    ({"audio_offset": 10**9}, "audio_offset"), ({"audio_start": 10**6}, "audio_start"),
    ({"audio_samples": 0}, "nothing"),
    ({"audio_samples": -1}, "audio_samples"), ({"audio_samples": 10**30}, "audio_samples"),
    ({"ema_offset": 10**7}, "ema_offset"),
    ({"ema_start": 170}, "ema_start"), ({"ema_rows": 1.5}, "ema_rows"), ({"ema_rows": True}, "ema_rows"),
    ({"amount": "much"}, "amount"), ({"amount": 1e300}, "amount"), ({"window_s": [2, 1]}, "window_s"),
    ({"window_s": [0, 99]}, "window_s"), ({"window_s": "always"}, "window_s"), ({"direction": "up"}, "direction"),
    ({"phone": "a" * 1000}, "phone"), ({"phone": "\ud800"}, "phone is"), ({"unit": "mm"}, "unit 'mm' of articulator"),
    ({"kind": "f0", "moved": "f0", "unit": "Hz"}, "expected semitones"), ({"kind": "timing", "unit": "s"}, "ms"),
    ({"kind": "voice", "moved": "voice", "amount": "\udfff"}, "amount"),
    ({"phone_kind": "glide"}, "phone_kind 'glide'"), ({"seed": "x" * 5000}, "object"), ({"unit": None}, "lacks unit"),
])  # fmt: skip
def test_a_line_that_is_not_what_it_claims_is_named(folder: Path, tmp_path: Path, fields: dict[str, Any], says: str):
    with pytest.raises(CorpusError, match=says) as refused:
        InterventionSet.read(damaged(folder, tmp_path, **fields))
    assert refused.value.file.endswith("pairs.jsonl") and refused.value.place == "line 3"


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _nested(path: Path) -> None:
    path.write_text("[" * 100_000)


def _other_rate(path: Path) -> None:
    soundfile.write(path, np.zeros(1000), 8000)


def _floats(path: Path) -> None:
    np.save(path, np.load(path).astype(float))


def _missing(path: Path) -> None:
    values = np.load(path)
    values[3] = -32768
    np.save(path, values)


@pytest.mark.parametrize(("name", "damage"), [
    ("pairs.jsonl", Path.unlink), ("pairs.jsonl", _nested), ("pairs.jsonl", lambda path: path.write_bytes(b"\xff\n")),
    ("pairs.jsonl", lambda path: path.write_text("")), ("pairs.jsonl", lambda path: path.write_text("3\n")),
    ("changes.flac", Path.unlink), ("changes.flac", _cut), ("changes.flac", _other_rate),
    ("changes.ema.npy", Path.unlink), ("changes.ema.npy", _cut), ("changes.ema.npy", _floats),
    ("changes.ema.npy", _missing), ("s0_en_900.json", lambda path: path.write_text("{}")),
])  # fmt: skip
def test_damaged_files_are_refused_by_name(folder: Path, tmp_path: Path, name: str, damage: Callable[[Path], Any]):
    damaged(folder, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(CorpusError) as refused:
        InterventionSet.read(tmp_path)
    assert tmp_path.name in refused.value.file


def test_controls_are_read_like_pairs_where_there_are_any(folder: Path, tmp_path: Path):
    damaged(folder, tmp_path)
    line = json.loads((tmp_path / "pairs.jsonl").read_text().splitlines()[0])
    controls = tmp_path / "controls.jsonl"
    controls.write_text(json.dumps(line | {"id": "n1", "kind": "noise", "moved": "noise", "amount": 0.0}) + "\n")
    heard = InterventionSet.read(tmp_path)
    assert heard.pairs[-1].kind == "noise" and len(heard.pairs) == len(InterventionSet.read(folder).pairs) + 1
    controls.write_text(json.dumps(line) + "\n")
    with pytest.raises(CorpusError, match="s0_en_900_p000"):
        InterventionSet.read(tmp_path)


def test_states_that_are_the_movements_have_gain_and_specificity_of_the_truth(ask: Callable[..., Evidence]):
    found = by_name(ask(Planted(reading(*BODY))))
    gain, specificity = found["interventions_gain"], found["interventions_specificity"]
    assert gain.value == pytest.approx(1, abs=0.1) and gain.low <= gain.value <= gain.high
    assert gain.n == {"speakers": 3, "languages": 2, "utterances": 6, "pairs": 24}
    assert specificity.value > 0.8
    assert found["interventions_sign"].value == 1
    assert abs(found["interventions_latency"].value) < 3
    assert found["interventions_timing_gain"].value == pytest.approx(1, abs=0.15)
    beyond = found["interventions_specificity_beyond_covariance"]
    assert beyond.value > 0.2 and beyond.low > 0
    assert found["interventions_gain_beyond_shuffled"].low > 0.5
    assert found["interventions_specificity_beyond_shuffled"].value > 0.4
    for name in ("invariance_f0", "invariance_voice", "invariance_anatomy"):
        assert found[name].value == pytest.approx(0, abs=1e-3)
    (utterances,) = [part for part in gain.by if part.name == "utterances"]
    assert utterances.n == 6 and utterances.low < utterances.value < utterances.high
    assert found["features_tract_over_pitch"].value is None
    assert "by chance 0.25" in specificity.says
    assert found["interventions_gain_beyond_shuffled"].n == gain.n | {"draws": 2}
    assert found["invariance_voice"].n == gain.n | {"pairs": 6, "movements": 24}


def test_states_that_hold_what_moves_together_respond_as_the_covariance_predicts(ask: Callable[..., Evidence]):
    evidence = ask(Planted(together()))
    found = by_name(evidence)
    beyond = found["interventions_specificity_beyond_covariance"]
    assert found["interventions_specificity"].value < 0.5
    assert 0 < found["interventions_gain"].value < 0.9
    (table,) = [table for table in evidence.tables if table.name == "nearness"]
    rows = {row["read_by"]: row for row in table.rows}
    assert rows["mel_frame"]["truth"] < 0.5
    assert beyond.value == pytest.approx(rows["mel_frame"]["beyond"])
    assert beyond.value < 0.6 * rows["the exact positions"]["beyond"]  # components of few directions, not C itself
    assert rows["the exact positions"]["truth"] == pytest.approx(1)


def test_states_that_hold_the_pitch_alone_do_not_respond_and_are_not_invariant(ask: Callable[..., Evidence]):
    found = by_name(ask(Planted(reading(F0))))
    assert found["interventions_gain"].value == pytest.approx(0, abs=1e-6)
    assert found["interventions_sign"].value == pytest.approx(0.5)
    assert found["invariance_f0_sd"].value > 1e-4
    assert found["invariance_f0"].value is None and "may not move" in found["invariance_f0"].says
    assert found["interventions_specificity"].value is None or found["interventions_specificity"].value < 0.5


def test_voice_that_leaks_into_states_shows_in_mm_of_articulation(ask: Callable[..., Evidence]):
    leaky = reading(*BODY)
    leaky[VOICE, :] = 0.3
    leaky[F0, 0] = 0.2
    found = by_name(ask(Planted(leaky)))
    voice, anatomy = found["invariance_voice"], found["invariance_anatomy"]
    assert voice.value > 0.1 and anatomy.value == pytest.approx(2 * voice.value, rel=0.01)
    assert found["invariance_f0"].value > 0.001


def test_late_states_are_late_and_noise_costs_specificity_but_no_gain(ask: Callable[..., Evidence]):
    late, noisy = by_name(ask(Planted(reading(*BODY), late=4))), by_name(ask(Planted(reading(*BODY), noise=1.0)))
    assert late["interventions_latency"].value == pytest.approx(40, abs=5)
    clean = by_name(ask(Planted(reading(*BODY))))
    assert 0.4 < noisy["interventions_gain"].value < 1.1
    assert noisy["interventions_specificity"].value < clean["interventions_specificity"].value - 0.1


def test_depth_that_turns_pitch_down_is_told_in_doublings(ask: Callable[..., Evidence]):
    shallow, deep = reading(*BODY), reading(*BODY)  # pitch in every feature
    shallow[F0, list(BODY)], deep[F0, list(BODY)] = 0.8, 0.1
    found = by_name(ask(Planted(shallow, deep)))
    assert found["features_tract_over_pitch"].value == pytest.approx(3, abs=0.7)
    assert {part.name for part in found["features_tract_over_pitch"].by} == {"0", "1"}


def course(speaker: str, factor: float, semitones: float = 0.0) -> Course:
    """Return a pair whose read-outs move a factor of what positions do, or one that moves pitch alone."""
    true = np.zeros((40, len(CHANNELS)))
    true[10:30, CHANNELS.index("tt_y")] = np.hanning(20)
    kind, moved = ("f0", "f0") if semitones else ("articulator", "tongue_tip")
    pair = Pair(
        1, "p", f"u{speaker}", kind, moved, "y", semitones or 0.3, "", (0.1, 0.3), "a", "vowel", 0, 1, 0, 0, 1, 0
    )
    read = np.full((1, 40, len(CHANNELS)), 0.1 * semitones) if semitones else factor * true[None]
    spoken = np.arange(40) < 20
    return Course(
        pair,
        speaker,
        "en",
        np.arange(40) / 100,
        np.full(len(CHANNELS), 2.0),
        read,
        0 * read,
        read[:, :, 0],
        true,
        spoken,
    )


def test_intervals_are_those_of_speakers():
    courses = [course(name, factor) for name, factor in (("a", 0.5), ("b", 1.0), ("c", 1.5)) for _ in range(4)]
    gains = over_units(courses, Responses(at(0)).gain, lambda each: each.speaker)
    assert gains == pytest.approx({("all", "a"): 0.5, ("all", "b"): 1.0, ("all", "c"): 1.5})
    reached = over(gains)
    half = 4.30265 * 0.5 / np.sqrt(3)  # t with two degrees of freedom: four pairs of a speaker are not four speakers
    assert (reached.mean, reached.low, reached.high) == pytest.approx((1, 1 - half, 1 + half), rel=1e-4)
    assert (
        reached.n == 3 and over(over_units(courses[:4], Responses(at(0)).gain, lambda each: each.speaker)).low is None
    )


def test_slopes_are_per_semitone_and_per_mm():
    courses = [course("a", 1.0), course("a", 0.0, 2.0), course("a", 0.0, -4.0)]
    moved = Movement(at(0))
    # Read everywhere, moved for 20 frames, an eighth of which, half of two edges of 25 ms, count for nothing.
    assert moved.per_semitone(courses) == pytest.approx(0.1 * 40 / 20 / (1 - 0.125), rel=0.01)
    assert slope([(1, 2), (2, 4), (0, 9)]) == pytest.approx(2) and slope([]) is None
    # One channel of twelve moves, by 2 mm for each deviation, and is all that its own sensor does.
    assert moved.per_mm(courses) == pytest.approx(1 / len(CHANNELS) / 2)


def test_voice_is_measured_where_something_is_said_and_semitones_are_a_windows_mean():
    voice = course("a", 1.0)
    voice = replace(voice, pair=replace(voice.pair, kind="voice", moved="voice", window_s=(0.0, 0.4), amount="breathy"))
    sizes = np.arange(40.0)
    assert extent(voice, sizes) == pytest.approx(9.5)  # of the first 20 frames, which are in phones
    assert np.isnan(extent(replace(voice, spoken=np.zeros(40, bool)), sizes))
    assert Movement(at(0)).by_kind("voice")([replace(voice, spoken=np.zeros(40, bool))]) is None
    times_s = (np.arange(10_000) + 0.5) / 10_000
    for length_s in (0.2, 0.05, 0.03):
        edge = np.clip(np.minimum(times_s, 1 - times_s) * length_s / 0.025, 0, 1)
        pair = replace(voice.pair, amount=-3.0, window_s=(0.1, 0.1 + length_s))
        assert pair.mean_size == pytest.approx(3 * (0.5 - 0.5 * np.cos(np.pi * edge)).mean(), rel=1e-4)


def test_what_usually_moves_together_is_the_regression_on_all_own_channels():
    random = np.random.default_rng(3)
    speech = random.normal(size=(5000, 4)) @ random.normal(size=(4, len(CHANNELS)))
    speech += 0.5 * random.normal(size=speech.shape)
    scaled = (speech - speech.mean(axis=0)) / speech.std(axis=0)
    correlations = np.corrcoef(speech.T)
    own, real = [0, 1, 2, 3], random.normal(size=len(CHANNELS))
    expected = np.linalg.lstsq(scaled[:, own], scaled, rcond=None)[0].T @ real[own]
    np.testing.assert_allclose(usual_of(correlations, own, real), expected, atol=1e-8)
    body = course("a", 1.0)
    body = replace(body, pair=replace(body.pair, moved="tongue_body", direction="y"))
    body.true[10:30, own] = np.hanning(20)[:, None] * [0.5, 1.0, -0.5, 2.0]
    body.true[10:30, 4:] = 0
    usual = usual_of(correlations, own, Responses(truth, 0.0).response([body]))
    knows = replace(body, moved=body.true[None, :, [1]] * usual)  # of the covariance alone, from its own channels
    moves = replace(body, moved=body.true[None] * 0.3)
    assert Nearness(at(0), correlations, 0.0).beyond([knows]) == pytest.approx(0, abs=1e-9)
    near = Nearness(at(0), correlations, 0.0)
    assert near.beyond([moves]) == pytest.approx(near.possible([moves])) and near.possible([moves]) > 0.1


def test_a_gain_above_one_counts_as_far_from_it_as_one_below():
    assert Responses(at(0)).closeness([course("a", 1.7)]) == pytest.approx(0.3)
    assert Responses(at(0)).closeness([course("a", 0.3)]) == pytest.approx(0.3)


def test_chance_is_of_the_articulators_that_are_read():
    lacks = course("a", 1.0)
    lacks.moved[:, :, CHANNELS.index("li_x") : CHANNELS.index("li_y") + 1] = np.nan
    assert Responses(at(0)).chance([lacks]) == pytest.approx(1 / 3)
    assert Responses(at(0)).chance([lacks, course("a", 1.0)]) == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_pairs_are_spread_over_languages_and_speakers_by_no_order():
    pairs = []
    for number in range(64):
        one = course("ab"[number % 2], 1.0, 3.0 if number % 8 > 5 else 0.0)
        moved = "velum" if number % 8 in (2, 3) else one.pair.moved
        pair = replace(one.pair, id=f"p{number:03}", moved=moved)
        pairs.append(replace(one, pair=pair, language=("en", "it")[number // 32]))
    chosen = spread(pairs, 16)
    of = {one.pair.id: (one.language, one.speaker, one.pair.moved) for one in pairs}
    assert len(chosen) == 16 and set(Counter(of[pair.id] for pair in chosen).values()) == {2}
    assert {pair.moved for pair in chosen} == {"tongue_tip", "f0"}
    assert {pair.id for pair in spread(pairs[::-1], 16)} == {pair.id for pair in chosen}
    assert [pair.id for pair in spread(pairs, 3)] == [pair.id for pair in spread(pairs[::-1], 3)]
    numbers = [int(pair.id[1:]) % 32 for pair in chosen]
    assert max(numbers) > 16  # not the first ones


def test_speakers_are_known_by_generator_or_palate_and_not_by_name(prepared: Path, folder: Path):
    corpus = PreparedCorpus(prepared / "planted")
    learned = ([corpus], ["planted/s0", "planted/s9"])
    heard = InterventionSet.read(folder)
    assert known_speakers(*learned, heard) == {"s0": "planted/s0", "s9": "planted/s9"}
    other = replace(heard, generator="planted 2")
    assert known_speakers(*learned, other) == {} and known_speakers(*learned, replace(heard, generator="")) == {}
    trace = np.stack([np.linspace(-40, 0, 30), np.linspace(3, 12, 30) ** 2 / 10], axis=1)
    corpus = PreparedCorpus(prepared / "planted")
    corpus.description["palates"] = {"s0": np.round(trace[::2], 4).tolist(), "s9": (trace[::2] + 0.1).tolist()}
    assert known_speakers([corpus], learned[1], replace(other, palates={"s0": trace, "s9": trace})) == {
        "s0": "planted/s0"
    }


def test_acoustics_are_exceeded_by_states_that_are_the_movements(ask: Callable[..., Evidence]):
    evidence = ask(Planted(reading(*BODY)))
    beyond = by_name(evidence)["interventions_gain_beyond_mel"]
    assert by_name(evidence)["invariance_f0_over_mel"].value > 0
    assert beyond.value > 0.2 and beyond.n["pairs"] == 24
    figures = {figure.name: figure for figure in evidence.figures}
    assert figures["response"].kind == "matrix" and len(figures["response"].series) == len(OWN)
    assert {row["condition"] for row in evidence.rows} >= {"interventions_gain", "interventions_specificity"}
    assert len(evidence.caveats) > 4


def test_an_encoder_with_weights_is_compared_with_draws_of_them(
    configure: Configure, prepared: Path, folder: Path, tmp_path: Path
):
    small = ("model=random", "model.layers=1", "model.width=16", "model.channels=4", "corpora=[planted]")
    asked = ("study=interventions", f"analysis.root={folder}", "analysis.mel=null", "analysis.random_pairs=18")
    record = conducted(Settings.of(plain(configure(*small, *asked, f"paths.data={prepared}"))))
    found = by_name(record.evidence)
    beyond = found["interventions_gain_beyond_random"]
    assert (
        beyond.n["draws"] == 2
        and beyond.n["pairs"] == 12
        and beyond.n["speakers"] == 3
        and beyond.low < beyond.value < beyond.high
        and beyond.unit == "mm per mm"
    )
    assert abs(beyond.value) < 1  # one more draw of random weights is beyond the others by luck alone
    assert found["features_tract_over_pitch"].value is not None
    for figure in record.evidence.figures:
        check(figure)
    readers = {row["read_by"] for table in record.evidence.tables if table.name == "readers" for row in table.rows}
    assert readers == {"random", "shuffled heads, 1", "shuffled heads, 2",
                       "random weights, seed 1", "random weights, seed 2",
                       "the exact positions"}  # fmt: skip
    assert record.identity["analysis"]["content"] == InterventionSet.read(folder).content_hash
    assert "root" not in record.identity["analysis"] and "analysis.root" not in record.identity["differences"]
    write_record(tmp_path, record)
    assert read_record(tmp_path).evidence.finding("interventions_gain") == found["interventions_gain"]


def test_a_finished_record_is_of_the_content_and_not_of_the_path(
    configure: Configure, prepared: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Interventions, "__call__", lambda self, bench: Evidence(()))

    def asked(root: Path) -> Settings:
        return Settings.of(plain(configure("study=interventions", "model=mel_frame", "corpora=[planted]",
                                           f"paths.data={prepared}", f"analysis.root={root}")))  # fmt: skip

    here, there, other = (tmp_path / name for name in ("here", "there", "other"))
    for place in (here, there, other):
        place.mkdir()
        damaged(folder, place, **({"amount": 0.123} if place == other else {}))
    record = conducted(asked(here))
    write_record(asked(here).folder, record)
    assert finished_analysis(asked(here)).identity == record.identity
    assert conducted(asked(there)).identity == record.identity
    changed = conducted(asked(other))
    assert changed.identity["analysis"] != record.identity["analysis"]
    assert settings_of(changed) != settings_of(record)  # by which the report tells what can be compared
    (here / "pairs.jsonl").write_text((other / "pairs.jsonl").read_text())
    with pytest.raises(RunError, match="other content"):
        finished_analysis(asked(here))


def test_a_package_without_interventions_has_nothing_to_ask_and_a_wrong_path_is_an_error(
    ask: Callable[..., Evidence], tmp_path: Path
):
    with pytest.raises(DoesNotApply, match=r"there are no interventions at .*vocaltract interventions"):
        ask(Planted(reading(*BODY)), root=str(tmp_path / "builtin_interventions"))
    with pytest.raises(ConfigError, match=r"give analysis\.root=") as caught:
        ask(Planted(reading(*BODY)), root=str(tmp_path / "mistyped"))
    assert not isinstance(caught.value, DoesNotApply)


def test_a_sentence_that_heads_learned_from_is_refused(ask: Callable[..., Evidence], folder: Path, tmp_path: Path):
    damaged(folder, tmp_path)
    path = tmp_path / "s1_it_900.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"text": "It says, 2!"}))
    with pytest.raises(ConfigError, match=r"1 of 6 base utterances.*s1_it_900"):
        ask(Planted(reading(*BODY)), root=str(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [{"shuffles": 1}, {"random_seeds": -1}, {"random_pairs": 0}, {"shift_s": 0}, {"margin_s": 2}, {"margin": 0}],
)
def test_impossible_settings_are_one_line(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        replace(Interventions("somewhere"), **wrong)
