"""Babble: as fast as speech, as wide as it should be, audible, and inside the walls."""

from collections.abc import Iterator

import numpy as np
import pytest
import vocaltractlab_cython as vtl

from vocaltract import babble, speakers, synthesis
from vocaltract.babble import near_speech, whole_space
from vocaltract.errors import VocalTractError
from vocaltract.manner import Manner
from vocaltract.spoken import Phone, Spoken
from vocaltract.states import GLOTTIS, STATE_HZ, TRACT, Movement
from vocaltract.synthesis import aeroacoustics
from vocaltract.synthesis.sensors import f0_of

PRESSURE = GLOTTIS.index("PR")
ARTICULATORS = [TRACT.index(name) for name in ("JA", "LP", "LD", "TCX", "TCY", "TTX", "TTY", "TBX", "TBY")]
PIECES = 6


@pytest.fixture(scope="module")
def speaker() -> Iterator[speakers.Speaker]:
    """One sentence of each language and few candidates: enough to compare with, in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_speech, "SENTENCES", 1)
        patch.setattr(whole_space, "CANDIDATES", 60)
        near_speech.speech.cache_clear()
        near_speech.postures.cache_clear()
        whole_space.postures.cache_clear()
        yield speakers.load("m1")
    near_speech.speech.cache_clear()
    near_speech.postures.cache_clear()
    whole_space.postures.cache_clear()


def babbled(speaker: speakers.Speaker, kind: str) -> list[Movement]:
    return [babble.movement(speaker, kind, 5.0, seed, Manner()) for seed in range(PIECES)]


def speaking(movements: list[Movement]) -> tuple[np.ndarray, np.ndarray]:
    """States and velocities (state, articulator) wherever there is lung pressure."""
    on = [m.glottis[1:, PRESSURE] > near_speech.SPEAKING_DPA for m in movements]
    states = np.concatenate([m.tract[1:][k] for m, k in zip(movements, on, strict=True)])
    velocities = [np.diff(m.tract, axis=0)[k] * STATE_HZ for m, k in zip(movements, on, strict=True)]
    return states[:, ARTICULATORS], np.concatenate(velocities)[:, ARTICULATORS]


@pytest.mark.parametrize("kind", ["a", "b"])
def test_articulators_are_as_fast_as_in_speech(speaker: speakers.Speaker, kind: str) -> None:
    speech, babble_ = speaking(list(near_speech.speech("m1")))[1], speaking(babbled(speaker, kind))[1]
    for share in (0.5, 0.9):
        ratio = np.quantile(np.abs(babble_), share, axis=0) / np.quantile(np.abs(speech), share, axis=0)
        assert 0.7 < np.exp(np.log(ratio).mean()) < 1.6
    rms = np.sqrt(np.mean(babble_**2, axis=0) / np.mean(speech**2, axis=0))
    assert 0.8 < np.exp(np.log(rms).mean()) < 1.25
    assert 0.5 < rms.min() < rms.max() < 1.8


def test_kind_a_stays_among_the_postures_of_speech_and_kind_b_does_not(speaker: speakers.Speaker) -> None:
    speech, _ = speaking(list(near_speech.speech("m1")))
    centre, scale = speech.mean(axis=0), speech.std(axis=0)
    nearest = {}
    for kind in "ab":
        states = speaking(babbled(speaker, kind))[0][::17]
        away = (states[:, None] - speech[None, ::3]) / scale
        nearest[kind] = np.median(np.sqrt((away**2).mean(axis=2)).min(axis=1))
        spread = states.std(axis=0) / scale
        assert 0.75 < spread.min()
        assert (np.abs(states.mean(axis=0) - centre) < scale).all()
    assert nearest["a"] < 0.45
    assert nearest["b"] > 2 * nearest["a"]


def test_kind_a_does_not_follow_the_sequences_of_speech(speaker: speakers.Speaker) -> None:
    """Where speech goes in 0.1 s from a posture says nothing about where babble goes from a similar one."""
    tract, _ = near_speech.postures("m1")
    knots = near_speech.knots(speaker, (0.0, 200.0), np.random.default_rng(0), Manner())
    numbers = np.array([np.flatnonzero((tract == knot.tract).all(axis=1))[0] for knot in knots])
    assert np.mean(np.abs(np.diff(numbers)) < 40) < 0.02  # 40 states are 0.2 s
    assert np.ptp(numbers) > 0.95 * len(tract)


def test_postures_of_kind_b_are_within_the_walls_and_at_every_place(speaker: speakers.Speaker) -> None:
    found = whole_space.postures("m1")
    speaker.activate()
    tongue = [TRACT.index(name) for name in ("TCX", "TCY", "TTX", "TTY", "TBX", "TBY")]
    for state in found.tract[:5]:
        np.testing.assert_allclose(vtl.tract_state_to_limited_tract_state(state)[tongue], state[tongue], atol=1e-3)
    shut = {place for degree, place in found.cells if degree == 0}
    assert len(shut) >= 3 and len({place for _, place in found.cells}) >= 5
    random = np.random.default_rng(0)
    drawn = [whole_space._posture(found, speaker, random) for _ in range(300)]
    number = {state[: TRACT.index("VO")].tobytes(): k for k, state in enumerate(found.tract)}
    degrees = {k: degree for (degree, _), numbers in found.cells.items() for k in numbers}
    share = np.mean([degrees[number[state[: TRACT.index("VO")].tobytes()]] == 0 for state in drawn])
    assert share == pytest.approx(whole_space.SHARES[0], abs=0.09)


@pytest.mark.parametrize("kind", ["a", "b"])
def test_silence_voice_and_pitch_are_as_in_speech(speaker: speakers.Speaker, kind: str) -> None:
    pieces = babbled(speaker, kind)
    glottis = np.concatenate([m.glottis for m in pieces])
    said = np.concatenate([m.glottis for m in near_speech.speech("m1")])
    assert [m.spoken.language for m in pieces] == ["zxx"] * PIECES
    assert not any(m.spoken.phones for m in pieces)
    assert all(len(m.tract) == int(5.0 * STATE_HZ) + 1 for m in pieces)
    for states in (glottis, said):
        assert 0.05 < np.mean(states[:, PRESSURE] < 1500) < 0.3
        voiced = f0_of(states)[states[:, PRESSURE] > near_speech.SPEAKING_DPA] > 0
        assert 0.55 < voiced.mean() < 0.9
        semitones = 12 * np.log2(states[:, GLOTTIS.index("F0")] / speaker.f0_hz)
        assert 1.2 < semitones.std() < 3.5


def test_babble_is_heard_and_within_the_limits(speaker: speakers.Speaker) -> None:
    piece = babble.movement(speaker, "b", 1.2, 3, Manner())
    aeroacoustics.check(piece, speaker)
    sound = synthesis.audio(piece, speaker)
    level = np.sqrt(np.convolve(sound**2, np.ones(1102) / 1102, "same"))
    assert np.mean(level > level.max() / 31.6) > 0.35  # within 30 dB of the loudest


def test_kind_c_says_reordered_phones(speaker: speakers.Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    phones = tuple(Phone(ipa, 0.1 * k, 0.1 * k + 0.1) for k, ipa in enumerate(["ʎ", "y", "p", "ɿ"]))
    said = lambda random, seconds: asked.append(seconds) or Spoken("", "zxx", phones)  # noqa: E731
    monkeypatch.setattr(babble.languages, "reordered", said)
    piece = babble.movement(speaker, "c", 5.0, 0, Manner(rate=2.0))
    assert [phone.ipa for phone in piece.spoken.phones] == ["ʎ", "y", "p", "ɿ"]
    assert piece.spoken.language == "zxx"
    assert asked == [pytest.approx(2.0 * (5.0 - babble.SILENCE_S))]  # at twice the rate


def test_seeds_and_manners_act(speaker: speakers.Speaker) -> None:
    same = [babble.movement(speaker, "a", 2.0, 7, Manner()) for _ in range(2)]
    np.testing.assert_array_equal(same[0].tract, same[1].tract)
    other = babble.movement(speaker, "a", 2.0, 8, Manner())
    assert not np.array_equal(same[0].tract, other.tract)
    flat = babble.movement(speaker, "a", 2.0, 7, Manner(f0_movement=0.0))
    assert np.ptp(flat.glottis[:, GLOTTIS.index("F0")]) < 1e-9
    slow, fast = (speaking([babble.movement(speaker, "a", 20.0, 7, Manner(rate=rate))])[1] for rate in (0.7, 1.3))
    assert np.sqrt(np.mean(fast**2)) > 1.15 * np.sqrt(np.mean(slow**2))


def test_what_cannot_be_babbled_is_refused(speaker: speakers.Speaker) -> None:
    with pytest.raises(VocalTractError, match="'d'; there are a, b, c"):
        babble.movement(speaker, "d", 5.0, 0, Manner())
    with pytest.raises(VocalTractError, match=r"0\.5 s"):
        babble.movement(speaker, "a", 0.5, 0, Manner())
