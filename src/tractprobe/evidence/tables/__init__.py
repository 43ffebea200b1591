"""Scores of runs as tables and pictures: rows, means in a fixed order, layer curves, comparisons of heads."""
