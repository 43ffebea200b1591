"""Encoders of our own: HuBERT-style masked prediction on the speech of prepared corpora."""
