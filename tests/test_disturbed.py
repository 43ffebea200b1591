"""Disturbed views of a corpus, and what an analysis finds on them where the truth is known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.disturbed import DisturbedCorpus
from tractprobe.data.targets import Targets
from tractprobe.encoders.encoder import States, Wave
from tractprobe.encoders.mel import LogMel
from tractprobe.evidence.analyses.disturbed import Disturbed, _drawn
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.listening import Listener
from tractprobe.evidence.record import Evidence
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.audio import RATE_HZ
from tractprobe.signals.disturbances import Noise, Reversed, Vocoded
from tractprobe.system.errors import ConfigError

Configure = Callable[..., Any]
SHORT = Disturbed(None, (20, -5), -5, ("white",), 0.5, 0.0, (), (), ("mfcc_frame",), 1)


def bench_of(configure: Configure, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure(*overrides))))


@pytest.fixture
def backwards(toy: PreparedCorpus) -> DisturbedCorpus:
    return DisturbedCorpus(toy, Reversed(), [entry.id for entry in toy.entries])


def test_a_view_holds_the_utterances_that_it_was_given_under_their_names_and_a_hash_of_its_own(toy: PreparedCorpus):
    ids = [entry.id for entry in toy.entries[3:7]]
    views = [DisturbedCorpus(toy, how, ids) for how in (Reversed(), Noise("white", 0), Noise("white", 0, 1), Vocoded())]
    views.append(DisturbedCorpus(toy, Reversed(), ids[1:]))
    assert len({view.content_hash for view in views} | {toy.content_hash}) == 6
    assert views[0].content_hash == DisturbedCorpus(toy, Reversed(), ids[::-1]).content_hash
    for view in views[:4]:
        assert view.entries == toy.entries[3:7] and view.name == "toy"
        assert view.audio(ids[0]).dtype == np.float32 and not np.array_equal(view.audio(ids[0]), toy.audio(ids[0]))
    with pytest.raises(KeyError):
        views[0].audio(toy.entries[0].id)
    for refused in (lambda: views[0].cuts, lambda: views[0].utterance(ids[0])):
        with pytest.raises(NotImplementedError):
            refused()


def test_only_reversal_touches_movements_and_phones(toy: PreparedCorpus):
    id_ = toy.entries[0].id
    noisy = DisturbedCorpus(toy, Noise("babble", 0), [id_])
    np.testing.assert_array_equal(noisy.track(id_).values, toy.track(id_).values)
    assert noisy.phones(id_) == toy.phones(id_) and noisy.track(id_).start_s == toy.track(id_).start_s


def test_backwards_movements_are_those_of_mirrored_times_and_lost_sensors_stay_lost(
    toy: PreparedCorpus, backwards: DisturbedCorpus, monkeypatch: pytest.MonkeyPatch
):
    entry, read = toy.entries[0], PreparedCorpus.track

    def lossy(corpus: PreparedCorpus, id_: str) -> Any:
        track = read(corpus, id_)
        values = track.values.copy()
        values[20:60, 4:6] = np.nan
        return replace(track, values=values, start_s=-0.013)

    monkeypatch.setattr(PreparedCorpus, "track", lossy)
    last_s = (entry.num_samples - 1) / RATE_HZ
    times_s = np.array([0.0, 0.1003, 0.4, 0.75, 1.1])
    for targets in (Targets(["ema"]), Targets(["tract"])):
        there, back = targets.at(toy, entry, last_s - times_s), targets.at(backwards, entry, times_s)
        np.testing.assert_allclose(back, there, atol=0.02)  # a filter there and back starts differently at its two ends
    raw, mirrored = lossy(toy, entry.id), backwards.track(entry.id)
    np.testing.assert_allclose(mirrored.at(times_s), raw.at(last_s - times_s), atol=1e-9)
    assert np.isnan(mirrored.at(last_s - np.array([0.3]))[0, 4:6]).all()


def test_reversed_twice_is_the_corpus(toy: PreparedCorpus, backwards: DisturbedCorpus):
    twice = DisturbedCorpus(backwards, Reversed(), [entry.id for entry in toy.entries])
    for entry in toy.entries[:3]:
        np.testing.assert_array_equal(twice.audio(entry.id), toy.audio(entry.id))
        track, again = toy.track(entry.id), twice.track(entry.id)
        np.testing.assert_array_equal(again.values, track.values)
        assert again.start_s == pytest.approx(track.start_s, abs=1e-9)
        for one, other in zip(twice.phones(entry.id), toy.phones(entry.id), strict=True):
            assert one[:2] == other[:2] and one[2:] == pytest.approx(other[2:], abs=1e-9)


def test_phones_run_backwards(toy: PreparedCorpus, backwards: DisturbedCorpus):
    entry = toy.entries[0]
    last_s = (entry.num_samples - 1) / RATE_HZ
    assert [phone.ipa for phone in toy.phones(entry.id)] == ["a", "m"]
    (first, second) = backwards.phones(entry.id)
    assert [first.ipa, second.ipa] == ["m", "a"]
    assert (first.start_s, first.end_s) == pytest.approx((last_s - 0.9, last_s - 0.5))
    assert (second.start_s, second.end_s) == pytest.approx((last_s - 0.5, last_s - 0.1))


def test_a_mel_stack_read_backwards_is_the_stack_of_mirrored_frames_turned_over(toy: PreparedCorpus):
    """The proof that movements and frames are on one time: frames of 400 + 320 k samples mirror onto each other."""
    encoder, wave = LogMel(bands=20, context=5), toy.audio(toy.entries[0].id)
    wave = wave[: 400 + 320 * 50]
    forwards, back = (encoder([torch.from_numpy(each.copy())])[0][0].numpy() for each in (wave, wave[::-1]))
    turned = back.reshape(len(back), 11, 20)[::-1, ::-1]
    errors = np.abs(turned - forwards.reshape(len(back), 11, 20))
    assert np.median(errors) < 0.01  # windows of an even length are symmetric but for one sample
    assert np.median(np.abs(back[::-1] - forwards)) > 20 * np.median(errors)
    times_s = encoder.geometry.times_s(len(back))
    np.testing.assert_allclose((len(wave) - 1) / RATE_HZ - times_s[::-1], times_s, atol=1e-12)


def test_what_is_read_of_undisturbed_speech_is_what_moments_say(configure: Configure):
    bench = bench_of(configure, "model=random", "model.layers=2", "model.width=16", "model.channels=8")
    listener = Listener(bench, list(bench.splits().values()), set(bench.entries))
    for fitted, rows in zip(listener.fits, listener.rows(bench), strict=True):
        expected = {(row["layer"], row["speaker"], row["channel"]): row for row in fitted.rows()}
        assert len(rows) == len(expected)
        for row in rows:
            other = expected[row["layer"], row["speaker"], row["channel"]]
            assert row["n_frames"] == other["n_frames"]
            assert row["r"] == pytest.approx(other["r"], abs=1e-4)  # heads are float32
            assert row["rmse"] == pytest.approx(other["rmse"], rel=1e-3)


def test_a_bench_on_a_view_reads_states_of_its_own_and_only_of_that(configure: Configure, toy: PreparedCorpus):
    bench = bench_of(configure, "model=mel_frame")
    id_ = toy.entries[0].id
    before = bench.states_of(id_)
    there = bench.on([DisturbedCorpus(bench.corpora[0], Reversed(), [id_])])
    assert list(there.entries) == [id_] and len(bench.entries) == len(toy.entries)
    back = there.states_of(id_)
    (expected,) = bench.encoder([torch.from_numpy(toy.audio(id_)[::-1].copy())])
    np.testing.assert_allclose(back, expected.half().float().numpy())
    np.testing.assert_array_equal(bench.states_of(id_), before)
    assert not np.allclose(back, before)
    assert there.problem.identity["corpora"] != bench.problem.identity["corpora"]


def test_features_computed_elsewhere_are_of_other_audio(configure: Configure, toy: PreparedCorpus, tmp_path):
    root = tmp_path / "theirs"
    (root / "toy").mkdir(parents=True)
    (root / "features.json").write_text(json.dumps({"rate_hz": 50, "start_s": 199.5 / 16000}))
    for entry in toy.entries:
        frames = (entry.num_samples - 400) // 320 + 1
        np.save(root / f"{entry.id}.npy", np.random.default_rng(0).normal(size=(1, frames, 4)).astype(np.float32))
    bench = bench_of(configure, "model=features", f"model.root={root}")
    with pytest.raises(ConfigError, match="no other audio"):
        bench.on([DisturbedCorpus(bench.corpora[0], Reversed(), list(bench.entries))])


def numbers(evidence: Evidence) -> dict[str, float | None]:
    return {finding.name: finding.value for finding in evidence.findings}


def test_acoustics_lose_in_noise_and_nothing_by_reversal_where_movements_follow_the_spectrum(configure: Configure):
    evidence = SHORT(bench_of(configure, "model=mel_frame"))
    found = numbers(evidence)
    assert found["r_undisturbed"] > 0.9
    assert abs(found["reversal_loss"]) < 0.01
    assert found["noise_loss_-5db"] > 0.2 and found["telephone_loss"] > 0.02 and found["room_loss"] > 0.02
    assert found["noise_loss_-5db_refitted"] < found["noise_loss_-5db"]
    assert found["reversal_loss_twin"] is None and found["reversal_check"] is None and found["pitch_loss"] is None
    (table,) = evidence.tables
    loss = {(row["condition"], row["heads"]): row["loss"] for row in table.rows}
    assert loss["white noise 20 dB", "as they are"] < loss["white noise -5 dB", "as they are"]
    assert loss["undisturbed", "as they are"] is None
    (of_noise,) = [finding for finding in evidence.findings if finding.name == "noise_loss_-5db"]
    assert of_noise.n["speakers"] == 3 and of_noise.n["languages"] == 3 and of_noise.low > 0
    assert of_noise.value == pytest.approx(np.mean([part.value for part in of_noise.by if part.kind == "language"]))
    assert loss["white noise -5 dB", "as they are"] == pytest.approx(of_noise.value)


class Familiar(LogMel):
    """Half noise for whatever it does not know. (Causal frames alone lose nothing where sounds go both ways alike.)"""

    known: frozenset[bytes] = frozenset()

    def encode(self, waves: Sequence[Wave]) -> list[States]:
        return [
            states if wave.numpy().tobytes() in self.known else states + states.std() * noise_like(states)
            for wave, states in zip(waves, super().encode(waves), strict=True)
        ]


def noise_like(states: States) -> States:
    return torch.randn(states.shape, generator=torch.Generator().manual_seed(states.shape[1]))


def test_an_encoder_that_knows_the_order_of_sounds_loses_by_reversal_beyond_acoustics(configure: Configure):
    bench = bench_of(configure, "model=mel_frame")
    familiar = Familiar("familiar", context=0)
    familiar.known = frozenset(bench.corpora[0].audio(id_).tobytes() for id_ in bench.entries)
    familiar.identity = familiar.identity | {"familiar": True}
    bench.problem = replace(bench.problem, encoder=familiar)
    evidence = SHORT(bench)
    found = {finding.name: finding for finding in evidence.findings}
    assert found["r_undisturbed"].value > 0.9
    assert found["reversal_loss"].value > 0.1
    beyond = found["reversal_beyond_acoustics"]
    assert beyond.value > 0.1 and beyond.low > 0
    expected = found["reversal_loss"].value - found["reversal_loss_acoustics"].value
    assert beyond.value == pytest.approx(expected, abs=1e-9)
    assert abs(found["reversal_check"].value) < 0.01


def test_an_encoder_that_is_the_control_itself_has_nothing_beyond_it(configure: Configure):
    found = numbers(replace(SHORT, snrs_db=(-5,))(bench_of(configure, "model=mfcc_frame")))
    assert found["reversal_loss"] is not None
    assert found["reversal_loss_acoustics"] is None and found["reversal_beyond_acoustics"] is None


def test_without_world_its_conditions_are_left_out_by_name(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tractprobe.signals.disturbances.find_spec", lambda name: None)
    settings = replace(SHORT, snrs_db=(-5,), semitones=(-4, 4), tract_lengths=(1.1,), controls=("mfcc_frame",))
    evidence = settings(bench_of(configure, "model=mel_frame"))
    assert any("pyworld is not installed" in said and "pitch +4 st" in said for said in evidence.caveats)
    pitch = next(finding for finding in evidence.findings if finding.name == "pitch_loss")
    assert pitch.value is None and "pyworld is not installed" in pitch.says


def test_a_language_of_which_nothing_is_drawn_is_named(configure: Configure, monkeypatch: pytest.MonkeyPatch):
    drawn = "tractprobe.evidence.analyses.disturbed._drawn"
    monkeypatch.setattr(drawn, lambda entries, *_: frozenset(each.id for each in entries if each.language != "it"))
    evidence = replace(SHORT, snrs_db=(-5,))(bench_of(configure, "model=mel_frame"))
    assert any("none is of it" in said for said in evidence.caveats)
    assert {row["language"] for row in evidence.rows} == {"de", "en"}


def test_as_many_of_each_language_are_drawn_and_always_the_same(configure: Configure):
    bench = bench_of(configure, "model=mel_frame")
    splits, entries = list(bench.splits().values()), list(bench.entries.values())
    for per_speaker in (3, 6):
        drawn = _drawn(entries, splits, per_speaker, 0)
        assert drawn == _drawn(entries[::-1], splits, per_speaker, 0) != _drawn(entries, splits, per_speaker, 1)
        for speaker in ("toy/s0", "toy/s1", "toy/s2"):
            languages = [bench.entries[id_].language for id_ in drawn if bench.entries[id_].speaker == speaker]
            assert sorted(languages) == sorted(["de", "en", "it"] * (per_speaker // 3))
    assert _drawn(entries, splits, None, 0) == {id_ for split in splits for id_ in split.test}


@pytest.mark.parametrize("wrong", [{"utterances_per_speaker": 0}, {"reference_snr_db": 3}, {"controls": ()},
                                   {"noises": ("pink",)}, {"tract_lengths": (9,)}])  # fmt: skip
def test_impossible_settings_are_one_line(wrong: dict[str, Any]):
    with pytest.raises(ConfigError):
        replace(SHORT, **wrong)
