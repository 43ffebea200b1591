"""Tract variables against geometry that can be done by hand, against brute force, and on real palates."""

import time
import tracemalloc

import numpy as np
import pytest
from conftest import real
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tractprobe.signals.channels import CHANNELS, in_canonical_order
from tractprobe.signals.track import Track
from tractprobe.signals.tract_variables import UNITS, VARIABLES, estimate_palate, tract_variables

FLAT = np.array([[-50.0, 10.0], [-20.0, 10.0], [0.0, 10.0]])
ARCH = np.stack([np.linspace(-55, 0, 60), 15 - 0.02 * (np.linspace(-55, 0, 60) + 30) ** 2], axis=1)
POSTURE = {
    "td": (-45.0, 4.0),
    "tb": (-30.0, 6.0),
    "tt": (-10.0, 2.0),
    "li": (-3.0, -8.0),
    "ul": (8.0, 6.0),
    "ll": (5.0, 2.0),
}


def positions(frames: int = 1, **points: tuple[float, float]) -> np.ndarray:
    """Return frames of POSTURE with some of its points elsewhere."""
    moved = POSTURE | points
    return np.tile(np.concatenate([moved[channel.split("_")[0]] for channel in CHANNELS[::2]]), (frames, 1))


def column(name: str, values: np.ndarray, palate: np.ndarray | None = None) -> np.ndarray:
    return tract_variables(values, palate)[:, VARIABLES.index(name)]


def random_speech(frames: int, seed: int = 0) -> np.ndarray:
    return positions(frames) + np.random.default_rng(seed).normal(0, 4, (frames, len(CHANNELS)))


def moved(points: np.ndarray, angle: float, shift: np.ndarray) -> np.ndarray:
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points.reshape(-1, 2) @ rotation.T + shift).reshape(points.shape)


def test_variables_have_names_and_units():
    assert VARIABLES == ("LA", "LP", "TTCL", "TTCD", "TBCL", "TBCD")
    assert UNITS == ("mm",) * 6
    assert tract_variables(positions(3), FLAT).shape == (3, 6)


def test_lip_aperture_is_the_distance_of_the_lips():
    assert column("LA", positions()) == pytest.approx(5.0)  # 3, 4, 5
    assert column("LA", positions(ul=(1, 1), ll=(1, 1))) == 0


def test_lip_protrusion_is_how_far_in_front_the_lips_are():
    assert column("LP", positions()) == pytest.approx(6.5)
    assert column("LP", positions(ul=(10.0, 6.0), ll=(7.0, 2.0))) == pytest.approx(8.5)


def test_constrictions_under_a_flat_palate_are_heights_and_distances_from_its_front_end():
    values = tract_variables(positions(), FLAT)[0]
    assert dict(zip(VARIABLES, values, strict=True)) == pytest.approx(
        {"LA": 5, "LP": 6.5, "TTCL": 10, "TTCD": 8, "TBCL": 30, "TBCD": 4}
    )


def test_a_point_in_a_circular_palate_is_its_radius_away_from_the_centre():
    angles, radius, centre = np.linspace(np.pi * 0.9, np.pi * 0.05, 400), 25.0, np.array([-28.0, -9.0])
    palate = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for depth, angle in [(1.0, 0.3), (5.0, 1.0), (12.0, 2.0)]:
        point = centre + (radius - depth) * np.array([np.cos(angle), np.sin(angle)])
        values = positions(tt=tuple(point))
        assert column("TTCD", values, palate) == pytest.approx(depth, abs=0.01)
        assert column("TTCL", values, palate) == pytest.approx(radius * (angle - np.pi * 0.05), abs=0.1)


def test_the_chord_between_the_rear_points_counts_and_not_just_its_ends():
    ridge = np.array([[-50.0, 20.0], [-38.0, 6.0], [-20.0, 20.0], [0.0, 20.0]])
    values = positions(td=(-45.0, 4.0), tb=(-31.0, 4.0))
    assert column("TBCD", values, ridge) == pytest.approx(2)
    front_part = np.hypot(18, 14) + 20
    assert column("TBCL", values, ridge) == pytest.approx(front_part)


