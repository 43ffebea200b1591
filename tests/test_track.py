import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import butter, filtfilt

from tractprobe.signals.track import Track

NAMES = ("a", "b")


def track(values: np.ndarray, rate_hz: float = 100.0, start_s: float = 0.0) -> Track:
    return Track(np.asarray(values, float), rate_hz, start_s, tuple(f"c{i}" for i in range(np.shape(values)[1])))


def wave(times_s: np.ndarray) -> np.ndarray:
    return np.stack([5 * np.sin(2 * np.pi * 2.3 * times_s), 30 + np.cos(2 * np.pi * 4.1 * times_s + 0.3)], axis=1)


def test_sampling_reads_off_the_analytic_curve_at_any_time():
    clock = np.arange(300) / 100
    wanted = np.sort(np.random.default_rng(0).uniform(0.05, 2.9, 500))
    np.testing.assert_allclose(track(wave(clock)).at(wanted), wave(wanted), atol=2e-3)


def test_start_shifts_the_clock_and_nothing_else():
    clock = 0.37 + np.arange(300) / 100
    wanted = np.linspace(0.5, 3.0, 77)
    np.testing.assert_allclose(track(wave(clock), start_s=0.37).at(wanted), wave(wanted), atol=2e-3)


@pytest.mark.parametrize("rate_hz", [100.0, 145.645, 200.0, 400.0, 500.0, 1250.0])
def test_filtered_movement_does_not_depend_on_the_recording_rate(rate_hz: float):
    clock = np.arange(int(3 * rate_hz)) / rate_hz
    wanted = np.linspace(0.1, 2.8, 131)
    slow = wave(clock) + np.sin(2 * np.pi * 35 * clock)[:, None]  # a tremor that the filter removes
    np.testing.assert_allclose(track(slow, rate_hz).lowpassed(10).at(wanted), wave(wanted), atol=0.06)


def test_lowpass_equals_scipy_forwards_and_backwards():
    values = np.random.default_rng(1).normal(size=(400, 2)).cumsum(axis=0) + 70
    numerator, denominator = butter(5, 10, fs=100)
    expected = filtfilt(numerator, denominator, values, axis=0, padlen=30)
    np.testing.assert_allclose(track(values).lowpassed(10, 5).values, expected, atol=1e-7)


def test_lowpass_has_no_delay():
    clock = np.arange(600) / 100
    pulse = np.exp(-(((clock - 3.0) / 0.05) ** 2))[:, None]
    assert track(pulse).lowpassed(10).values[:, 0].argmax() == 300


def test_no_time_outside_the_stream_is_invented():
    sampled = track(wave(np.arange(100) / 100), start_s=0.2).at(np.array([0.0, 0.19, 0.2, 1.19, 1.2, 5.0]))
    assert np.isnan(sampled[[0, 1, 4, 5]]).all() and np.isfinite(sampled[[2, 3]]).all()


def test_short_gaps_are_bridged_and_long_ones_stay():
    values = wave(np.arange(200) / 100)
    values[50:54, 0] = np.nan  # 50 ms between the neighbours
    values[100:105, 0] = np.nan  # 60 ms
    values[:3, 1] = np.nan
    bridged = track(values).bridged(0.05)
    missing = np.isnan(bridged.values)
    assert missing[:, 0].nonzero()[0].tolist() == [100, 101, 102, 103, 104]
    assert missing[:, 1].nonzero()[0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(bridged.values[50:54, 0], np.interp(range(50, 54), [49, 54], values[[49, 54], 0]))


def test_what_lies_behind_a_gap_changes_nothing_before_it():
    values = wave(np.arange(200) / 100)
    values[90:110] = np.nan
    other = values.copy()
    other[110:] += 100 * np.random.default_rng(0).normal(size=other[110:].shape)
    times_s = np.linspace(0, 0.89, 60)
    one, two = (track(v).bridged().lowpassed().at(times_s) for v in (values, other))
    np.testing.assert_array_equal(one, two)
    assert np.isnan(track(values).bridged().lowpassed().at(np.array([0.95, 1.0]))).all()


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 2**31))
def test_any_pattern_of_losses_is_survived(kept: list[bool], seed: int):
    values = np.random.default_rng(seed).normal(size=(len(kept), 2)) * 10
    values[~np.array(kept), 0] = np.nan
    conditioned = track(values).bridged().lowpassed()
    assert np.isfinite(conditioned.values[:, 1]).all()
    assert np.isfinite(conditioned.values[np.array(kept), 0]).all()
    sampled = conditioned.at(conditioned.times_s)
    np.testing.assert_allclose(sampled, conditioned.values, atol=1e-6)


def test_channels_do_not_touch_each_other():
    values = np.random.default_rng(0).normal(size=(150, 3)).cumsum(axis=0)
    values[20:40, 1] = np.nan
    together = track(values).bridged().lowpassed().values
    alone = np.concatenate([track(values[:, [c]]).bridged().lowpassed().values for c in range(3)], axis=1)
    np.testing.assert_allclose(together, alone, atol=1e-12)


@pytest.mark.parametrize(
    ("values", "rate_hz", "start_s"),
    [
        (np.zeros((3, 1)), 100, 0),
        (np.zeros((3, 2)), 0, 0),
        (np.zeros((3, 2)), np.nan, 0),
        (np.zeros((3, 2)), 100, np.inf),
    ],
)
def test_what_is_no_clock_or_shape_is_refused(values: np.ndarray, rate_hz: float, start_s: float):
    with pytest.raises(ValueError, match=r"channels|clock"):
        Track(values, float(rate_hz), float(start_s), NAMES)


def test_infinity_is_refused():
    with pytest.raises(ValueError, match="infinite"):
        track(np.full((3, 2), np.inf))


def test_cutoff_above_half_the_rate_is_refused():
    with pytest.raises(ValueError, match="50"):
        track(np.zeros((30, 2)), rate_hz=90).lowpassed(50)
