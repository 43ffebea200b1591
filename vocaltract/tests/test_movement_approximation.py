"""Target approximation against a numerical solution of the same differential equation."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from vocaltract.movement.contact import activation, reached, time_to
from vocaltract.movement.trajectories import FAR_S, Target, approximate

TIMES_S = np.arange(0.0, 0.4, 0.005)
FIRST, SECOND = np.array([0]), np.array([1])


def test_it_solves_the_critically_damped_system():
    targets = [
        Target(0.0, FAR_S, np.array([0, 1]), np.zeros(2), 0.012),
        Target(0.1, FAR_S, FIRST, np.ones(1), 0.02),
        Target(0.15, FAR_S, FIRST, np.array([0.3]), 0.008),
    ]
    found = approximate(targets, np.zeros(2), TIMES_S, 5)[:, 0]

    def derivative(time, state):
        tau = 0.012 if time < 0.1 else 0.02 if time < 0.15 else 0.008
        target = 0.0 if time < 0.1 else 1.0 if time < 0.15 else 0.3
        rate = np.array([1.0, 5.0, 10.0, 10.0, 5.0]) / tau ** np.arange(5, 0, -1)
        return [*state[1:], rate[0] * target - rate @ state]

    known = solve_ivp(derivative, (0.0, 0.4), np.zeros(5), t_eval=TIMES_S, rtol=1e-9, atol=1e-9, max_step=0.002)
    assert np.abs(found - known.y[0]).max() < 1e-8


def test_an_interrupted_target_changes_nothing():
    whole = [
        Target(0.0, FAR_S, FIRST, np.zeros(1), 0.012),
        Target(0.1, FAR_S, FIRST, np.ones(1), 0.012, np.array([2.0])),
    ]
    cut = [*whole, Target(0.13, 0.17, FIRST, None, 0.012)]
    assert np.allclose(
        approximate(whole, np.zeros(1), TIMES_S, 3), approximate(cut, np.zeros(1), TIMES_S, 3), atol=1e-12
    )


def test_a_line_is_reached():
    targets = [Target(0.0, FAR_S, FIRST, np.ones(1), 0.01, np.array([5.0]))]
    found = approximate(targets, np.zeros(1), TIMES_S, 3)[:, 0]
    assert found[-1] == pytest.approx(1.0 + 5.0 * TIMES_S[-1], abs=1e-6)


def test_a_parameter_without_a_target_is_an_error():
    with pytest.raises(ValueError, match="no target"):
        approximate([Target(0.0, FAR_S, FIRST, np.zeros(1), 0.01)], np.zeros(2), TIMES_S, 3)


def test_step_response_and_its_inverse_agree():
    for share in (0.1, 0.5, 0.9):
        assert reached(time_to(share)) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(("duration_s", "on", "off"), [(0.1, 0.8, 0.8), (0.06, 0.7, 0.9), (0.024, 0.8, 0.8)])
def test_a_pulse_holds_its_constriction_for_as_long_as_asked(duration_s, on, off):
    start, end, tau = activation(duration_s, 0.011, on, off)
    times = np.arange(-0.2, 0.4, 0.0005)
    targets = [
        Target(-1.0, FAR_S, FIRST, np.zeros(1), tau),
        Target(start, end, FIRST, np.ones(1), tau),
    ]
    found = approximate(targets, np.zeros(1), times, 5)[:, 0]
    assert np.interp(0.0, times, found) == pytest.approx(on, abs=0.03)
    assert np.interp(duration_s, times, found) == pytest.approx(off, abs=0.03)
