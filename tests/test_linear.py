"""The linear engine against scikit-learn on the same frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge as Sklearn
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tractprobe.data.splits import Fold, Split
from tractprobe.probes.gradient.score_sums import ScoreSums
from tractprobe.probes.heads.ridge import Ridge
from tractprobe.probes.linear.fit import by_layer, fit_head, score, validation_r
from tractprobe.probes.linear.group_moments import GroupMoments, SavedMoments
from tractprobe.probes.linear.moment_store import Group, MomentStore
from tractprobe.probes.linear.selection import Division, KeptMoments, LayerMoments
from tractprobe.probes.linear.solver import correlation, solve
from tractprobe.system.errors import EncoderError

ALPHAS = [0.01, 1.0, 100.0, 1e4]
WIDTH, CHANNELS = 12, 4


@dataclass
class Piece:
    """An utterance's frames, in the units of the targets."""

    speaker: str
    language: str
    x: np.ndarray
    y: np.ndarray
    valid: np.ndarray


def piece(seed: int, speaker: str = "c/a", language: str = "en", count: int = 60, *, shift=0.0, lost=0.0, width=WIDTH):
    """Correlated inputs of unequal scale; noisy linear targets, moved and scaled by the speaker."""
    random = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(width, width)) * np.logspace(-1, 1, width)
    x = random.normal(size=(count, width)) @ mix
    y = x @ np.random.default_rng(7).normal(size=(width, CHANNELS)) / 30 + 3 * random.normal(size=(count, CHANNELS))
    size = 1 + sum(map(ord, speaker)) % 5
    gone = np.repeat(random.random((count, CHANNELS // 2)) < lost, 2, axis=1)
    return Piece(speaker, language, x + shift, size * y + 10 * size + shift, ~gone)


def stored(folder: Path, pieces: Sequence[Piece], chunk: int = 25) -> MomentStore:
    """Sum each piece as a group of one utterance, u0, u1, ..."""
    groups, files = [], []
    for number, one in enumerate(pieces):
        sums = GroupMoments({"0": one.x.shape[1]}, CHANNELS)
        filled = np.where(one.valid, one.y, 1e9)  # what is not valid may hold any number
        for first in range(0, len(one.x), chunk):
            x, y, valid = (torch.from_numpy(values[first : first + chunk]) for values in (one.x, filled, one.valid))
            sums.include({"0": x}, y, valid)
        files.append(folder / f"{number}.safetensors")
        sums.save(files[-1])
        groups.append(Group("c", one.language, one.speaker, (f"u{number}",)))
    return MomentStore(groups, files, {"0": pieces[0].x.shape[1]})


def ids(*numbers: int) -> tuple[str, ...]:
    return tuple(f"u{number}" for number in numbers)


def standardised(pieces: Sequence[Piece], development: Sequence[int]) -> list[np.ndarray]:
    """Targets of the development pieces by their speakers' statistics; NaN where lost."""
    found = []
    for one in (pieces[i] for i in development):
        known = [pieces[i] for i in development if pieces[i].speaker == one.speaker]
        values = np.concatenate([np.where(other.valid, other.y, np.nan) for other in known])
        found.append((np.where(one.valid, one.y, np.nan) - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0))
    return found


def sklearn_ridge(alpha: float):
    return make_pipeline(StandardScaler(), Sklearn(alpha))


SPEAKERS = ("c/a", "c/b", "c/d", "c/e")
SPLIT = Split(ids(0, 1, 2, 3, 4, 5), ids(6, 7), (Fold(ids(2, 3, 4, 5), ids(0, 1)), Fold(ids(0, 1), ids(2, 3, 4, 5))))


def world(**settings) -> list[Piece]:
    """Two utterances of each of four speakers; the last is unknown in development."""
    return [piece(10 + number, SPEAKERS[number // 2], count=50 + 7 * number, **settings) for number in range(8)]


@pytest.mark.parametrize("shift", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_predictions_equal_scikit_learns_on_the_frames_that_each_channel_has(tmp_path: Path, shift, lost):
    pieces = world(shift=shift, lost=lost)
    moments = LayerMoments(stored(tmp_path, pieces), "0", Division.of(SPLIT, stored(tmp_path, pieces)))
    targets = standardised(pieces, range(6))
    new = piece(99, shift=shift).x
    for alpha in ALPHAS:
        solution = fit_head(moments, Ridge(1, WIDTH, CHANNELS, [alpha]))
        for channel in range(CHANNELS):
            x, y = (np.concatenate([values[i] for i in range(6)]) for values in ([one.x for one in pieces], targets))
            known = np.isfinite(y[:, channel])
            expected = sklearn_ridge(alpha).fit(x[known], y[known, channel]).predict(new)
            ours = new @ solution.weight[:, channel].numpy() + solution.bias[channel].item()
            np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)


def test_sums_too_large_to_be_kept_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pieces = world(lost=0.3)
    heads = []
    for kept in (1 << 29, 0):
        monkeypatch.setattr("tractprobe.probes.linear.moment_store._KEPT_BYTES", kept)
        monkeypatch.setattr("tractprobe.probes.linear.moment_store._BLOCK", 3)
        store = stored(tmp_path, pieces)
        heads.append(fit_head(LayerMoments(store, "0", Division.of(SPLIT, store)), Ridge(1, WIDTH, CHANNELS, ALPHAS)))
    torch.testing.assert_close(heads[0].weight, heads[1].weight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("width", [WIDTH, 60])
def test_a_gpu_adds_up_the_triangles_that_the_cpu_does(tmp_path: Path, width: int):
    """What it runs is run here on the CPU, with groups kept as triangles and, of wide inputs, as frames."""
    store = stored(tmp_path, world(lost=0.3, width=width, shift=10))
    rows = store.layer("0")
    sets = [LayerMoments(store, "0", Division.of(SPLIT, store)).row_weights, np.ones((1, len(store.group_of)))]
    for one, other in zip(rows.triangles_by_torch(sets), rows.triangles(sets), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_validation_r_and_the_alpha_chosen_are_scikit_learns_over_grouped_folds(tmp_path: Path, lost):
    pieces = world(lost=lost)
    store = stored(tmp_path, pieces)
    moments = LayerMoments(store, "0", Division.of(SPLIT, store))
    targets = standardised(pieces, range(6))
    ours = validation_r(moments, moments.to_fit()[:-1], ALPHAS)
    expected = np.zeros((len(ALPHAS), CHANNELS))
    for channel in range(CHANNELS):
        for row, alpha in enumerate(ALPHAS):
            r = []
            for fold in SPLIT.folds:
                sides = [[int(id_[1:]) for id_ in side] for side in (fold.train, fold.validation)]
                x, y = (np.concatenate([v[i] for i in sides[0]]) for v in ([one.x for one in pieces], targets))
                known = np.isfinite(y[:, channel])
                model = sklearn_ridge(alpha).fit(x[known], y[known, channel])
                for speaker in SPEAKERS[:3]:
                    own = [i for i in sides[1] if pieces[i].speaker == speaker]
                    if own:
                        x, y = (np.concatenate([v[i] for i in own]) for v in ([one.x for one in pieces], targets))
                        known = np.isfinite(y[:, channel])
                        r.append(pearsonr(model.predict(x[known]), y[known, channel]).statistic)
            expected[row, channel] = np.mean(r)
    np.testing.assert_allclose(ours, expected, atol=1e-8)
    chosen = fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS)).alpha
    assert chosen.tolist() == [ALPHAS[row] for row in expected.argmax(axis=0)]
    one = fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS, alpha_per_channel=False)).alpha
    assert one.tolist() == [ALPHAS[int(expected.mean(axis=1).argmax())]] * CHANNELS


@pytest.mark.parametrize("block", [1 << 24, 1])
@pytest.mark.parametrize("kept", [1 << 26, 0])
@pytest.mark.parametrize("width", [WIDTH, 60])
def test_speakers_that_are_scored_together_and_kept_are_scored_as_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, kept: int, width: int
):
    monkeypatch.setattr("tractprobe.probes.linear.selection._TOGETHER_BYTES", block)
    monkeypatch.setattr("tractprobe.probes.linear.selection._KEPT_BYTES", kept)
    store = stored(tmp_path, world(lost=0.3, width=width))
    shared = KeptMoments()
    for held_out in range(3):  # speakers have the same moments, folds others
        known = [speaker for speaker in range(4) if speaker != held_out]
        utterances = lambda *speakers: ids(*(2 * one + two for one in speakers for two in (0, 1)))  # noqa: E731
        folds = tuple(Fold(utterances(one), utterances(*({*known} - {one}))) for one in known)
        division = Division.of(Split(utterances(*known), utterances(held_out), folds), store)
        moments = LayerMoments(store, "0", division, kept=shared)
        fitted = moments.to_fit()[:-1]
        expected, alone = [], LayerMoments(store, "0", division)
        for fitted, (_, speakers) in zip(moments.to_fit()[:-1], division.folds, strict=True):
            weights = torch.zeros(len(ALPHAS), width, CHANNELS, dtype=torch.float64)
            for channels, part in fitted:
                weights[:, :, channels], _ = solve(part, ALPHAS)
            for speaker in speakers:
                expected.append(torch.full((len(ALPHAS), CHANNELS), torch.nan, dtype=torch.float64))
                for channels, part in alone.of(speaker):
                    expected[-1][:, channels] = correlation(part, weights[:, :, channels])
        ours = validation_r(moments, moments.to_fit()[:-1], ALPHAS)
        torch.testing.assert_close(ours, torch.stack(expected).mean(dim=0), rtol=1e-12, atol=1e-12)


def test_an_alpha_or_a_layer_that_lacks_an_r_cannot_win_by_the_others(caplog: pytest.LogCaptureFixture):
    nan = torch.nan
    r = torch.tensor([[0.9, nan, nan, nan], [0.6, 0.6, 0.5, nan], [nan, nan, nan, nan]], dtype=torch.float64)
    assert by_layer((0, 1, 2), r).tolist()[:2] == pytest.approx([0.3, 1.7 / 3])
    assert by_layer((0, 1, 2), r)[2].isnan()  # a layer without any r has no mean
    assert "layer 0: validation r of 2 channels is undefined and counts as 0" in caplog.text
    assert by_layer((0,), r[:1]).tolist() == [0.9]


def test_the_choice_is_that_of_a_grid_search_with_one_fold_for_each_speaker(tmp_path: Path):
    pieces = [piece(seed, speaker, count=90) for seed, speaker in enumerate(SPEAKERS[:3])]
    folds = tuple(Fold(ids(*({0, 1, 2} - {kept})), ids(kept)) for kept in range(3))
    store = stored(tmp_path, pieces)
    moments = LayerMoments(store, "0", Division.of(Split(ids(0, 1, 2), (), folds), store))
    chosen = fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS)).alpha
    x, y = np.concatenate([one.x for one in pieces]), np.concatenate(standardised(pieces, range(3)))
    folds = PredefinedSplit(np.repeat(range(3), 90))
    pearson = make_scorer(lambda truth, predicted: pearsonr(truth, predicted).statistic)
    for channel in range(CHANNELS):
        search = GridSearchCV(sklearn_ridge(1.0), {"ridge__alpha": ALPHAS}, scoring=pearson, cv=folds)
        assert chosen[channel] == search.fit(x, y[:, channel]).best_params_["ridge__alpha"]


@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_scores_from_sums_equal_scores_of_frames(tmp_path: Path, lost):
    pieces = world(lost=lost)
    store = stored(tmp_path, pieces)
    division = Division.of(SPLIT, store)
    moments = LayerMoments(store, "0", division)
    solution = fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS))
    ours = score(moments, solution)
    assert list(division.test) == [("c", "en", "c/e")] and division.scales["c/e"].from_test.all()
    sums, scale = ScoreSums(1, 1, CHANNELS), division.scales["c/e"]
    for one in pieces[6:]:
        predicted = (torch.from_numpy(one.x) @ solution.weight + solution.bias) * torch.from_numpy(scale.sd)
        batch = (predicted + torch.from_numpy(scale.mean))[None, None], torch.from_numpy(one.y)[None]
        sums.update(*batch, torch.from_numpy(one.valid)[None], torch.tensor([0]))
    for name, values in vars(sums.take()).items():
        torch.testing.assert_close(getattr(ours, name), values, rtol=1e-8, atol=1e-8)