def test_a_chord_that_crosses_the_palate_has_degree_zero_where_it_crosses():
    values = positions(td=(-45.0, 12.0), tb=(-35.0, 8.0))
    assert column("TBCD", values, FLAT[[0, 2]]) == 0
    assert column("TBCL", values, FLAT[[0, 2]]) == pytest.approx(40)


def test_a_chord_of_no_length_is_a_point():
    values = positions(td=(-45.0, 4.0), tb=(-45.0, 4.0))
    assert tract_variables(values, FLAT)[0, 4:] == pytest.approx([45, 6])


def test_beyond_an_end_of_the_trace_location_stays_and_degree_is_the_distance_to_the_end():
    values = np.concatenate([positions(tt=(3.0, 6.0)), positions(tt=(-53.0, 6.0))])
    assert column("TTCD", values, FLAT) == pytest.approx([5, 5])
    assert column("TTCL", values, FLAT) == pytest.approx([0, 50])


def test_raising_and_retracting_the_tip_change_degree_and_location_alone():
    raised = np.concatenate([positions(tt=(-10.0, y)) for y in np.linspace(-10, 10, 30)])
    assert (np.diff(column("TTCD", raised, FLAT)) < 0).all()
    assert column("TTCL", raised, FLAT) == pytest.approx(np.full(30, 10.0))
    retracted = np.concatenate([positions(tt=(x, 2.0)) for x in np.linspace(0, -50, 30)])
    assert (np.diff(column("TTCL", retracted, FLAT)) > 0).all()
    assert column("TTCD", retracted, FLAT) == pytest.approx(np.full(30, 8.0))
    rest = [VARIABLES.index(name) for name in ("LA", "LP", "TBCL", "TBCD")]
    assert np.ptp(tract_variables(np.concatenate([raised, retracted]), FLAT)[:, rest], axis=0) == pytest.approx(0)


def test_location_grows_to_the_back_along_an_arched_palate():
    along = ARCH + np.array([0.3, -2.0])
    values = np.concatenate([positions(tt=tuple(point)) for point in along[5:-5]])
    assert (np.diff(column("TTCL", values, ARCH)) < 0).all()  # the trace runs from back to front


def test_no_palate_is_no_constriction():
    values = tract_variables(positions(4))
    assert np.isfinite(values[:, :2]).all() and np.isnan(values[:, 2:]).all()


@pytest.mark.parametrize(
    ("channels", "missing"),
    [
        (("td_x", "td_y", "tb_x", "tb_y"), {"TBCL", "TBCD"}),
        (("tt_x", "tt_y"), {"TTCL", "TTCD"}),
        (("li_x", "li_y"), set()),
        (("ul_x", "ll_x"), {"LA", "LP"}),
        (("ul_y", "ll_y"), {"LA"}),
    ],
)
def test_a_lost_channel_is_lost_in_the_variables_that_need_it_then_and_nowhere_else(channels, missing):
    for channel in channels:
        values = random_speech(50)
        values[7, CHANNELS.index(channel)] = np.nan
        lost = np.isnan(tract_variables(values, ARCH))
        assert {VARIABLES[index] for index in np.flatnonzero(lost[7])} == missing
        assert not np.delete(lost, 7, axis=0).any()


def test_all_channels_lost_is_all_variables_lost():
    assert np.isnan(tract_variables(np.full((3, 12), np.nan), ARCH)).all()
    assert tract_variables(np.empty((0, 12)), ARCH).shape == (0, 6)


