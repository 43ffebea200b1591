"""Heads that gradients fit, by Lightning."""
