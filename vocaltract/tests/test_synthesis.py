"""Sound and sensors of one short movement, against what the geometry itself says."""

import numpy as np
import pytest
import vocaltractlab_cython as vtl

from vocaltract import speakers, synthesis
from vocaltract.errors import VocalTractError
from vocaltract.spoken import Spoken
from vocaltract.states import GLOTTIS, STATE_HZ, STATE_SAMPLES, TRACT, Movement
from vocaltract.synthesis import aeroacoustics, sensors
from vocaltract.synthesis.jumps import without_jumps
from vocaltract.synthesis.sampling import sampled

STATES = 61


@pytest.fixture(scope="module")
def speaker() -> speakers.Speaker:
    return speakers.load("m1")


def moving(speaker: speakers.Speaker, lips_cm: float = 0.0) -> Movement:
    """From /a/ to /i/ in 0.3 s; the lips close meanwhile if ``lips_cm`` is large enough."""
    share = np.linspace(0.0, 1.0, STATES)[:, None]
    tract = (1.0 - share) * speaker.shapes.vowel("a") + share * speaker.shapes.vowel("i")
    tract[:, TRACT.index("LD")] -= lips_cm * np.sin(np.pi * share[:, 0])
    glottis = np.tile(speaker.shapes.glottis("modal"), (STATES, 1))
    glottis[:, GLOTTIS.index("F0")] = 110.0
    return Movement("m1", tract, glottis, Spoken("", "zxx", ()))


def changed(movement: Movement, state: int, name: str, value: float) -> Movement:
    tract = movement.tract.copy()
    tract[state, TRACT.index(name)] = value
    return Movement(movement.speaker, tract, movement.glottis, movement.spoken)


@pytest.fixture(scope="module")
def raw(speaker: speakers.Speaker) -> np.ndarray:
    return aeroacoustics.simulated(moving(speaker), speaker)


def test_audio_has_one_step_less_than_states_the_level_of_speech_and_the_pitch_that_was_asked_for(
    raw: np.ndarray,
) -> None:
    audio = raw * aeroacoustics.gain(raw)
    assert audio.shape == ((STATES - 1) * STATE_SAMPLES,)
    assert np.sqrt(np.mean(audio**2)) == pytest.approx(0.06, rel=1e-9) or np.abs(audio).max() == pytest.approx(0.95)
    late = audio[4000:] - audio[4000:].mean()
    lags = np.arange(200, 800)
    period = lags[np.argmax([late[:-lag] @ late[lag:] for lag in lags])]
    assert 44100 / period == pytest.approx(110.0, rel=0.04)  # flutter moves F0 by a few per cent


def test_a_state_acts_only_from_the_state_before_it_on(speaker: speakers.Speaker, raw: np.ndarray) -> None:
    base = moving(speaker)
    other = aeroacoustics.simulated(changed(base, 40, "LD", base.tract[40, TRACT.index("LD")] + 0.2), speaker)
    first = int(np.flatnonzero(raw != other)[0])
    assert 39 * STATE_SAMPLES < first <= 39 * STATE_SAMPLES + 50


def test_sound_that_peaks_is_scaled_to_its_peak_and_silence_is_refused() -> None:
    click = np.zeros(44100)
    click[100] = 0.3
    assert aeroacoustics.gain(click) == pytest.approx(0.95 / 0.3)
    with pytest.raises(VocalTractError, match="no sound"):
        aeroacoustics.gain(np.zeros(10))


@pytest.mark.parametrize("value", [np.nan, -7.0])
def test_what_the_synthesiser_would_clamp_or_choke_on_is_named(speaker: speakers.Speaker, value: float) -> None:
    with pytest.raises(VocalTractError, match=r"LD is .* in state 7"):
        synthesis.audio(changed(moving(speaker), 7, "LD", value), speaker)