def test_a_speaker_who_lacks_a_channel_takes_no_part_in_it_and_one_nobody_has_is_nan(tmp_path: Path):
    pieces = world()
    for one in pieces[:2]:
        one.valid[:, 1] = False
    for one in pieces:
        one.valid[:, 3] = False
    store = stored(tmp_path, pieces)
    moments = LayerMoments(store, "0", Division.of(SPLIT, store))
    solution = fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS))
    assert solution.alpha.isnan().tolist() == [False, False, False, True] and solution.bias.isnan()[3]
    without = stored(tmp_path, pieces[2:])
    kept = Split(ids(0, 1, 2, 3), ids(4, 5), (Fold(ids(0, 1, 2, 3), ()), Fold((), ids(0, 1, 2, 3))))
    alone = fit_head(
        LayerMoments(without, "0", Division.of(kept, without)), Ridge(1, WIDTH, CHANNELS, [solution.alpha[1].item()])
    )
    torch.testing.assert_close(solution.weight[:, 1], alone.weight[:, 1], rtol=1e-9, atol=1e-12)
    scores = score(moments, solution)
    assert scores.n_frames[0, 0].tolist()[3] == 0 and scores.r.isfinite().tolist() == [[[True, True, True, False]]]


def test_what_is_tested_leaves_the_heads_bit_for_bit_as_they_are(tmp_path: Path):
    pieces, others = world(), world()
    for one in others[6:]:
        one.x, one.y = one.x * -3 + 50, one.y[::-1] * 7
    heads = []
    for name, some in (("one", pieces), ("two", others)):
        (tmp_path / name).mkdir()
        store = stored(tmp_path / name, some)
        heads.append(fit_head(LayerMoments(store, "0", Division.of(SPLIT, store)), Ridge(1, WIDTH, CHANNELS, ALPHAS)))
    for name in ("weight", "bias", "alpha"):
        assert torch.equal(getattr(heads[0], name), getattr(heads[1], name))


