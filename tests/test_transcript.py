"""Features that a transcript carries, with times and without, and movements as features."""

from dataclasses import replace

import numpy as np
import pytest

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.features import FrameFeatures
from tractprobe.data.movement_features import Movements
from tractprobe.data.phone_labels import PhoneLabels
from tractprobe.data.targets import Positions
from tractprobe.data.transcript import (
    PhoneString,
    TimedPhones,
    average_durations,
    described,
    width_of,
    widths_by_part,
)
from tractprobe.signals.smoothing import Smoothing
from tractprobe.system.errors import ConfigError

TIMES_S = (320 * np.arange(59) + 199.5) / 16000
PHONES = ("a", "m", "p")


def labels_of(*phones: tuple[str, float]) -> PhoneLabels:
    edges = 0.1 + np.concatenate([[0], np.cumsum([length for _, length in phones])])
    return PhoneLabels(tuple(phone for phone, _ in phones), edges[:-1], edges[1:])


LABELS = labels_of(("a", 0.2), ("m", 0.1), ("sil", 0.1), ("p", 0.1), ("x", 0.1))


def by_part(row: np.ndarray) -> dict[str, np.ndarray]:
    current = (len(row) - 2 * (len(PHONES) + 1)) // 3
    start, middle, end = (row[number * current : number * current + len(PHONES)] for number in range(3))
    before, after = row[3 * current :].reshape(2, -1)
    return {"start": start, "middle": middle, "end": end, "before": before, "after": after}


@pytest.mark.parametrize(
    ("time_s", "phone", "hats", "before", "after"),
    [
        (0.1, 0, (1, 0, 0), 3, None),  # the beginning of a, after a pause
        (0.15, 0, (0.5, 0.5, 0), 3, None),
        (0.2, 0, (0, 1, 0), None, None),
        (0.275, 0, (0, 0.25, 0.75), None, 1),  # before m
        (0.3, 1, (1, 0, 0), 0, None),
        (0.39, 1, (0, 0.2, 0.8), None, 3),  # before the pause
        (0.5, 2, (1, 0, 0), 3, None),
        (0.625, None, (0.5, 0.5, 0), 2, None),  # a phone without a column is known by its features and neighbours
    ],
)
def test_a_frame_is_its_phone_where_in_it_and_its_neighbours(time_s, phone, hats, before, after):
    labels = LABELS
    row = described(labels, PHONES, np.array([time_s + 1e-12]), np.array([True]))[0]
    parts = by_part(row)
    for name, hat in zip(("start", "middle", "end"), hats, strict=True):
        expected = np.zeros(3) if phone is None else hat * np.eye(3)[phone]
        np.testing.assert_allclose(parts[name], expected, atol=1e-9)
    for name, code, hat in (("before", before, hats[0]), ("after", after, hats[2])):
        np.testing.assert_allclose(parts[name], np.zeros(4) if code is None else hat * np.eye(4)[code], atol=1e-9)


def test_an_unseen_phone_is_described_by_what_it_shares_with_seen_ones():
    of_b = described(labels_of(("b", 0.1)), PHONES, np.array([0.15]), np.array([True]))[0]
    of_p = described(labels_of(("p", 0.1)), PHONES, np.array([0.15]), np.array([True]))[0]
    assert by_part(of_b)["middle"].sum() == 0 and of_b.sum() > 0
    differ = np.flatnonzero(~np.isclose(of_b, of_p))
    assert len(differ) == 3  # its own column, voiced and voiceless


def test_widths_are_what_is_written(toy: PreparedCorpus):
    assert width_of(PHONES) == sum(widths_by_part(PHONES).values())
    durations_s, overall_s = average_durations([toy], [toy.entries[0].id])
    for features in (TimedPhones(PHONES), PhoneString(PHONES, durations_s, overall_s), Movements(Smoothing())):
        assert isinstance(features, FrameFeatures)
        assert features.at(toy, toy.entries[0], TIMES_S).shape == (59, features.width)


def test_frames_without_a_phone_are_not_used(toy: PreparedCorpus):
    entry = toy.entries[0]
    at = PhoneLabels.of(toy, entry).phone_at(TIMES_S) >= 0
    durations_s, overall_s = average_durations([toy], [entry.id])
    for features in (TimedPhones(("a", "m")), PhoneString(("a", "m"), durations_s, overall_s)):
        values = features.at(toy, entry, TIMES_S)
        assert (np.isfinite(values).all(axis=1) == at).all() and np.isnan(values[~at]).all()


def test_average_durations_of_the_same_lengths_give_the_times_back(toy: PreparedCorpus):
    """In the toy corpus a and m last 0.4 s each, always."""
    entry = toy.entries[0]
    durations_s, overall_s = average_durations([toy], [other.id for other in toy.entries[1:9]])
    assert dict(durations_s) == pytest.approx({"a": 0.4, "m": 0.4}) and overall_s == pytest.approx(0.4)
    ours, timed = PhoneString(("a", "m"), durations_s, overall_s), TimedPhones(("a", "m"))
    np.testing.assert_allclose(ours.at(toy, entry, TIMES_S), timed.at(toy, entry, TIMES_S), atol=1e-6)


def test_a_string_keeps_first_and_last_time_and_leaves_out_pauses():
    string = PhoneString(PHONES, (("a", 0.1), ("m", 0.2), ("p", 0.1)), 0.4)
    retimed = string.retimed(LABELS)
    assert retimed.ipa == ("a", "m", "p", "x")
    np.testing.assert_allclose(retimed.start_s, [0.1, 0.175, 0.325, 0.4])  # 0.8 s of averages in 0.6 s
    np.testing.assert_allclose(retimed.end_s, [0.175, 0.325, 0.4, 0.7])
    silent = string.retimed(labels_of(("sil", 0.1)))
    assert silent.ipa == () and np.isnan(described(silent, PHONES, TIMES_S, np.ones(59, bool))).all()


def test_durations_depend_on_the_utterances_that_are_given_alone(toy: PreparedCorpus):
    with pytest.raises(ConfigError, match="none of 0 utterances has phone labels"):
        average_durations([toy], [])
    durations_s, overall_s = average_durations([toy], [toy.entries[0].id])
    one = PhoneString(PHONES, durations_s, overall_s)
    assert replace(one, otherwise_s=0.1).identity != one.identity


def test_movements_are_standardised_positions_around_a_frame(toy: PreparedCorpus):
    own = [entry for entry in toy.entries if entry.speaker == "toy/s1"]
    pooled = np.concatenate([Smoothing()(toy.track(entry.id)).values for entry in own])
    around_s = (-0.06, 0.0, 0.06)
    values = Movements(Smoothing(), around_s).at(toy, own[0], TIMES_S)
    positions = Positions(Smoothing())
    for number, step_s in enumerate(around_s):
        expected = (positions.at(toy, own[0], TIMES_S + step_s) - pooled.mean(0)) / pooled.std(0)
        inside = np.isfinite(expected).all(axis=1)
        assert inside.sum() > 50
        np.testing.assert_allclose(values[inside, 12 * number : 12 * number + 12], expected[inside], atol=1e-9)
    assert np.isfinite(values).all()  # the ends are held
