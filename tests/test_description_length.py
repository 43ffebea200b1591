"""Online description length: against explicit frames, and against what theory says it must be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.evidence.methods.description_length import blocks, cutting, gaussian_bits, lengths, split_of
from tractprobe.probes.linear.group_moments import GroupMoments
from tractprobe.probes.linear.moment_store import Group, MomentStore

CHANNELS, ALPHAS = 4, [1.0, 100.0, 1e4]


def stored(folder: Path, frames: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> MomentStore:
    """Keep the moments of (speaker, x, y), each a group of one utterance, u0, u1, ...; NaN in y is lost."""
    groups, files = [], []
    for number, (speaker, x, y) in enumerate(frames):
        moments = GroupMoments({"0": x.shape[1]}, CHANNELS)
        moments.include(
            {"0": torch.from_numpy(x)}, torch.from_numpy(np.nan_to_num(y)), torch.from_numpy(np.isfinite(y))
        )
        files.append(folder / f"{number}.safetensors")
        moments.save(files[-1])
        groups.append(Group("c", "it", speaker, (f"u{number}",)))
    return MomentStore(groups, files, {"0": frames[0][1].shape[1]})


def drawn(seed: int, counts: Sequence[int], width: int, signal: float) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Gaussian inputs and targets of two speakers, whose inputs explain a share of the variance, ``signal``."""
    random = np.random.default_rng(seed)
    weights = np.random.default_rng(99).normal(size=(width, CHANNELS))
    weights /= np.linalg.norm(weights, axis=0)
    found = []
    for number, count in enumerate(counts):
        x, speaker = random.normal(size=(count, width)), f"c/{number % 2}"
        y = np.sqrt(signal) * x @ weights + np.sqrt(1 - signal) * random.normal(size=(count, CHANNELS))
        found.append((speaker, x, 5 * y + 10 if speaker == "c/0" else y))
    return found


def by_frames(frames: Sequence[tuple[str, np.ndarray, np.ndarray]], parts: Sequence[Sequence[int]]) -> tuple:
    """The same code from frames: (head, constant) in bits, each (group, channel)."""
    standardised = []
    for speaker, _, y in frames:
        own = np.concatenate([other for name, _, other in frames if name == speaker])
        standardised.append((y - np.nanmean(own, axis=0)) / np.nanstd(own, axis=0))
    bits = np.zeros((2, len(frames), CHANNELS))
    for channel in range(CHANNELS):
        for side, alphas in enumerate((ALPHAS, [None])):
            alpha, variance, before = alphas[-1], 1.0, []
            for part in parts:
                predicted = {}
                x, y = ([values[i] for i in before] for values in ([one[1] for one in frames], standardised))
                known = np.isfinite(np.concatenate([each[:, channel] for each in y])) if before else None
                for each in alphas:
                    for i in part:
                        predicted[each, i] = np.zeros(len(frames[i][1]))
                    if before and each is None:
                        for i in part:
                            predicted[each, i] += np.concatenate(y)[known, channel].mean()
                    elif before:
                        model = make_pipeline(StandardScaler(), Ridge(each))
                        model.fit(np.concatenate(x)[known], np.concatenate(y)[known, channel])
                        for i in part:
                            predicted[each, i] = model.predict(frames[i][1])
                errors = {key: standardised[key[1]][:, channel] - p for key, p in predicted.items()}
                for i in part:
                    density = norm(0, np.sqrt(variance)).logpdf(errors[alpha, i])
                    bits[side, i, channel] = -np.nansum(density) / np.log(2)
                mean = {each: np.nanmean(np.concatenate([errors[each, i] for i in part]) ** 2) for each in alphas}
                least = min(mean.values())
                alpha = [each for each in alphas if mean[each] <= least * (1 + 1e-12)][-1]
                variance = least
                before += part
    return bits


