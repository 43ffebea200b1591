"""Heads on hidden states: the problem, how it is fitted, what it scores."""