@settings(max_examples=50)
@given(st.floats(-0.7, 0.7), arrays(float, 2, elements=st.floats(-200, 200)), st.integers(0, 99))
def test_turning_and_shifting_the_head_changes_lip_protrusion_alone(angle, shift, seed):
    values = random_speech(20, seed)
    before = tract_variables(values, ARCH)
    after = tract_variables(moved(values, angle, shift), moved(ARCH, angle, shift))
    unchanged = [index for index, name in enumerate(VARIABLES) if name != "LP"]
    assert after[:, unchanged] == pytest.approx(before[:, unchanged], abs=1e-7)


coordinates = st.floats(-60, 60).map(lambda x: round(x, 2))
palates = arrays(float, st.tuples(st.integers(2, 9), st.just(2)), elements=coordinates).filter(
    lambda palate: palate[0, 0] < palate[-1, 0]
)


@settings(max_examples=30)
@given(palates, arrays(float, (4, 12), elements=coordinates))
def test_degree_is_what_brute_force_finds(palate, values):
    fractions = np.linspace(0, 1, 121)[:, None, None]
    on_palate = (palate[:-1] + fractions * np.diff(palate, axis=0)).reshape(-1, 2)
    computed = tract_variables(values, palate)
    for row, (td, tb, tt) in enumerate(values[:, :6].reshape(-1, 3, 2)):
        tip = np.hypot(*(on_palate - tt).T).min()
        assert computed[row, 3] <= tip + 1e-9 and computed[row, 3] == pytest.approx(tip, abs=1.0)
        chord = td + np.linspace(0, 1, 121)[:, None] * (tb - td)
        body = np.hypot(*(on_palate[:, None] - chord).transpose(2, 0, 1)).min()
        assert computed[row, 5] <= body + 1e-9 and computed[row, 5] == pytest.approx(body, abs=2.0)


@settings(max_examples=50)
@given(palates, arrays(float, (4, 12), elements=coordinates))
def test_the_point_at_the_location_is_as_far_as_the_degree_says(palate, values):
    front_first = palate[::-1]
    arc = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(front_first, axis=0).T))])
    computed = tract_variables(values, palate)
    there = np.stack([np.interp(computed[:, 2], arc, front_first[:, axis]) for axis in (0, 1)], axis=1)
    assert np.hypot(*(there - values[:, 4:6]).T) == pytest.approx(computed[:, 3], abs=1e-6)
    there = np.stack([np.interp(computed[:, 4], arc, front_first[:, axis]) for axis in (0, 1)], axis=1)
    td, chord = values[:, 0:2], values[:, 2:4] - values[:, 0:2]
    along = ((there - td) * chord).sum(axis=1) / np.maximum((chord**2).sum(axis=1), 1e-12)
    nearest = td + np.clip(along, 0, 1)[:, None] * chord
    assert np.hypot(*(there - nearest).T) == pytest.approx(computed[:, 5], abs=1e-6)


@settings(max_examples=50)
@given(palates, arrays(float, (4, 12), elements=coordinates), arrays(float, (4, 12), elements=st.floats(-5, 5)))
def test_degree_changes_by_no_more_than_the_tongue_moves(palate, values, movement):
    before, after = (tract_variables(at, palate) for at in (values, values + movement))
    step = np.hypot(*movement.reshape(4, 6, 2).transpose(2, 0, 1))
    assert (abs(after - before)[:, 3] <= step[:, 2] + 1e-6).all()
    assert (abs(after - before)[:, 5] <= step[:, :2].max(axis=1) + 1e-6).all()


def test_either_end_of_the_chord_may_be_the_first():
    values = random_speech(300)
    swapped = values[:, [2, 3, 0, 1, *range(4, 12)]]
    assert tract_variables(swapped, ARCH)[:, 4:] == pytest.approx(tract_variables(values, ARCH)[:, 4:])


def test_a_palate_with_more_or_repeated_points_on_the_same_line_is_the_same_palate():
    values = random_speech(300)
    between = np.insert(ARCH, range(1, len(ARCH)), (ARCH[1:] + ARCH[:-1]) / 2, axis=0)
    repeated = np.repeat(ARCH, 3, axis=0)
    for palate in (between, repeated):
        assert tract_variables(values, palate) == pytest.approx(tract_variables(values, ARCH), abs=1e-6)


