"""Heads in closed form, from first and second moments of groups of frames."""