def test_it_is_the_code_that_frames_give(tmp_path):
    frames = drawn(1, (9, 11, 20, 18, 40, 45, 70, 66), 6, 0.6)
    frames[4][2][:15, :2] = np.nan  # a sensor lost for a while
    frames[7][2][:, 2:] = np.nan  # and one throughout
    parts = [[0, 1], [2, 3], [4, 5], [6, 7]]
    store = stored(tmp_path, frames)
    found = lengths(store, "0", [[f"u{i}" for i in part] for part in parts], ALPHAS)
    head, constant = by_frames(frames, parts)
    np.testing.assert_allclose(found.head, head, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(found.constant, constant, rtol=1e-9, atol=1e-7)
    np.testing.assert_array_equal(found.frames, [np.isfinite(y).sum(axis=0) for _, _, y in frames])
    np.testing.assert_array_equal(found.block_of, [0, 0, 1, 1, 2, 2, 3, 3])
    of_last = found.saved[6:].sum() / found.frames[6:].sum()
    assert found.by_block()[-1] == pytest.approx(of_last) and found.by_block()[0] == pytest.approx(0, abs=1e-12)


def test_much_data_costs_what_the_unexplained_variance_costs(tmp_path):
    counts, signal = [50, 50, 100, 100, 400, 400, 3000, 3000], 0.75
    found = lengths(
        stored(tmp_path, drawn(2, counts, 5, signal)), "0", [[f"u{i}", f"u{i + 1}"] for i in (0, 2, 4, 6)], ALPHAS
    )
    per_frame = found.head[6:].sum() / found.frames[6:].sum()
    assert per_frame == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * (1 - signal)), abs=0.03)
    assert found.constant[6:].sum() / found.frames[6:].sum() == pytest.approx(0.5 * np.log2(2 * np.pi * np.e), abs=0.03)
    assert found.by_block()[-1] == pytest.approx(-0.5 * np.log2(1 - signal), abs=0.04)


def test_learning_costs_what_it_has_to(tmp_path):
    """A least-squares head of d weights that n frames were fitted to errs by σ² (1 + d / (n - d - 1)) on average."""
    width, n, signal, last = 40, 200, 0.5, []
    for seed in range(6):
        frames = drawn(seed, [n // 2, n // 2, 400, 400], width, signal)
        store = stored(tmp_path, frames)
        last.append(lengths(store, "0", [["u0", "u1"], ["u2", "u3"]], [1e-6]).head[2:] / 400)
    excess = (1 - signal) * (1 + width / (n - width - 1))
    expected = 0.5 * np.log2(2 * np.pi) + excess / (2 * np.log(2))  # block 1 is sent with the variance of block 0: 1
    assert np.mean(last) == pytest.approx(expected, abs=0.02)


def test_random_features_save_nothing_and_cost_little(tmp_path):
    counts = [40, 40, 60, 60, 150, 150, 400, 400, 900, 900]
    parts = [[f"u{i}", f"u{i + 1}"] for i in range(0, 10, 2)]
    alphas = [1.0, 100.0, 1e4, 1e6]
    store = stored(tmp_path, drawn(3, counts, 60, 0.0))
    found = lengths(store, "0", parts, alphas)
    assert -0.01 < found.saved.sum() / found.frames.sum() < 0.002
    eager = lengths(store, "0", parts, alphas[:1])  # a head that cannot be careful
    assert eager.saved.sum() / eager.frames.sum() < -0.05


def test_bits_are_the_density():
    y, variance = np.random.default_rng(0).normal(size=30), np.array([0.3])
    bits = gaussian_bits(np.array([30]), np.array([np.sum(y**2)]), variance)
    assert bits[0] == pytest.approx(-norm(0, np.sqrt(0.3)).logpdf(y).sum() / np.log(2))


def entries(count: int, spoken_by: int = 2) -> list[Entry]:
    return [
        Entry(f"c/{speaker}-{number}", "c", f"c/{speaker}", "it", f"Sentence {number}.", 16000 * (1 + number % 3))
        for number in range(count)
        for speaker in range(spoken_by)
    ]


def test_blocks_end_where_shares_of_the_speech_are_reached():
    everything = entries(2000)
    parts = blocks(everything, 0)
    assert sorted(id_ for part in parts for id_ in part) == sorted(entry.id for entry in everything)
    duration_s = {entry.id: entry.duration_s for entry in everything}
    shares = np.cumsum([sum(duration_s[id_] for id_ in part) for part in parts]) / sum(duration_s.values())
    expected = [0.001 * 2**power for power in range(10)] + [1.0]
    assert len(parts) == len(expected)
    assert all(border <= share < border + 0.0016 for border, share in zip(expected[:-1], shares, strict=False))
    assert shares[-1] == pytest.approx(1)


def test_a_sentence_is_in_one_block_in_whatever_order_utterances_come():
    everything = entries(30)
    parts = blocks(everything, 0)
    block_of = {id_: number for number, part in enumerate(parts) for id_ in part}
    assert all(block_of[f"c/0-{number}"] == block_of[f"c/1-{number}"] for number in range(30))
    assert blocks(everything[::-1], 0) == parts != blocks(everything, 1)
    assert len(blocks(entries(1), 0)) == 1
    assert 4 <= len(parts) <= 6  # shares that no single sentence is below are left out


def test_what_is_fitted_was_sent_before():
    parts = blocks(entries(30), 0)
    split = split_of(parts)
    for number, fold in enumerate(split.folds, start=1):
        assert set(fold.train) == {id_ for part in parts[:number] for id_ in part}
        assert fold.validation == parts[number]
    assert [set(each.development) for each in cutting(parts)] == [set(part) for part in parts]
