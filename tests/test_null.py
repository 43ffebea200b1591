"""What predictions reach by chance: circular shifts against np.roll, a null that holds its level, other sentences."""

from typing import Any

import numpy as np
import pytest

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.groups import GroupKey
from tractprobe.evidence.bench import Prediction
from tractprobe.evidence.methods.null import Null, Read, ShiftedScores, paired_r, shifted_r

RATE_HZ = 50.0


def smooth(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Courses with the autocorrelation of movements."""
    kernel = np.hanning(21)
    return np.apply_along_axis(lambda course: np.convolve(course, kernel, "same"), -1, random.normal(size=shape))


def entry(id_: str, text: str) -> Entry:
    return Entry(id_, "c", "c/a", "it", text, 16000)


def read_of(predicted: list[np.ndarray], measured: list[np.ndarray], key=("c", "it", "c/a"), texts=()) -> Read:
    """Utterances given as (label, time, channel) and (time, channel)."""
    texts = texts or [f"sentence {number}" for number in range(len(measured))]
    utterances = tuple(
        Prediction(entry(str(number), text), np.arange(len(m)) / RATE_HZ, p, m)
        for number, (p, m, text) in enumerate(zip(predicted, measured, texts, strict=True))
    )
    return Read(GroupKey(*key), tuple(range(len(predicted[0]))), utterances)


@pytest.mark.parametrize("frames", [97, 128, 350])
def test_every_shift_is_that_of_rolled_movements(frames):
    random = np.random.default_rng(frames)
    predicted, measured = 100 + smooth(random, 2, 3, frames), -7 + 0.01 * smooth(random, 3, frames)
    predicted[:, :, 5:9] = np.nan  # no features
    measured[1, 40:70] = np.nan  # a sensor lost
    found = shifted_r(predicted, measured)
    for shift in range(frames):
        rolled = np.roll(measured, -shift, axis=-1)
        for label in range(2):
            for channel in range(3):
                both = np.isfinite(predicted[label, channel]) & np.isfinite(rolled[channel])
                expected = np.corrcoef(predicted[label, channel, both], rolled[channel, both])[0, 1]
                assert found[label, channel, shift] == pytest.approx(expected, abs=1e-10)


def test_courses_that_do_not_vary_or_meet_have_no_r():
    random = np.random.default_rng(0)
    still, moving, never = np.full(60, 3.3), smooth(random, 60), np.full(60, np.nan)
    for one, other in ((still, moving), (moving, still), (never, moving), (moving, never)):
        assert np.isnan(shifted_r(one, other)).all()
        assert np.isnan(paired_r(one, other))
    early = np.where(np.arange(60) < 20, moving, np.nan)
    late = np.where(np.arange(60) >= 30, moving, np.nan)
    r = shifted_r(early, late)
    assert np.isnan(paired_r(early, late)) and np.isnan(r[0]) and np.isfinite(r[20])
    assert r[20] == pytest.approx(np.corrcoef(moving[10:20], moving[30:40])[0, 1])


def test_shifts_are_longer_than_a_second_in_both_directions():
    measured = [np.zeros((80, 1)), np.zeros((40, 1))]
    read = read_of([each[None] for each in measured], measured)
    assert (read.shifts(1.0, RATE_HZ) == np.arange(51, 70)).all()
    assert len(read_of([measured[0][None]], measured[:1]).shifts(1.0, RATE_HZ)) == 0


def known(found: Any) -> Any:
    assert found is not None
    return found


def scores(random: np.random.Generator, signal: float, draws: int = 1000, speakers: int = 3) -> Null:
    """Two labels, of which the second holds the signal, and two channels."""
    shifted = ShiftedScores(draws, 1.0, 0)
    for speaker in range(speakers):
        measured = [smooth(random, 2, 150).T for _ in range(3)]
        predicted = [np.stack([smooth(random, 2, 150).T, signal * m + smooth(random, 2, 150).T]) for m in measured]
        shifted.include(read_of(predicted, measured, ("c", "it" if speaker else "en", f"c/{speaker}")), 1, RATE_HZ)
    return known(shifted.null([0, 1], ["tt_x", "tt_y"]))


def test_a_planted_relation_is_found_and_its_place_too():
    null = scores(np.random.default_rng(1), 1.0)
    assert null.p[null.chosen] == null.p[1] == pytest.approx(1 / 1001)
    assert null.p[0] > 0.05 and null.p[null.column(0, 1)] > 0.05 and null.p[null.column(1, 1)] < 0.01
    assert null.observed[null.chosen] == null.observed[1] > 0.6
    mean, low, high = null.band(null.chosen)
    assert low < mean < high < 0.3 and abs(mean) < 0.1


def test_without_a_relation_any_p_below_five_percent_is_as_rare_as_that():
    random = np.random.default_rng(2)
    smallest = np.array([np.nanmin(scores(random, 0.0, 199).p) for _ in range(300)])  # over all labels and channels
    assert 0.02 < np.mean(smallest <= 0.05) < 0.09  # 5 % ± 3.2 deviations


def test_means_are_over_channels_then_speakers_then_languages():
    random = np.random.default_rng(3)
    shifted, reads = ShiftedScores(1000, 1.0, 0), []
    for language, speaker in (("en", "c/a"), ("en", "c/b"), ("it", "c/a")):
        measured = [smooth(random, 2, 200).T]
        if speaker == "c/b":
            measured[0][:, 1] = np.nan  # a sensor that was never there
        reads.append(
            read_of([(m + smooth(random, 2, 200).T)[None] for m in measured], measured, ("c", language, speaker))
        )
        shifted.include(reads[-1], 0, RATE_HZ)
    short = [smooth(random, 2, 90).T]
    shifted.include(read_of([short[0][None]], short, ("c", "de", "c/z")), 0, RATE_HZ)
    null = known(shifted.null([0], ["tt_x", "tt_y"]))
    r = [read.r()[0] for read in reads]
    assert null.observed[null.chosen] == pytest.approx(((r[0].mean() + r[1][0]) / 2 + r[2].mean()) / 2)
    assert null.observed[null.column(0, 1)] == pytest.approx((r[0][1] + r[2][1]) / 2)
    assert null.left_out == (("de", "c/z"),) and null.fewest == 99
    again = ShiftedScores(1000, 1.0, 0)
    for read in reversed(reads):  # the order of speakers plays no part
        again.include(read, 0, RATE_HZ)
    np.testing.assert_allclose(known(again.null([0], ["tt_x", "tt_y"])).drawn, null.drawn, atol=1e-12)
    assert ShiftedScores(1000, 1.0, 0).null([0], ["tt_x"]) is None


def test_other_sentences_keep_what_all_sentences_share():
    random = np.random.default_rng(4)
    arch = np.sin(np.linspace(0, np.pi, 400))[:, None] * 8
    lengths = (3000, 1800, 2400, 1500)
    common = [
        np.interp(np.linspace(0, 1, n), np.linspace(0, 1, 400), arch[:, 0])[:, None] for n in lengths
    ]  # the same in all sentences
    own = [smooth(random, 1, n).T for n in lengths]
    measured = [a + b for a, b in zip(common, own, strict=True)]
    shared = read_of([np.stack([m, b]) for m, b in zip(measured, own, strict=True)], measured)
    with_arch, without = known(shared.mismatched())[:, 0]
    expected = np.var(arch) / (np.var(arch) + np.mean([np.var(b) for b in own]))
    assert with_arch == pytest.approx(expected, abs=0.05) and 0.3 < expected < 0.7
    assert abs(without) < 0.1
    assert shared.r()[0, 0] == pytest.approx(1)


def test_the_same_sentence_is_no_other():
    random = np.random.default_rng(5)
    measured = [smooth(random, 1, 80).T for _ in range(3)]
    predicted = [m[None] for m in measured]
    assert read_of(predicted, measured, texts=("Ah so.", "ah, so", "AH SO")).mismatched() is None
    assert read_of(predicted[:1], measured[:1]).mismatched() is None
    twice = known(read_of(predicted, measured, texts=("ah", "Ah!", "oh")).mismatched())
    others = [(0, 2), (1, 2), (2, 0), (2, 1)]
    by_turn = [[(1, 2), (2, 0)], [(0, 2), (2, 1)]]
    expected = [
        np.corrcoef(
            np.concatenate([measured[one][:, 0] for one, _ in turn]),
            np.concatenate([measured[other][:, 0] for _, other in turn]),
        )[0, 1]
        for turn in by_turn
    ]
    assert sorted(pair for turn in by_turn for pair in turn) == others
    assert twice[0, 0] == pytest.approx(np.mean(expected))
