"""Analyses, one question each. Each takes a bench and returns evidence as data; it neither draws nor judges."""