def test_movements_of_another_speaker_or_of_single_precision_are_refused(speaker: speakers.Speaker) -> None:
    base = moving(speaker)
    with pytest.raises(VocalTractError, match="tract of m1"):
        synthesis.audio(Movement("f1", base.tract, base.glottis, base.spoken), speaker)
    with pytest.raises(VocalTractError, match="float64"):
        synthesis.audio(Movement("m1", base.tract.astype(np.float32), base.glottis, base.spoken), speaker)


def test_sensors_lie_on_the_mesh_at_the_interpolated_state(speaker: speakers.Speaker) -> None:
    base = moving(speaker)
    read = synthesis.articulation(base, speaker, exact=True)
    frame, place = 17, 17 / 100 * STATE_HZ
    share = place - int(place)
    state = (1 - share) * base.tract[int(place)] + share * base.tract[int(place) + 1]
    tip = vtl.get_surface_vertices(state, 16)[speaker.sensors.ribs["tt"], 5, :2] * 10
    lip = vtl.get_outlines(state)["upper"][-1] * 10 + speaker.sensors.offsets_mm["ul"]
    expected = speaker.in_head_frame(np.stack([tip, lip]))
    columns = [synthesis.CHANNELS.index(name) for name in ("tt_x", "tt_y", "ul_x", "ul_y")]
    np.testing.assert_allclose(read.ema[frame, columns], expected.ravel(), atol=1e-9)
    assert len(read.ema) == len(read.f0_hz) == len(read.velum_cm2) == int((STATES - 1) / STATE_HZ * 100 + 1e-9) + 1
    assert (read.f0_hz == 110.0).all()


def test_lips_that_close_are_read_within_a_tenth_of_a_millimetre_without_reading_every_frame(
    speaker: speakers.Speaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = moving(speaker, lips_cm=1.5)
    base.tract[30:] = base.tract[30]
    outlines, calls = vtl.get_outlines, []
    monkeypatch.setattr(sensors.vtl, "get_outlines", lambda state: calls.append(1) or outlines(state))
    exact = synthesis.articulation(base, speaker, exact=True)
    all_frames = len(calls)
    read = synthesis.articulation(base, speaker)
    assert len(calls) - all_frames < all_frames < len(exact.ema)
    assert np.abs(read.ema - exact.ema).max() < 0.1
    assert np.ptp(exact.ema[:, synthesis.CHANNELS.index("ll_y")]) > 3.0


def test_constriction_is_that_of_the_area_function(speaker: speakers.Speaker) -> None:
    read = synthesis.articulation(moving(speaker, lips_cm=2.0), speaker, rate_hz=20.0, constriction=True)
    assert read.constriction is not None
    assert read.constriction[3, 0] < 0.01 < read.constriction[0, 0]
    assert read.constriction[3, 1] > 14.0  # at the lips of an adult man


def test_one_frame_that_jumps_is_repaired_and_neither_its_neighbours_nor_fast_movement_are() -> None:
    time = np.arange(200) / 100
    smooth = np.stack([np.sin(2 * np.pi * 8 * time) * 0.4, np.cos(2 * np.pi * 3 * time)], axis=1)[:, None, :]
    assert without_jumps(smooth)[1] == 0
    jumped = smooth.copy()
    jumped[50, 0] += 0.4
    repaired, count = without_jumps(jumped)
    assert count == 1
    assert np.flatnonzero((repaired != jumped).any(axis=(1, 2))).tolist() == [50]
    assert np.abs(repaired - smooth).max() < 0.2


def test_a_curve_is_read_at_every_other_frame_and_beside_its_corner() -> None:
    frames, asked = np.arange(41), []
    curve = np.where(frames < 21, 0.002 * frames**2, 0.0)[:, None]
    values = sampled(lambda frame: asked.append(frame) or curve[frame], len(curve), 0.01)
    np.testing.assert_allclose(values, curve, atol=1e-12)
    assert [frame for frame in sorted(asked) if frame % 2] == [1, 19, 21, 23, 39]