def test_frames_do_not_depend_on_each_other():
    values = random_speech(3000)
    values[::7, 4] = np.nan
    apart = np.concatenate([tract_variables(part, ARCH) for part in np.array_split(values, 11)])
    np.testing.assert_allclose(tract_variables(values, ARCH), apart, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "palate",
    [
        FLAT[:1],
        FLAT[:0],
        FLAT[::-1],
        np.where(FLAT == -20, np.nan, FLAT),
        FLAT * [0, 1],
        np.where(FLAT == -20, np.inf, FLAT),
    ],
    ids=["one point", "no point", "front to back", "NaN", "no extent", "infinite"],
)
def test_what_is_no_palate_is_an_error(palate):
    with pytest.raises(ValueError, match="from back to front"):
        tract_variables(positions(), palate)


def test_other_channels_are_an_error():
    with pytest.raises(ValueError, match="10 channels"):
        tract_variables(np.zeros((3, 10)), FLAT)


def test_a_long_recording_takes_little_time_and_memory():
    values, palate = random_speech(100_000), np.repeat(ARCH, 2, axis=0)[:100] + np.arange(100)[:, None] * 1e-3
    tracemalloc.start()
    start_s = time.process_time()
    tract_variables(values, palate)
    assert time.process_time() - start_s < 5  # 0.3 s on an idle core
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all pairs of a frame and a segment would be 80 MB for each intermediate array


def tracks(*tongues: np.ndarray) -> list[Track]:
    """Return tracks in which each tongue point takes the given positions."""
    columns = [
        {f"{name}_{axis}": points[:, i] for name in ("td", "tb", "tt") for i, axis in enumerate("xy")}
        for points in tongues
    ]
    return [Track(in_canonical_order(each), 100.0) for each in columns]


def test_an_estimated_palate_is_the_upper_hull_from_back_to_front():
    corners = np.array([[-50.0, 3.0], [-30.0, 9.0], [-10.0, 5.0]])
    below = np.array([[-40.0, -5.0], [-30.0, 2.0], [-20.0, 6.9], [-50.0, -4.0], [-10.0, -9.0], [np.nan, 90.0]])
    order = np.random.default_rng(1).permutation(8)
    mixed = np.concatenate([corners, below])[np.append(order, 8)]
    palate = estimate_palate(tracks(mixed[:4], mixed[4:]))
    assert palate == pytest.approx(corners)


def test_no_tongue_position_is_above_an_estimated_palate():
    random = np.random.default_rng(2)
    speaker = [Track(random_speech(200, seed), 100.0) for seed in random.integers(0, 999, 5)]
    palate = estimate_palate(speaker)
    assert (np.diff(palate[:, 0]) > 0).all()
    assert (np.diff(np.diff(palate[:, 1]) / np.diff(palate[:, 0])) < 0).all()  # it bends downwards throughout
    tongue = np.concatenate([track.values[:, :6].reshape(-1, 2) for track in speaker])
    ceiling = np.interp(tongue[:, 0], *palate.T)
    assert (tongue[:, 1] <= ceiling + 1e-9).all() and (abs(tongue[:, 1] - ceiling) < 1e-9).sum() == len(palate)
    degree = np.concatenate([column("TTCD", track.values, palate) for track in speaker])
    assert (degree >= 0).all()


@pytest.mark.parametrize(
    "points",
    [np.empty((0, 2)), np.array([[1.0, 2.0]]), np.stack([np.arange(9.0), np.arange(9.0)], 1), np.full((5, 2), np.nan)],
    ids=["none", "one", "line", "NaN"],
)
def test_too_few_tongue_positions_make_no_palate(points):
    with pytest.raises(ValueError, match="cannot estimate a palate"):
        estimate_palate(tracks(points))
    with pytest.raises(ValueError, match="cannot estimate a palate"):
        estimate_palate([])