def test_tiny_groups_constant_features_and_more_features_than_frames_give_numbers_or_none(tmp_path: Path):
    pieces = [piece(number, SPEAKERS[number // 2], count=3, width=30) for number in range(8)]
    for one in pieces:
        one.x[:, 4] = 7.0
    pieces[7].x, pieces[7].y, pieces[7].valid = (v[:1] for v in (pieces[7].x, pieces[7].y, pieces[7].valid))
    store = stored(tmp_path, pieces)
    moments = LayerMoments(store, "0", Division.of(SPLIT, store))
    solution = fit_head(moments, Ridge(1, 30, CHANNELS, ALPHAS))
    assert solution.weight.isfinite().all() and solution.bias.isfinite().all() and (solution.weight[4] == 0).all()
    scores = score(moments, solution)
    assert scores.n_frames.unique().tolist() == [4] and scores.r.isfinite().all()
    targets = standardised(pieces, range(6))
    x, y = np.concatenate([one.x for one in pieces[:6]]), np.concatenate(targets)
    for channel in range(CHANNELS):
        alpha = solution.alpha[channel].item()
        expected = sklearn_ridge(alpha).fit(x, y[:, channel]).predict(pieces[6].x)
        ours = pieces[6].x @ solution.weight[:, channel].numpy() + solution.bias[channel].item()
        np.testing.assert_allclose(ours, expected, rtol=1e-6, atol=1e-7)


def test_without_validation_the_stated_alpha_is_taken(tmp_path: Path):
    pieces = world()
    store = stored(tmp_path, pieces)
    moments = LayerMoments(store, "0", Division.of(Split(SPLIT.development, SPLIT.test), store))
    assert (fit_head(moments, Ridge(1, WIDTH, CHANNELS, ALPHAS, alpha_without_validation=7)).alpha == 7).all()


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(0, 40))
def test_sums_are_those_of_the_frames_however_they_come_and_whenever_a_channel_first_does(
    tmp_path_factory: pytest.TempPathFactory, seed: int, chunk: int, late: int
):
    random = np.random.default_rng(seed)
    one = piece(seed, count=80, width=5)
    one.valid = random.random((80, CHANNELS)) < 0.8
    one.valid[:, 1] = np.where(np.arange(80) < 40, one.valid[:, 0], one.valid[:, 1])
    one.valid[:late, 2] = False
    one.valid[:, 3] = False
    store = stored(tmp_path_factory.mktemp("sums"), [one], chunk)
    whole = stored(tmp_path_factory.mktemp("sums"), [one], 80)
    assert not store.lost[:, 3].any()  # never there: nothing is kept for it
    division = Division.of(Split(ids(0), ()), store)
    for some in (store, whole):
        moments = LayerMoments(some, "0", division)
        parts = {channel: (part, channels) for channels, part in moments.to_fit()[-1] for channel in channels}
        assert set(parts) == {0, 1, 2}
        for channel, (part, channels) in parts.items():
            known, column = one.valid[:, channel], channels.index(channel)
            x, y = one.x[known], (one.y[known, channel] - division.mean[0, channel]) / division.sd[0, channel]
            assert part.n == known.sum()
            np.testing.assert_allclose(part.xx, x.T @ x, rtol=1e-9, atol=1e-7)
            np.testing.assert_allclose(part.x, x.sum(axis=0), rtol=1e-9, atol=1e-7)
            np.testing.assert_allclose(part.xy[:, column], x.T @ y, rtol=1e-9, atol=1e-7)
            np.testing.assert_allclose([part.y[column], part.yy[column]], [y.sum(), (y**2).sum()], atol=1e-7)


def test_a_damaged_file_is_named_and_not_taken(tmp_path: Path):
    stored(tmp_path, [piece(0)])
    path = tmp_path / "0.safetensors"
    assert SavedMoments(path).is_complete(["0"]) and not SavedMoments(path).is_complete(["1"])
    content = path.read_bytes()
    for broken in (content[:-9], content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], b"", b"\xff" * 64):
        path.write_bytes(broken)
        assert not SavedMoments(path).is_complete(["0"])
        with pytest.raises(EncoderError, match=r"0\.safetensors: (damaged|incomplete)"):
            SavedMoments(path).read("count", "y", "yy", "lost", "frames", "x 0", "xx 0", "xy 0")
