"""LDA from moments against scikit-learn, which sees the frames."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from tractprobe.probes.linear.discriminant import ClassMoments, Discriminant, discriminants
from tractprobe.probes.linear.solver import FullMoments

CLASSES = 5


def frames(seed: int, n: int = 700, width: int = 8, shift: float = 30.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw frames of classes of unequal size, far from the origin, in units of unequal size."""
    random = np.random.default_rng(seed)
    labels = random.choice(CLASSES, size=n, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    mixing = np.eye(width) + 0.3 * random.normal(size=(width, width))
    x = random.normal(size=(CLASSES, width))[labels] * 1.5 + random.normal(size=(n, width)) @ mixing
    return x * 10.0 ** np.linspace(-2, 2, width) + shift, labels


def moments_of(x: np.ndarray, labels: np.ndarray, classes: int = CLASSES) -> FullMoments:
    x, y = torch.from_numpy(x), torch.nn.functional.one_hot(torch.from_numpy(labels), classes).double()
    return FullMoments(len(x), x.sum(0), y.sum(0), x.T @ y, y.square().sum(0), x.T @ x)


def delta(found: Discriminant, x: np.ndarray) -> np.ndarray:
    return (torch.from_numpy(x) @ found.weight + found.bias).numpy()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shrinkage", [0.0, 0.02, 0.5])
def test_discriminants_are_those_of_scikit_learn(seed: int, shrinkage: float):
    x, labels = frames(seed)
    new, _ = frames(seed + 100)
    (found,) = discriminants(ClassMoments.of(moments_of(x, labels), range(CLASSES)), [shrinkage])
    # scikit-learn shrinks to the mean variance: the same where all features vary alike within classes
    means = np.stack([x[labels == number].mean(axis=0) for number in range(CLASSES)])
    within = (x - means[labels]).std(axis=0)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x / within, labels)
    scores = theirs.decision_function(new / within) - np.log(theirs.priors_)  # ours takes all classes as equally likely
    ours = delta(found, new)
    differences = [values - values[:, :1] for values in (ours, scores)]
    np.testing.assert_allclose(differences[0], differences[1], atol=1e-6 * np.abs(differences[1]).max())
    assert (ours.argmax(1) == scores.argmax(1)).all() and len(set(ours.argmax(1))) > 2


def test_classes_without_enough_frames_are_not_known_but_count_within():
    classes = CLASSES + 1
    x, labels = frames(0)
    moments = ClassMoments.of(moments_of(x, labels, classes), range(classes))
    (found,) = discriminants(moments, [0.0], least=50)
    assert found.known.tolist() == [count >= 50 for count in np.bincount(labels, minlength=classes)]
    (all_of_them,) = discriminants(moments, [0.0], least=1)
    torch.testing.assert_close(found.weight, all_of_them.weight)
    assert found.weight.isfinite().all() and not found.known[-1]


def test_a_feature_that_does_not_vary_plays_no_part():
    x, labels = frames(1)
    with_constant = np.concatenate([x, np.full((len(x), 1), 7.0)], axis=1)
    (without,), (found,) = (
        discriminants(ClassMoments.of(moments_of(each, labels), range(CLASSES)), [0.1]) for each in (x, with_constant)
    )
    assert (found.weight[-1] == 0).all()
    torch.testing.assert_close(found.weight[:-1], without.weight)


def test_a_projection_of_the_moments_is_the_moments_of_the_projection():
    x, labels = frames(2, width=12)
    weights = np.random.default_rng(0).normal(size=(12, 4)) / 10.0 ** np.linspace(-2, 2, 12)[:, None]
    ours = ClassMoments.of(moments_of(x, labels), range(CLASSES)).projected(torch.from_numpy(weights))
    expected = ClassMoments.of(moments_of(x @ weights, labels), range(CLASSES))
    torch.testing.assert_close(ours.sums, expected.sums)
    torch.testing.assert_close(ours.xx, expected.xx)
    found = discriminants(ours, [0.01])[0]
    np.testing.assert_allclose(
        delta(found, x @ weights), delta(discriminants(expected, [0.01])[0], x @ weights), rtol=1e-5, atol=1e-5
    )


def test_frames_that_have_no_class_are_refused():
    x, labels = frames(3)
    with pytest.raises(ValueError, match="each has to have one"):
        ClassMoments.of(moments_of(x, labels), range(CLASSES - 1))