def test_a_palate_is_not_estimated_from_other_channels():
    with pytest.raises(ValueError, match="canonical"):
        estimate_palate([Track(np.zeros((9, 2)), 100.0, channels=("a_x", "a_y"))])


def test_a_real_tongue_tip_is_nearer_to_the_real_palate_in_s_than_in_a():
    folder = real("TRACTPROBE_SAMPLES", "xrmb")
    palate = np.loadtxt(folder / "jw11_pal.dat")[::-1] / 1000
    table = np.genfromtxt(folder / "jw11_tp005.txy", encoding="latin-1")
    time_s, points = table[:, 0] / 1e6, np.where(table[:, 1:] == 1e6, np.nan, table[:, 1:] / 1000)
    names = ("ul", "ll", "tt", "t2", "tb", "td", "li")
    columns = {f"{name}_{axis}": points[:, 2 * i + j] for i, name in enumerate(names) for j, axis in enumerate("xy")}
    values = in_canonical_order({name: column for name, column in columns.items() if name in CHANNELS})
    variables = dict(zip(VARIABLES, tract_variables(values, palate).T, strict=True))
    medians = {"s": [], "a": []}
    for line in (folder / "jw11_tp005.lab").read_text().splitlines():
        start_s, end_s, label = line.split()
        if label in medians and float(end_s) < 4.9:
            middle = abs(time_s - (float(start_s) + float(end_s)) / 2) < 0.04
            medians[label].append([np.nanmedian(variables[name][middle]) for name in ("TTCD", "TTCL", "LA")])
    assert len(medians["s"]) == 9
    s, a = (np.array(medians[label]) for label in "sa")
    assert s[:, 0].max() < a[:, 0].min()
    assert s[:, 0].max() < 8 and a[:, 0].min() > 8
    assert s[:, 1].max() < 2  # alveolar: the front of the trace, which begins 4 mm behind the teeth
    assert np.nanmin(variables["TBCD"]) > 0 and np.nanmax(variables["TBCD"]) < 40


def test_constrictions_of_a_real_sentence_are_where_its_phones_have_them():
    folder = real("TRACTPROBE_SAMPLES", "mocha_timit")
    palate = np.loadtxt(folder / "fsew0_pal.dat")[::-1] * [-1, 1]  # mm; the file runs, and grows, to the back
    table = np.loadtxt(folder / "fsew0_001.ema")
    at = {"li_x": 3, "ul_x": 4, "ll_x": 5, "tt_x": 6, "li_y": 8, "ul_y": 9, "ll_y": 10, "tt_y": 11}
    at |= {"tb_x": 12, "td_x": 13, "tb_y": 17, "td_y": 18}
    values = in_canonical_order({name: table[:, i] / (-100 if name[-1] == "x" else 100) for name, i in at.items()})
    variables = dict(zip(VARIABLES, tract_variables(values, palate).T, strict=True))
    labels = [line.split() for line in (folder / "fsew0_001.lab").read_text().splitlines() if line.strip()]

    def medians(name: str, phones: set[str]) -> np.ndarray:
        spans = [(float(start_s), float(end_s)) for start_s, end_s, label in labels if label in phones]
        return np.array(
            [np.median(variables[name][(table[:, 0] > start) & (table[:, 0] < end)]) for start, end in spans]
        )

    assert medians("TTCD", {"s", "z", "dh"}).max() < 4 < 9 < medians("TTCD", {"f", "r", "uh"}).min()
    assert medians("TTCL", {"s", "z", "dh"}).max() < 7 < 12 < medians("TTCL", {"r"}).min()
    assert medians("TBCD", {"ii", "iy"}).max() < 5 < 8 < medians("TBCD", {"uh", "r"}).min()
    assert medians("LA", {"w", "f"}).max() < 21 < medians("LA", {"ii", "uh", "i"}).min()
