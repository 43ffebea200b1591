"""Σxxᵀ kept as triangles or as frames: the same sums, those of the frames."""

import numpy as np
import pytest
import torch

from tractprobe.probes.linear.scatter import (
    FrameScatter,
    TriangleScatter,
    add_square,
    packed,
    packed_by_torch,
    unpacked,
    unpacked_by_torch,
)
from tractprobe.probes.linear.solver import FullMoments

WIDTH, FRAMES = 7, 40


@pytest.fixture
def group() -> tuple[np.ndarray, np.ndarray]:
    """Frames around a mean far from zero, and rows: all of them, and those that two sensors lack."""
    random = np.random.default_rng(3)
    rows = np.stack([np.ones(FRAMES, bool), random.random(FRAMES) < 0.3, random.random(FRAMES) < 0.2])
    return random.normal(size=(FRAMES, WIDTH)) + 50, rows


def both(x: np.ndarray, rows: np.ndarray) -> tuple[FrameScatter, TriangleScatter]:
    tensor, masks = torch.from_numpy(x), torch.from_numpy(rows)
    triangles = torch.stack([packed(tensor[mask].T @ tensor[mask]) for mask in masks])
    sums = torch.stack([tensor[mask].sum(dim=0) for mask in masks])
    return FrameScatter(tensor, masks), TriangleScatter(triangles, sums, masks.sum(dim=1))


@pytest.mark.parametrize("row_weights", [[1.0, 0, 0], [1.0, -1, 0], [0, 0, 1.0], [2.0, -1, -1]])
def test_squares_of_predictions_are_those_of_the_weighted_frames(group, row_weights):
    x, rows = group
    random = np.random.default_rng(4)
    weights, centre = random.normal(size=(3, WIDTH, 2)), random.normal(size=(3, 2)) * 100
    by_frame = np.array(row_weights) @ rows
    expected = np.einsum("t,atc->ac", by_frame, (x @ weights - centre[:, None]) ** 2)
    for scatter in both(x, rows):
        found = scatter.squares(np.array(row_weights), torch.from_numpy(weights), torch.from_numpy(centre))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    chosen = by_frame == 1
    whole = torch.from_numpy(x[chosen])
    nothing = torch.zeros(0, dtype=torch.float64)
    sums = FullMoments(len(whole), whole.sum(dim=0), nothing, nothing.new_zeros(WIDTH, 0), nothing, whole.T @ whole)
    about = torch.from_numpy(x[chosen].mean(axis=0) @ weights)
    spread = ((x[chosen] @ weights - about.numpy()[:, None]) ** 2).sum(axis=1)
    np.testing.assert_allclose(sums.squares(torch.from_numpy(weights), about), spread, rtol=1e-9)


def test_triangles_of_rows_are_alike_and_come_back(group):
    x, rows = group
    frames, triangles = both(x, rows)
    for row, mask in enumerate(rows):
        np.testing.assert_allclose(frames.triangle(row), triangles.triangle(row), rtol=1e-12)
        np.testing.assert_allclose(unpacked(frames.triangle(row), WIDTH), x[mask].T @ x[mask], rtol=1e-12)


def test_squares_add_up_in_the_upper_triangle(group):
    x, _ = group
    total = torch.zeros(WIDTH, WIDTH, dtype=torch.float64)
    for part in torch.from_numpy(x).split(13):
        add_square(total, part)
    np.testing.assert_allclose(total.triu(), np.triu(x.T @ x), rtol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 7])
def test_a_triangle_comes_back(width: int):
    matrix = torch.randn(width, width, dtype=torch.float64)
    matrix = matrix + matrix.T
    assert torch.equal(unpacked(packed(matrix), width), matrix)
    assert packed(matrix).tolist() == matrix[np.triu_indices(width)].tolist()
    assert torch.equal(packed_by_torch(matrix), packed(matrix))  # what a GPU does
    assert torch.equal(unpacked_by_torch(packed(matrix), width), matrix)
